"""Clients whose id is the address of a document about them.

draft-ietf-oauth-client-id-metadata-document.  Nobody registers them: what the document
says today is what they are.  They have no secret, and codes are all they may ask for.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit

import attrs

from ..errors import (
    OAuthError,
    TemporarilyUnavailable,
    UpstreamError,
    UpstreamUnavailable,
    WrongRequest,
)
from ..http import Answer, HttpClient
from ..oauth2.client_metadata import may_be_fetched
from ..oauth2.grant_types import DEVICE_CODE
from ..oauth2.registration import Rules, registered, typed
from ..storage import Client, DescribedClient
from .guard import Guard

__all__ = ["ClientDocuments"]

log = logging.getLogger("dexcore.server")

#: Section 6.6: more is not read (bytes).
LIMIT = 5 * 1024
#: Seconds for one fetch: somebody at a browser waits for it.
TIMEOUT = 5.0
#: Documents that are remembered.
REMEMBERED = 1000
#: Seconds a document counts, whatever it says about that itself; a login is several
#: requests, and what a client changes should be seen the next day.
SHORTEST, USUAL, LONGEST = 60.0, 300.0, 86400.0
_LONGEST_ID = 512  # characters

# Nobody has us fetch from a host without end, whose documents are all of no use.
_FETCHES = partial(Guard, rate=0.5, burst=20)
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=\"?([0-9]{1,9})\b", re.IGNORECASE)
_NOT_KEPT = re.compile(r"(?:^|[\s,])no-(?:store|cache)\b", re.IGNORECASE)
_SECRETS = ("client_secret", "client_secret_expires_at")


@attrs.define(eq=False)
class ClientDocuments:
    """Fetches documents, and keeps them as long as they allow.

    ``rules`` says what such clients may do; ``private``: they may be at home in private
    networks, and on our own machine without TLS.
    """

    rules: Callable[[], Rules]
    device_callback: str
    private: bool = False
    clock: Callable[[], float] = time.monotonic
    _fetches: Guard = attrs.field(factory=_FETCHES, init=False)
    _known: OrderedDict[str, _Known] = attrs.field(factory=OrderedDict, init=False)
    _tasks: dict[str, asyncio.Task[Client]] = attrs.field(factory=dict, init=False)
    _http: HttpClient | None = attrs.field(default=None, init=False)

    async def get(self, client_id: str) -> Client:
        """Return the client at home at *client_id*.

        Raises ``WrongRequest`` if that is no address of a document that can be used,
        ``TemporarilyUnavailable`` if nobody answers there.
        """
        known = self._known.get(client_id)
        if known is not None and self.clock() < known.fresh_until:
            self._known.move_to_end(client_id)
            return known.client
        if not _is_address(client_id, insecure=self.private):
            raise WrongRequest("The client_id is no address of a client's document.")
        task = self._tasks.get(client_id)
        if task is None:
            work = self._fetch(client_id)
            task = asyncio.create_task(work, name="fetch a client's document")
            self._tasks[client_id] = task
            task.add_done_callback(lambda _: self._tasks.pop(client_id, None))
        # One that waits may hang up; the others still want it.
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Let go of connections."""
        waiting = [*self._tasks.values()]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        if self._http is not None:
            await self._http.close()

    async def _fetch(self, client_id: str) -> Client:
        self._fetches.check(urlsplit(client_id).netloc.lower())
        if self._http is None:
            self._http = HttpClient(
                timeout=TIMEOUT, limit=LIMIT, public_only=not self.private
            )
        try:
            answer = await self._http.get(client_id)
            client = self._client(client_id, answer.check())
        except UpstreamUnavailable as error:
            return self._stale(client_id, error)
        except UpstreamError as error:
            _note(client_id, error)
            raise _unusable("it cannot be fetched.") from None
        except OAuthError as refusal:
            _note(client_id, refusal)
            raise _unusable(refusal.description) from None
        until = self.clock() + _lifetime(answer.headers.get("Cache-Control", ""))
        self._known[client_id] = _Known(client, until)
        self._known.move_to_end(client_id)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return client

    def _stale(self, client_id: str, error: UpstreamUnavailable) -> Client:
        """Return the client as it was, while its home cannot be reached for a day."""
        _note(client_id, error)
        known = self._known.get(client_id)
        if known is None or self.clock() > known.fresh_until + LONGEST:
            raise TemporarilyUnavailable(
                "The application's home does not answer. Try again later."
            ) from None
        return known.client

    def _client(self, client_id: str, answer: Answer) -> Client:
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and not kind.endswith("+json"):
            raise _unusable("it is not JSON.")
        said = answer.object()
        # Section 4.1: so that nobody lends their document to others.
        if said.get("client_id") != client_id:
            raise _unusable("its client_id is another one.")
        if any(name in said for name in _SECRETS):
            raise _unusable("whatever is published is no secret.")
        document = registered(said, self.rules())
        uris = (*document["redirect_uris"],)
        if DEVICE_CODE in document["grant_types"]:
            uris = (*uris, self.device_callback)
        method = document["token_endpoint_auth_method"]
        return DescribedClient(
            client_id,
            redirect_uris=uris,
            public=method == "none",
            name=document.get("client_name", client_id),
            logo_url=document.get("logo_uri", ""),
            metadata=typed(document),
            stranger=True,
        )


@attrs.frozen
class _Known:
    """A client, and until when its document counts, by the clock."""

    client: Client
    fresh_until: float


def _is_address(client_id: str, *, insecure: bool) -> bool:
    """Return whether *client_id* can be the address of a document (section 3)."""
    if len(client_id) > _LONGEST_ID or not may_be_fetched(client_id, insecure=insecure):
        return False
    path = urlsplit(client_id).path
    segments = path.lower().replace("%2e", ".").split("/")
    return bool(path) and "." not in segments and ".." not in segments


def _lifetime(cache_control: str) -> float:
    """Return for how many seconds a document counts (RFC 9111 section 5.2.2)."""
    if _NOT_KEPT.search(cache_control):
        return SHORTEST
    found = _MAX_AGE.search(cache_control)
    return min(max(float(found[1]), SHORTEST), LONGEST) if found else USUAL


def _unusable(why: str) -> WrongRequest:
    return WrongRequest(f"The application's document about itself is of no use: {why}")


def _note(client_id: str, error: Exception) -> None:
    fields = {"client_id": client_id, "reason": str(error)}
    log.warning("client's document not used", extra={"fields": fields})
