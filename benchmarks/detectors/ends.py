"""When an execution that is still running will end, as `overdue_execution` estimates it: held against when executions
ended whose past the calibration did not see, asked at a random moment of their life; by the store's own SQL.

No goal was set.
"""

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from benchmarks.detectors import table
from detectors.calibration.learned import Calibration
from detectors.calibration.learning import SAMPLE, past, statement
from detectors.calibration.sampling import Sample
from detectors.calibration.steps import learned_from
from detectors.overdue_execution import expected_end
from stallwatch.model.events import event_from_dict
from stallwatch.store import open_store

NAME: Final = "The end of an execution that is still running"

START: Final = datetime(2026, 1, 5, tzinfo=UTC)
STEPS: Final = (
    ("reserve", 1.0, 0.4),
    ("charge", 5.0, 0.9),
    ("pack", 30.0, 0.6),
    ("ship", 10.0, 1.1),
)
"""Name, median in seconds, sigma of a lognormal; `pack` is repeated one to four times."""


class Course(NamedTuple):
    """One execution: the step that ended and when, in order."""

    ended: list[tuple[str, float]]

    @property
    def end_s(self) -> float:
        """When it was over."""
        return self.ended[-1][1]


def measure(quick: bool) -> str:
    """Errors of the estimate by how old the execution is."""
    random = np.random.default_rng(17)
    known = 40 if quick else 600
    calibration = _learned([_course(random) for _ in range(known)])
    fresh = [_course(random) for _ in range(100 if quick else 4_000)]
    median_s = float(np.median([course.end_s for course in fresh]))
    rows = []
    for name, low, high in (
        ("before half of them end", 0.0, 0.5), ("later", 0.5, 0.9), ("older than p90", 0.9, 0.99),
        ("older than p99", 0.99, 1.0),
    ):  # fmt: skip
        bounds = np.quantile([course.end_s for course in fresh], (low, high))
        errors, naive, unknown = [], [], 0
        for course in fresh:
            asked_s = float(random.uniform(*bounds))
            if asked_s >= course.end_s:
                continue
            told_s = _told(calibration, course, asked_s)
            if told_s is None:
                unknown += 1
                continue
            left_s = course.end_s - asked_s
            errors.append((abs(told_s - course.end_s), abs(told_s - course.end_s) / left_s))
            naive.append(abs(max(median_s, asked_s) - course.end_s))
        absolute, relative = np.median(np.array(errors), axis=0) if errors else (np.nan, np.nan)
        rows.append(
            [
                name, str(len(errors)), f"{absolute:.1f} s", f"{relative:.0%}",
                f"{np.median(naive):.1f} s", str(unknown),
            ]
        )  # fmt: skip
    headings = (
        "asked", "estimates", "median error", "of what was left", "error of the median duration", "no estimate",
    )  # fmt: skip
    return (
        f"Four steps, one of them repeated, {median_s:.0f} s in the median; learned from {known:,} executions.\n\n"
        + table(headings, rows)
    )


def _course(random: np.random.Generator) -> Course:
    at_s, ended = 0.0, []
    for step, median_s, sigma in STEPS:
        for _ in range(int(random.integers(1, 5)) if step == "pack" else 1):
            at_s += median_s * float(np.exp(sigma * random.standard_normal())) + 0.1
            ended.append((step, at_s))
    return Course(ended)


def _told(calibration: Calibration, course: Course, asked_s: float) -> float | None:
    """Seconds from the start to the estimated end."""
    last_step, last_s = "", 0.0
    for step, ended_s in course.ended:
        if ended_s <= asked_s:
            last_step, last_s = step, ended_s
    row = {
        "namespace": "default", "engine": "custom", "workflow": "order", "last_step": last_step,
        "last_progress_at": START + timedelta(seconds=last_s),
    }  # fmt: skip
    end_at = expected_end(START + timedelta(seconds=asked_s), row, calibration)
    return None if end_at is None else (end_at - START) / timedelta(seconds=1)


def _learned(courses: list[Course]) -> Calibration:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        store = open_store(f"chdb://{Path(folder) / 'store'}")
        store.migrate(START)
        until = START + timedelta(days=7)
        events = [
            event_from_dict(data, until)
            for number, course in enumerate(courses)
            for data in _events(START + timedelta(minutes=10 * number), f"o-{number}", course)
        ]
        store.insert_events(events, [event.time for event in events], "shop")
        store.fold(until)
        limits = {"sample": SAMPLE, "executions": SAMPLE}
        rows = store.select(statement("gaps"), {**Sample(1.0).bounds(past(until)), **limits})
        store.close()
    gaps = {
        (row["namespace"], row["engine"], row["workflow"], row["step"]): learned_from(row, 1e-3)
        for row in rows
    }
    return Calibration(at=until, gaps=gaps)


def _events(start: datetime, name: str, course: Course) -> Iterator[dict[str, Any]]:
    def told(event: str, at_s: float, **said: str) -> dict[str, Any]:
        at = start + timedelta(seconds=at_s)
        return {"event": event, "time": at, "workflow": "order", "execution_id": name, **said}

    yield told("workflow.started", 0.0)
    begun_s = 0.0
    for number, (step, ended_s) in enumerate(course.ended):
        said = {"step": step, "step_run_id": str(number)}
        yield told("step.started", begun_s, **said)
        yield told("step.completed", ended_s, **said)
        begun_s = ended_s
    yield told("workflow.completed", course.end_s)
