"""``storage: {type: postgres}``: the state lives in PostgreSQL, in dex's tables.

The driver is asyncpg, the extra ``postgres`` of this distribution; nothing here imports
it before the storage is opened.
"""

from __future__ import annotations

import importlib
import os

from typing import Any, Literal

import attrs

from dexcore import hookimpl
from dexcore.options import InvalidOption, option
from dexcore.storage import (
    Inspection,
    Storage,
    StorageContext,
    StorageError,
    StorageType,
)

from ..network import SSL, Network

__all__ = ["SSL", "Postgres", "open_storage"]

SSLMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


@attrs.frozen
class Postgres(Network):
    """A PostgreSQL server.  What is not given comes from the ``PG*`` variables."""

    prepared_statements: bool = option(
        True,
        help="Let the server remember statements; `false` behind a pooler that gives"
        " every transaction another connection.",
    )

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.ssl.mode and self.ssl.mode not in _MODES:
            raise InvalidOption(
                f"{self.ssl.mode!r} is not a mode",
                key="ssl",
                remedy=f"Give one of {', '.join(_MODES)}.",
            )

    @property
    def ssl_mode(self) -> str:
        """The mode of the file, the environment's, or the strictest."""
        return self.ssl.mode or os.environ.get("PGSSLMODE", "") or "verify-full"


@hookimpl
def dex_storage_types() -> list[StorageType[Postgres]]:
    """Offer ``postgres``."""
    return [StorageType("postgres", Postgres, _open, _inspect)]


async def open_storage(config: Postgres) -> Storage:
    """Connect, and bring the schema up to date; any number may do so at once.

    Raises ``StorageUnavailable`` if the server cannot be reached, ``StorageError`` if
    the database was made by a newer version, or asyncpg is not installed.
    """
    opened: Storage = await _imported("storage").open_storage(config)
    return opened


async def _open(config: Postgres, context: StorageContext) -> Storage:
    return await open_storage(config)


async def _inspect(config: Postgres, context: StorageContext) -> Inspection:
    found: Inspection = await _imported("looking").look(config)
    return found


def _imported(module: str) -> Any:
    try:
        return importlib.import_module(f"{__name__}.{module}")
    except ImportError as error:
        raise StorageError(
            f"{error}. To use PostgreSQL: pip install 'dexcore-storage-sql[postgres]'"
        ) from error
