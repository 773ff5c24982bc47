"""The shop's workflows: how they run when nothing is wrong. Time is compressed: seconds, not minutes."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import structs

from stallwatch.model.events import StepEvent
from stallwatch.simulator.history import executions_between, past_events
from stallwatch.simulator.spec import plain_spec
from stallwatch.simulator.workflows import History, parse_history

SEED: Final = 20260105
PAST_EXECUTIONS: Final = 450
PAST_EVERY: Final = "20m"
"""450 executions, one every 20 minutes: a little more than six days of past."""


def lognormal(median: str, sigma: float) -> dict[str, Any]:
    return {"lognormal": {"median": median, "sigma": sigma}}


GAP: Final[dict[str, Any]] = {"uniform": {"low": "20ms", "high": "80ms"}}
SPAN_ENGINE: Final = "opentelemetry"
"""What a workflow that is known from its spans alone runs on."""
SPECS: Final[tuple[dict[str, Any], ...]] = (
    {
        "workflow": "order",
        "steps": [
            {"step": "reserve", "gap": GAP, "duration": lognormal("400ms", 0.7), "queue": "stock"},
            {
                "step": "charge",
                "gap": GAP,
                "duration": lognormal("900ms", 0.6),
                "queue": "payments",
                "downstream": "stripe",
                "timeout_s": 60,
            },
            {"step": "ship", "gap": GAP, "duration": lognormal("500ms", 0.7), "queue": "stock"},
            {"step": "notify", "gap": GAP, "duration": lognormal("300ms", 0.8)},
        ],
    },
    {
        "workflow": "refund",
        "engine": SPAN_ENGINE,
        "steps": [
            {"step": "check", "gap": GAP, "duration": lognormal("400ms", 0.7)},
            {
                "step": "pay_back",
                "gap": GAP,
                "duration": lognormal("600ms", 0.7),
                "queue": "payments",
                "downstream": "bank",
                "retry": {"share": 0.01, "max_attempts": 4, "backoff": "300ms"},
            },
            {"step": "notify", "gap": GAP, "duration": lognormal("300ms", 0.8)},
        ],
    },
    {
        "workflow": "transcode",
        "engine": SPAN_ENGINE,
        "steps": [
            {"step": "probe", "gap": GAP, "duration": lognormal("300ms", 0.8)},
            {
                "parallel": [
                    [{"step": "encode_480p", "gap": GAP, "duration": lognormal("900ms", 0.6)}],
                    [{"step": "encode_720p", "gap": GAP, "duration": lognormal("1500ms", 0.6)}],
                    [{"step": "encode_1080p", "gap": GAP, "duration": lognormal("2500ms", 0.6)}],
                ]
            },
            {"step": "publish", "gap": GAP, "duration": lognormal("400ms", 0.7)},
        ],
    },
    {
        "workflow": "approval",
        "steps": [
            {"step": "draft", "gap": GAP, "duration": lognormal("400ms", 0.7)},
            {
                "step": "ask_a_human",
                "gap": GAP,
                "duration": lognormal("4s", 1.0),
                "waiting_on": "human",
            },
            {"step": "apply", "gap": GAP, "duration": lognormal("400ms", 0.7)},
        ],
    },
)
TIGHT: Final[dict[str, Any]] = {
    "workflow": "thumbnail",
    "steps": [{"step": "resize", "gap": GAP, "duration": lognormal("2s", 0.45)}],
}
TIGHT_TIMEOUT_S: Final = 4.0
"""`resize` is given up after this: every sixteenth healthy attempt would have needed longer."""


def histories() -> list[History]:
    """The workflows as the simulator knows them, at the pace of the past."""
    return [
        parse_history(
            plain_spec({**spec, "n": PAST_EXECUTIONS, "every": PAST_EVERY}), seed=SEED + number
        )
        for number, spec in enumerate((*SPECS, TIGHT))
    ]


def past(start: datetime) -> list[StepEvent]:
    """More than 300 executions of every step, all closed before `start`."""
    return [
        event
        for history in histories()
        for event in given_up(past_events(history, start, f"past-{history.workflow}-{{i}}"))
    ]


def healthy(start: datetime, since_s: float, until_s: float, every_s: float) -> list[StepEvent]:
    """The same workflows between two offsets from `start`, one execution of each every `every_s`."""
    events: list[StepEvent] = []
    for history in histories():
        names = f"{history.workflow}-{since_s:.0f}-{{i}}"
        faster = replace(history, every_s=every_s, seed=history.seed + 1000 + round(since_s))
        events += given_up(executions_between(faster, start, since_s, until_s, names))
    # The past has declared the timeout. Live, on a busy machine, the news of a timeout may come a second after it,
    # and a step open beyond its declared timeout is told at once.
    undeclared = [structs.replace(event, timeout_s=None) for event in events]
    return sorted(undeclared, key=lambda event: event.time)


def given_up(events: list[StepEvent]) -> list[StepEvent]:
    """What the too-tight timeout makes of `resize`: the slow ones time out and are done again."""
    started: dict[str, StepEvent] = {}
    told: list[StepEvent] = []
    shift: dict[str, timedelta] = {}
    for event in events:
        if event.workflow != TIGHT["workflow"]:
            told.append(event)
            continue
        key = event.execution_id
        if event.event == "step.started":
            event = structs.replace(event, timeout_s=TIGHT_TIMEOUT_S, max_attempts=3, attempt=1)
            started[key] = event
        elif event.event == "step.completed":
            begun = started[key]
            event = structs.replace(event, attempt=1)
            if (event.time - begun.time).total_seconds() > TIGHT_TIMEOUT_S:
                again = _second_try(begun, event)
                told += again
                shift[key] = again[-1].time - event.time
                continue
        told.append(structs.replace(event, time=event.time + shift.get(key, timedelta())))
    return sorted(told, key=lambda event: event.time)


def _second_try(begun: StepEvent, completed: StepEvent) -> list[StepEvent]:
    """The timeout, then another attempt that takes half as long as the first would have."""
    gave_up_at = begun.time + timedelta(seconds=TIGHT_TIMEOUT_S)
    again_at = gave_up_at + timedelta(milliseconds=100)
    told = (
        ("step.timed_out", gave_up_at, 1),
        ("step.started", again_at, 2),
        ("step.completed", again_at + (completed.time - begun.time) / 2, 2),
    )
    return [
        structs.replace(
            begun,
            event=kind,
            time=when,
            attempt=attempt,
            error_type="Timeout" if kind == "step.timed_out" else "",
            event_id=f"{completed.event_id}-{number}",
        )
        for number, (kind, when, attempt) in enumerate(told)
    ]
