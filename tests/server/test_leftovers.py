"""Refresh tokens that logins cut in the middle have left, where nothing rolls back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs

from dexcore_storage_memory.storage import MemoryStorage

from dexcore.oauth2.extras import Extras
from dexcore.oauth2.ids import new_id
from dexcore.server.tokens.leftovers import remove_leftovers
from dexcore.storage import (
    Claims,
    OfflineSessions,
    RefreshToken,
    RefreshTokenRef,
    Supplement,
)

NOW = datetime(2026, 8, 6, tzinfo=UTC)
BEFORE = NOW - timedelta(hours=1)


def token(id: str, made: datetime = BEFORE, **changes: object) -> RefreshToken:
    plain = RefreshToken(
        id,
        "app",
        claims=Claims(user_id="ann"),
        connector_id="local",
        created_at=made,
        last_used=made,
    )
    return attrs.evolve(plain, **changes)


async def left(session: OfflineSessions | None, *tokens: RefreshToken) -> list[str]:
    storage = MemoryStorage()
    for one in tokens:
        await storage.refresh_tokens.create(one)
    if session is not None:
        await storage.offline_sessions.create(session)
    before = len(tokens)
    removed = await remove_leftovers(storage, NOW)
    found = [one.id for one in await storage.refresh_tokens.list()]
    assert len(found) == before - removed
    return found


def session(id: str) -> OfflineSessions:
    return OfflineSessions("ann", "local", {"app": RefreshTokenRef(id, "app")})


async def test_a_token_that_was_never_answered_goes() -> None:
    assert await left(None, token("cut")) == []


async def test_what_was_kept_beside_a_token_goes_with_it() -> None:
    storage = MemoryStorage()
    for made in (BEFORE, NOW):
        beside = new_id(supplemented=True)
        await storage.refresh_tokens.create(token(beside, made))
        extras = Extras(user={"nickname": "Ann"})
        await storage.supplements.create(Supplement(beside, extras, NOW))
    assert await remove_leftovers(storage, NOW) == 1
    assert [one.id for one in await storage.supplements.list()] == [beside]


async def test_one_that_a_later_login_replaced_goes_however_often_it_was_used() -> None:
    used = token("old", last_used=NOW - timedelta(minutes=30))
    assert await left(session("new"), used, token("new")) == ["new"]


async def test_one_whose_login_may_still_be_under_way_stays() -> None:
    assert await left(None, token("new", NOW - timedelta(minutes=1))) == ["new"]


async def test_one_in_use_stays_though_its_session_is_gone() -> None:
    assert await left(None, token("used", last_used=NOW)) == ["used"]


async def test_thousands_are_looked_through() -> None:
    refs = {f"c{n}": RefreshTokenRef(f"t{n:04}", f"c{n}") for n in range(1200)}
    tokens = [token(ref.id, client_id=client) for client, ref in refs.items()]
    session = OfflineSessions("ann", "local", refs)
    assert len(await left(session, *tokens, token("t9999", client_id="x"))) == 1200
