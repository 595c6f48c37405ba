"""What a process tree has used so far: processor time and memory, from ``/proc``."""

from __future__ import annotations

import contextlib
import os
import time

from collections.abc import Iterable, Iterator
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_SCHEDULED = 2  # the clock of clock_getcpuclockid(3)
_PAGE = os.sysconf("SC_PAGE_SIZE")


def tree(pid: int) -> list[int]:
    """Return *pid* and all its descendants."""
    found, at = [pid], 0
    while at < len(found):
        found.extend(_children(found[at]))
        at += 1
    return found


def _children(pid: int) -> Iterator[int]:
    for task in _tasks(pid):
        with contextlib.suppress(OSError):
            yield from map(int, (task / "children").read_text().split())


def _tasks(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def cpu_seconds(pid: int) -> float:
    """Return user and system time of the tree, children that have ended included."""
    total = 0.0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            # To the nanosecond, where stat counts hundredths of a second.
            total += time.clock_gettime(~one << 3 | _SCHEDULED)
            # proc(5): after the name, which may contain spaces, utime is field 14.
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[13:15])) / _TICK
    return total


def rss_megabytes(pid: int) -> float:
    """Return the resident memory of the tree, in the megabytes (2**20) of ``top``."""
    pages = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
    return pages * _PAGE / 2**20


def pin(pid: int, cores: Iterable[int]) -> None:
    """Let every thread of the tree run on *cores* only."""
    wanted = set(cores)
    for one in tree(pid):
        for task in _tasks(one):
            with contextlib.suppress(OSError):
                os.sched_setaffinity(int(task.name), wanted)
