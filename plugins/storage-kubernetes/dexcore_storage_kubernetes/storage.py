"""A storage in the custom resources of one namespace."""

from __future__ import annotations

import asyncio

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from dexcore.storage import Collections, Storage, StorageContext

from . import definitions
from .access import Cluster, find_cluster
from .api import DEADLINE, Api, together, unavailable
from .cache import Cache
from .collection import ObjectCollection
from .config import Kubernetes
from .documents import Documents
from .resources import RESOURCES
from .sweep import sweep

T = TypeVar("T")


async def open_storage(
    config: Kubernetes, context: StorageContext | None = None
) -> KubernetesStorage:
    """Reach the API server, see to the definitions, and begin to watch.

    Raises ``ConfigError`` for what cannot be right, ``StorageUnavailable`` if the
    server does not answer, ``StorageError`` if definitions are missing and
    ``crdHandling`` is ``check``.
    """
    context = context or StorageContext()
    cluster = await asyncio.to_thread(find_cluster, config, context.log)
    return await open_cluster(cluster, config.crd_handling, context)


async def open_cluster(
    cluster: Cluster,
    crd_handling: str,
    context: StorageContext,
    deadline: float = DEADLINE,
) -> KubernetesStorage:
    """As :func:`open_storage`, in a cluster that has been found.

    *deadline* is how many seconds a verb waits for each answer.
    """
    api = Api(cluster, deadline)
    try:
        if crd_handling == "check":
            await definitions.check(api)
        else:
            await definitions.ensure(api, context.log)
        storage = KubernetesStorage(api, context)
        await storage.start()
    except BaseException:
        await api.close()
        raise
    return storage


class KubernetesStorage(Storage):
    """State in custom resources.

    There are no transactions: a unit runs its verbs in their order.
    """

    atomic = False

    def __init__(self, api: Api, context: StorageContext) -> None:
        self._api = api
        self._documents: dict[str, Documents[Any]] = {}
        self._caches: list[Cache[Any]] = []
        self._watches: list[asyncio.Task[None]] = []
        for resource in RESOURCES:
            documents: Documents[Any] = Documents(resource, api.namespace)
            self._documents[resource.kind.name] = documents
            cache: Cache[Any] | None = None
            if resource.watched:
                cache = Cache(api, resource, documents, context.log)
                self._caches.append(cache)
            collection = ObjectCollection(api, resource, documents, cache)
            setattr(self, resource.kind.collection, collection)

    @property
    def requests(self) -> int:
        """How many requests were sent so far."""
        return self._api.requests

    async def start(self) -> None:
        """Read what is cached, and begin to watch it."""
        await together(*(cache.fill() for cache in self._caches))
        self._watches = [asyncio.create_task(cache.run()) for cache in self._caches]

    async def unit(self, work: Callable[[Collections], Awaitable[T]]) -> T:
        """Run *work*, verb after verb."""
        return await work(self)

    async def sweep(self, now: datetime) -> Mapping[str, int]:
        """Remove what expired before *now*, a page at a time."""
        counts = {}
        for resource in RESOURCES:
            name = resource.kind.name
            if resource.kind.expiry:
                with self._api.working():
                    documents = self._documents[name]
                    counts[name] = await sweep(self._api, resource, documents, now)
        return counts

    async def ping(self) -> None:
        """Return if the API server can read one object of its database."""
        with self._api.working():
            path = self._api.path(RESOURCES[0])
            answer = await self._api.call("GET", path, {"limit": "1"})
            if answer.status != 200:
                raise unavailable(answer)

    async def close(self) -> None:
        """Finish what was asked, then close the connections."""
        # The watches last: closing waits for connections that are in use to end.
        await self._api.close()
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
