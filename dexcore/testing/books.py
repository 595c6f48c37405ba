"""What clients were told, and whether it still holds: the books of a test with faults.

``Books`` does what an application does and writes down every answer, and that there was
none.  ``balance`` then holds the replicas and their storage to it:

1. a code gives one token set at most;
2. a user has one live refresh token with a client, and its holder can use it;
3. nobody has tokens who has not logged in;
4. what was revoked stays revoked, on every replica;
5. every ID token verifies with every replica's keys;
6. one key signs, and no private half is published;
7. an address signs up once, and who was told so can log in.

Whoever is refused for an outage is told when to come again.
"""

from __future__ import annotations

import asyncio
import base64
import json

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import aiohttp
import attrs

from ..jose import verify_with_jwks
from ..oauth2.times import utcnow
from ..server.tokens.leftovers import remove_leftovers
from ..storage import Storage
from .app import Answer, App

__all__ = ["GONE", "Books", "kid"]

#: What a request raises whose server is gone.
GONE = (aiohttp.ClientError, TimeoutError)

_ALGORITHMS = ("RS256", "ES256", "EdDSA")
_NEWS = 15.0  # seconds until a replica must know what another has done


@attrs.define
class Books:
    """What one application and its users know."""

    http: aiohttp.ClientSession
    users: set[str] = attrs.field(factory=set)  # who have logged in
    codes: set[str] = attrs.field(factory=set)  # that nobody has tried yet
    traded: list[str] = attrs.field(factory=list)  # answered with tokens
    unsure: set[str] = attrs.field(factory=set)  # whose exchange was not answered
    id_tokens: list[str] = attrs.field(factory=list)
    access: dict[str, str] = attrs.field(factory=dict)  # refresh -> access token
    live: dict[str, str] = attrs.field(factory=dict)  # user -> refresh token
    torn: dict[str, str] = attrs.field(factory=dict)  # user -> use was not answered
    revoked: list[tuple[str, str]] = attrs.field(factory=list)  # refresh, access
    signed_up: set[str] = attrs.field(factory=set)
    perhaps: set[str] = attrs.field(factory=set)  # sign-ups that were not answered
    refused: int = 0  # answers that said: come again later

    # — what is done -------------------------------------------------------------------

    async def log_in(self, app: App, user: str) -> str:
        """Log in; return the code."""
        code = await app.code(user)
        self.users.add(user)
        self.codes.add(code)
        return code

    async def exchange(self, app: App, user: str, code: str) -> bool:
        """Trade *code*; return whether tokens came."""
        self.codes.discard(code)
        self.unsure.add(code)
        # The first thing it does is to replace the token of the login before.
        before = self.live.pop(user, self.torn.pop(user, ""))
        answer = await self._asked(lambda: app.exchange(self.http, code))
        if answer is None:
            if before:
                self.torn[user] = before
            return False
        self._keep(user, answer)
        self.unsure.discard(code)
        self.traded.append(code)
        return True

    async def refresh(self, app: App, user: str) -> bool:
        """Use the refresh token of *user*; return whether its successor came."""
        token = self.live.pop(user)
        self.torn[user] = token
        answer = await self._asked(lambda: app.refresh(self.http, token))
        if answer is None:
            return False
        del self.torn[user]
        self._keep(user, answer)
        return True

    async def revoke(self, app: App, user: str) -> bool:
        """Revoke the tokens of *user*; return whether that was confirmed."""
        token = self.live[user]
        answer = await self._asked(lambda: app.revoke(self.http, token))
        if answer is None:
            return False
        assert answer.status == 200, answer.text
        del self.live[user]
        self.revoked.append((token, self.access[token]))
        return True

    async def sign_up(self, app: App, email: str) -> bool:
        """Sign up; return whether that was confirmed."""
        self.perhaps.add(email)
        answer = await self._asked(lambda: app.sign_up(self.http, email))
        if answer is None:
            return False
        assert answer.status == 201, answer.text
        self.perhaps.discard(email)
        self.signed_up.add(email)
        return True

    def _keep(self, user: str, answer: Answer) -> None:
        assert answer.status == 200, (answer.status, answer.text)
        tokens = answer.json
        self.id_tokens.append(tokens["id_token"])
        self.live[user] = tokens["refresh_token"]
        self.access[tokens["refresh_token"]] = tokens["access_token"]

    async def _asked(self, ask: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """Return the answer, or ``None`` if there was none, or only a refusal."""
        try:
            answer = await ask()
        except GONE:
            return None
        if answer.status != 503:
            return answer
        assert int(answer.headers["Retry-After"]) > 0
        self.refused += 1
        return None

    # — what must hold -----------------------------------------------------------------

    async def balance(self, apps: Sequence[App], storage: Storage) -> None:
        """Hold *apps*, all replicas there are, to what was told; use everything up.

        The replicas give the same successor of a refresh token for a while.
        """
        await self._refresh_tokens(apps)
        await self._codes(apps)
        await self._revocations(apps)
        await self._sign_ups(apps)
        await self._tokens(apps)
        await self._records(storage)
        for used_up in (self.codes, self.unsure, self.live, self.torn):
            used_up.clear()
        for seen in (self.traded, self.revoked, self.signed_up, self.perhaps):
            seen.clear()

    async def _codes(self, apps: Sequence[App]) -> None:
        for code in [*self.unsure, *self.codes]:
            # The token set that nobody saw counts as one.
            answers = [await app.exchange(self.http, code) for app in (apps[0], *apps)]
            found = Counter(answer.status for answer in answers)
            assert found[200] == (code in self.codes) or found[200] <= (
                code in self.unsure
            ), found
            assert found[200] + found[400] == len(answers), found
        # Last, because a code that comes again revokes what it gave.
        for code in self.traded:
            for app in apps:
                assert (await app.exchange(self.http, code)).status == 400

    async def _refresh_tokens(self, apps: Sequence[App]) -> None:
        for token in self.live.values():
            await self._one_successor(apps, token, 200)
        for token in self.torn.values():
            await self._one_successor(apps, token, 200, 400)

    async def _one_successor(
        self, apps: Sequence[App], token: str, *allowed: int
    ) -> None:
        answers = [await app.refresh(self.http, token) for app in (apps[0], *apps)]
        found = {answer.status for answer in answers}
        assert len(found) == 1, found
        assert found <= {*allowed}, (found, answers[0].text)
        if found == {200}:
            self.id_tokens.extend(answer.json["id_token"] for answer in answers)
            assert len({answer.json["refresh_token"] for answer in answers}) == 1

    async def _revocations(self, apps: Sequence[App]) -> None:
        for refresh, access in self.revoked:
            for app in apps:
                assert (await app.refresh(self.http, refresh)).status == 400
                await self._unknown(app, access)

    async def _unknown(self, app: App, access: str) -> None:
        """Return when *app* has heard that a token was revoked."""
        async with asyncio.timeout(_NEWS):
            while True:
                if (await app.userinfo(self.http, access)).status == 401:
                    return
                await asyncio.sleep(0.1)

    async def _sign_ups(self, apps: Sequence[App]) -> None:
        for email in self.signed_up | self.perhaps:
            answers = [await app.sign_up(self.http, email) for app in apps]
            found = Counter(answer.status for answer in answers)
            assert found[201] <= (email in self.perhaps), found
            assert found[201] + found[409] == len(answers), found
            for app in apps:
                self.users.add(email)
                assert await app.code(email)

    async def _tokens(self, apps: Sequence[App]) -> None:
        user = min(self.users)
        fresh = [(await app.tokens(self.http, user))["id_token"] for app in apps]
        assert len({kid(token) for token in fresh}) == 1, "several keys sign"
        for app in apps:
            keys = await app.keys(self.http)
            assert not any("d" in key for key in keys["keys"])
            for token in [*self.id_tokens, *fresh]:
                claims, _ = verify_with_jwks(token, keys, _ALGORITHMS)
                assert claims["email"] in self.users

    async def _records(self, storage: Storage) -> None:
        """The storage has what it should, and nothing that nobody can find again."""
        if not storage.atomic:
            await remove_leftovers(storage, utcnow() + timedelta(days=1))
        tokens = await storage.refresh_tokens.list()
        owners = Counter(
            (token.claims.user_id, token.connector_id, token.client_id)
            for token in tokens
        )
        assert set(owners.values()) <= {1}, owners
        for token in tokens:
            assert token.claims.email in self.users
            session = await storage.offline_sessions.get(
                token.claims.user_id, token.connector_id
            )
            assert session.refresh[token.client_id].id == token.id
        assert not {code.id for code in await storage.auth_codes.list()} & {
            *self.traded
        }


def kid(token: str) -> str:
    """Return the id of the key that signed *token*."""
    text = token.partition(".")[0]
    header = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    found: str = json.loads(header)["kid"]
    return found
