"""The registered clients: who they are, how they prove it, whom they trust."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

import attrs

from ..errors import InvalidClient, InvalidScope, NotFound, WrongRequest
from ..oauth2.client_auth import check_secret, credentials
from ..oauth2.ids import is_id, is_supplemented
from ..oauth2.registration import typed
from ..oauth2.scopes import audiences, parse
from ..oauth2.words import quote_all
from ..storage import (
    Client,
    Collections,
    DescribedClient,
    RegisteredClient,
    Storage,
    metadata_of,
)
from .client_assertions import ClientAssertions
from .client_documents import ClientDocuments

_WRONG = "Invalid client credentials."


@attrs.frozen(eq=False)
class Clients:
    """Finds clients; the ones of the configuration file cost no query.

    ``of_file`` are their ids; ``documents``, if they are on, finds clients whose id is
    the address of a document about them.
    """

    storage: Storage
    assertions: ClientAssertions
    of_file: frozenset[str]
    now: Callable[[], datetime]
    documents: ClientDocuments | None = None

    async def get(self, client_id: str) -> Client:
        """Return the client; raise ``NotFound``."""
        if not client_id:
            raise NotFound("No client has an empty id.")
        if is_registered(client_id):
            return await self._registered(client_id)
        if self.documents is not None and "://" in client_id:
            known = await self.storage.clients.find(client_id)
            return known or await self.documents.get(client_id)
        return await self.storage.clients.get(client_id)

    async def find(self, client_id: str) -> Client | None:
        """Return the client, or ``None`` if there is none that we have a record of."""
        if not is_registered(client_id):
            return await self.storage.clients.find(client_id)
        try:
            return await self._registered(client_id)
        except NotFound:
            return None

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
        except WrongRequest as refusal:
            raise InvalidClient(refusal.description) from None
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
        """Raise ``InvalidScope`` unless *client* may ask for *scopes*.

        Each audience among them must trust it, and if it has registered scopes it has
        no others.  *within* are the collections of a unit of work, if this is part of
        one.
        """
        if scope := metadata_of(client).scope:
            scopes = tuple(scopes)
            others = [each for each in scopes if each not in parse(scope)]
            if others:
                asked = quote_all(others)
                raise InvalidScope(f"The client has not registered scope(s) {asked}.")
        storage = within or self.storage
        untrusted = [
            peer
            for peer in audiences(tuple(scopes))
            if not await _trusts(storage, peer, client)
        ]
        if untrusted:
            asked = quote_all(f"audience:server:client_id:{peer}" for peer in untrusted)
            raise InvalidScope(f"Client can't request scope(s) {asked}.")

    async def _registered(self, client_id: str) -> Client:
        """Return a client that has registered itself."""

        async def both(
            collections: Collections,
        ) -> tuple[Client, RegisteredClient | None]:
            client = await collections.clients.get(client_id)
            return client, await collections.registered_clients.find(client_id)

        client, record = await self.storage.view(both)
        if client_id in self.of_file:
            return client
        # dex's record alone does not say what the client may not do.
        if record is None or record.expiry <= self.now():
            raise NotFound("The registration of this client has ended.")
        return described(client, record)


def is_registered(client_id: str) -> bool:
    """Return whether *client_id* is of a client that has registered itself."""
    return is_supplemented(client_id) and is_id(client_id)


def described(client: Client, record: RegisteredClient) -> DescribedClient:
    """Return *client*, of dex's record, with what else it has said about itself."""
    fields = attrs.asdict(client, recurse=False)
    return DescribedClient(**fields, metadata=typed(record.metadata), stranger=True)


async def _trusts(storage: Collections, peer_id: str, client: Client) -> bool:
    if peer_id == client.id:
        return True
    peer = await storage.clients.find(peer_id)
    return peer is not None and client.id in peer.trusted_peers
