"""Reading forms and queries: ``application/x-www-form-urlencoded`` in UTF-8.

RFC 6749 appendix B, and strict: what two readers could understand in two ways is
refused.
"""

from __future__ import annotations

import re

from collections.abc import Mapping
from urllib.parse import unquote

from ..errors import InvalidRequest
from .words import quote

__all__ = ["REPEATABLE", "decode", "parse_form", "parse_query"]

_MOST_FIELDS = 200

#: What may come several times (RFC 8707 section 2, RFC 8693 section 2.1).
REPEATABLE = frozenset(("audience", "resource"))

# What stands for itself, as most names and values do.
_PLAIN = re.compile(r"[A-Za-z0-9_.~:/=-]*")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def parse_form(body: bytes, *, limit_fields: int = _MOST_FIELDS) -> Mapping[str, str]:
    """Return the fields of a form; raise ``InvalidRequest``.

    A field that comes twice is refused (RFC 6749 section 3.2), and so are more than
    *limit_fields*, what is not UTF-8, and NUL, which databases cannot store.  The
    values of :data:`REPEATABLE` fields become one, with spaces between, as in
    ``scope``: no URI has a space.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest("The request is not UTF-8.") from None
    return _parse(text, limit_fields)


def parse_query(raw: str, *, limit_fields: int = _MOST_FIELDS) -> Mapping[str, str]:
    """Return the parameters of a query, still encoded; as :func:`parse_form`.

    RFC 6749 section 3.1.
    """
    if not raw:
        return {}
    if not raw.isascii():
        try:
            raw.encode("utf-8")
        except UnicodeEncodeError:
            raise InvalidRequest("The request is not UTF-8.") from None
    return _parse(raw, limit_fields)


def decode(text: str) -> str:
    """Return one form-encoded value decoded; raise ``ValueError``."""
    decoded = text.replace("+", " ")
    if "%" in text:
        if _BAD_ESCAPE.search(text):
            raise ValueError("a percent sign without two hexadecimal digits")
        decoded = unquote(decoded, errors="strict")
    if "\0" in decoded:
        raise ValueError("a NUL character")
    return decoded


def _parse(text: str, limit_fields: int) -> dict[str, str]:
    if text.count("&") >= limit_fields:
        raise InvalidRequest("The request has too many parameters.")
    found: dict[str, str] = {}
    for pair in text.split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        if not _PLAIN.fullmatch(pair):
            name, value = _decoded(name), _decoded(value)
        if name in found:
            if name not in REPEATABLE:
                raise InvalidRequest(
                    f"The parameter {quote(name)} comes more than once."
                )
            value = f"{found[name]} {value}"
        found[name] = value
    return found


def _decoded(text: str) -> str:
    # Browsers send a semicolon as %3B; where it is bare, some readers see a separator.
    if ";" in text:
        raise InvalidRequest("A semicolon in a parameter must be encoded as %3B.")
    try:
        return decode(text)
    except ValueError:
        raise InvalidRequest("A parameter is not encoded as it should be.") from None
