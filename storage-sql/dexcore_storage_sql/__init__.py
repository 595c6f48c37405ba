"""``storage: {type: sqlite3}``: the state lives in a SQLite file, in dex's tables."""

from __future__ import annotations

from dexcore import hookimpl
from dexcore.storage import StorageContext, StorageType

from .config import SQLite3
from .storage import SQLiteStorage, open_storage

__all__ = ["SQLite3", "SQLiteStorage", "open_storage"]


@hookimpl
def dex_storage_types() -> list[StorageType[SQLite3]]:
    """Offer ``sqlite3``."""
    return [StorageType("sqlite3", SQLite3, _open)]


async def _open(config: SQLite3, context: StorageContext) -> SQLiteStorage:
    return await open_storage(config)
