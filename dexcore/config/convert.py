"""From a section of the file to an attrs class, and where every value stood."""

from __future__ import annotations

import contextlib
import enum
import functools
import logging
import typing

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, get_args

import attrs

from ..errors import ConfigError
from ..options import InvalidOption, fold, spelling
from .document import Items, Mark, Section
from .durations import parse_duration
from .problems import ConfigProblems, Position, Problem, errors_of, problem, suggest
from .scalars import (
    Written,
    as_boolean,
    as_float,
    as_integer,
    as_is,
    as_text,
    choose,
    container_of,
    is_any,
    is_enum,
    is_list,
    is_literal,
    is_mapping,
    is_union,
    noun,
    written,
)

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]

log = logging.getLogger("dexcore.config")


def structure(section: Mapping[str, Any], cls: type[T], *, where: str = "") -> T:
    """Return *section* as an instance of *cls*, an attrs class of options.

    *section* comes from the file, and then every problem has its line and column, or is
    a plain mapping (a stored document), which *where* names in messages.  Unknown keys
    are logged as warnings, or errors if the file is read strictly.  Raises
    :class:`ConfigProblems`.
    """
    made, problems = examine(section, cls, where=where)
    for each in problems:
        if each.severity == "warning":
            log.warning("%s", each)
    if made is None:
        raise ConfigProblems(errors_of(problems))
    return made


def examine(
    section: Mapping[str, Any], cls: type[T], *, where: str = ""
) -> tuple[T | None, list[Problem]]:
    """Return what :func:`structure` returns and logs; ``None`` if it would raise."""
    structurer = Structurer()
    if not isinstance(section, Section):
        section = _located(section, where or "<config>")
    try:
        made = structurer.make(section, cls)
    except Broken:
        return None, structurer.problems
    failed = errors_of(structurer.problems)
    return (None if failed else made), structurer.problems


class Broken(Exception):
    """A value could not be structured; its problems are written down already."""


@attrs.frozen
class Slot:
    """One key of a section: how it is spelled, what it holds, what it fills."""

    key: str
    type: Any
    attribute: attrs.Attribute[Any]

    @property
    def secret(self) -> bool:
        """Whether the value must never be shown."""
        return bool(self.attribute.metadata.get("secret"))

    @property
    def required(self) -> bool:
        """Whether the key must be there."""
        return self.attribute.default is attrs.NOTHING


def slots(cls: type) -> dict[str, Slot]:
    """Return the keys of *cls*, an attrs class, by folded spelling."""
    return _slots(cls)


@functools.cache
def _slots(cls: type) -> dict[str, Slot]:
    hints = typing.get_type_hints(cls)
    found = (
        Slot(spelling(each), hints.get(each.name, Any), each)
        for each in attrs.fields(cls)
        if each.init
    )
    return {fold(slot.key): slot for slot in found}


class Structurer:
    """Structures one file or one section, and writes every problem down.

    With *placeholders* a broken or missing value becomes an empty one, so that the
    rules that look at several values together can still look at the rest.  ``broken``
    are the places of values that already have their problem.
    """

    def __init__(self, *, placeholders: bool = False) -> None:
        self.problems: list[Problem] = []
        self.broken: set[Position] = set()
        self.placeholders = placeholders
        #: How to structure a class, before what its kind says.
        self.hooks: dict[Any, Hook] = {**_SCALARS}

    def make(self, section: Section, cls: type[T]) -> T:
        """Return *section* as *cls*; raise :class:`Broken`."""
        filled: dict[str, Any] = {}
        whole = True
        for key, slot in self._known(section, cls):
            try:
                filled[slot.attribute.alias or ""] = self.child(section, key, slot)
            except Broken:
                whole = False
        for slot in slots(cls).values():
            if slot.required and (slot.attribute.alias or "") not in filled:
                whole = self._fill(section, slot, filled) and whole
        if not whole and not self.placeholders:
            raise Broken
        return self._call(section, cls, filled)

    def child(self, container: Section | Items, key: Any, slot: Slot) -> Any:
        """Return the value under *key*; write down what is wrong and raise `Broken`."""
        at = container.position(key)
        value = container[key]
        if isinstance(value, bool | int | float):
            value = Written(value, container.text(key) or written(value))
        try:
            if value is None:
                raise InvalidOption(
                    "this item is empty", remedy="Remove it, or write a value."
                )
            return self.structure(value, slot.type)
        except InvalidOption as error:
            message, remedy = error.message, error.remedy
        except (ValueError, TypeError) as error:
            message = f'the value of "{slot.key}" cannot be used: {error}'
            remedy = _help(slot)
        if slot.secret:
            message = message.replace(container.text(key) or str(container[key]), "…")
        self.report(at, message, remedy or _help(slot))
        self.broken.add(at)
        if self.placeholders and isinstance(container, Items):
            return self._placeholder(slot.type, at)
        raise Broken

    def report(self, at: Position, message: str, remedy: str) -> None:
        """Write an error down."""
        self.problems.append(problem(at, message, remedy))

    def warn(self, at: Position, message: str, remedy: str) -> None:
        """Write a warning down."""
        self.problems.append(problem(at, message, remedy, "warning"))

    def _known(self, section: Section, cls: type) -> list[tuple[str, Slot]]:
        """Return the keys to structure; those that are null count as absent."""
        known = slots(cls)
        used: dict[str, str] = {}
        for key in section:
            slot = known.get(fold(key))
            if slot is None:
                self._report_unknown(
                    section, key, [each.key for each in known.values()]
                )
            elif fold(key) in used:
                self._report_twice(section, key, used[fold(key)])
            else:
                used[fold(key)] = key
        return [
            (key, known[folded])
            for folded, key in used.items()
            if section[key] is not None
        ]

    def _report_unknown(self, section: Section, key: str, known: list[str]) -> None:
        add = self.report if section.strict else self.warn
        remedy = suggest(key, known, "Remove it." if not known else "")
        add(section.key_position(key), f'the key "{key}" is not known here', remedy)

    def _report_twice(self, section: Section, key: str, first: str) -> None:
        self.report(
            section.key_position(key),
            f'"{key}" is the same key as "{first}" at line '
            f"{section.key_position(first).line}, column "
            f"{section.key_position(first).column}",
            "Keep one of them.",
        )

    def _fill(self, section: Section, slot: Slot, filled: dict[str, Any]) -> bool:
        """Fill in what is missing, if only with a placeholder."""
        key = section.find(slot.key)
        if key is None or section[key] is None:
            at = section.at if key is None else section.key_position(key)
            self.report(at, f'the key "{slot.key}" is missing', _add_it(slot))
        if not self.placeholders:
            return False
        filled[slot.attribute.alias or ""] = self._placeholder(slot.type, section.at)
        return True

    def _placeholder(self, kind: Any, at: Position) -> Any:
        if kind is str:
            return ""
        if not (isinstance(kind, type) and attrs.has(kind)):
            raise Broken
        before = len(self.problems)
        try:
            return self.structure(Section(at=at), kind)
        finally:
            del self.problems[before:]

    def _call(self, section: Section, cls: type[T], filled: dict[str, Any]) -> T:
        """Make the instance; what its own checks raise is a problem of the section."""
        try:
            return cls(**filled)
        except InvalidOption as error:
            key = section.find(error.key) if error.key else None
            at = section.at if key is None else section.position(key)
            self.report(at, error.message, error.remedy)
        except ConfigError as error:
            self.report(section.at, str(error).rstrip("."), "Change it accordingly.")
        except (ValueError, TypeError) as error:
            named = [a for a in error.args if isinstance(a, attrs.Attribute)]
            key = section.find(spelling(named[0])) if named else None
            at = section.at if key is None else section.position(key)
            secret = bool(named and named[0].metadata.get("secret"))
            shown = error.args and not secret
            text = str(error.args[0]) if shown else "this is not allowed"
            self.report(at, text, "Change it accordingly.")
        raise Broken

    # — By type ------------------------------------------------------------------------

    def structure(self, value: Any, kind: Any) -> Any:
        """Return *value* as a *kind*; raise ``InvalidOption``, or :class:`Broken`."""
        return self._hook(kind)(value, kind)

    def _hook(self, kind: Any) -> Hook:
        if kind in self.hooks:
            return self.hooks[kind]
        for is_kind, hook in (
            (attrs.has, self._class),
            (is_any, _as_is),
            (is_literal, self._literal),
            (is_union, self._union),
            (is_list, self._list),
            (is_mapping, self._mapping),
            (is_enum, self._enum),
        ):
            if is_kind(kind):
                return hook
        raise TypeError(f"options cannot be of type {kind}")

    def _class(self, value: Any, cls: type[T]) -> T:
        if not isinstance(value, Section):
            keys = ", ".join(slot.key for slot in slots(cls).values())
            raise InvalidOption(
                f"this should be a section with keys, not {noun(value)}",
                remedy=f"Indent its keys below it; known: {keys}.",
            )
        return self.make(value, cls)

    def _list(self, value: Any, kind: Any) -> Any:
        if not isinstance(value, Items):
            raise InvalidOption(
                f"this should be a list, not {noun(value)}",
                remedy='Write each item on a line of its own after "- ", or in [ ].',
            )
        slot = _item_slot(get_args(kind)[0])
        made = self._children(value, list(range(len(value))), slot)
        return container_of(kind)(made.values())

    def _mapping(self, value: Any, kind: Any) -> Any:
        if not isinstance(value, Section):
            raise InvalidOption(
                f"this should be a mapping of keys to values, not {noun(value)}",
                remedy='Write "key: value" lines below it, indented.',
            )
        kinds = get_args(kind)
        if not kinds or kinds[1] is Any:
            return value
        slot = _item_slot(kinds[1])
        present = [key for key, each in value.items() if each is not None]
        return self._children(value, present, slot)

    def _children(
        self, container: Section | Items, keys: list[Any], slot: Slot
    ) -> dict[Any, Any]:
        """Return the values under *keys*; look at all before one breaks the whole."""
        made: dict[Any, Any] = {}
        for key in keys:
            with contextlib.suppress(Broken):
                made[key] = self.child(container, key, slot)
        if len(made) < len(keys):
            raise Broken
        return made

    def _union(self, value: Any, kind: Any) -> Any:
        choices = [each for each in get_args(kind) if each is not type(None)]
        for choice in choices[:-1]:
            before = len(self.problems)
            try:
                return self.structure(value, choice)
            except (ValueError, TypeError, Broken):
                del self.problems[before:]
        return self.structure(value, choices[-1])

    def _literal(self, value: Any, kind: Any) -> Any:
        by_text = {written(each): each for each in get_args(kind)}
        return choose(as_text(value), by_text)

    def _enum(self, value: Any, kind: type[enum.Enum]) -> Any:
        return choose(as_text(value), {written(each.value): each for each in kind})


def _as_is(value: Any, kind: Any) -> Any:
    return as_is(value)


_SCALARS: Mapping[Any, Hook] = {
    str: lambda value, _: as_text(value),
    int: lambda value, _: as_integer(value),
    float: lambda value, _: as_float(value),
    bool: lambda value, _: as_boolean(value),
    bytes: lambda value, _: as_text(value).encode(),
    Path: lambda value, _: Path(as_text(value)),
    timedelta: lambda value, _: parse_duration(as_text(value)),
}


@attrs.frozen
class _Item:
    """Stands for the attribute of an item in a list or a free mapping."""

    value: Any = None


def _item_slot(kind: Any) -> Slot:
    return Slot("value", kind, attrs.fields(_Item).value)


# — Words ------------------------------------------------------------------------------


def _help(slot: Slot) -> str:
    return str(slot.attribute.metadata.get("help", "")) or "See the documentation."


def _add_it(slot: Slot) -> str:
    meaning = slot.attribute.metadata.get("help", "")
    return f'Add "{slot.key}: …".' + (f" {meaning}" if meaning else "")


def _located(section: Mapping[str, Any], where: str) -> Section:
    """Return a plain mapping as a section whose places are paths of keys."""
    paths = {key: Position(f"{where}.{key}") for key in section}
    return Section(
        {key: _located_value(section[key], at.file) for key, at in paths.items()},
        at=Position(where),
        marks={key: Mark(at, at) for key, at in paths.items()},
    )


def _located_value(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        return _located(value, where)
    if isinstance(value, list | tuple):
        paths = [Position(f"{where}[{index}]") for index in range(len(value))]
        values = [
            _located_value(each, at.file) for each, at in zip(value, paths, strict=True)
        ]
        return Items(values, [Mark(at, at) for at in paths])
    return value
