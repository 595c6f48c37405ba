"""How the tests of connectors ask, and what they say when the answer is wrong."""

from __future__ import annotations

import asyncio

from collections.abc import Awaitable
from typing import TypeVar

import pytest

from ..connector import Identity
from ..errors import Refusal, StorageUnavailable, UpstreamError
from ..server.connectors import DEADLINE

T = TypeVar("T")


def must(kept: bool, demand: str, found: object = "") -> None:
    """Fail unless the connector has *kept* to the contract, and say what it demands."""
    __tracebackhide__ = True
    if not kept:
        pytest.fail(f"{demand} Here: {found!r}" if found != "" else demand)


async def answered(call: Awaitable[T]) -> T | Exception:
    """Return what *call* returned, or raised if connectors may raise it."""
    __tracebackhide__ = True
    try:
        async with asyncio.timeout(DEADLINE):
            return await call
    except TimeoutError as error:
        found: BaseException = error
        demand = (
            f"A call into a connector ends by itself within {DEADLINE:g} seconds, "
            "because the browser is waiting: give your own requests context.timeout."
        )
    except (Refusal, UpstreamError, StorageUnavailable) as error:
        return error
    except Exception as error:
        found = error
        demand = (
            "A connector raises AccessDenied for whoever may not log in, UpstreamError "
            "for an upstream that failed, and nothing else: the rest is logged as a "
            "fault of the connector, and tells nobody what to do."
        )
    raise AssertionError(f"{demand} Here: {found!r}") from found


def check_identity(identity: object) -> None:
    """Check the types of an identity, and that there is somebody."""
    __tracebackhide__ = True
    if not isinstance(identity, Identity):
        pytest.fail(f"Whoever logs in is an Identity. Here: {identity!r}")
    must(
        isinstance(identity.user_id, str) and bool(identity.user_id.strip()),
        "user_id is a str that is not empty: it becomes part of the subject.",
        identity.user_id,
    )
    for name in ("username", "preferred_username", "email"):
        value = getattr(identity, name)
        must(isinstance(value, str), f"{name} is a str, empty if not known.", value)
    must(
        isinstance(identity.email_verified, bool),
        "email_verified is a bool: apps trust addresses by it.",
        identity.email_verified,
    )
    must(
        isinstance(identity.groups, tuple)
        and all(isinstance(group, str) for group in identity.groups),
        "groups is a tuple of str, whatever the upstream sent.",
        identity.groups,
    )
    must(
        isinstance(identity.connector_data, bytes),
        "connector_data is bytes: the storage keeps it as it is.",
        identity.connector_data,
    )
