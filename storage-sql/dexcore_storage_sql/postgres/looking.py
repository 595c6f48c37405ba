"""Looking into a PostgreSQL database, in a transaction that cannot write."""

from __future__ import annotations

from dexcore.storage import Inspection

from ..inspection import inspect
from ..remote import Counts
from . import Postgres
from .connection import connect
from .dialect import POSTGRES

_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


async def look(config: Postgres) -> Inspection:
    """Return what is in the database at one moment; no lock is taken.

    Raises ``StorageUnavailable`` if it cannot be reached.
    """
    session = await connect(config, Counts())
    try:
        await session.execute(_BEGIN, ())
        ((version,),) = await session.fetch("SHOW server_version", ())
        return await inspect(session, POSTGRES, f"PostgreSQL {version}")
    finally:
        session.drop()
