"""Looking into a MySQL or MariaDB database, in a transaction that cannot write."""

from __future__ import annotations

from dexcore.storage import Inspection

from ..inspection import inspect
from ..remote import Counts
from . import MySQL
from .connection import connect
from .dialect import dialect

_BEGIN = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"


async def look(config: MySQL) -> Inspection:
    """Return what is in the database at one moment; no lock is taken.

    Raises ``StorageUnavailable`` if it cannot be reached.
    """
    session = await connect(config, Counts(), None)
    try:
        words = dialect(session.collation, returning=session.is_mariadb)
        ((version,),) = await session.fetch("SELECT version()", ())
        await session.execute(_BEGIN, ())
        name = "MariaDB" if session.is_mariadb else "MySQL"
        return await inspect(session, words, f"{name} {version}")
    finally:
        session.drop()
