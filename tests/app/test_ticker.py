"""When the report is due: cron's own way to write it."""

from datetime import UTC, datetime, timedelta

import pytest

from stallwatch.app.ticker import cron_trigger
from stallwatch.errors import ConfigError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@pytest.mark.parametrize(
    ("weekdays", "due"),
    [
        ("*", "mon tue wed thu fri sat sun"),
        ("MON", "mon"),
        ("0", "sun"),
        ("1", "mon"),
        ("6", "sat"),
        ("7", "sun"),
        ("0,6", "sat sun"),
        ("1-5", "mon tue wed thu fri"),
        ("5-7", "fri sat sun"),
        ("0-7", "mon tue wed thu fri sat sun"),
        ("*/2", "tue thu sat sun"),
        ("1-5/2", "mon wed fri"),
        ("5/1", "fri sat"),
        ("mon-fri", "mon tue wed thu fri"),
        ("Mon-Fri/2,7", "mon wed fri sun"),
        ("sun-tue", "mon tue sun"),
        ("fri-sun", "fri sat sun"),
    ],
)
def test_weekdays_are_counted_as_cron_does(now: datetime, weekdays: str, due: str) -> None:
    trigger = cron_trigger(f"30 8 * * {weekdays}", "UTC")
    monday = now.replace(hour=0)
    fired = []
    for number, name in enumerate(DAYS):
        day = monday + timedelta(days=number)
        at = trigger.get_next_fire_time(None, day)
        if at is not None and at == day.replace(hour=8, minute=30, tzinfo=UTC):
            fired.append(name)
    assert fired == due.split()


@pytest.mark.parametrize("weekdays", ["8", "mon-8", "1-", "*/0", "1-5/0", "-1", "x", "1,"])
def test_no_other_weekdays_are_taken(weekdays: str) -> None:
    with pytest.raises(ConfigError, match=r"report\.cron: '0 8 .* weekdays are 0"):
        cron_trigger(f"0 8 * * {weekdays}", "UTC")
