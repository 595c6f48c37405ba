"""A storage on MySQL or MariaDB: a connection for each call, a transaction a unit."""

from __future__ import annotations

from functools import partial

from dexcore.storage import StorageUnavailable

from ..migrations import advance, is_current
from ..network import MIGRATION_SECONDS
from ..pool import Pool
from ..remote import Counts, RemoteStorage, limits_of
from . import MySQL
from .connection import MySQLSession, connect
from .dialect import dialect

# Names of locks are the whole server's.
_NAME = "CONCAT('dexcore-', MD5(database()))"
_LOCK = f"SELECT GET_LOCK({_NAME}, %s)"
_UNLOCK = f"SELECT RELEASE_LOCK({_NAME})"


async def open_storage(config: MySQL, returning: bool | None) -> MySQLStorage:
    """Connect, and bring the schema up to date; any number may do so at once."""
    counts = Counts()
    session = await connect(config, counts, returning)
    try:
        await _migrate(session)
    except BaseException:
        session.drop()
        raise
    pool = Pool(partial(connect, config, counts, returning), limits_of(config))
    pool.adopt(session)
    storage = MySQLStorage(pool, counts)
    storage.takes_alone = session.is_mariadb if returning is None else returning
    return storage


class MySQLStorage(RemoteStorage):
    """State in MySQL or MariaDB."""


async def _migrate(session: MySQLSession) -> None:
    """Bring the schema up to date, one replica at a time.

    There are no transactions around changes of the schema: each is done if it is not
    there yet, so that who is cut off in the middle, or comes after, goes on.
    """
    words = dialect(session.collation, returning=session.is_mariadb)
    if await is_current(session, words):
        return
    seconds, session.seconds = session.seconds, MIGRATION_SECONDS
    ((locked,),) = await session.fetch(_LOCK, (int(MIGRATION_SECONDS) - 10,))
    if locked != 1:
        raise StorageUnavailable("Another replica has been migrating for too long.")
    await advance(session, words)
    await session.fetch(_UNLOCK, ())
    session.seconds = seconds
