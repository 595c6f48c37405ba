"""The table, for people (Markdown) and for programs (JSON)."""

from __future__ import annotations

import json

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from .calibrate import Machine
from .measure import Result
from .operations import OPERATIONS, WITH_SESSIONS


def markdown(
    results: Sequence[Result],
    machine: Machine | None,
    algorithm: str = "RS256",
    extra: Mapping[str, object] | None = None,
) -> str:
    """Return a table: a row per operation, the providers side by side."""
    names = list(dict.fromkeys(result.provider for result in results))
    lines = [machine.line(), ""] if machine else []
    lines += [f"{name}: {value}" for name, value in (extra or {}).items()]
    head = ["operation"]
    for name in names:
        head += [f"{name} µs (min)", "req/s", "p50 / p99 ms"]
    if machine:
        head.append("limit µs")
    if len(names) == 2:
        head.append(f"{names[1]} / {names[0]}")
    lines += ["", _row(head), _row(["---"] * len(head))]
    for operation in dict.fromkeys(result.operation for result in results):
        by_name = {r.provider: r for r in results if r.operation == operation}
        cells = [operation]
        for name in names:
            cells += _cells(by_name[name])
        if machine:
            cells.append(_limit(operation, machine, algorithm))
        if len(names) == 2:
            cells.append(_ratio(by_name[names[0]], by_name[names[1]]))
        lines.append(_row(cells))
    rss = {name: max(r.rss for r in results if r.provider == name) for name in names}
    lines += ["", "RSS: " + ", ".join(f"{n} {mb:.0f} MB" for n, mb in rss.items())]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cells(result: Result) -> list[str]:
    if result.refused:
        return ["refuses", "", ""]
    return [
        f"{result.cpu:.0f} ({result.cpu_min:.0f})",
        f"{result.rate:.0f}",
        f"{result.p50:.2f} / {result.p99:.2f}",
    ]


def _limit(operation: str, machine: Machine, algorithm: str) -> str:
    found = next(
        each for each in (*OPERATIONS, *WITH_SESSIONS) if each.name == operation
    )
    if found.limits is None:
        return ""
    rsa = algorithm == "RS256"
    limit = found.limits[0 if rsa else 1]
    return f"{machine.limit(limit, found.signatures if rsa else 0):.0f}"


def _ratio(first: Result, second: Result) -> str:
    if not first.cpu or not second.cpu:
        return ""
    return f"{second.cpu / first.cpu:.2f}"


def save(
    path: Path,
    results: Sequence[Result],
    machine: Machine | None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write everything that was measured to *path*."""
    document = {
        "machine": attrs.asdict(machine) if machine else None,
        **(extra or {}),
        "results": [attrs.asdict(result) for result in results],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
