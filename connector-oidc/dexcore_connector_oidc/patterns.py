"""Regular expressions as Go writes them, run by Python's engine.

The syntax is nearly the same; what means something else is translated, what Python
cannot say is refused.
"""

from __future__ import annotations

import re

# The POSIX classes, as they are written inside brackets.
_CLASSES = {
    "[:alnum:]": "0-9A-Za-z",
    "[:alpha:]": "A-Za-z",
    "[:ascii:]": "\\x00-\\x7f",
    "[:blank:]": "\\t ",
    "[:cntrl:]": "\\x00-\\x1f\\x7f",
    "[:digit:]": "0-9",
    "[:graph:]": "!-~",
    "[:lower:]": "a-z",
    "[:print:]": " -~",
    "[:punct:]": "!-/:-@\\[-`{-~",
    "[:space:]": "\\t\\n\\v\\f\\r ",
    "[:upper:]": "A-Z",
    "[:word:]": "0-9A-Za-z_",
    "[:xdigit:]": "0-9A-Fa-f",
}
_PIECE = re.compile(r"\\.|\[\^?\]?|.", re.DOTALL)
_PIECE_OF_CLASS = re.compile(r"\\.|\[:\^?\w+:\]|.", re.DOTALL)
_NOT_UNDERSTOOD = (r"\Z", r"\p", r"\P", r"\Q", r"\C")
_MULTILINE = re.compile(r"\(\?[a-zA-Z]*m")


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return what finds *pattern*; raise ``ValueError`` if it cannot be understood.

    ``\\d``, ``\\w`` and ``\\s`` are ASCII, ``$`` is the very end, as in Go.
    """
    try:
        return re.compile(_translated(pattern), re.ASCII)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(str(error)) from None


def _translated(pattern: str) -> str:
    # With (?m) "$" is the end of a line in both.
    end = "$" if _MULTILINE.search(pattern) else r"\Z"
    made, at, in_class = [], 0, False
    while found := (_PIECE_OF_CLASS if in_class else _PIECE).match(pattern, at):
        piece, at = found[0], found.end()
        if piece in _NOT_UNDERSTOOD:
            raise ValueError(f"{piece} is not understood here")
        if in_class:
            in_class = piece != "]"
            piece = _in_class(piece)
        elif piece.startswith("["):
            in_class = True
        elif piece in ("$", r"\z"):
            piece = end if piece == "$" else r"\Z"
        made.append(piece)
    return "".join(made)


def _in_class(piece: str) -> str:
    if not piece.startswith("["):
        return piece
    if piece == "[":
        # Python warns of a bracket that might mean something else one day.
        return r"\["
    if piece not in _CLASSES:
        raise ValueError(f"{piece} is no class")
    return _CLASSES[piece]
