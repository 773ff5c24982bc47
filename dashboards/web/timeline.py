"""The picture of an execution: one row per attempt, where each bar begins and ends. Pure; the template only draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from stallwatch.model.durations import format_duration

WIDTH: Final = 1000
LABEL_WIDTH: Final = 240
ROW_HEIGHT: Final = 26
ROWS_MAX: Final = 200
BAR_WIDTH_MIN: Final = 2.0
TICKS: Final = 5
_LABEL_CHARACTERS: Final = 34


@dataclass(frozen=True)
class Bar:
    """A stretch of one attempt: `kind` is queued, backoff or the attempt's status; x and width in the picture."""

    kind: str
    x: float
    width: float
    told: str


@dataclass(frozen=True)
class TimelineRow:
    """One attempt."""

    label: str
    y: int
    bars: tuple[Bar, ...]
    open: bool


@dataclass(frozen=True)
class Timeline:
    """The whole picture; `ticks` are (x, text) of the axis, `left_out` counts attempts beyond the limit."""

    height: int
    rows: tuple[TimelineRow, ...]
    ticks: tuple[tuple[float, str], ...]
    left_out: int


def timeline(run: dict[str, Any], now: datetime) -> Timeline:
    """Draw a run of `reading.execution`; what is open reaches to `now`."""
    attempts = run["attempt_list"]
    begins = [_begin(a) for a in attempts if _begin(a)]
    ends = [a["ended_at"] or now for a in attempts]
    start: datetime = min([run["started_at"], *begins])
    end: datetime = max([run["ended_at"] or now, *ends, start + timedelta(milliseconds=1)])
    scale = _Scale(start, (end - start).total_seconds())
    shown = attempts[:ROWS_MAX]
    rows = tuple(
        TimelineRow(_label(a), i * ROW_HEIGHT, _bars(a, shown, scale, now), a["ended_at"] is None)
        for i, a in enumerate(shown)
    )
    ticks = tuple(
        (
            LABEL_WIDTH + (WIDTH - LABEL_WIDTH) * i / TICKS,
            "+" + format_duration(scale.span_s * i / TICKS),
        )
        for i in range(TICKS)
    )
    return Timeline(len(rows) * ROW_HEIGHT + ROW_HEIGHT, rows, ticks, len(attempts) - len(shown))


@dataclass(frozen=True)
class _Scale:
    start: datetime
    span_s: float

    def bar(self, kind: str, begin: datetime, end: datetime, told: str) -> Bar:
        room = WIDTH - LABEL_WIDTH
        x = room * max(0.0, (begin - self.start).total_seconds()) / self.span_s
        width = room * max(0.0, (end - begin).total_seconds()) / self.span_s
        return Bar(kind, round(LABEL_WIDTH + x, 2), round(max(width, BAR_WIDTH_MIN), 2), told)


def _bars(
    attempt: dict[str, Any], others: Sequence[dict[str, Any]], scale: _Scale, now: datetime
) -> tuple[Bar, ...]:
    bars = []
    begin, started, end = _begin(attempt), attempt["started_at"], attempt["ended_at"] or now
    if begin is None:
        return ()
    if started is not None and attempt["scheduled_at"] is not None and started > begin:
        bars.append(_told(scale, "queued", begin, started))
        begin = started
    status = attempt["status"]
    if status == "scheduled":
        status = "queued"
    if status == "backing_off":
        status = "backoff"
    text = f"{attempt['step']}, attempt {attempt['attempt']}: {attempt['status'].replace('_', ' ')}"
    if attempt["waiting_on"]:
        text += f", waits for {attempt['waiting_on']}"
    if attempt["error_type"]:
        text += f", {attempt['error_type']}"
    lasted = format_duration(max(0.0, (end - begin).total_seconds()))
    bars.append(scale.bar(status, begin, end, f"{text}, {lasted}"))
    after = _next_begin(attempt, others)
    if attempt["ended_at"] is not None and after is not None and after > end:
        bars.append(_told(scale, "backoff", end, after))
    return tuple(bars)


def _told(scale: _Scale, kind: str, begin: datetime, end: datetime) -> Bar:
    return scale.bar(kind, begin, end, f"{kind} {format_duration((end - begin).total_seconds())}")


def _next_begin(attempt: dict[str, Any], others: Sequence[dict[str, Any]]) -> datetime | None:
    """When the following attempt of the same step run began."""
    for other in others:
        same = all(other[k] == attempt[k] for k in ("step", "step_run_id", "branch"))
        if same and other["attempt"] == attempt["attempt"] + 1:
            return _begin(other)
    return None


def _begin(attempt: dict[str, Any]) -> datetime | None:
    names = ("scheduled_at", "started_at", "waiting_at", "ended_at")
    begin: datetime | None = next((attempt[name] for name in names if attempt[name]), None)
    return begin


def _label(attempt: dict[str, Any]) -> str:
    branch = f" [{attempt['branch']}]" if attempt["branch"] else ""
    again = f" ({attempt['attempt']})" if attempt["attempt"] > 1 else ""
    label = f"{attempt['step']}{branch}{again}"
    return label if len(label) <= _LABEL_CHARACTERS else label[: _LABEL_CHARACTERS - 1] + "…"
