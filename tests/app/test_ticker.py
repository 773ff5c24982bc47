"""When the report is due: cron's own way to write it; what is told of jobs that fail."""

import logging
import threading
from collections import deque
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.trace import NoOpTracer

from stallwatch.app.ticker import Ticker, cron_trigger
from stallwatch.clock import ManualClock, SystemClock
from stallwatch.errors import ConfigError, StoreRefused, StoreUnavailable

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


WAIT_S = 30.0
FAILED, WORKS = "job failed, will run again", "job works again"


def run(now: datetime, *script: tuple[float, Exception | None]) -> int:
    """Run a job that lets so many seconds pass and then fails, or not; and that works once the script is over.

    Returns how many failures were counted.
    """
    clock, reader = ManualClock(now), InMemoryMetricReader()
    ticker = Ticker(clock, MeterProvider([reader]).get_meter("test"), NoOpTracer())
    steps, done = deque(script), threading.Event()

    def work() -> None:
        if not steps:
            done.set()
            return
        after_s, error = steps.popleft()
        clock.advance(after_s)
        if error is not None:
            raise error

    ticker.every(0.001, "detect", work, SystemClock().now())
    ticker.start()
    assert done.wait(WAIT_S)
    ticker.stop()
    return failures_in(reader)


def failures_in(reader: InMemoryMetricReader) -> int:
    data = reader.get_metrics_data()
    assert data is not None
    points = [
        point
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "stallwatch.job.failures"
        for point in metric.data.data_points
    ]
    assert all(point.attributes == {"job": "detect"} for point in points)
    return sum(int(point.value) for point in points if isinstance(point, NumberDataPoint))


def away() -> StoreUnavailable:
    """As the client library says it: no two times the same."""
    return StoreUnavailable(f"Max retries exceeded with url: /?query_id={uuid4()} (attempt 2)")


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is logged, from INFO up."""
    caplog.set_level(logging.INFO, "stallwatch.app.ticker")
    return caplog


def test_the_same_reason_is_told_once_a_minute(
    now: datetime, log: pytest.LogCaptureFixture
) -> None:
    assert run(now, *[(0.5, away()) for _ in range(241)]) == 241
    failed, over = log.records[:-1], log.records[-1]
    assert [one.message for one in failed] == [
        FAILED,
        *[f"{FAILED}, and 119 times more since that was said"] * 2,
    ]
    for one in failed:
        assert one.levelno == logging.ERROR
        assert one.exc_info is None
        assert one.__dict__["job"] == "detect"
        assert one.__dict__["reason"].startswith("Max retries exceeded with url: /?query_id=")
    assert (over.message, over.levelno) == (WORKS, logging.INFO)
    assert (over.__dict__["job"], over.__dict__["failures"]) == ("detect", 241)


def test_another_reason_is_told_at_once(now: datetime, log: pytest.LogCaptureFixture) -> None:
    wrong = StoreRefused("the password is wrong")
    run(now, (1, away()), (1, wrong), (1, away()), (1, wrong), (60, wrong))
    reasons = [one.__dict__["reason"].split()[0] for one in log.records[:-1]]
    assert reasons == ["Max", "the", "the"]
    assert log.records[2].message == f"{FAILED}, and 1 times more since that was said"


def test_a_job_that_works_again_says_so_once_and_begins_anew(
    now: datetime, log: pytest.LogCaptureFixture
) -> None:
    run(now, (1, None), (1, away()), (1, None), (1, None), (1, away()), (1, away()))
    assert [one.message for one in log.records] == [FAILED, WORKS, FAILED, WORKS]
    assert [one.__dict__["failures"] for one in log.records if one.message == WORKS] == [1, 2]


def test_what_nobody_expects_is_told_with_its_traceback_each_time(
    now: datetime, log: pytest.LogCaptureFixture
) -> None:
    assert run(now, (1, ValueError("odd")), (1, ValueError("odd")), (1, away())) == 3
    assert [one.message for one in log.records] == [FAILED, FAILED, FAILED, WORKS]
    assert [bool(one.exc_info) for one in log.records] == [True, True, False, False]
    assert log.records[-1].__dict__["failures"] == 3
