"""``storage: {type: kubernetes}``: the state lives in dex's custom resources."""

from __future__ import annotations

from dexcore import hookimpl
from dexcore.storage import StorageType

from .config import Kubernetes
from .inspection import inspect
from .storage import KubernetesStorage, open_storage

__all__ = ["Kubernetes", "KubernetesStorage", "open_storage"]


@hookimpl
def dex_storage_types() -> list[StorageType[Kubernetes]]:
    """Offer ``kubernetes``."""
    return [StorageType("kubernetes", Kubernetes, open_storage, inspect)]
