"""What is done again and again: detectors by their tick lengths, calibration, statistics, alerts, retention."""

import logging
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from opentelemetry.metrics import Meter
from opentelemetry.trace import Tracer

from stallwatch.clock import Clock
from stallwatch.errors import ConfigError

THREADS: Final = 4
POLL_THREADS: Final = 6
"""One for each engine that can be polled."""
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
"""As cron counts them, whose 7 is Sunday again; APScheduler's 0 is Monday."""
_DAY: Final = rf"[0-7]|{'|'.join(_WEEKDAYS)}"
_DAYS: Final = re.compile(
    rf"(?:\*|(?P<first>{_DAY})(?:-(?P<last>{_DAY}))?)(?:/(?P<step>[1-9][0-9]{{0,3}}))?",
    re.IGNORECASE,
)
_log = logging.getLogger(__name__)


class Ticker:
    """A scheduler whose jobs never overlap with themselves, and whose failures are counted and logged."""

    def __init__(self, clock: Clock, meter: Meter, tracer: Tracer) -> None:
        # It says every second that a job ran; failures are told below.
        logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
        self._scheduler = BackgroundScheduler(
            timezone="UTC",
            # The detectors have a thread of their own: nothing else may delay a stall's finding.
            # So have the polled engines, which may take long to answer.
            executors={
                "default": ThreadPoolExecutor(THREADS),
                "brain": ThreadPoolExecutor(1),
                "calibration": ThreadPoolExecutor(1),
                "polls": ThreadPoolExecutor(POLL_THREADS),
                "alerts": ThreadPoolExecutor(1),
                "watch": ThreadPoolExecutor(2),
            },
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._clock = clock
        self._tracer = tracer
        self._seconds = meter.create_histogram(
            "stallwatch.job.duration", "s", "How long a job took"
        )
        self._failures = meter.create_counter("stallwatch.job.failures", "1", "Jobs that failed")
        self._scheduler.add_listener(self._failed, EVENT_JOB_ERROR)

    def every(
        self,
        seconds: float,
        name: str,
        work: Callable[[], Any],
        first_at: datetime,
        executor: str = "default",
    ) -> None:
        """Do `work` at `first_at` and every so many seconds after."""
        self._scheduler.add_job(
            self._timed(name, work),
            "interval",
            seconds=seconds,
            id=name,
            next_run_time=first_at,
            executor=executor,
        )

    def by_cron(self, cron: str, timezone: str, name: str, work: Callable[[], Any]) -> None:
        """Do `work` at the times of a five-field cron expression."""
        self._scheduler.add_job(
            self._timed(name, work), cron_trigger(cron, timezone), id=name, executor="default"
        )

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        """Let running jobs end, begin no more."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def _timed(self, name: str, work: Callable[[], Any]) -> Callable[[], None]:
        def timed() -> None:
            began_s = self._clock.monotonic_s()
            with self._tracer.start_as_current_span(name):
                work()
            self._seconds.record(self._clock.monotonic_s() - began_s, {"job": name})

        return timed

    def _failed(self, event: JobExecutionEvent) -> None:
        self._failures.add(1, {"job": event.job_id})
        _log.error(
            "job failed, will run again",
            extra={"job": event.job_id, "reason": str(event.exception)},
            exc_info=event.exception,
        )


def cron_trigger(cron: str, timezone: str) -> CronTrigger:
    """The trigger of `[report]`; ConfigError names what is wrong."""
    try:
        zone = ZoneInfo(timezone)
    except (KeyError, ValueError):
        raise ConfigError(f"report.timezone: there is no time zone {timezone!r}") from None
    fields = cron.split()
    try:
        fields[4:5] = [",".join(map(_named, weekdays.split(","))) for weekdays in fields[4:5]]
        return CronTrigger.from_crontab(" ".join(fields), timezone=zone)
    except ValueError as error:
        raise ConfigError(f"report.cron: {cron!r}: {error}") from None


def _named(days: str) -> str:
    """Cron's `1-5`, `*/2`, `7` or `fri-sun` as a list of names; ValueError for anything else."""
    found = _DAYS.fullmatch(days)
    if found is None:
        raise ValueError(f"weekdays are 0 (or 7, Sunday) to 6, or names such as MON, not {days!r}")
    first, last = (_number(day) for day in found.group("first", "last"))
    if first is None:
        first, last = 0, 6
    elif last is None:
        # With a step and no end it goes on to the end of the week.
        last = max(first, 6) if found["step"] else first
    elif last < first:
        last += 7
    numbers = range(first, last + 1, int(found["step"] or 1))
    return ",".join(_WEEKDAYS[number % 7] for number in numbers)


def _number(day: str | None) -> int | None:
    if day is None:
        return None
    return int(day) if day.isdigit() else _WEEKDAYS.index(day.lower())
