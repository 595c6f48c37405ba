"""The scan: what is installed, without importing any of it."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys

from functools import lru_cache, partial

import attrs

from .. import __version__
from ..builtin import PLUGINS
from .facade import Plugins
from .plugin import Distribution, Plugin

GROUP = "dexcore"


@attrs.frozen
class _Named:
    name: str
    version: str


_OURSELVES = _Named("dexcore", __version__)


def find(*extra: object) -> Plugins:
    """Find every installed plugin, importing none; *extra* ones come from tests."""
    return Plugins((*_builtin(), *_installed(), *(_given(plugin) for plugin in extra)))


def _builtin() -> list[Plugin]:
    return [
        Plugin(
            _OURSELVES,
            module,
            entry_points,
            builtin=True,
            importer=partial(importlib.import_module, module),
        )
        for module, entry_points in PLUGINS.items()
    ]


def _installed() -> list[Plugin]:
    """Return the plugins that other distributions bring.

    Entry points of one distribution that point to one object are one plugin.
    """
    found: dict[tuple[int, str], list[importlib.metadata.EntryPoint]] = {}
    for each in _entry_points(_places()):
        found.setdefault((id(each.dist), each.value), []).append(each)
    return [
        Plugin(
            _distribution(same[0]),
            same[0].value,
            tuple(each.name for each in same),
            importer=same[0].load,
        )
        for same in found.values()
    ]


@lru_cache(maxsize=1)
def _entry_points(
    places: tuple[tuple[str, int], ...],
) -> tuple[importlib.metadata.EntryPoint, ...]:
    # Reading all that is installed takes milliseconds: once, while nothing changes.
    return tuple(importlib.metadata.entry_points(group=GROUP))


def _places() -> tuple[tuple[str, int], ...]:
    """Return where distributions may be, and when something last came or went there."""
    return tuple((place, _changed(place or ".")) for place in sys.path)


def _changed(place: str) -> int:
    try:
        return os.stat(place).st_mtime_ns
    except OSError:
        return 0


def _distribution(entry_point: importlib.metadata.EntryPoint) -> Distribution:
    return entry_point.dist or _Named("(unknown)", "")


def _given(plugin: object) -> Plugin:
    name = str(getattr(plugin, "__name__", type(plugin).__name__))
    return Plugin(
        _Named(f"{name} (given)", ""),
        name,
        (name.rpartition(".")[2],),
        given=True,
        importer=lambda: plugin,
    )
