"""Telling clients that a session has ended (OpenID Connect Back-Channel Logout 1.0).

Beside everything else: whoever logs out never waits for a client, and one client that
is slow or gone delays no other.
"""

from __future__ import annotations

import asyncio
import logging
import uuid

from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlsplit

import attrs
import orjson

from ...errors import UpstreamError, UpstreamUnavailable
from ...http import HttpClient
from ...signer import Signer
from ...storage import AuthSession, Client
from ..tokens.session_names import SessionNames

log = logging.getLogger("dexcore.logout")

EVENT = "http://schemas.openid.net/event/backchannel-logout"
TOKEN_TYPE = "logout+jwt"  # noqa: S105 - a media type (section 2.4)

#: Seconds a logout token counts: longer than we go on trying to deliver it.
LIFETIME = 120
#: Seconds a client has to answer once.
TIMEOUT = 5.0
#: Seconds between the tries; a minute in all, so that a restart is survived.
PAUSES = (1.0, 4.0, 15.0, 35.0)
#: Notices sent at the same time.
AT_ONCE = 16
#: Notices that wait; beyond this something is very wrong, and the log has them.
MOST = 2000
#: Seconds a server that stops waits for notices under way.
GRACE = 5.0


@attrs.define(eq=False)
class BackChannel:
    """Sends logout tokens to the URIs that clients have registered.

    ``trusted`` are the clients of the configuration file, whose addresses the operator
    has written; others are reached over https only, and at public addresses only unless
    ``private`` ones are allowed too: a client's address must not open our network.
    """

    url: str
    signer: Signer
    session_names: SessionNames
    trusted: frozenset[str]
    private: bool
    now: Callable[[], datetime]
    pauses: tuple[float, ...] = PAUSES
    grace: float = GRACE
    _tasks: set[asyncio.Task[None]] = attrs.field(factory=set, init=False)
    _slots: asyncio.Semaphore = attrs.field(
        factory=lambda: asyncio.Semaphore(AT_ONCE), init=False
    )
    _clients: dict[bool, HttpClient] = attrs.field(factory=dict, init=False)

    def announce(self, session: AuthSession, client: Client, subject: str) -> None:
        """Tell *client*, if it wants to hear of it, that *session* has ended.

        *subject* is what it calls the user; ``""`` if that is not certain.
        """
        uri = client.backchannel_logout_uri
        if not uri:
            return
        fields = {"client_id": client.id, "sid": session.id}
        if client.id not in self.trusted and urlsplit(uri).scheme != "https":
            log.warning("logout not announced: no https", extra={"fields": fields})
            return
        if len(self._tasks) >= MOST:
            log.error("logout not announced: too many wait", extra={"fields": fields})
            return
        work = self._deliver(session, client, subject)
        task = asyncio.get_running_loop().create_task(work, name="announce logout")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait a little for what is under way, then let go."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self.grace)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in self._clients.values():
            await client.close()

    async def _deliver(
        self, session: AuthSession, client: Client, subject: str
    ) -> None:
        fields = {"client_id": client.id, "sid": session.id}
        try:
            token = await self._token(session, client, subject)
            for pause in (*self.pauses, None):
                async with self._slots:
                    why = await self._try(client, token)
                if not why:
                    log.info("logout announced", extra={"fields": fields})
                    return
                if pause is None:
                    break
                await asyncio.sleep(pause)
            fields["reason"] = why
        except asyncio.CancelledError:
            fields["reason"] = "The server stops."
            log.error("logout not announced", extra={"fields": fields})
            raise
        except UpstreamError as error:
            fields["reason"] = str(error)
        except Exception:
            log.exception("logout not announced", extra={"fields": fields})
            return
        log.error("logout not announced", extra={"fields": fields})

    async def _try(self, client: Client, token: str) -> str:
        """Return why it is worth another try, ``""`` if *client* has taken it.

        Raises ``UpstreamError`` if it is not: the client said no (section 2.8).
        """
        try:
            answer = await self._client(client.id in self.trusted).post(
                client.backchannel_logout_uri,
                form={"logout_token": token},
                headers={"Cache-Control": "no-store"},
            )
            answer.check()
        except UpstreamUnavailable as error:
            return str(error)
        return ""

    async def _token(self, session: AuthSession, client: Client, subject: str) -> str:
        """Return a logout token (section 2.4).  It must not have a nonce."""
        issued = int(self.now().timestamp())
        payload = {
            "iss": self.url,
            **({"sub": subject} if subject else {}),
            "aud": client.id,
            "iat": issued,
            "exp": issued + LIFETIME,
            "jti": str(uuid.uuid4()),
            "sid": self.session_names.name(client, session.id),
            "events": {EVENT: {}},
        }
        return await self.signer.sign(orjson.dumps(payload), typ=TOKEN_TYPE)

    def _client(self, trusted: bool) -> HttpClient:
        public_only = not (trusted or self.private)
        if public_only not in self._clients:
            self._clients[public_only] = HttpClient(
                timeout=TIMEOUT, limit=64 * 1024, public_only=public_only
            )
        return self._clients[public_only]
