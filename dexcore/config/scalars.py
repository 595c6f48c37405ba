"""Single values of the file: text, numbers, choices; and which type is what."""

from __future__ import annotations

import collections.abc
import enum
import types
import typing

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

import attrs

from ..options import InvalidOption
from .document import Items, Section
from .problems import suggest

T = TypeVar("T")


@attrs.frozen
class Written:
    """A scalar that is no text, and how it was written."""

    value: bool | int | float
    text: str


def as_text(value: Any) -> str:
    """Return *value* as text: a number as the file writes it."""
    if isinstance(value, str):
        return value
    if isinstance(value, Written):
        return value.text
    raise InvalidOption(
        f"this should be text, not {noun(value)}", remedy="Write a single value."
    )


def as_integer(value: Any) -> int:
    """Return *value* as a whole number, also out of an environment variable."""
    if isinstance(value, Written) and type(value.value) is int:
        return value.value
    text = as_text(value)
    try:
        return int(text)
    except ValueError:
        raise InvalidOption(
            f'"{text}" is not a whole number', remedy="Write digits only."
        ) from None


def as_float(value: Any) -> float:
    """Return *value* as a number."""
    text = as_text(value)
    try:
        return float(text)
    except ValueError:
        raise InvalidOption(
            f'"{text}" is not a number', remedy="Write a number such as 0.5."
        ) from None


def as_boolean(value: Any) -> bool:
    """Return *value* as a boolean."""
    if isinstance(value, Written) and isinstance(value.value, bool):
        return value.value
    text = as_text(value)
    if text in ("true", "false"):  # an environment variable can only be text
        return text == "true"
    raise InvalidOption(
        f'"{text}" is neither true nor false', remedy="Write true or false."
    )


def choose(text: str, by_text: Mapping[str, T]) -> T:
    """Return what *text* stands for; raise ``InvalidOption`` with the closest one."""
    if text in by_text:
        return by_text[text]
    known = [each for each in by_text if each]
    raise InvalidOption(
        f'"{text}" is not one of {", ".join(known)}', remedy=suggest(text, known)
    )


def as_is(value: Any) -> Any:
    """Return *value* as YAML has it."""
    return value.value if isinstance(value, Written) else value


def noun(value: Any) -> str:
    """Return what *value* is to a reader of the file."""
    if isinstance(value, Section):
        return "a section"
    if isinstance(value, Items):
        return "a list"
    return "a single value"


def written(value: object) -> str:
    """Return how the file would write *value*."""
    return str(value).lower() if isinstance(value, bool) else str(value)


# — Types ------------------------------------------------------------------------------


def is_any(kind: Any) -> bool:
    """Return whether anything goes."""
    return kind is Any or kind is object


def is_literal(kind: Any) -> bool:
    """Return whether *kind* is a choice of values."""
    return get_origin(kind) is Literal


def is_union(kind: Any) -> bool:
    """Return whether *kind* is one of several types, or optional."""
    return get_origin(kind) in (typing.Union, types.UnionType)


def is_enum(kind: Any) -> bool:
    """Return whether *kind* is an enumeration."""
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


def is_mapping(kind: Any) -> bool:
    """Return whether *kind* is a mapping with free keys."""
    origin = get_origin(kind) or kind
    return origin in (dict, collections.abc.Mapping)


def is_list(kind: Any) -> bool:
    """Return whether *kind* is a list of any number of items of one type."""
    origin, items = get_origin(kind), get_args(kind)
    if origin is tuple:
        return len(items) == 2 and items[1] is Ellipsis
    return origin in (list, set, frozenset, collections.abc.Sequence)


def container_of(kind: Any) -> Callable[[Iterable[Any]], Any]:
    """Return what makes a *kind* out of a list."""
    origin = get_origin(kind)
    return tuple if origin is collections.abc.Sequence else origin
