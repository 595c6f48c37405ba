"""Writing down what is wrong with a value, by the path of keys that leads to it."""

from __future__ import annotations

import attrs

from .document import Items, Section
from .problems import Position, Problem, problem

#: Keys and indices from the top of the file.
Path = tuple[str | int, ...]


@attrs.frozen
class Findings:
    """What is wrong with one file.

    ``broken`` are the places of values that could not be read: a second problem there
    would only confuse.
    """

    root: Section
    problems: list[Problem]
    broken: set[Position] = attrs.field(factory=set)

    def error(self, path: Path, message: str, remedy: str) -> None:
        """Write an error down."""
        at = self.at(path)
        if at not in self.broken:
            self.problems.append(problem(at, message, remedy))

    def warn(self, path: Path, message: str, remedy: str) -> None:
        """Write a warning down."""
        at = self.at(path)
        if at not in self.broken:
            self.problems.append(problem(at, message, remedy, "warning"))

    def at(self, path: Path) -> Position:
        """Return where *path* is, or the nearest thing around it that is there."""
        place = self.root.at
        value: object = self.root
        for step in path:
            if isinstance(value, Section) and isinstance(step, str):
                key = value.find(step)
                if key is None:
                    return place
                place = value.position(key)
                value = value[key]
            elif isinstance(value, Items) and isinstance(step, int):
                if step >= len(value):
                    return place
                place = value.position(step)
                value = value[step]
        return place

    def value(self, path: Path) -> object:
        """Return what the file says at *path*, or ``None``."""
        value: object = self.root
        for step in path:
            if isinstance(value, Section) and isinstance(step, str):
                key = value.find(step)
                value = None if key is None else value[key]
            elif isinstance(value, Items) and isinstance(step, int):
                value = value[step] if step < len(value) else None
            else:
                return None
        return value

    def given(self, path: Path) -> bool:
        """Return whether the file says anything at *path*; null says nothing."""
        return self.value(path) is not None

    def item(self, path: Path, wanted: str) -> Path:
        """Return the path of the item *wanted* of the list at *path*."""
        values = self.value(path)
        if isinstance(values, Items) and wanted in values:
            return (*path, values.index(wanted))
        return path
