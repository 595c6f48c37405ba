"""Run a unit of work to its end without an event loop.

For storages whose verbs finish at once, in memory or in the thread that owns the
database: the coroutine is driven by hand, so nothing else can come in between.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from ..errors import StorageError

T = TypeVar("T")


def run_through(work: Awaitable[T]) -> T:
    """Return what *work* returns, raise what it raises.

    Raises :class:`~dexcore.errors.StorageError` if it waits for anything but verbs of
    the collections it was given: those never suspend.
    """
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration as done:
        result: T = done.value
        return result
    close = getattr(steps, "close", None)
    if close is not None:
        close()
    raise StorageError(
        "A unit of work waited for something else than its storage's verbs."
    )
