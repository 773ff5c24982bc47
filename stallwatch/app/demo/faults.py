"""What goes wrong in the demo, when, what Stallwatch must say of it and how soon; and what is slow but healthy."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from stallwatch.model.events import StepEvent, event_from_dict
from stallwatch.model.findings import Finding


@dataclass(frozen=True)
class Fault:
    """A known fault: it begins `at_s` after the start and must be found `within_s` of that."""

    what: str
    detector: str
    workflow: str
    step: str
    at_s: float
    within_s: float
    meanwhile: tuple[str, ...] = ()
    """Detectors that may rightly speak of the same trouble as well."""

    def is_told_by(self, finding: Finding) -> bool:
        """Whether the finding is the one this fault must give."""
        return (
            finding.detector in (self.detector, *self.meanwhile)
            and finding.workflow == self.workflow
            and finding.step in ("", self.step)
        )


@dataclass(frozen=True)
class Slow:
    """Something slow that is as it should be: an execution that no finding may name."""

    what: str
    execution_id: str


HUNG_AT_S: Final = 4.0
LOST_CHECKPOINT_AT_S: Final = 5.0
DUPLICATE_AT_S: Final = 6.0
LOST_EVENT_AT_S: Final = 7.0
STORM_AT_S: Final = 12.0
STORM_S: Final = 25.0
FAULTS: Final = (
    Fault(
        what="a step hangs: charge never comes back",
        detector="stalled_step",
        workflow="order",
        step="charge",
        at_s=HUNG_AT_S,
        within_s=40,
    ),
    Fault(
        what="a checkpoint is lost: nothing goes on",
        detector="stalled_execution",
        workflow="order",
        step="reserve",
        at_s=LOST_CHECKPOINT_AT_S,
        within_s=45,
        meanwhile=("overdue_execution",),
    ),
    Fault(
        what="a worker crashes: reserve runs twice",
        detector="duplicate_step",
        workflow="order",
        step="reserve",
        at_s=DUPLICATE_AT_S,
        within_s=15,
    ),
    Fault(
        what="an event is lost on the way",
        detector="event_gap",
        workflow="approval",
        step="",
        at_s=LOST_EVENT_AT_S,
        within_s=30,
    ),
    Fault(
        what="the bank refuses: pay_back is retried without end",
        detector="retry_storm",
        workflow="refund",
        step="pay_back",
        at_s=STORM_AT_S,
        within_s=40,
        meanwhile=("error_burst",),
    ),
)
TIGHT_TIMEOUT: Final = "resize is given up after 4 s, too early for its slow but healthy runs"
SLOW: Final = (
    Slow("a human takes the whole demo to answer", "approval-patient"),
    Slow("a long film: encode_1080p takes four times its median", "transcode-long-film"),
    Slow("a cooling-off timer of an hour", "order-cooling-off"),
)
GAP_CONFIRM_S: Final = 10.0


def scripted(start: datetime) -> list[StepEvent]:
    """The events of all faults and of all that is slow but healthy, by time."""
    courses = (_hung(), _lost_checkpoint(), _duplicate(), _lost_event(), *_storm(), *_slow())
    events = [event for course in courses for event in _course(start, *course)]
    return sorted(events, key=lambda event: event.time)


Line = tuple[float, str, dict[str, Any]]
Course = tuple[str, str, Iterable[Line]]


def _course(start: datetime, workflow: str, name: str, lines: Iterable[Line]) -> list[StepEvent]:
    events = []
    for offset_s, kind, fields in lines:
        when = start + timedelta(seconds=offset_s)
        data = {"event": kind, "time": when.isoformat(), "workflow": workflow, "execution_id": name}
        events.append(event_from_dict({**data, **fields}, when))
    return events


def _hung() -> Course:
    at = HUNG_AT_S
    charge = {"step": "charge", "queue": "payments", "downstream": "stripe", "worker": "payments-3"}
    return (
        "order",
        "order-hung",
        [
            (at - 1.0, "workflow.started", {}),
            (at - 0.9, "step.started", {"step": "reserve"}),
            (at - 0.3, "step.completed", {"step": "reserve"}),
            (at, "step.started", {**charge, "timeout_s": 60}),
        ],
    )


def _lost_checkpoint() -> Course:
    at = LOST_CHECKPOINT_AT_S
    return (
        "order",
        "order-lost-checkpoint",
        [
            (at - 1.0, "workflow.started", {}),
            (at - 0.9, "step.started", {"step": "reserve"}),
            (at, "step.completed", {"step": "reserve"}),
        ],
    )


def _duplicate() -> Course:
    at = DUPLICATE_AT_S
    reserve = {"step": "reserve", "attempt": 1}
    return (
        "order",
        "order-twice",
        [
            (at - 1.0, "workflow.started", {}),
            (at - 0.8, "step.started", {**reserve, "worker": "stock-1"}),
            (at, "step.started", {**reserve, "worker": "stock-2"}),
            (at + 0.5, "step.completed", reserve),
            (at + 0.6, "step.started", {"step": "charge"}),
            (at + 1.5, "step.completed", {"step": "charge"}),
            (at + 1.6, "step.started", {"step": "ship"}),
            (at + 2.1, "step.completed", {"step": "ship"}),
            (at + 2.2, "workflow.completed", {}),
        ],
    )


def _lost_event() -> Course:
    at = LOST_EVENT_AT_S
    # Sequence 3 (ask_a_human begins to wait) never arrives.
    return (
        "approval",
        "approval-lost-event",
        [
            (at - 0.6, "workflow.started", {"sequence": 0}),
            (at - 0.5, "step.started", {"step": "draft", "sequence": 1}),
            (at - 0.2, "step.completed", {"step": "draft", "sequence": 2}),
            (at + 3.0, "step.completed", {"step": "ask_a_human", "sequence": 4}),
            (at + 3.1, "step.started", {"step": "apply", "sequence": 5}),
            (at + 3.6, "step.completed", {"step": "apply", "sequence": 6}),
            (at + 3.7, "workflow.completed", {"sequence": 7}),
        ],
    )


def _storm() -> list[Course]:
    courses: list[Course] = []
    for number in range(int(STORM_S / 0.5)):
        at = STORM_AT_S + number * 0.5
        pay = {"step": "pay_back", "queue": "payments", "downstream": "bank", "step_run_id": "pay"}
        lines: list[Line] = [
            (at - 0.5, "workflow.started", {}),
            (at - 0.45, "step.started", {"step": "check", "step_run_id": "check"}),
            (at - 0.1, "step.completed", {"step": "check", "step_run_id": "check"}),
        ]
        for attempt in (1, 2, 3, 4):
            begun = at + (attempt - 1) * 0.4
            last = attempt == 4
            fields = {**pay, "attempt": attempt, "max_attempts": 4}
            error = {} if last else {"error_type": "BankRefused", "error_message": "503"}
            lines.append((begun, "step.started", fields))
            end = "step.completed" if last else "step.failed"
            lines.append((begun + 0.35, end, {**fields, **error}))
        lines.append((at + 1.7, "workflow.completed", {}))
        courses.append(("refund", f"refund-storm-{number}", lines))
    return courses


def _slow() -> list[Course]:
    return [
        (
            "approval",
            "approval-patient",
            [
                (2.0, "workflow.started", {}),
                (2.1, "step.started", {"step": "draft"}),
                (2.4, "step.completed", {"step": "draft"}),
                (2.5, "step.started", {"step": "ask_a_human"}),
                (2.6, "step.waiting", {"step": "ask_a_human", "waiting_on": "human"}),
            ],
        ),
        (
            "transcode",
            "transcode-long-film",
            [
                (3.0, "workflow.started", {}),
                (3.1, "step.started", {"step": "probe", "step_run_id": "probe"}),
                (3.3, "step.completed", {"step": "probe", "step_run_id": "probe"}),
                (3.4, "step.started", {"step": "encode_1080p", "step_run_id": "1080p"}),
                (13.4, "step.completed", {"step": "encode_1080p", "step_run_id": "1080p"}),
                (13.5, "step.started", {"step": "publish", "step_run_id": "publish"}),
                (13.8, "step.completed", {"step": "publish", "step_run_id": "publish"}),
                (13.9, "workflow.completed", {}),
            ],
        ),
        (
            "order",
            "order-cooling-off",
            [
                (2.0, "workflow.started", {}),
                (2.1, "step.started", {"step": "reserve"}),
                (2.5, "step.completed", {"step": "reserve"}),
                (2.6, "step.waiting", {"step": "cooling_off", "waiting_on": "timer"}),
            ],
        ),
    ]
