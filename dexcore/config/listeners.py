"""Rules about where the server listens: addresses, TLS, proxies, response headers."""

from __future__ import annotations

import ipaddress
import re

from .findings import Findings, Path
from .model import HEADERS, TLS_VERSIONS, Config, Web
from .problems import suggest

_ADDRESS = re.compile(
    r"^(\[[0-9A-Fa-f:.%a-z]+\]|[^:\[\]\s]*):([0-9]{1,5}|[a-z][a-z0-9-]*)$"
)


def check_listeners(config: Config, found: Findings) -> None:
    """Write down what is wrong with ``web``, ``telemetry`` and ``grpc``."""
    _web(config, found)
    _addresses(config, found)
    _grpc(config, found)


def _web(config: Config, found: Findings) -> None:
    web = config.web
    if not web.http and not web.https:
        found.error(
            ("web", "http"),
            "there is no address to listen on, neither web.http nor web.https",
            'Add "http: 127.0.0.1:5556" below "web:".',
        )
    if web.https and not web.tls_cert:
        found.error(
            ("web", "tlsCert"), "web.https needs a certificate", 'Add "tlsCert: FILE".'
        )
    if web.https and not web.tls_key:
        found.error(
            ("web", "tlsKey"), "web.https needs a private key", 'Add "tlsKey: FILE".'
        )
    _tls(("web",), web.tls_min_version, web.tls_max_version, found)
    _real_ip(web, found)
    known = {name.lower() for name in HEADERS}
    for name in web.headers:
        if name.lower() not in known:
            say = found.error if found.root.strict else found.warn
            say(
                ("web", "headers", name),
                f'the response header "{name}" is not known and is not sent',
                suggest(name, HEADERS),
            )


def _real_ip(web: Web, found: Findings) -> None:
    at: Path = ("web", "clientRemoteIP")
    for index, proxy in enumerate(web.client_remote_ip.trusted_proxies):
        if not is_cidr(proxy):
            found.error(
                (*at, "trustedProxies", index),
                f'"{proxy}" is not a range of addresses',
                'Write a CIDR range such as "10.0.0.0/8"; one address ends in /32 or '
                "/128.",
            )
    if web.client_remote_ip.header and not web.client_remote_ip.trusted_proxies:
        found.warn(
            (*at, "header"),
            "the header is ignored, because no proxy is trusted to write it",
            'Add "trustedProxies: [10.0.0.0/8]" with the addresses of the proxy.',
        )


def is_cidr(text: str) -> bool:
    """Return whether *text* is an address, a slash and a number of bits."""
    address, slash, bits = text.partition("/")
    if not slash or not bits.isdecimal() or "%" in address:
        return False
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _addresses(config: Config, found: Findings) -> None:
    for path, address in (
        (("web", "http"), config.web.http),
        (("web", "https"), config.web.https),
        (("telemetry", "http"), config.telemetry.http),
        (("grpc", "addr"), config.grpc.addr),
    ):
        if address and not _is_address(address):
            found.error(
                path,
                f'"{address}" is not an address to listen on',
                'Write host:port, such as "127.0.0.1:5556" or ":5556".',
            )


def _is_address(text: str) -> bool:
    match = _ADDRESS.match(text)
    if match is None:
        return False
    return not match[2].isdecimal() or int(match[2]) < 65536


def _grpc(config: Config, found: Findings) -> None:
    grpc = config.grpc
    if (grpc.tls_cert or grpc.tls_key) and not grpc.addr:
        found.error(
            ("grpc", "addr"),
            "grpc has a certificate, but no address to listen on",
            'Add "addr: 127.0.0.1:5557" below "grpc:".',
        )
    if bool(grpc.tls_cert) != bool(grpc.tls_key):
        missing = "tlsKey" if grpc.tls_cert else "tlsCert"
        found.error(
            ("grpc", missing),
            "grpc needs both a certificate and its private key",
            f'Add "{missing}: FILE".',
        )
    if grpc.tls_client_ca and not grpc.tls_cert:
        found.error(
            ("grpc", "tlsClientCA"),
            "grpc.tlsClientCA needs grpc.tlsCert",
            'Add "tlsCert: FILE" and "tlsKey: FILE".',
        )
    _tls(("grpc",), grpc.tls_min_version, grpc.tls_max_version, found)


def _tls(at: Path, lowest: str, highest: str, found: Findings) -> None:
    for key, version in (("tlsMinVersion", lowest), ("tlsMaxVersion", highest)):
        if version and version not in TLS_VERSIONS:
            found.error(
                (*at, key), f'TLS "{version}" is not supported', "Write 1.2 or 1.3."
            )
    if lowest == "1.3" and highest == "1.2":
        found.error(
            (*at, "tlsMinVersion"),
            "tlsMinVersion is greater than tlsMaxVersion",
            "Raise tlsMaxVersion to 1.3, or remove it.",
        )
