"""``storage: {type: mysql}``: the state lives in MySQL or MariaDB, in dex's tables.

The driver is asyncmy, the extra ``mysql`` of this distribution; nothing here imports it
before the storage is opened.
"""

from __future__ import annotations

import importlib

from typing import Any

import attrs

from dexcore import hookimpl
from dexcore.options import InvalidOption
from dexcore.storage import (
    Inspection,
    Storage,
    StorageContext,
    StorageError,
    StorageType,
)

from ..network import SSL, Network

__all__ = ["SSL", "MySQL", "open_storage"]

_MODES = ("true", "false", "skip-verify", "preferred")


@attrs.frozen
class MySQL(Network):
    """A MySQL or MariaDB server."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.ssl.mode and self.ssl.mode not in (*_MODES, "custom"):
            raise InvalidOption(
                f"{self.ssl.mode!r} is not a mode",
                key="ssl",
                remedy=f"Give one of {', '.join(_MODES)}.",
            )
        if bool(self.ssl.cert_file) != bool(self.ssl.key_file):
            raise InvalidOption(
                "certFile and keyFile belong together",
                key="ssl",
                remedy="Give both or none.",
            )

    @property
    def ssl_mode(self) -> str:
        """``custom`` if a file is given, else the mode, else the strictest.

        A socket on this machine needs no TLS.
        """
        files = (self.ssl.ca_file, self.ssl.cert_file, self.ssl.key_file)
        if any(files):
            return "custom"
        return self.ssl.mode or ("false" if self.host.startswith("/") else "true")


@hookimpl
def dex_storage_types() -> list[StorageType[MySQL]]:
    """Offer ``mysql``."""
    return [StorageType("mysql", MySQL, _open, _inspect)]


async def open_storage(config: MySQL, *, returning: bool | None = None) -> Storage:
    """Connect, and bring the schema up to date; any number may do so at once.

    *returning*: whether ``DELETE … RETURNING`` is used; ``None``: if the server has it.
    Raises ``StorageUnavailable`` if the server cannot be reached, ``StorageError`` if
    the database was made by a newer version, or asyncmy is not installed.
    """
    opened: Storage = await _imported("storage").open_storage(config, returning)
    return opened


async def _open(config: MySQL, context: StorageContext) -> Storage:
    return await open_storage(config)


async def _inspect(config: MySQL, context: StorageContext) -> Inspection:
    found: Inspection = await _imported("looking").look(config)
    return found


def _imported(module: str) -> Any:
    try:
        return importlib.import_module(f"{__name__}.{module}")
    except ImportError as error:
        raise StorageError(
            f"{error}. To use MySQL: pip install 'dexcore-storage-sql[mysql]'"
        ) from error
