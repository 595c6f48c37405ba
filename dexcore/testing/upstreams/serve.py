"""Serving a double from the command line, to click through."""

from __future__ import annotations

import argparse
import contextlib
import signal
import threading

from collections.abc import Callable
from pathlib import Path

from .base import Upstream

__all__ = ["serve"]


def serve(make: Callable[[int], Upstream], what: str, *, port: int) -> int:
    """Serve what *make* makes for a port, until Ctrl-C; return the exit code."""
    parser = argparse.ArgumentParser(description=f"{what} that is a double for tests.")
    parser.add_argument("--port", type=int, default=port, help="default: %(default)s")
    parser.add_argument(
        "--ca", type=Path, help="write the authority that signed its certificate here"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with make(arguments.port) as upstream:
        if arguments.ca:
            arguments.ca.parent.mkdir(parents=True, exist_ok=True)
            arguments.ca.write_text(upstream.ca, "ascii")
        print(f"{what} on {upstream.url}. Ctrl-C stops it.", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
    return 0
