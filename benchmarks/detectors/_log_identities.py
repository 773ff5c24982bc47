"""Lost and repeated events in public event logs whose events and attempts are named, through the real store.

Executions that ended last are told of as step events: each event has an id and a number in its execution, each call of
a step a name. In some nothing happens to them; in others one event is delivered twice, one start is executed twice (the
same call, another event), or one event is lost. Each then is asked about, once everything is folded.
"""

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec.structs import replace

from benchmarks.detectors import table
from benchmarks.detectors._log_courses import spans
from benchmarks.detectors._public_logs import Case, Log
from detectors import duplicate_step, event_gap
from detectors.calibration import Calibration
from detectors.detector import Context, Detector
from stallwatch.config import load_detectors
from stallwatch.model.events import StepEvent
from stallwatch.model.ticks import Tick
from stallwatch.store import Store, open_store

NOW: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)
RECEIVED_AT: Final = NOW - timedelta(minutes=30)
EPOCH: Final = NOW - timedelta(hours=1)
TOLD_IN: Final = timedelta(minutes=10)
FATES: Final = ("healthy", "delivered twice", "executed twice", "lost")
EACH: Final = 200
WORKFLOW: Final = "log"


def named(logs: Sequence[Log], each: int = EACH) -> str:
    """A row for each log."""
    headings = (
        "log", "executions each", "healthy: told", "delivered twice: told", "executed twice: told", "lost: told",
    )  # fmt: skip
    return table(headings, [_row(log, each) for log in logs])


def _row(log: Log, each: int) -> list[str]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        store = open_store(f"chdb://{folder}")
        store.migrate(NOW)
        told = asked(store, log, each)
        store.close()
    return [log.name, f"{each}", *(f"{told[fate]:.1%}" for fate in FATES)]


def asked(store: Store, log: Log, each: int) -> dict[str, float]:
    """The share of executions with each fate that `duplicate_step` or, where an event was lost, `event_gap` names."""
    chosen = [case for case in log.cases if len(case) > 2][-each * len(FATES) :]
    events: list[StepEvent] = []
    for number, case in enumerate(chosen):
        fate = FATES[number % len(FATES)]
        events += told_of(case, f"{fate}-{number}", fate, log.source.spans)
    store.insert_events(events, RECEIVED_AT, "log")
    store.fold(NOW)
    twice, gaps = _named(store, duplicate_step.DETECTOR), _named(store, event_gap.DETECTOR)
    shares = {}
    for fate in FATES:
        found = {one for one in (gaps if fate == "lost" else twice | gaps) if one.startswith(fate)}
        shares[fate] = len(found) / max(
            sum(1 for n in range(len(chosen)) if FATES[n % 4] == fate), 1
        )
    return shares


def told_of(case: Case, execution: str, fate: str, whole: bool) -> list[StepEvent]:
    """The events of one execution in their order, and what became of the start that is nearest to its middle."""
    runs = spans(case, whole)
    beyond = max(end for _, _, end in runs) + 1
    told = [(-1.0, "workflow.started", "", ""), (beyond, "workflow.completed", "", "")]
    for number, (step, begin, end) in enumerate(runs):
        told.append((begin, "step.started", step, f"call-{number}"))
        told.append((end, "step.completed", step, f"call-{number}"))
    told.sort()
    starts = [at for at, one in enumerate(told) if one[1] == "step.started"]
    chosen = min(starts, key=lambda at: abs(at - len(told) / 2))
    events = []
    for sequence, (_, event, step, call) in enumerate(told):
        # What is told a day late is history to the detectors, so that cases of weeks are told in minutes.
        time = RECEIVED_AT - TOLD_IN * (1 - sequence / len(told))
        said = StepEvent(
            event=event,
            time=time,
            workflow=WORKFLOW,
            execution_id=execution,
            step=step,
            step_run_id=call,
            attempt=1 if step else None,
            sequence=sequence,
            event_id=f"{execution}-{sequence}",
        )
        if sequence != chosen or fate != "lost":
            events.append(said)
        if sequence == chosen and fate == "delivered twice":
            events.append(said)
        if sequence == chosen and fate == "executed twice":
            again = {"event_id": f"{said.event_id}-again", "worker": "another", "sequence": None}
            events.append(replace(said, **again))
    return events


def _named(store: Store, detector: Detector) -> set[str]:
    """The executions that this detector names."""
    tick, context = (
        Tick(EPOCH, NOW, EPOCH),
        Context(load_detectors({}, "benchmark"), Calibration(NOW)),
    )
    rows = store.select(detector.sql, detector.parameters(tick, context))
    return {one for said in detector.judge(tick, rows, context) for one in said.executions}
