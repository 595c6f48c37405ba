"""Removing what has expired: all pages, in parallel but not too much so."""

from __future__ import annotations

import contextlib

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

import orjson

from .api import Api, Gone, together, unavailable
from .documents import Documents
from .resources import Resource

_AT_ONCE = 4  # deletions; the other slots are for those who log in


async def sweep(
    api: Api, resource: Resource[Any], documents: Documents[Any], now: datetime
) -> int:
    """Remove the objects that expired before *now*; return how many were removed."""
    total = 0
    while True:
        # What expired is gone when the list begins again, so that it gets further.
        with contextlib.suppress(Gone):
            async for expired in _expired(api, resource, documents, now):
                total += await _remove_all(api, resource, expired)
            return total


async def _expired(
    api: Api, resource: Resource[Any], documents: Documents[Any], now: datetime
) -> AsyncIterator[list[Mapping[str, Any]]]:
    async for _, items in api.pages(resource):
        yield [
            body["metadata"]
            for body in items
            if documents.has_expired(body, now)
            and not body["metadata"].get("deletionTimestamp")
        ]


async def _remove_all(
    api: Api, resource: Resource[Any], expired: list[Mapping[str, Any]]
) -> int:
    left = iter(expired)

    async def work() -> int:
        return sum([await _remove(api, resource, metadata) for metadata in left])

    return sum(await together(*(work() for _ in range(_AT_ONCE))))


async def _remove(
    api: Api, resource: Resource[Any], metadata: Mapping[str, Any]
) -> bool:
    """Return whether this call removed it; not if it changed, and may live again."""
    options = {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "preconditions": {
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
    }
    path = api.path(resource, metadata["name"])
    answer = await api.call("DELETE", path, body=orjson.dumps(options))
    if answer.status not in (200, 202, 404, 409):
        raise unavailable(answer)
    return answer.status in (200, 202)
