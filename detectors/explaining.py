"""Words that several detectors need: places, times, shares, comparisons with the past."""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from detectors.calibration import Learned
from detectors.detector import Row
from stallwatch.model.durations import format_duration

DOMINANT_SHARE: Final = 0.9
DIMENSIONS: Final = ("queue", "worker", "downstream", "region", "workflow_version")
_NAMES: Final = {"workflow_version": "version"}
_DECLARED: Final = {
    "asl": "in the state machine's definition",
    "hostjson": "in host.json",
    "server": "in the definition that the engine has",
    "configuration": "in the configuration",
}


def clock(when: datetime) -> str:
    """`12:00:01 UTC`; the date too, as a finding may be read days later."""
    return when.strftime("%Y-%m-%d %H:%M:%S UTC")


def declared_in(source: str) -> str:
    """Where a limit is declared: `in the configuration`. `source`: as in the view `definitions`."""
    return f"declared {_DECLARED[source]}"


def limit_source(row: Row, name: str) -> str:
    """The source of the definition that declares this limit of an attempt; empty: the attempt itself does."""
    return str(row.get("limits_from", {}).get(name, ""))


def counted(n: int, noun: str) -> str:
    """`1 execution`, `12 executions`."""
    return f"{n} {noun}" if n == 1 else f"{n:,} {noun}s"


def share(value: float, digits: int = 3) -> str:
    """`99.7 %`, without pretending to more digits than matter; 100 % is all."""
    rounded = float(f"{100 * value:.{digits}g}")
    percent = f"{rounded:.10f}".rstrip("0").rstrip(".")
    if percent == "100" and value < 1:
        percent = f"{min(100 * value, 99.99):.4g}"
    return f"{percent} %"


def compared(learned: Learned, what: str) -> str:
    """`99 % of the 500 attempts seen in the last 7 days took at most 6.1s; none took longer than 14s.`"""
    spread = learned.spread
    longest = format_duration(spread.longest_s)
    if spread.n < 2:
        return f"The only {what} seen in the last {spread.days} days took {longest}."
    if spread.n < 100:
        half = format_duration(spread.median_s)
        return (
            f"Half of the {spread.n} {what}s seen in the last {spread.days} days took at most {half}; "
            f"none took longer than {longest}."
        )
    return (
        f"99 % of the {spread.n:,} {what}s seen in the last {spread.days} days took at most "
        f"{format_duration(spread.p99_s)}; none took longer than {longest}."
    )


def ended_by(learned: Learned, what: str, age_s: float) -> str:
    """` At least 99.5 % of these attempts had ended by this age.`; empty where all had, which `compared` tells, or
    where it is not known."""
    share_ended = learned.spread.ended_by(age_s)
    if not 0 < share_ended < 1:
        return ""
    return f" At least {share(share_ended)} of these {what}s had ended by this age."


def sureness(learned: Learned, what: str, allowed_s: float = 0.0) -> str:
    """How seldom a healthy thing gets that late. `allowed_s`: how long it may take however quick it usually is."""
    limit_s = learned.limit_s or 0.0
    words = (
        f"A healthy {what} takes longer than {format_duration(limit_s)} "
        f"less than once in {seldom(1 / learned.threshold.alpha)}"
    )
    if learned.threshold.rule == "cold_start":
        words += f", as far as {counted(learned.spread.n, what)} can tell"
    if allowed_s > limit_s:
        words += f"; up to {format_duration(allowed_s)} is always allowed"
    return f"{words}."


def seldom(one_in: float) -> str:
    """`12,000`, without pretending to more digits than matter; nobody can tell apart what is even rarer than once
    in a billion."""
    if one_in >= 1e9:
        return "a billion"
    return f"{round(one_in, 1 - math.floor(math.log10(max(one_in, 1.0)))):,.0f}"


def learned_evidence(learned: Learned) -> dict[str, Any]:
    """The numbers behind a learned threshold."""
    correlation = learned.correlation
    return {
        "rule": learned.threshold.rule,
        "n": learned.spread.n,
        "alpha": learned.threshold.alpha,
        "median_s": round(learned.spread.median_s, 3),
        "p99_s": round(learned.spread.p99_s, 3),
        "longest_s": round(learned.spread.longest_s, 3),
        "lateness_s": round(learned.lateness_s, 3),
        **({"correlation": round(correlation, 3)} if correlation > 1 else {}),
    }


def dominant(rows: Sequence[Row]) -> dict[str, str]:
    """What nearly all rows share: `{"queue": "payments"}`. Empty for a single row's dimensions that
    say nothing."""
    found = {}
    for dimension in DIMENSIONS:
        value, times = Counter(row.get(dimension, "") for row in rows).most_common(1)[0]
        if value and times > DOMINANT_SHARE * len(rows):
            found[_NAMES.get(dimension, dimension)] = str(value)
    return found


def dominant_words(found: dict[str, str], n: int, verb: str = "ran") -> str:
    """` Nearly all of these executions: queue payments.`, or what the only one does: ` It waits on …`."""
    if not found:
        return ""
    listed = ", ".join(f"{name} {value}" for name, value in found.items())
    return f" It {verb} on {listed}." if n == 1 else f" Nearly all of these executions: {listed}."


def so_have(others: Sequence[str], n: int) -> str:
    """` So has 1 other execution: o-2.`, of which there are `n`; empty where there is none."""
    if not n:
        return ""
    return (
        f" So {'has' if n == 1 else 'have'} {counted(n, 'other execution')}: {named(others, n=n)}."
    )


def named(ids: Sequence[str], limit: int = 3, n: int | None = None) -> str:
    """`o-1, o-2, o-3 and 4 more`. `n`: how many there are, where not all of them are known by name."""
    shown = ids[:limit]
    more = (len(ids) if n is None else n) - len(shown)
    head = ", ".join(shown)
    return f"{head} and {more:,} more" if more > 0 else head
