"""The life of clients that have registered themselves: kept, changed, removed.

Each is dex's own record, so that dex knows it too, and beside it one of ours with what
dex has no place for.  Ours is the first to be written and the last to go: without it
the client does not count.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import attrs

from ..config import Config
from ..errors import NotFound, TooManyRequests
from ..oauth2.grant_types import DEVICE_CODE
from ..oauth2.ids import new_id
from ..oauth2.registration import Rules
from ..storage import Client, Collection, Collections, RegisteredClient, Storage
from .clients import is_registered
from .tokens.refresh import forget
from .tokens.revocations import Revocations

__all__ = ["RegisteredClients", "Registration", "digest", "rules_of"]

#: For records that have no end of their own.
_FOR_EVER = timedelta(days=36500)
#: A registration that takes longer has been cut.
_SETTLED = timedelta(minutes=10)
_PAGE = 500  # records

Document = Mapping[str, Any]
R = TypeVar("R")


@attrs.frozen
class Registration:
    """A client that is registered; ``token`` is only known when it is made."""

    client: Client
    record: RegisteredClient
    token: str = attrs.field(default="", repr=False)


@attrs.frozen(eq=False)
class RegisteredClients:
    """Keeps at most ``most`` of them, and ``most_of_one`` of one registrar.

    ``lifetime`` is how long each lasts, 0 for ever; ``tokens_live`` how long tokens do;
    ``of_file`` are the ids that the configuration file has taken.
    """

    storage: Storage
    revocations: Revocations
    device_callback: str
    of_file: frozenset[str]
    most: int
    most_of_one: int
    lifetime: timedelta
    tokens_live: timedelta
    now: Callable[[], datetime]

    async def create(self, document: Document, registrar: str) -> Registration:
        """Register a client; raise ``TooManyRequests`` if there is no room.

        Replicas do not wait for each other: a few more may slip in at once.
        """
        await self._check_room(registrar)
        token = secrets.token_urlsafe(32)
        client_id = new_id(supplemented=True)
        record = RegisteredClient(
            client_id,
            document,
            token_digest=digest(token),
            registrar=registrar,
            created_at=self.now(),
            expiry=self._end(),
        )
        client = self._client(client_id, document)

        async def store(collections: Collections) -> None:
            await collections.registered_clients.create(record)
            await collections.clients.create(client)

        await self.storage.unit(store)
        return Registration(client, record, token)

    async def get(self, client_id: str, token: str) -> Registration:
        """Return the registration that *token* is for; raise ``NotFound``."""
        record = None
        if is_registered(client_id):
            record = await self.storage.registered_clients.find(client_id)
        # Whoever guesses waits as long for an id that is taken as for another.
        known = record.token_digest if record is not None else digest("")
        right = hmac.compare_digest(known, digest(token))
        if record is None or not right or record.expiry <= self.now():
            raise NotFound("This is no registration.")
        client = await self.storage.clients.find(client_id)
        return Registration(client or Client(client_id), record)

    async def replace(self, before: Registration, document: Document) -> Registration:
        """Let *document* be all there is of a registration; raise ``NotFound``.

        A client that has a secret gets another one, and its time begins anew.
        """
        client = self._client(before.client.id, document)

        def changed(old: RegisteredClient) -> RegisteredClient:
            return attrs.evolve(old, metadata=document, expiry=self._end())

        async def store(collections: Collections) -> RegisteredClient:
            # The one who decides whether it is there at all.
            await collections.clients.update(client.id, change=lambda _: client)
            return await collections.registered_clients.update(
                client.id, change=changed
            )

        return Registration(client, await self.storage.unit(store))

    async def remove(self, client_id: str) -> None:
        """Remove the client, and whatever it could still do.

        Safe to be cut and asked for again: our own record goes last.
        """
        with contextlib.suppress(NotFound):
            await self.storage.clients.delete(client_id)
        over = self.now() + self.tokens_live + timedelta(minutes=1)
        await self.revocations.end_client(client_id, over)
        for record in await self.storage.refresh_tokens.matching(client_id=client_id):
            await self.storage.unit(partial(forget, record=record))
        with contextlib.suppress(NotFound):
            await self.storage.registered_clients.delete(client_id)

    async def tidy(self) -> int:
        """Remove what has lived its time, or was cut in the middle; return how many."""
        removed = 0
        # In this order: a record of ours is written before dex's.
        there = {client.id async for client in self._clients()}
        known = {record.id: record async for record in self._records()}
        for client_id in there - known.keys() - self.of_file:
            await self.remove(client_id)
            removed += 1
        settled = self.now() - _SETTLED
        for record in known.values():
            cut = record.id not in there and record.created_at < settled
            if cut or record.expiry <= self.now():
                await self.remove(record.id)
                removed += 1
        return removed

    # — how ----------------------------------------------------------------------------

    def _client(self, client_id: str, document: Document) -> Client:
        """Return dex's record of a client that says *document*."""
        uris = (*document["redirect_uris"],)
        if DEVICE_CODE in document["grant_types"]:
            uris = (*uris, self.device_callback)
        public = document.get("token_endpoint_auth_method") == "none"
        return Client(
            client_id,
            # Also one that has keys: to dex a client without a secret needs no proof.
            secret="" if public else secrets.token_urlsafe(32),
            redirect_uris=uris,
            post_logout_redirect_uris=(*document.get("post_logout_redirect_uris", ()),),
            backchannel_logout_uri=document.get("backchannel_logout_uri", ""),
            public=public,
            name=document.get("client_name", client_id),
            logo_url=document.get("logo_uri", ""),
        )

    def _end(self) -> datetime:
        return self.now() + (self.lifetime or _FOR_EVER)

    async def _check_room(self, registrar: str) -> None:
        total = of_one = 0
        async for record in self._records():
            total += 1
            of_one += record.registrar == registrar
        if total >= self.most or (registrar and of_one >= self.most_of_one):
            raise TooManyRequests(
                "There are as many clients as there may be.", retry_after=3600
            )

    def _records(self) -> AsyncIterator[RegisteredClient]:
        return _all(self.storage.registered_clients, lambda record: record.id)

    async def _clients(self) -> AsyncIterator[Client]:
        """Yield dex's records of clients that look like ours."""
        async for client in _all(self.storage.clients, lambda client: client.id):
            if is_registered(client.id):
                yield client


async def _all(
    collection: Collection[R], id_of: Callable[[R], str]
) -> AsyncIterator[R]:
    after: tuple[str, ...] | None = None
    page: list[R] = []
    while after is None or len(page) == _PAGE:
        page = await collection.list(after=after, limit=_PAGE)
        for record in page:
            yield record
        after = (id_of(page[-1]),) if page else ("",)


def rules_of(
    config: Config,
    *,
    grant_types: Iterable[str],
    response_types: Iterable[str],
    signing_algorithm: str,
    secrets: bool,
    logout: bool,
) -> Rules:
    """Return what clients may say about themselves by the section ``registration``.

    *grant_types* and *response_types* are those that are served at all.
    """
    options = config.registration
    served = {*grant_types}
    return Rules(
        grant_types=tuple(name for name in options.grant_types if name in served),
        response_types=(*response_types,),
        scopes=options.scopes,
        schemes=options.redirect_uri_schemes,
        signing_algorithm=signing_algorithm,
        secrets=secrets,
        sectors=secrets,
        logout=logout,
        insecure=options.private_addresses,
    )


def digest(token: str) -> str:
    """Return what is kept of a token: its SHA-256, in hexadecimal."""
    return hashlib.sha256(token.encode()).hexdigest()
