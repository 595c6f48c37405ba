"""Putting what a stranger sent into an error description."""

from __future__ import annotations

from collections.abc import Iterable

_MOST = 60  # characters of it


def quote(text: str) -> str:
    """Return *text* in quotation marks, as dex does, shortened and in printable ASCII.

    RFC 6749 sections 4.1.2.1 and 5.2 allow little else in a description.
    """
    shown = "".join(
        char if " " <= char <= "~" and char not in '"\\' else "?"
        for char in text[:_MOST]
    )
    dots = "..." if len(text) > _MOST else ""
    return f'"{shown}{dots}"'


def quote_all(texts: Iterable[str]) -> str:
    """Return *texts* as a list in brackets, each in quotation marks."""
    return f"[{' '.join(map(quote, texts))}]"
