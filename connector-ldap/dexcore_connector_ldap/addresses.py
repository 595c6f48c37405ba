"""``host``: one or more addresses of the same directory.  Pure: text in, values out."""

from __future__ import annotations

import ipaddress
import re

import attrs

from dexcore.options import InvalidOption

#: RFC 4516 section 2, and what everybody uses for LDAP over TLS.
PLAIN_PORT, TLS_PORT = 389, 636

_NAME = re.compile(r"\w([\w.-]*[\w.])?")


@attrs.frozen
class Address:
    """A server of the directory; ``host`` is a name or an IP address, unbracketed."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_addresses(text: str | tuple[str, ...], port: int) -> tuple[Address, ...]:
    """Return the addresses *text* lists, in a tuple or with commas between them.

    *port* is for those that name none.  Raises ``InvalidOption``.
    """
    items = (text,) if isinstance(text, str) else text
    parts = [part.strip() for item in items for part in item.split(",")]
    found = [_parse(part, port) for part in parts if part]
    if not found:
        raise InvalidOption(
            "host is empty", key="host", remedy="Write `ldap.example.org`."
        )
    return tuple(dict.fromkeys(found))


def _parse(text: str, port: int) -> Address:
    if "://" in text:
        raise _wrong(text, "Write it without the scheme, as `host` or `host:port`.")
    # An IPv6 address by itself: whatever is behind its last colon is no port.
    if _is_ip(text):
        return Address(text, port)
    host, colon, given = text.rpartition(":")
    if not colon or (text.startswith("[") and text.endswith("]")):
        host, colon, given = text, "", ""
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if not (_is_ip(host) and ":" in host):
            raise _wrong(text)
    elif not _NAME.fullmatch(host):
        raise _wrong(text)
    return Address(host, _port(text, given) if colon else port)


def _port(text: str, given: str) -> int:
    if not (given.isascii() and given.isdecimal() and 0 < int(given) < 65536):
        raise _wrong(text)
    return int(given)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _wrong(text: str, remedy: str = "") -> InvalidOption:
    return InvalidOption(
        f"{text!r} is not the address of a directory",
        key="host",
        remedy=remedy or "Write `host` or `host:port`, IPv6 as `[::1]:636`.",
    )
