"""The time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dexcore.oauth2.times import utcnow


def test_the_time_is_aware_and_in_utc() -> None:
    now = utcnow()
    assert now.tzinfo is UTC
    assert abs(datetime.now(UTC) - now) < timedelta(seconds=5)
