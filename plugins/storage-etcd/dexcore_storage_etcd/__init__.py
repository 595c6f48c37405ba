"""``storage: {type: etcd}``: the state lives in etcd, under dex's keys."""

from __future__ import annotations

from dexcore import hookimpl
from dexcore.storage import Inspection, StorageContext, StorageType

from .config import SSL, Etcd
from .inspection import inspect
from .storage import EtcdStorage, open_storage

__all__ = ["SSL", "Etcd", "EtcdStorage", "open_storage"]


@hookimpl
def dex_storage_types() -> list[StorageType[Etcd]]:
    """Offer ``etcd``."""
    return [StorageType("etcd", Etcd, _open, _inspect)]


async def _open(config: Etcd, context: StorageContext) -> EtcdStorage:
    return await open_storage(config)


async def _inspect(config: Etcd, context: StorageContext) -> Inspection:
    return await inspect(config)
