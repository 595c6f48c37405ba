"""``storage.config`` of ``type: etcd``.  All keys are dex's."""

from __future__ import annotations

from urllib.parse import urlsplit

import attrs

from dexcore.options import InvalidOption, option


@attrs.frozen
class SSL:
    """How etcd proves who it is, and we who we are."""

    server_name: str = option(
        "", key="serverName", help="The name in etcd's certificate, if it is another."
    )
    ca_file: str = option(
        "", key="caFile", help="Who signs etcd's certificate. Default: the usual ones."
    )
    key_file: str = option("", key="keyFile", help="The key of our certificate.")
    cert_file: str = option("", key="certFile", help="Our certificate, for etcd.")

    def __attrs_post_init__(self) -> None:
        if bool(self.key_file) != bool(self.cert_file):
            raise InvalidOption(
                "one of keyFile and certFile is missing",
                remedy="Give both, or none.",
            )

    @property
    def given(self) -> bool:
        """Whether any of them is set: then addresses without scheme mean TLS."""
        return self != SSL()


@attrs.frozen
class Address:
    """Where an etcd listens, as gRPC takes it, and whether it speaks TLS there."""

    target: str
    tls: bool


@attrs.frozen
class Etcd:
    """An etcd cluster, version 3.3 or later."""

    endpoints: tuple[str, ...] = option(
        help="The members: `http://host:port`, `https://host:port` or `host:port`."
        " The first that answers is used."
    )
    namespace: str = option(
        "", help="Put before every key as it is, so end it with a slash."
    )
    username: str = option("", help="Who we are, where etcd asks.")
    password: str = option("", secret=True, help="And how we prove it.")
    ssl: SSL = option(factory=SSL, help="TLS; on if any of its keys is given.")

    def __attrs_post_init__(self) -> None:
        if not self.endpoints:
            raise InvalidOption(
                "there is no endpoint",
                key="endpoints",
                remedy='Write for example ["http://127.0.0.1:2379"].',
            )
        # Parsed here too, so that a wrong one is found when the file is read.
        _ = self.addresses

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The endpoints, in the order of the file."""
        return tuple(_parse(one, self.ssl.given) for one in self.endpoints)


_PORT = 2379
_SCHEMES = {"http": False, "https": True, "unix": False, "unixs": True}


def _parse(endpoint: str, tls: bool) -> Address:
    scheme, separator, rest = endpoint.partition("://")
    if not separator:
        scheme, rest = "", endpoint
    elif scheme not in _SCHEMES:
        raise _wrong(endpoint)
    tls = _SCHEMES.get(scheme, tls)
    if scheme in ("unix", "unixs"):
        return Address(f"unix:{rest}", tls)
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname, parts.port or _PORT
    except ValueError:
        raise _wrong(endpoint) from None
    if not host or parts.path not in ("", "/") or parts.query or parts.username:
        raise _wrong(endpoint)
    return Address(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", tls)


def _wrong(endpoint: str) -> InvalidOption:
    return InvalidOption(
        f"{endpoint!r} is not the address of an etcd",
        key="endpoints",
        remedy="Write `http://host:port`, `https://host:port` or `host:port`.",
    )
