"""The custom resource definitions: made, or found missing, while the storage opens."""

from __future__ import annotations

import asyncio
import logging
import time

from typing import Any

import orjson

from dexcore.storage import StorageError, StorageUnavailable

from .api import Answer, Api, message, together, unavailable
from .resources import RESOURCES, Resource

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_SETTLED = 30.0  # seconds the API server has to serve what was defined
_LOOK = 0.1  # seconds between two looks


async def ensure(api: Api, log: logging.Logger) -> None:
    """Make the definitions that are missing, and wait until they are served.

    Others may do the same at the same moment.  Raises ``StorageUnavailable``.
    """
    missing = await _missing(api)
    await together(*(_make(api, resource, log) for resource in missing))
    await together(*(_served(api, resource) for resource in missing))


async def check(api: Api) -> None:
    """Raise ``StorageError`` if definitions are missing."""
    missing = await _missing(api)
    if missing:
        names = ", ".join(
            resource.definition["metadata"]["name"] for resource in missing
        )
        raise StorageError(
            f"Kubernetes lacks custom resource definitions: {names}."
            " Apply examples/kubernetes/crds.yaml, or set crdHandling: ensure."
        )


async def _missing(api: Api) -> list[Resource[Any]]:
    there = await together(*(_is_served(api, one) for one in RESOURCES))
    return [one for one, served in zip(RESOURCES, there, strict=True) if not served]


async def _is_served(api: Api, resource: Resource[Any]) -> bool:
    # As dex does: whoever may use the objects may ask this; it says more than the
    # condition Established, which comes a moment before they are served.
    answer = await api.call("GET", api.path(resource), {"limit": "1"})
    if answer.status not in (200, 404):
        raise unavailable(answer)
    return answer.status == 200


async def _make(api: Api, resource: Resource[Any], log: logging.Logger) -> None:
    body = orjson.dumps(resource.definition)
    answer = await api.call("POST", _DEFINITIONS, body=body)
    if answer.status in (200, 201):
        log.info("made the custom resource definition %s", resource.plural)
    elif answer.status != 409:
        raise _cannot_make(resource, answer)


async def _served(api: Api, resource: Resource[Any]) -> None:
    over = time.monotonic() + _SETTLED
    while not await _is_served(api, resource):
        if time.monotonic() > over:
            raise StorageUnavailable(
                f"Kubernetes does not serve {resource.plural},"
                f" {_SETTLED:.0f} s after they were defined."
            )
        await asyncio.sleep(_LOOK)


def _cannot_make(resource: Resource[Any], answer: Answer) -> StorageUnavailable:
    return StorageUnavailable(
        f"Kubernetes does not make the definition of {resource.plural}:"
        f" {answer.status} {message(answer)}"
    )
