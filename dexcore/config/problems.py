"""What is wrong with a configuration file, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import attrs

from ..errors import ConfigError
from ..options import fold

Severity = Literal["error", "warning"]


@attrs.frozen(order=True)
class Position:
    """A place in a file; lines and columns count from one.

    Line zero is the file as a whole, or something that has no lines: a command line
    option, a stored document.
    """

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}"


@attrs.frozen
class Problem:
    """One finding.  ``remedy`` is a sentence; ``message`` has no full stop."""

    file: str
    line: int
    column: int
    severity: Severity
    message: str
    remedy: str

    @property
    def position(self) -> Position:
        """Where it is."""
        return Position(self.file, self.line, self.column)

    def __str__(self) -> str:
        text = f"{self.position}: {self.severity}: {self.message}"
        return f"{text}. {self.remedy}" if self.remedy else text


class ConfigProblems(ConfigError):
    """Everything that is wrong with a configuration file, one problem a line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type[ConfigProblems], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


def problem(
    at: Position, message: str, remedy: str, severity: Severity = "error"
) -> Problem:
    """Return the problem at a position."""
    return Problem(at.file, at.line, at.column, severity, message, remedy)


def errors_of(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return those that stop the server, in the order of the file."""
    found = (each for each in problems if each.severity == "error")
    return tuple(sorted(found, key=lambda each: each.position))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the one of *known* that *word* was probably meant to be, or ``""``."""
    by_fold = {fold(each): each for each in known}
    # Only a file with a slip of the pen needs it.
    import difflib

    close = difflib.get_close_matches(fold(word), by_fold, n=1, cutoff=0.6)
    return by_fold[close[0]] if close else ""


def suggest(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return the sentence that asks whether one of *known* was meant."""
    known = tuple(known)
    meant = did_you_mean(word, known)
    if meant:
        return f"Did you mean {meant}?"
    return otherwise or f"Known: {', '.join(sorted(known))}."
