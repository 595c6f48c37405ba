"""Processor time that a process tree may use, held to it by a control group."""

from __future__ import annotations

import contextlib
import os

from collections.abc import Iterator
from itertools import count
from pathlib import Path

from . import process
from .wire import BenchError

_TOP = Path("/sys/fs/cgroup")
# Short, or whoever has used up its share hears nothing for long.
_PERIOD = 10_000  # µs
_numbers = count(1)


@contextlib.contextmanager
def budget(pid: int, cores: float) -> Iterator[None]:
    """Let the tree of *pid* use so many *cores*.

    Raises ``BenchError`` where there are no control groups, or we may not make one.
    """
    name = f"dexcore-bench-{os.getpid()}-{next(_numbers)}"
    one_for_all = (_TOP / "cgroup.controllers").exists()
    parent = _TOP if one_for_all else _TOP / "cpu"
    group = parent / name
    quota = round(cores * _PERIOD)
    try:
        if one_for_all:
            (_TOP / "cgroup.subtree_control").write_text("+cpu")
        group.mkdir()
        if one_for_all:
            (group / "cpu.max").write_text(f"{quota} {_PERIOD}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        _move(pid, group)
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        raise BenchError(f"No control group can be made here: {error}") from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            _move(pid, parent)
            group.rmdir()


def _move(pid: int, group: Path) -> None:
    for one in process.tree(pid):
        (group / "cgroup.procs").write_text(str(one))
