"""The password database: who may log in, who is gone, and what nobody can tell."""

from __future__ import annotations

import logging
import time

from collections.abc import Iterator

import attrs
import pytest

from dexcore import plugins
from dexcore.connector import (
    ConnectorContext,
    Identity,
    PasswordConnector,
    RefreshConnector,
    Scopes,
)
from dexcore.errors import (
    AccessDenied,
    StorageUnavailable,
    TemporarilyUnavailable,
    UpstreamError,
)
from dexcore.passwords import Passwords
from dexcore.storage import Collection, Collections, Password, StorageContext
from dexcore.storage.static import overlay

# bcrypt, cost 10, of "password".
HASH = b"$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W"

JANE = Password(
    email="jane@example.com",
    hash=HASH,
    username="jane",
    name="Jane Doe",
    preferred_username="jd",
    user_id="08a8684b",
    groups=("admins", "authors"),
)

IDENTITY = Identity(
    user_id="08a8684b",
    username="Jane Doe",
    preferred_username="jd",
    email="jane@example.com",
    email_verified=True,
    groups=("admins", "authors"),
)


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords()
    yield made
    made.close()


async def database(*users: Password, static: tuple[Password, ...] = ()) -> Collections:
    kind = plugins.find().storage_type("memory")
    storage = await kind.open(kind.config(), StorageContext())
    for user in users:
        await storage.passwords.create(user)
    return overlay(storage, passwords=static)


class Local(PasswordConnector, RefreshConnector):
    """What the connector is, for the type checker."""


async def opened(storage: Collections, passwords: Passwords | None) -> Local:
    kind = plugins.find().connector_type("local")
    context = ConnectorContext("local", storage, logging.getLogger("test"), passwords)
    connector = await kind.open(kind.config(), context)
    assert isinstance(connector, PasswordConnector)
    assert isinstance(connector, RefreshConnector)
    return connector  # type: ignore[return-value]


async def test_a_user_logs_in_with_address_and_password(passwords: Passwords) -> None:
    local = await opened(await database(JANE), passwords)
    assert local.prompt == "Email Address"
    assert await local.login(Scopes(), "jane@example.com", "password") == IDENTITY
    assert await local.login(Scopes(), "Jane@Example.COM", "password") == IDENTITY


async def test_a_user_of_the_file_logs_in(passwords: Passwords) -> None:
    local = await opened(await database(static=(JANE,)), passwords)
    assert await local.login(Scopes(), "JANE@example.com", "password") == IDENTITY


@pytest.mark.parametrize("password", ["", "Password", "password ", "x" * 100_000])
async def test_a_wrong_password_is_refused(passwords: Passwords, password: str) -> None:
    local = await opened(await database(JANE), passwords)
    assert await local.login(Scopes(), "jane@example.com", password) is None


async def test_a_stranger_is_refused(passwords: Passwords) -> None:
    local = await opened(await database(JANE), passwords)
    assert await local.login(Scopes(), "", "password") is None
    assert await local.login(Scopes(), "john@example.com", "password") is None


async def test_a_stranger_waits_as_long_as_a_user(passwords: Passwords) -> None:
    dear = attrs.evolve(JANE, hash=HASH.replace(b"$10$", b"$12$"))
    local = await opened(await database(dear), passwords)
    known, unknown = [], []
    for _ in range(3):
        known.append(await seconds(local, "jane@example.com"))
        unknown.append(await seconds(local, "john@example.com"))
    assert min(known) / 2 < min(unknown) < min(known) * 2


async def seconds(local: Local, username: str) -> float:
    # Time of ours alone, in every thread: others may keep the machine busy.
    began = time.process_time()
    assert await local.login(Scopes(), username, "wrong") is None
    return time.process_time() - began


async def test_somebody_without_a_name_goes_by_their_user_name(
    passwords: Passwords,
) -> None:
    nameless = attrs.evolve(JANE, name="", groups=())
    local = await opened(await database(nameless), passwords)
    assert await local.login(
        Scopes(groups=True), "jane@example.com", "password"
    ) == attrs.evolve(IDENTITY, username="jane", groups=())


@pytest.mark.parametrize(
    ("said", "meant"), [(None, True), (True, True), (False, False)]
)
async def test_an_address_is_verified_unless_the_record_says_no(
    passwords: Passwords, said: bool | None, meant: bool
) -> None:
    user = attrs.evolve(JANE, email_verified=said)
    local = await opened(await database(user), passwords)
    found = await local.login(Scopes(), "jane@example.com", "password")
    assert found is not None
    assert found.email_verified is meant


@pytest.mark.parametrize(
    "hash", [b"", b"plain text", HASH.replace(b"$10$", b"$04$")], ids=repr
)
async def test_a_hash_that_cannot_be_used_is_an_error_not_a_wrong_password(
    passwords: Passwords, hash: bytes
) -> None:
    local = await opened(await database(attrs.evolve(JANE, hash=hash)), passwords)
    with pytest.raises(UpstreamError, match="'08a8684b' cannot be used"):
        await local.login(Scopes(), "jane@example.com", "password")


async def test_refresh_reads_the_user_again_but_for_the_address(
    passwords: Passwords,
) -> None:
    storage = await database(JANE)
    local = await opened(storage, passwords)
    await storage.passwords.update(
        "jane@example.com",
        change=lambda old: attrs.evolve(
            old,
            name="Jane Roe",
            preferred_username="jr",
            email_verified=False,
            groups=("authors",),
        ),
    )
    then = attrs.evolve(IDENTITY, email="Jane@example.com", connector_data=b"kept")
    assert await local.refresh(Scopes(), then) == attrs.evolve(
        then,
        username="Jane Roe",
        preferred_username="jr",
        email_verified=False,
        groups=("authors",),
    )


async def test_refresh_refuses_who_is_gone_or_somebody_else(
    passwords: Passwords,
) -> None:
    storage = await database(JANE)
    local = await opened(storage, passwords)
    await storage.passwords.delete("jane@example.com")
    with pytest.raises(AccessDenied, match="no longer exists"):
        await local.refresh(Scopes(), IDENTITY)
    await storage.passwords.create(attrs.evolve(JANE, user_id="another"))
    with pytest.raises(AccessDenied, match="no longer exists"):
        await local.refresh(Scopes(), IDENTITY)


class Unreachable(Collection[Password]):
    """A database that cannot be reached."""

    async def create(self, record: Password) -> None:
        raise StorageUnavailable

    async def get(self, *key: str) -> Password:
        raise StorageUnavailable

    async def list(self, **page: object) -> list[Password]:
        raise StorageUnavailable

    async def update(self, *key: str, change: object) -> Password:
        raise StorageUnavailable

    async def take(self, *key: str) -> Password:
        raise StorageUnavailable

    async def delete(self, *key: str) -> None:
        raise StorageUnavailable


async def test_an_unreachable_database_refuses_nobody_for_good(
    passwords: Passwords,
) -> None:
    storage = Collections()
    storage.passwords = Unreachable()
    local = await opened(storage, passwords)
    with pytest.raises(StorageUnavailable):
        await local.login(Scopes(), "jane@example.com", "password")
    with pytest.raises(StorageUnavailable):
        await local.refresh(Scopes(), IDENTITY)


async def test_a_storm_of_strangers_is_turned_away_like_a_storm_of_users() -> None:
    import asyncio

    passwords = Passwords(threads=1)
    try:
        local = await opened(await database(JANE), passwords)
        crowd = [local.login(Scopes(), f"{n}@example.com", "x") for n in range(40)]
        outcomes = await asyncio.gather(*crowd, return_exceptions=True)
        late = [each for each in outcomes if each is not None]
        assert len(late) == 40 - 17
        assert all(isinstance(each, TemporarilyUnavailable) for each in late)
    finally:
        passwords.close()


async def test_it_needs_the_pool_that_hashes() -> None:
    with pytest.raises(ValueError, match="needs a pool"):
        await opened(await database(), None)
