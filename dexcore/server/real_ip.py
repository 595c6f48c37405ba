"""Who the client is when a proxy stands before us (``web.clientRemoteIP``).

Only a peer we were told to trust may say so, and of what its header says only the part
that trusted proxies wrote themselves counts: read from the right, the first address
that is not one of theirs.
"""

from __future__ import annotations

import logging

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from ipaddress import ip_network as _network

import attrs

from aiohttp import web

from ..config.model import ClientRemoteIP
from ..errors import ConfigError

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_log = logging.getLogger("dexcore.server")


@attrs.frozen
class RealIP:
    """Finds the client's address; ``header`` empty: it is the peer's."""

    header: str = ""
    trusted: tuple[Network, ...] = ()

    @classmethod
    def of(cls, options: ClientRemoteIP) -> RealIP:
        """Return what ``web.clientRemoteIP`` asks for.

        Raises :class:`~dexcore.errors.ConfigError`.
        """
        trusted = parse_ranges(options.trusted_proxies)
        if options.header and not trusted:
            _log.warning(
                "web.clientRemoteIP.header is ignored: no trustedProxies are configured"
            )
            return cls()
        return cls(options.header, trusted)

    def address(self, request: web.Request) -> str:
        """Return the client's address, without a port; "" if nobody can tell."""
        peer = peer_of(request)
        if not self.header:
            return peer
        # RFC 9110 section 5.3: several lines of a list header are one list.  Some
        # proxies add a line of their own instead of completing the client's.
        return self.find(peer, ",".join(request.headers.getall(self.header, ())))

    def find(self, peer: str, hops: str) -> str:
        """Return who is behind *peer* when the header says *hops*."""
        address = _parse(peer)
        if address is None or not self._trusts(address):
            return peer
        for hop in reversed(hops.split(",")):
            # A zone may be any text, and names an interface of a machine not ours.
            address = None if "%" in hop else _parse(hop.strip())
            if address is None:
                break
            if not self._trusts(address):
                return str(address)
        return peer

    def trusts_peer(self, request: web.Request) -> bool:
        """Return whether a proxy that we trust sent *request*."""
        address = _parse(peer_of(request)) if self.trusted else None
        return address is not None and self._trusts(address)

    def _trusts(self, address: Address) -> bool:
        return any(address in each for each in self.trusted)


def parse_ranges(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return the CIDR ranges; raise :class:`~dexcore.errors.ConfigError`."""
    return tuple(map(_parse_range, texts))


def _parse_range(text: str) -> Network:
    try:
        if "/" not in text:
            raise ValueError("no '/'")
        return _network(text, strict=False)
    except ValueError as error:
        raise ConfigError(
            "failed to parse client remote IP settings: "
            f'failed to parse CIDR "{text}": {error}'
        ) from None


def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A socket for both families shows an IPv4 peer as ::ffff:192.0.2.1.
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def peer_of(request: web.Request) -> str:
    """Return the address of whoever holds the connection; "" if nobody can tell."""
    # Not request.remote, which a middleware of somebody else may have replaced.
    transport = request.transport
    name = transport.get_extra_info("peername") if transport else None
    return str(name[0]) if isinstance(name, tuple) else ""
