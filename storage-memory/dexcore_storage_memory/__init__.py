"""``storage: {type: memory}``: the state lives as long as the process."""

from __future__ import annotations

import attrs

from dexcore import hookimpl
from dexcore.storage import StorageContext, StorageType

from .storage import MemoryStorage

__all__ = ["MemoryStorage"]


@attrs.frozen
class Config:
    """The memory storage has no options."""


@hookimpl
def dex_storage_types() -> list[StorageType[Config]]:
    """Offer ``memory``."""
    return [StorageType("memory", Config, _open)]


async def _open(config: Config, context: StorageContext) -> MemoryStorage:
    return MemoryStorage()
