"""What is in the custom resources of a namespace, found by reading alone."""

from __future__ import annotations

import asyncio

from collections.abc import Mapping
from typing import Any

from dexcore.storage import (
    Inspection,
    StorageContext,
    StorageError,
    StorageUnavailable,
    Unreadable,
    shown,
)

from .access import Cluster, find_cluster
from .api import Api, Gone, unavailable
from .config import Kubernetes
from .documents import Documents
from .resources import RESOURCES, Resource

_NOTHING = "There is nothing of dex's here: dexcore begins anew."


async def inspect(config: Kubernetes, context: StorageContext) -> Inspection:
    """Return what is in the namespace; no definition is made.

    Raises ``ConfigError`` for what cannot be right, ``StorageUnavailable`` if the
    server does not answer.
    """
    cluster = await asyncio.to_thread(find_cluster, config, context.log)
    return await inspect_cluster(cluster, config.crd_handling)


async def inspect_cluster(cluster: Cluster, crd_handling: str) -> Inspection:
    """As :func:`inspect`, in a cluster that has been found."""
    api = Api(cluster)
    counts: dict[str, int] = {}
    unreadable: list[Unreadable] = []
    missing: list[str] = []
    try:
        for resource in RESOURCES:
            if await _is_defined(api, resource):
                counts[resource.kind.name] = await _look(api, resource, unreadable)
            else:
                missing.append(resource.definition["metadata"]["name"])
    finally:
        await api.close()
    dex = (counts.get(one.kind.name, 0) for one in RESOURCES if not one.kind.own)
    refusal = ""
    if missing and crd_handling == "check":
        refusal = f"Definitions are missing: {', '.join(missing)}."
    return Inspection(
        f"Kubernetes, namespace {api.namespace}",
        counts,
        unreadable=tuple(unreadable),
        changes=tuple(f"make the definition {name}" for name in missing),
        doubts=() if any(dex) else (_NOTHING,),
        refusal=refusal,
    )


async def _is_defined(api: Api, resource: Resource[Any]) -> bool:
    answer = await api.call("GET", api.path(resource), {"limit": "1"})
    if answer.status not in (200, 404):
        raise unavailable(answer)
    return answer.status == 200


async def _look(api: Api, resource: Resource[Any], unreadable: list[Unreadable]) -> int:
    """Return how many objects there are; note those that cannot be read."""
    documents: Documents[Any] = Documents(resource, api.namespace)
    count = 0
    try:
        async for _, items in api.pages(resource):
            for body in items:
                count += 1
                if not _can_be_read(documents, body):
                    name = shown(resource.kind, (body["metadata"].get("name"),))
                    kind = resource.kind.name
                    unreadable.append(Unreadable(kind, name, "not what dex writes"))
    except Gone as error:
        raise StorageUnavailable(
            f"Kubernetes forgets a list of {resource.plural} before its end."
        ) from error
    return count


def _can_be_read(documents: Documents[Any], body: Mapping[str, Any]) -> bool:
    try:
        documents.read(body)
    except StorageError:
        return False
    return True
