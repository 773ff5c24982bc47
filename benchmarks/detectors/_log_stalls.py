"""Stall thresholds on public event logs: learned from the earlier part, held against the later."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.detectors import table
from benchmarks.detectors._log_attempts import Attempts, learned
from benchmarks.detectors._public_logs import Log
from detectors.calibration.learned import Learned
from detectors.statistics.samples import Floats, empirical_quantile
from detectors.statistics.threshold import RATCHET_FACTOR

ALPHAS: Final = (1e-4, 1e-3)
RULES: Final = ("this", "with the ratchet", "p99.9", "3 x p99")
RHYTHM_ALPHA: Final = 1e-3
RHYTHM_MIN: Final = 300
"""Steps with fewer durations say nothing of single hours."""
PARTS: Final = (
    "Mo-Fr 0-8 h", "8-11 h", "11-14 h", "14-17 h", "17-24 h", "Saturday", "Sunday",
)  # fmt: skip
_HOURS: Final = np.array([8, 11, 14, 17])

Kind = Callable[[Log], list[Attempts]]


@dataclass
class Tally:
    """Over the steps of one log. `told` by rule: of the judged attempts, all healthy; `delays`: thresholds as multiples
    of the best possible one; `after`: of p99, once for each judged attempt."""

    steps: int = 0
    past: int = 0
    judged: int = 0
    told: Counter[str] = field(default_factory=Counter)
    delays: list[tuple[float, float]] = field(default_factory=list)
    after: list[Floats] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        self.steps += other.steps
        self.past += other.past
        self.judged += other.judged
        self.told += other.told
        self.delays += other.delays
        self.after += other.after


def middle(log: Log) -> float:
    """When half of the log's events had happened."""
    return float(np.median([event.at for case in log.cases for event in case]))


def end(log: Log) -> float:
    """When its last event happened."""
    return log.cases[-1][-1].at


def static(logs: Sequence[tuple[Log, Sequence[tuple[str, Kind]]]], alpha: float) -> str:
    """The table of one alpha: a row for each log and kind of duration, the kinds together below."""
    rows, together, too_short = [], dict[str, Tally](), []
    for log, kinds in logs:
        for name, kind in kinds:
            tally = tallied(kind(log), middle(log), end(log), alpha)
            if not tally.judged:
                too_short.append(f"{log.name} ({name})")
                continue
            together.setdefault(name, Tally()).add(tally)
            rows.append(_row(f"{log.name}: {name}", tally, alpha))
    rows += [_row(f"**{name}, all logs**", tally, alpha) for name, tally in together.items()]
    headings = (
        "log", "steps", "learned from", "judged", "allowed", "this", "with the ratchet", "p99.9", "3 x p99",
        "delay ratio", "that of 3 x p99", "a hang is told after",
    )  # fmt: skip
    return table(headings, rows)


def tallied(steps: Sequence[Attempts], split: float, until: float, alpha: float) -> Tally:
    """Thresholds of all steps by that time, against the attempts that began later, but not so late that the log ends
    before they could be called."""
    tally = Tally()
    for step in steps:
        known = learned(step, split, alpha)
        if known is None or known.limit_s is None:
            continue
        later = step.where((step.begin >= split) & (step.begin + known.limit_s <= until))
        if not len(later.end):
            continue
        past_s = np.sort(step.where(step.end <= split).durations_s)
        took_s = later.durations_s
        p99_s = known.spread.p99_s
        limits_s = {
            "this": known.limit_s,
            "p99.9": empirical_quantile(past_s, 0.999) + known.slack_s,
            "3 x p99": 3 * p99_s + known.slack_s,
        }
        tally.steps += 1
        tally.past += len(past_s)
        tally.judged += len(took_s)
        for rule, limit_s in limits_s.items():
            tally.told[rule] += int((took_s > limit_s).sum())
        taught = learned(step, split, alpha, ratchet=True)
        assert taught is not None
        tally.told["with the ratchet"] += len(late(later, taught))
        if len(took_s) * alpha >= 1:
            best_s = empirical_quantile(np.sort(took_s), 1 - alpha)
            tally.delays.append((limits_s["this"] / best_s, limits_s["3 x p99"] / best_s))
        tally.after.append(np.full(len(took_s), known.limit_s / (p99_s + known.slack_s)))
    return tally


def late(later: Attempts, known: Learned) -> list[int]:
    """Which attempts are called, where one that completes late raises the limit for all that are not over it yet."""
    limit_s, slack_s = known.limit_s, known.slack_s
    assert limit_s is not None
    called: list[int] = []
    lessons: list[tuple[float, float]] = []
    for at in np.argsort(later.begin, kind="stable"):
        # In the order of beginnings attempts cross the limit; what ended before that has taught.
        while lessons and lessons[0][0] <= later.begin[at] + limit_s:
            _, took_s = lessons.pop(0)
            limit_s = max(limit_s, RATCHET_FACTOR * took_s + slack_s)
        if later.durations_s[at] > limit_s:
            called.append(int(at))
            lessons.append((float(later.end[at]), float(later.durations_s[at])))
            lessons.sort()
    return called


def _row(name: str, tally: Tally, alpha: float) -> list[str]:
    allowed = tally.judged * alpha
    counts = [f"{tally.told[rule]:,} ({tally.told[rule] / allowed:.2f})" for rule in RULES]
    ours, others = np.median(tally.delays, axis=0) if tally.delays else (np.nan, np.nan)
    after = np.concatenate(tally.after)
    return [
        name, f"{tally.steps}", f"{tally.past:,}", f"{tally.judged:,}", f"{allowed:.1f}", *counts,
        _or_dash(ours), _or_dash(others), f"{np.median(after):.1f}, {np.quantile(after, 0.9):.1f}",
    ]  # fmt: skip


def _or_dash(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2f}"


@dataclass(frozen=True)
class InParts:
    """Judged attempts of a step: the part of the week in which each began, its duration, the limit for all hours, and
    that learned from its part alone."""

    part: NDArray[np.int64]
    took_s: Floats
    every_s: Floats
    own_s: Floats


def rhythm(logs: Sequence[tuple[Log, Sequence[tuple[str, Kind]]]]) -> str:
    """By the part of the week in which attempts began: the use of thresholds that hold at all hours. And how long
    thresholds for each part by itself would be, if they were to raise as many false alarms."""
    rows = []
    for log, kinds in logs:
        for name, kind in kinds:
            steps = [in_parts(step, middle(log), end(log)) for step in kind(log)]
            found = [step for step in steps if step is not None and len(step.part)]
            if found:
                rows.append(_rhythm_row(f"{log.name}: {name}", found))
    headings = (
        "log", "judged", *PARTS, "all", "all, a threshold for each", "its length at as many false alarms",
    )  # fmt: skip
    return table(headings, rows)


def in_parts(step: Attempts, split: float, until: float) -> InParts | None:
    """None of a step of which too little is known."""
    past = step.where(step.begin < split)
    every = learned(past, split, RHYTHM_ALPHA)
    if every is None or every.limit_s is None or every.spread.n < RHYTHM_MIN:
        return None
    later = step.where((step.begin >= split) & (step.begin + every.limit_s <= until))
    parts, own_s = part_of_week(later), np.full(len(later.end), every.limit_s)
    for part in range(len(PARTS)):
        alone = learned(past.where(part_of_week(past) == part), split, RHYTHM_ALPHA)
        if alone is not None and alone.limit_s is not None:
            own_s[parts == part] = alone.limit_s
    return InParts(parts, later.durations_s, np.full(len(own_s), every.limit_s), own_s)


def part_of_week(attempts: Attempts) -> NDArray[np.int64]:
    """The number of the part of the week (see PARTS) in which each attempt began."""
    hours = np.searchsorted(_HOURS, attempts.hour, side="right")
    return np.where(attempts.weekday < 5, hours, attempts.weekday).astype(np.int64)


def _rhythm_row(name: str, steps: Sequence[InParts]) -> list[str]:
    part, took_s, every_s, own_s = (
        np.concatenate([getattr(step, one) for step in steps])
        for one in ("part", "took_s", "every_s", "own_s")
    )
    called = took_s > every_s
    used = []
    for number in range(len(PARTS)):
        inside = part == number
        used.append(f"{called[inside].mean() / RHYTHM_ALPHA:.1f}" if inside.any() else "-")
    # Stretched until as many attempts are called, thresholds by part can be compared with the others.
    stretch = np.sort(took_s / own_s)[::-1][called.sum()]
    length = stretch * np.exp(np.log(own_s / every_s).mean())
    return [
        name, f"{len(part):,}", *used, f"{called.mean() / RHYTHM_ALPHA:.2f}",
        f"{(took_s > own_s).mean() / RHYTHM_ALPHA:.2f}", f"{length:.2f}",
    ]  # fmt: skip
