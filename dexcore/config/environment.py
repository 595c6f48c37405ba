"""Environment variables in the options of plugins, as Go's ``os.Expand`` has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .document import Items, Section
from .problems import Position, Problem, problem

_SPECIAL = frozenset("*#$@!?-0123456789")
_NAME = frozenset("_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def expand(text: str, lookup: Callable[[str], str]) -> str:
    """Replace ``$NAME`` and ``${NAME}`` in *text* by what *lookup* returns.

    ``$`` and one of ``*#$@!?-`` or a digit is a name too; ``${}`` and an unclosed
    ``${`` vanish; any other ``$`` stays.
    """
    done: list[str] = []
    at = 0
    while (dollar := text.find("$", at)) != -1 and dollar + 1 < len(text):
        done.append(text[at:dollar])
        name, width = _name(text[dollar + 1 :])
        if name:
            done.append(lookup(name))
        elif not width:
            done.append("$")
        at = dollar + 1 + width
    return "".join(done) + text[at:]


def expand_section(
    section: Section, environ: Mapping[str, str]
) -> tuple[Section, list[Problem]]:
    """Return *section* with every string expanded, and a warning per unset variable.

    Strings in sections, in lists, and in sections in lists; a list directly in a list
    stays as it is, as in dex.
    """
    problems: list[Problem] = []

    def at(place: Position, text: str) -> str:
        def lookup(name: str) -> str:
            if name not in environ:
                problems.append(_unset(place, name))
            return environ.get(name, "")

        return expand(text, lookup)

    return _expand_section(section, at), problems


def _expand_section(section: Section, at: Callable[[Position, str], str]) -> Section:
    return section.replaced(
        {
            key: _expand_value(value, section.position(key), at)
            for key, value in section.items()
        }
    )


def _expand_value(
    value: Any, place: Position, at: Callable[[Position, str], str]
) -> Any:
    if isinstance(value, str):
        return at(place, value)
    if isinstance(value, Section):
        return _expand_section(value, at)
    if isinstance(value, Items):
        return value.replaced(
            [
                each
                if isinstance(each, Items)
                else _expand_value(each, value.position(index), at)
                for index, each in enumerate(value)
            ]
        )
    return value


def _name(text: str) -> tuple[str, int]:
    if text[0] == "{":
        end = text.find("}", 1)
        if end == -1:
            return "", 1
        return text[1:end], end + 1
    if text[0] in _SPECIAL:
        return text[0], 1
    width = next((i for i, each in enumerate(text) if each not in _NAME), len(text))
    return text[:width], width


def _unset(place: Position, name: str) -> Problem:
    if name in _SPECIAL:
        return problem(
            place,
            f'"${name}" is read as an environment variable and vanishes',
            "Put the whole value into an environment variable and name that here, or "
            "set DEX_EXPAND_ENV=false.",
            "warning",
        )
    return problem(
        place,
        f"the environment variable {name} is not set, so it expands to nothing",
        f"Set {name}, or set DEX_EXPAND_ENV=false if the dollar sign is meant.",
        "warning",
    )
