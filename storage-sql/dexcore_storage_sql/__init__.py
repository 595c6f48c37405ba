"""``storage: {type: sqlite3}``: the state lives in a SQLite file, in dex's tables."""

from __future__ import annotations

import asyncio
import importlib

from dexcore import hookimpl
from dexcore.storage import Inspection, StorageContext, StorageType

from .config import SQLite3
from .storage import SQLiteStorage, open_storage

__all__ = ["SQLite3", "SQLiteStorage", "open_storage"]


@hookimpl
def dex_storage_types() -> list[StorageType[SQLite3]]:
    """Offer ``sqlite3``."""
    return [StorageType("sqlite3", SQLite3, _open, _inspect)]


async def _open(config: SQLite3, context: StorageContext) -> SQLiteStorage:
    return await open_storage(config)


async def _inspect(config: SQLite3, context: StorageContext) -> Inspection:
    # Who serves never looks.
    inspection = importlib.import_module(f"{__name__}.inspection")
    found: Inspection = await asyncio.to_thread(lambda: inspection.inspect_file(config))
    return found
