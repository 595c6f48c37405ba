"""The registered clients: who they are, how they prove it, whom they trust."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from ..errors import InvalidClient, InvalidScope, NotFound
from ..oauth2.client_auth import check_secret, credentials
from ..oauth2.scopes import audiences
from ..oauth2.words import quote_all
from ..storage import Client, Collections, metadata_of
from .client_assertions import ClientAssertions

_WRONG = "Invalid client credentials."


@attrs.frozen(eq=False)
class Clients:
    """Finds clients; the ones of the configuration file cost no query."""

    storage: Collections
    assertions: ClientAssertions

    async def get(self, client_id: str) -> Client:
        """Return the client; raise ``NotFound``."""
        if not client_id:
            raise NotFound("No client has an empty id.")
        return await self.storage.clients.get(client_id)

    async def authenticate(
        self, header: str | None, form: Mapping[str, str], *, public: bool = True
    ) -> Client:
        """Return the client that proves itself (RFC 6749 section 2.3).

        *public* clients, which have nothing to prove with, are refused where the
        endpoint needs proof.  An unknown client and a wrong secret look the same.
        """
        proof = credentials(header, form)
        try:
            client = await self.get(proof.client_id)
        except NotFound:
            raise InvalidClient(_WRONG) from None
        method = metadata_of(client).token_endpoint_auth_method
        if method and method != proof.method:
            raise InvalidClient(_WRONG)
        if proof.assertion:
            await self.assertions.check(client, proof.assertion)
        elif not check_secret(client, proof) or (
            not public and client.public and not client.secret
        ):
            raise InvalidClient(_WRONG)
        return client

    async def check_audiences(
        self,
        client: Client,
        scopes: Iterable[str],
        within: Collections | None = None,
    ) -> None:
        """Raise ``InvalidScope`` unless each audience asked for trusts *client*.

        *within* are the collections of a unit of work, if this is part of one.
        """
        storage = within or self.storage
        untrusted = [
            peer
            for peer in audiences(tuple(scopes))
            if not await _trusts(storage, peer, client)
        ]
        if untrusted:
            asked = quote_all(f"audience:server:client_id:{peer}" for peer in untrusted)
            raise InvalidScope(f"Client can't request scope(s) {asked}.")


async def _trusts(storage: Collections, peer_id: str, client: Client) -> bool:
    if peer_id == client.id:
        return True
    peer = await storage.clients.find(peer_id)
    return peer is not None and client.id in peer.trusted_peers
