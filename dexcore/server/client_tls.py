"""The certificates we trust as a client, loaded when we first are one.

aiohttp makes the TLS contexts of its client when it is imported, and loading the
system's certificates into two of them is a fifth of our start and several megabytes,
also for a server that never asks anybody.  :func:`import_aiohttp` lets aiohttp make
them empty; the certificates follow before a context's first handshake, which does not
happen without them.

A context that is not made at import, in an aiohttp to come, is not touched, nor is one
with certificates of its own.
"""

from __future__ import annotations

import functools
import ssl
import sys

from collections.abc import Callable
from typing import Any

#: What begins a handshake: over a transport of asyncio's, and over a socket.
_HANDSHAKES = ("wrap_bio", "wrap_socket")
_LOAD = "set_default_verify_paths"


def import_aiohttp() -> None:
    """Import aiohttp with clients that load their certificates at first use.

    Does nothing if aiohttp is imported already.  To be called before anything else of
    the process makes TLS contexts in other threads.
    """
    if "aiohttp" in sys.modules:
        return
    waiting: list[ssl.SSLContext] = []

    def later(context: ssl.SSLContext) -> None:
        waiting.append(context)

    # It hides the method that the class inherits, for the import.
    setattr(ssl.SSLContext, _LOAD, later)
    try:
        import aiohttp  # noqa: F401
    finally:
        delattr(ssl.SSLContext, _LOAD)
    for context in waiting:
        load_at_first_use(context)


def load_at_first_use(context: ssl.SSLContext) -> None:
    """Let *context* load the system's certificates before its first handshake."""
    for name in _HANDSHAKES:
        setattr(context, name, functools.partial(_load_first, context, name))


def _load_first(
    context: ssl.SSLContext, name: str, *args: Any, **options: Any
) -> object:
    # Loading before the hooks go: another thread may be about to use the context.
    context.set_default_verify_paths()
    for each in _HANDSHAKES:
        vars(context).pop(each, None)
    wrap: Callable[..., object] = getattr(context, name)
    return wrap(*args, **options)
