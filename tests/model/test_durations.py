"""Durations and times as people write them, and as nobody should."""

from datetime import UTC, datetime

import pytest

from stallwatch.errors import InputError
from stallwatch.model.durations import parse_duration_s, parse_time

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("1h30m", 5400.0), (" 2.5s ", 2.5), ("0", 0.0), (7, 7.0), ("30d", 2592000.0)]
)  # fmt: skip
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "5", "-5s", "1 h", "1e3s", "\u0661s", "9" * 400 + "s", "1s" * 60, 10**400, float("nan"), -1, True],
)  # fmt: skip
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(InputError):
        parse_duration_s(text)


@pytest.mark.parametrize(
    "text", ["-99999999999999w", "0001-01-01T00:00:00+23:59", "2026-01-05", "-" + "9" * 100_000]
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(InputError):
        parse_time(text, NOW)
