"""A store as it is after four busy weeks, made in SQL: what closed, what is open, and what statistics know of it.

A thousand quick steps: 100 workflows of ten, which begin one after the other every five seconds; of their attempts
every fiftieth failed first and was tried again. What is open belongs to 500 slow steps, which take a day or two, and
began within the last 20 hours; 500 attempts are late; one in a hundred waits for a person, one backs off, two declare
a timeout, five beat. Each workflow has five workers. All of it is written as folds write it, in the order of time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from stallwatch.store import Store

WORKFLOWS: Final = 100
STEPS: Final = 10
RETRIED: Final = 50
PAST: Final = timedelta(days=28)
APART_S: Final = 5
LATE: Final = 500
CHUNK: Final = 400_000
"""Executions that are written at once."""
SENDERS: Final = 5
SLOW: Final = 50
"""Workflows whose attempts take a day or two."""
SLOW_EXECUTIONS: Final = 100_000

# Rows of four weeks would be recent on their way through the views; tidying leaves about a day of them.
_VIEWS: Final = ("recent_attempt_view", "recent_execution_view", "idempotency_key_view")
_FOLDER: Final = Path(__file__).parent / "_sweep"


@dataclass(frozen=True)
class Size:
    """How many attempts closed in the past, and how many are open now."""

    past: int
    open: int


def fill(store: Store, size: Size, now: datetime) -> Iterator[str]:
    """Write all of it; says what it is about to write."""
    executions = size.past * RETRIED // (STEPS * (RETRIED + 1))
    known = {
        "workflows": WORKFLOWS,
        "steps": STEPS,
        "retried": RETRIED,
        "apart_s": APART_S,
        "senders": SENDERS,
        "late": LATE,
        "slow": SLOW,
        "slow_executions": SLOW_EXECUTIONS,
        "executions": executions,
        "first": now - PAST,
        # The last one ends, and is folded, before now.
        "span_us": int((PAST - timedelta(seconds=STEPS * APART_S + 3)) / timedelta(microseconds=1)),
        "open": size.open,
        "now": now,
    }
    for view in _VIEWS:
        store.engine.command(f"DROP VIEW {view}")
    for begin in range(0, executions, CHUNK):
        yield f"execution {begin:,} of {executions:,}"
        chunk = {**known, "begin": begin, "end": min(begin + CHUNK, executions)}
        _run(store, "past_attempts", chunk)
        _run(store, "past_executions", chunk)
    yield f"{size.open:,} open attempts"
    for name in (
        "slow_attempts", "slow_executions", "open_attempts", "open_executions",
        "also_folded_attempts", "also_folded_executions", "recent_attempts", "recent_executions",
    ):  # fmt: skip
        _run(store, name, known)
    yield "statistics"
    hours = PAST // timedelta(hours=1)
    per_hour = size.past // hours // (WORKFLOWS * STEPS)
    _run(store, "statistics", {**known, "window_s": 3600, "windows": hours, "n": per_hour})
    minutes = {"window_s": 60, "windows": 48 * 60, "n": per_hour // 60 + 1}
    _run(store, "statistics", {**known, **minutes})
    _run(store, "beats", known)


def _run(store: Store, name: str, known: dict[str, Any]) -> None:
    store.engine.command((_FOLDER / f"{name}.sql").read_text(encoding="utf-8"), known)
