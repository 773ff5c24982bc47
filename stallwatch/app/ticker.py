"""What is done again and again: detectors by their tick lengths, calibration, statistics, alerts, retention."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
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
from stallwatch.errors import ConfigError, StallwatchError

THREADS: Final = 4
POLL_THREADS: Final = 6
"""One for each engine that can be polled."""
SAY_AGAIN_S: Final = 60.0
"""How long the same reason of the same job is only counted, once it has been logged."""
_CHANGING: Final = re.compile(r"[0-9a-f]+(?:-[0-9a-f]+){4}|\d+")
"""What differs between two times of the same reason: the ids of queries, and numbers."""
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
"""As cron counts them, whose 7 is Sunday again; APScheduler's 0 is Monday."""
_DAY: Final = rf"[0-7]|{'|'.join(_WEEKDAYS)}"
_DAYS: Final = re.compile(
    rf"(?:\*|(?P<first>{_DAY})(?:-(?P<last>{_DAY}))?)(?:/(?P<step>[1-9][0-9]{{0,3}}))?",
    re.IGNORECASE,
)
_log = logging.getLogger(__name__)


class Ticker:
    """A scheduler whose jobs never overlap with themselves, and whose failures are counted and logged.

    A StallwatchError is logged as one line, any other exception with its traceback.
    """

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
        trouble = _Trouble(name, self._clock)

        def timed() -> None:
            began_s = self._clock.monotonic_s()
            try:
                with self._tracer.start_as_current_span(name):
                    work()
            except StallwatchError as error:
                self._failures.add(1, {"job": name})
                trouble.failed(error)
                return
            except BaseException:
                # `_failed` counts and tells it, with its traceback.
                trouble.failures += 1
                raise
            trouble.over()
            self._seconds.record(self._clock.monotonic_s() - began_s, {"job": name})

        return timed

    def _failed(self, event: JobExecutionEvent) -> None:
        self._failures.add(1, {"job": event.job_id})
        _log.error(
            "job failed, will run again",
            extra={"job": event.job_id, "reason": str(event.exception)},
            exc_info=event.exception,
        )


class _Trouble:
    """How often one job failed since it last worked, and which reasons were logged when.

    Without it a store that is away would fill the log, twice a second. Only the job itself calls it, and jobs never
    overlap with themselves.
    """

    def __init__(self, job: str, clock: Clock) -> None:
        self.failures = 0
        self._job = job
        self._clock = clock
        self._said: dict[str, _Said] = {}

    def failed(self, error: StallwatchError) -> None:
        """Log why, unless that was said within SAY_AGAIN_S."""
        self.failures += 1
        now_s = self._clock.monotonic_s()
        reason = _CHANGING.sub("#", str(error))
        last = self._said.get(reason)
        if last is not None and now_s - last.at_s < SAY_AGAIN_S:
            last.more += 1
            return
        more = f", and {last.more} times more since that was said" if last and last.more else ""
        _log.error(
            f"job failed, will run again{more}", extra={"job": self._job, "reason": str(error)}
        )
        # Whatever is older would be said again anyhow: reasons of which no two are the same must not pile up.
        young = {r: one for r, one in self._said.items() if now_s - one.at_s < SAY_AGAIN_S}
        self._said = {**young, reason: _Said(now_s)}

    def over(self) -> None:
        """The job worked: say so if it failed before."""
        if self.failures:
            _log.info("job works again", extra={"job": self._job, "failures": self.failures})
            self.failures = 0
            self._said.clear()


@dataclass
class _Said:
    """A reason that was logged, and how often it came again since."""

    at_s: float
    more: int = 0


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
