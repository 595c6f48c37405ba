"""Records of the configuration file lie over the storage and cannot be changed."""

from __future__ import annotations

import logging

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from dexcore_storage_memory import MemoryStorage
from dexcore_storage_sql import SQLite3, open_storage

from dexcore.storage import (
    AlreadyExists,
    Client,
    Collections,
    Connector,
    Password,
    ReadOnly,
    Storage,
    StorageUnavailable,
)
from dexcore.storage.static import OverlaidStorage, overlay
from dexcore.testing.storage import (
    DurableStorageContract,
    TransactionalStorageContract,
)

#: One record of the file per collection, one of the storage, and a change.
RECORDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "clients": (Client("static", "s3"), Client("backing", "s"), {"secret": "new"}),
    "passwords": (
        Password("static@example.com", b"hash", "static"),
        Password("backing@example.com", b"hash", "backing"),
        {"username": "new"},
    ),
    "connectors": (
        Connector("static", "local", "Email"),
        Connector("backing", "ldap", "LDAP"),
        {"name": "new"},
    ),
}
each = pytest.mark.parametrize("name", RECORDS)


def key_of(record: Any) -> str:
    key: str = record.email if isinstance(record, Password) else record.id
    return key


async def overlaid(name: str) -> tuple[Storage, Any]:
    """A storage with one record under the file's one record, and the collection."""
    static, backing, _ = RECORDS[name]
    storage = MemoryStorage()
    await getattr(storage, name).create(backing)
    laid_over = overlay(storage, **{name: [static]})
    return laid_over, getattr(laid_over, name)


@each
async def test_both_records_are_found(name: str) -> None:
    static, backing, _ = RECORDS[name]
    _, records = await overlaid(name)
    for record in (static, backing):
        assert await records.get(key_of(record)) == record
        assert await records.find(key_of(record)) == record
    assert await records.find("nobody") is None


@each
async def test_the_files_record_cannot_be_changed(name: str) -> None:
    static, _, _ = RECORDS[name]
    _, records = await overlaid(name)
    singular = name.removesuffix("s")
    for verb, attempt in [
        ("create", records.create(static)),
        ("update", records.update(key_of(static), change=lambda old: old)),
        ("delete", records.delete(key_of(static))),
        ("delete", records.take(key_of(static))),
    ]:
        with pytest.raises(ReadOnly) as refused:
            await attempt
        expected = f"static {name}: read-only cannot {verb} {singular}"
        assert str(refused.value) == expected
    assert await records.get(key_of(static)) == static


@each
async def test_the_storages_records_can_be_changed(name: str) -> None:
    _, backing, changes = RECORDS[name]
    _, records = await overlaid(name)
    changed = attrs.evolve(backing, **changes)
    await records.update(key_of(backing), change=lambda _: changed)
    assert await records.get(key_of(backing)) == changed
    assert await records.take(key_of(backing)) == changed
    await records.create(backing)
    with pytest.raises(AlreadyExists):
        await records.create(backing)
    await records.delete(key_of(backing))
    assert await records.find(key_of(backing)) is None


@each
async def test_the_list_has_both_in_the_order_of_their_keys(name: str) -> None:
    static, backing, _ = RECORDS[name]
    _, records = await overlaid(name)
    assert await records.list() == [backing, static]
    assert await records.list(limit=1) == [backing]
    assert await records.list(after=(key_of(backing),)) == [static]
    assert await records.list(after=(key_of(static),)) == []


@each
async def test_the_same_holds_inside_a_unit(name: str) -> None:
    static, backing, _ = RECORDS[name]
    storage, _ = await overlaid(name)

    async def work(inside: Collections) -> list[Any]:
        records = getattr(inside, name)
        with pytest.raises(ReadOnly):
            await records.delete(key_of(static))
        await inside.refresh_tokens.list()
        found: list[Any] = await records.list()
        return found

    assert await storage.unit(work) == [backing, static]


async def test_pages_of_both_have_every_record_once() -> None:
    storage = MemoryStorage()
    for letter in "acegik":
        await storage.clients.create(Client(letter, name="backing"))
    file = [Client(letter, name="static") for letter in "bceiz"]
    clients = overlay(storage, clients=file).clients
    for limit in range(1, 12):
        found: list[Client] = []
        while page := await clients.list(
            after=(found[-1].id,) if found else None, limit=limit
        ):
            assert len(page) <= limit
            found += page
        assert "".join(client.id for client in found) == "abcegikz"
        static = {client.id for client in found if client.name == "static"}
        assert static == {*"bceiz"}


async def test_what_the_file_hides_is_untouched_underneath() -> None:
    storage = MemoryStorage()
    await storage.clients.create(Client("c", name="backing"))
    assert (await overlay(storage, clients=[Client("c")]).clients.get("c")).name == ""
    assert (await storage.clients.get("c")).name == "backing"


async def test_emails_of_the_file_are_found_in_any_case() -> None:
    storage = overlay(MemoryStorage(), passwords=[Password("Foo@Example.com")])
    for email in ("foo@example.com", "FOO@EXAMPLE.COM"):
        assert (await storage.passwords.get(email)).email == "Foo@Example.com"
        with pytest.raises(ReadOnly):
            await storage.passwords.create(Password(email))


async def test_of_two_users_with_one_email_the_last_counts_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    users = [Password("a@b.c", username="1"), Password("A@b.c", username="2")]
    with caplog.at_level(logging.ERROR, "dexcore.storage"):
        storage = overlay(MemoryStorage(), passwords=users)
    assert (await storage.passwords.get("a@b.c")).username == "2"
    assert "a@b.c" in caplog.text


async def test_the_files_records_do_not_need_the_storage() -> None:
    storage = MemoryStorage()
    await storage.close()
    laid_over = overlay(storage, clients=[Client("c")])
    assert (await laid_over.clients.get("c")).id == "c"
    with pytest.raises(StorageUnavailable):
        await laid_over.clients.get("d")
    with pytest.raises(StorageUnavailable):
        await laid_over.clients.list()


def test_without_records_in_the_file_there_is_no_overlay() -> None:
    storage = MemoryStorage()
    assert overlay(storage) is storage
    laid_over = overlay(storage, clients=[Client("c")])
    assert laid_over.passwords is storage.passwords
    assert laid_over.refresh_tokens is storage.refresh_tokens
    assert laid_over.shared is storage.shared


EMPTY: dict[str, dict[tuple[str, ...], Any]] = {name: {} for name in RECORDS}


class TestOverMemory(TransactionalStorageContract):
    """With a file that has no records everything is the storage's."""

    @pytest.fixture
    def open_storage(self) -> Callable[[], Awaitable[Storage]]:
        async def open_overlaid() -> Storage:
            return OverlaidStorage(MemoryStorage(), EMPTY)

        return open_overlaid


class TestOverSQLite(DurableStorageContract):
    """The same over a file that outlives it."""

    @pytest.fixture
    def open_storage(self, tmp_path: Path) -> Callable[[], Awaitable[Storage]]:
        async def open_overlaid() -> Storage:
            storage = await open_storage(SQLite3(str(tmp_path / "dex.db")))
            return OverlaidStorage(storage, EMPTY)

        return open_overlaid
