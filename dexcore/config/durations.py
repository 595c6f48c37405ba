"""Durations as Go writes them: ``1h30m``, ``2.5s``, ``0``."""

from __future__ import annotations

import re

from datetime import timedelta

from ..options import InvalidOption

#: Go's ``time.ParseDuration``: both signs of micro are understood.
PATTERN = r"^[-+]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h))+)$"

_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,
    "\u03bcs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_WHOLE = re.compile(PATTERN)
_PART = re.compile(r"([0-9]*)\.?([0-9]*)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")
_DAYS = re.compile(r"^([0-9]+)\s*(d|days?|w|weeks?)$")
#: Go counts nanoseconds in 64 bits: 292 years.
_LONGEST = 2**63 - 1
#: Nobody writes more, and Python reads no number of more than 4300 digits.
_MOST_TEXT = 1000


def parse_duration(text: str) -> timedelta:
    """Return how long *text* is, to the microsecond; raise ``InvalidOption``."""
    if len(text) > _MOST_TEXT or not _WHOLE.match(text):
        raise InvalidOption(f'"{text}" is not a duration', remedy=_remedy(text))
    # In whole numbers, for 0.1 has no float; decimal would be slower to import.
    total = sum(
        int(whole + fraction) * _NANOSECONDS[unit] // 10 ** len(fraction)
        for whole, fraction, unit in _PART.findall(text)
    )
    if total > _LONGEST:
        raise InvalidOption(
            f'the duration "{text}" is too long', remedy="The longest is 2562047h."
        )
    length = timedelta(microseconds=total // 1000)
    return -length if text.startswith("-") else length


def format_duration(length: timedelta) -> str:
    """Return *length* as the file would write it."""
    if length < timedelta(0):
        return "-" + format_duration(-length)
    seconds, micro = divmod(length // timedelta(microseconds=1), 1_000_000)
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    fraction = f"{seconds}.{micro:06}".rstrip("0") if micro else str(seconds)
    parts = ((hours, f"{hours}h"), (minutes, f"{minutes}m"), (fraction, f"{fraction}s"))
    return "".join(text for value, text in parts if value not in (0, "0")) or "0s"


def _remedy(text: str) -> str:
    if re.match(r"^[0-9]+$", text):
        return f'Add a unit: "{text}s" for seconds, "{text}m", "{text}h".'
    if days := _DAYS.match(text):
        hours = int(days[1]) * (24 if days[2].startswith("d") else 168)
        return f'There is no unit longer than an hour: write "{hours}h".'
    return 'Write numbers with units, for example "1h30m"; units are ns us ms s m h.'
