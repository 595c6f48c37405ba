"""What clients sign with, and whether something is signed by them.

A client's keys are in its metadata, or where its ``jwks_uri`` says.  Fetching is for
the few that a token of the client waits for, never for others: one call per address at
a time, its answer kept, and an address that was just asked is left alone for a while.
"""

from __future__ import annotations

import asyncio
import logging
import time

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import attrs

from ..errors import TemporarilyUnavailable, UpstreamError
from ..http import HttpClient
from ..jose import ALGORITHMS, InvalidJWS, PublicKeys, UnknownKey
from ..oauth2.client_metadata import MOST_KEYS, may_be_fetched
from ..storage import Client, metadata_of

__all__ = ["ClientKeys"]

log = logging.getLogger("dexcore.server")

#: Clients, or addresses, whose keys are remembered.
REMEMBERED = 1000
#: Seconds for one fetch: whoever waits for it waits at a token endpoint.
TIMEOUT = 5.0
#: Bytes of a JWK set: twenty keys with their certificates.
LIMIT = 128 * 1024
#: Seconds until a key set is fetched again even if it knows the key.
FRESH = 3600.0
#: Seconds an address is left alone after it was asked.
PAUSE = 60.0

T = TypeVar("T")


@attrs.define(eq=False)
class ClientKeys:
    """Verifies what clients have signed.

    ``trusted`` are the clients of the configuration file, whose addresses the operator
    has written; those of others must be public ones over https, unless ``private`` ones
    are allowed: a client's address must not open our network.
    """

    trusted: frozenset[str] = frozenset()
    private: bool = False
    clock: Callable[[], float] = time.monotonic
    _written: OrderedDict[str, tuple[Mapping[str, Any], PublicKeys]] = attrs.field(
        factory=OrderedDict, init=False
    )
    _published: OrderedDict[str, _Published] = attrs.field(
        factory=OrderedDict, init=False
    )
    _http: dict[bool, HttpClient] = attrs.field(factory=dict, init=False)

    async def verify(
        self,
        client: Client,
        token: str,
        *,
        algorithm: str = "",
        types: Collection[str] = (),
    ) -> dict[str, Any]:
        """Return the claims of *token*, a JWS that *client* has signed.

        *algorithm* is the only one to accept; "": any that a key of the client is for.
        Its ``typ`` must be ``JWT``, one of *types* (in lower case), or absent (RFC 8725
        section 3.11).  A key that the token brings or names is passed over.  Raises
        ``InvalidJWS``, and ``TemporarilyUnavailable`` if the keys cannot be fetched.

        Whose token it is, for whom and until when is the caller's business.
        """
        accepted = [algorithm] if algorithm else [*ALGORITHMS]
        keys = await self._keys(client)
        try:
            verified = keys.verify(token, accepted)
        except UnknownKey:
            newer = await self._newer(client, keys)
            if newer is None:
                raise
            verified = newer.verify(token, accepted)
        if verified.typ != "jwt" and verified.typ not in types:
            raise InvalidJWS("The token is of another type.")
        return verified.claims

    async def close(self) -> None:
        """Let go of connections."""
        waiting = [each.task for each in self._published.values() if each.task]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for http in self._http.values():
            await http.close()

    # — where keys come from -----------------------------------------------------------

    async def _keys(self, client: Client) -> PublicKeys:
        metadata = metadata_of(client)
        if metadata.jwks:
            return await self._in_metadata(client.id, metadata.jwks)
        if not metadata.jwks_uri:
            raise InvalidJWS("The client has no keys.")
        place = self._place(client)
        now = self.clock()
        if place.keys is None or now >= place.fresh_until:
            await self._fetched(client, place)
        if place.keys is None:
            raise TemporarilyUnavailable("The client's keys cannot be fetched.")
        return place.keys

    async def _newer(self, client: Client, keys: PublicKeys) -> PublicKeys | None:
        """Return keys that the client has published since *keys*, if it has."""
        if metadata_of(client).jwks:
            return None
        place = self._place(client)
        if place.keys is keys:
            await self._fetched(client, place)
        return None if place.keys is keys else place.keys

    async def _in_metadata(self, client_id: str, jwks: Mapping[str, Any]) -> PublicKeys:
        known = self._written.get(client_id)
        if known is not None and known[0] == jwks:
            self._written.move_to_end(client_id)
            return known[1]
        keys = await _loaded(jwks)
        _remember(self._written, client_id, (jwks, keys))
        return keys

    def _place(self, client: Client) -> _Published:
        # Not by the address alone: of a stranger's we ask less than of the operator's.
        uri, trusted = metadata_of(client).jwks_uri, client.id in self.trusted
        name = f"{trusted} {uri}"
        place = self._published.get(name)
        if place is None:
            place = _Published(uri, trusted)
            _remember(self._published, name, place)
        self._published.move_to_end(name)
        return place

    async def _fetched(self, client: Client, place: _Published) -> None:
        """Fetch the keys, unless it was just tried; whoever else waits gets them too.

        Where that fails the old keys, if there are any, are as good as they were.
        """
        if place.task is None:
            if self.clock() < place.not_before:
                return
            place.not_before = self.clock() + PAUSE
            place.task = asyncio.create_task(
                self._fetch(client.id, place), name="fetch a client's keys"
            )
        # One that waits may hang up; the others still want the keys.
        await asyncio.shield(place.task)

    async def _fetch(self, client_id: str, place: _Published) -> None:
        try:
            if not may_be_fetched(place.uri, insecure=place.trusted or self.private):
                raise UpstreamError("The address of keys must begin with https.")
            answer = await self._client(place.trusted).get(place.uri)
            keys = await _loaded(answer.check().object())
        except (UpstreamError, InvalidJWS) as error:
            fields = {"client_id": client_id, "reason": str(error)}
            log.warning("client's keys not fetched", extra={"fields": fields})
        else:
            place.keys, place.fresh_until = keys, self.clock() + FRESH
        finally:
            place.task = None

    def _client(self, trusted: bool) -> HttpClient:
        public_only = not (trusted or self.private)
        if public_only not in self._http:
            self._http[public_only] = HttpClient(
                timeout=TIMEOUT, limit=LIMIT, public_only=public_only
            )
        return self._http[public_only]


@attrs.define(eq=False)
class _Published:
    """A ``jwks_uri``, and what was found there; times are the clock's."""

    uri: str
    trusted: bool
    keys: PublicKeys | None = None
    fresh_until: float = 0.0
    not_before: float = float("-inf")
    task: asyncio.Task[None] | None = None


async def _loaded(jwks: Mapping[str, Any]) -> PublicKeys:
    """Return the keys, imported in a thread: an RSA key takes its time."""
    listed = jwks.get("keys")
    if not isinstance(listed, list) or len(listed) > MOST_KEYS:
        raise InvalidJWS(f"This is no JWK set of at most {MOST_KEYS} keys.")
    return await asyncio.to_thread(PublicKeys.of(jwks).load)


def _remember(known: OrderedDict[str, T], name: str, value: T) -> None:
    known[name] = value
    if len(known) > REMEMBERED:
        known.popitem(last=False)
