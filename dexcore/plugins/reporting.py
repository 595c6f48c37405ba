"""What ``dexcore plugins`` shows: what is installed, and whether it works."""

from __future__ import annotations

import json

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal

import attrs

from ..errors import PluginError
from .kinds import COMMAND, EXTENSION, KINDS, split
from .plugin import Plugin

_EXTENDS = {"dex_claims_types": "claims", "dex_template_dirs": "templates"}


@attrs.frozen
class PluginReport:
    """What one plugin offers of one kind, and whether that works.

    ``entry_point`` names one or more; ``kind`` is empty for a plugin whose entry point
    does not say it and that is broken or offers nothing; ``contract`` is empty if the
    plugin does not say which version it was written for.
    """

    distribution: str
    version: str
    entry_point: str
    kind: str
    offers: tuple[str, ...]
    contract: str
    state: Literal["ok", "broken"]
    error: str = ""


def report(plugins: Iterable[Plugin]) -> list[PluginReport]:
    """Return a report of each plugin and kind.  Imports everything."""
    rows = [row for plugin in plugins for row in _rows(plugin)]
    owners = _owners(rows)
    return [_contested(row, owners) for row in rows]


def render_report(reports: Sequence[PluginReport], as_json: bool = False) -> str:
    """Return *reports* as a table, or as a JSON array."""
    if as_json:
        return json.dumps([attrs.asdict(each) for each in reports], indent=2)
    heads = ("DISTRIBUTION", "VERSION", "KIND", "OFFERS", "CONTRACT", "STATE")
    table = [heads, *(_cells(each) for each in reports)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in table
    ]
    errors = [f"\n{each.error}" for each in reports if each.error]
    return "\n".join(line.rstrip() for line in (*lines, *errors))


def _rows(plugin: Plugin) -> list[PluginReport]:
    """Return a row for each kind *plugin* says it offers, or turns out to."""
    said: dict[str, list[str]] = defaultdict(list)
    for entry_point in plugin.entry_points:
        said[split(entry_point)[0]].append(entry_point)
    bare = said.pop("", [])
    rows = [_row(plugin, kind, points) for kind, points in said.items()]
    if bare:
        found = [_row(plugin, kind, bare) for kind in (*KINDS, EXTENSION)]
        unsaid = [row for row in found if row.offers and row.kind not in said]
        rows += unsaid or [attrs.evolve(found[0], kind="")]
    return rows


def _row(plugin: Plugin, kind: str, entry_points: list[str]) -> PluginReport:
    error = ""
    offers: tuple[str, ...] = ()
    try:
        offers = _offers(plugin, kind)
        _check_promises(plugin, kind, entry_points, offers)
    except PluginError as failure:
        error = str(failure)
    contract = plugin.contract
    return PluginReport(
        plugin.distribution.name,
        plugin.distribution.version,
        ", ".join(entry_points),
        kind,
        offers,
        ".".join(map(str, contract)) if isinstance(contract, tuple) else "",
        "broken" if error else "ok",
        error,
    )


def _check_promises(
    plugin: Plugin, kind: str, entry_points: list[str], offers: tuple[str, ...]
) -> None:
    if not offers:
        raise plugin.failed("offer", "It offers nothing.", ", ".join(entry_points))
    for entry_point in entry_points:
        said, name = split(entry_point)
        if said in KINDS and name not in offers:
            raise plugin.failed(
                "offer", f"It offers no {KINDS[said].title} {name!r}.", entry_point
            )


def _offers(plugin: Plugin, kind: str) -> tuple[str, ...]:
    if kind == COMMAND:
        return tuple(str(each.name) for each in plugin.ask("dex_commands"))
    if kind == EXTENSION:
        return tuple(name for hook, name in _EXTENDS.items() if plugin.ask(hook))
    return tuple(plugin.offers(KINDS[kind]))


def _owners(rows: Iterable[PluginReport]) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        for name in row.offers:
            if row.kind in KINDS:
                found[row.kind, name].add(f"{row.distribution} {row.version}".rstrip())
    return found


def _contested(
    row: PluginReport, owners: dict[tuple[str, str], set[str]]
) -> PluginReport:
    for name in row.offers:
        both = owners.get((row.kind, name), set())
        if len(both) > 1:
            error = f"{row.kind} {name!r} is offered by {' and '.join(sorted(both))}."
            return attrs.evolve(row, state="broken", error=error)
    return row


def _cells(row: PluginReport) -> tuple[str, ...]:
    return (
        row.distribution,
        row.version,
        row.kind or "?",
        ", ".join(row.offers),
        row.contract,
        row.state,
    )
