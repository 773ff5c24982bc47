"""What is said of a gap in what ran: how it shows, and what to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from detectors.explaining import clock, counted, named, share
from detectors.statistics.flow_model import SIGHTINGS, WHOLE
from detectors.statistics.rosters import Absence, Run
from stallwatch.model.durations import format_duration


class Jump(NamedTuple):
    """`behind` came directly behind `after`, as in none of `times` executions; `likely` is how surely it is the
    missing step that belongs in between."""

    after: str
    behind: str
    times: int
    likely: float


@dataclass(frozen=True)
class Gap:
    """In one execution (in a branch of that depth, or in the whole of it) `runs` are missing; `why` is how it shows.

    `noticed_at`: when what shows it arrived, received time; `since` when it happened.
    """

    runs: tuple[Run, ...]
    depth: int
    execution_id: str
    since: datetime
    noticed_at: datetime
    why: Jump | Absence

    @property
    def steps(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(step for step, _ in self.runs))


def title(workflow: str, gaps: Sequence[Gap], executions: Sequence[str]) -> str:
    steps = gaps[0].steps
    where = executions[0] if len(executions) == 1 else counted(len(executions), "execution")
    return f"{_listed(steps)} of {workflow} {'is' if len(steps) == 1 else 'are'} missing in {where}"


def evidence(gap: Gap, confirm_s: float) -> dict[str, Any]:
    known: dict[str, Any] = {
        "missing": gap.steps[0] if len(gap.steps) == 1 else list(gap.steps),
        "likely": round(gap.why.likely, 4),
        "gap_confirm_s": confirm_s,
    }
    times = gap.why.times
    if isinstance(gap.why, Jump):
        return known | {"after": gap.why.after, "before": gap.why.behind, "seen_after": times}
    return known | {"beside": gap.why.beside[0] if gap.why.beside else "", "seen_beside": times}


def explain(
    workflow: str, gaps: Sequence[Gap], executions: Sequence[str], suspected: bool, confirm_s: float
) -> str:
    first = gaps[0]
    shown = (
        _jumped(workflow, first, first.why)
        if isinstance(first.why, Jump)
        else _lacked(workflow, first, first.why)
    )
    confirm = format_duration(confirm_s)
    words = (
        f" It may be on its way: after {confirm} it counts as missing."
        if suspected
        else f" It did not come within {confirm}: it did not run, or what told of it was lost."
    )
    others = f" The same holds for {named(executions[1:])}." if len(executions) > 1 else ""
    return shown + words + others


def _jumped(workflow: str, gap: Gap, why: Jump) -> str:
    step = gap.steps[0]
    return (
        f"In {gap.execution_id} of {workflow} {why.behind} came directly behind {why.after} at {clock(gap.since)}, "
        f"which it did in none of the {why.times:,} executions with {why.after} that were seen in the last 7 days. "
    ) + (
        f"{step} always stood in between."
        if why.likely == 1
        else f"{step} is what most likely belongs in between ({share(why.likely)})."
    )


def _lacked(workflow: str, gap: Gap, why: Absence) -> str:
    what = f"{'A branch of ' if 0 < gap.depth < WHOLE else ''}{gap.execution_id} of {workflow}"
    ended = (
        f"{what} was over at {clock(gap.since)} without {_listed([_run(run) for run in why.runs])}"
    )
    if why.beside:
        beside = _run(why.beside)
        return f"{ended}: none of the {why.times:,} executions with {beside} that were seen in the last 7 days was."
    return (
        f"{ended}: the {why.times:,} executions of the last 7 days that were the same otherwise all had one run more, "
        f"{'this one' if why.likely == 1 else f'most of them this one ({share(why.likely)})'}."
    )


def next_steps(gap: Gap) -> tuple[str, ...]:
    steps = _listed(gap.steps)
    return (
        f"Ask the engine whether {steps} ran in {gap.execution_id}: if so, what told of it was lost; look at the "
        "sender's own counters and at ingest_health.",
        f"If not, look at what decides that {steps} {'runs' if len(gap.steps) == 1 else 'run'}, and at what was "
        f"released lately. If this is how it should be, {SIGHTINGS} executions make it usual; a policy with enabled = "
        "false does at once.",
    )


def _run(run: Run) -> str:
    step, number = run
    return step if number == 1 else f"run {number} of {step}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
