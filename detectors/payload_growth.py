"""Payloads that grow: near what the engine refuses, or twice as large as when the week began.

What came before the calibration is known from it; what came since is counted at every tick.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from detectors.calibration.payloads import COMPARED, Payloads, Sizes, near_limits
from detectors.detector import Context, Detector, Place, Row, folded_from, place_of
from detectors.explaining import clock, counted, named, share
from detectors.limits import PAYLOAD_LIMIT_BYTES, PAYLOAD_NEAR
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick

LATELY: Final = timedelta(hours=1)
DOUBLED: Final = 2.0
LATELY_MIN: Final = 100
"""From so many on, what came lately is held against what came COMPARED or more times before."""
P99_MIN: Final = 100
NEAR_SHARE: Final = 0.01
"""What more than this share is beyond, the p99 is beyond."""


@dataclass(frozen=True)
class Grown:
    """How large a step's payloads are `now`, and either which share (`near`, `of` so many) is beyond `floor` bytes,
    near the engine's limit, or how large they were `before`: then `floor` is twice their p99."""

    now: Sizes
    since: datetime
    floor: float
    near: float | None = None
    of: int = 0
    before: Payloads | None = None


def parameters(tick: Tick, context: Context) -> dict[str, Any]:
    return {
        "from": max(tick.until - LATELY, tick.epoch),
        "until": tick.until,
        "learned_at": context.calibration.at,
        "folded_from": folded_from(tick, LATELY),
        **near_limits(),
    }


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each step whose payloads are near the limit, or have doubled."""
    lately = {place_of(row): row for row in rows}
    known = context.calibration.payloads
    observations = []
    for place in sorted({*lately, *known}):
        row, past = lately.get(place), known.get(place)
        # What nothing was heard of since the watch began is no news.
        is_heard = row is not None or (past is not None and past.latest_until > tick.epoch)
        if not is_heard or not context.enabled(place):
            continue
        grown = _near(place[1], row, past) or _doubled(row, past)
        if grown is not None:
            observations.append(_observe(place, grown, row, context))
    return observations


def _near(engine: str, row: Row | None, past: Payloads | None) -> Grown | None:
    """The p99 of what is known of late is beyond PAYLOAD_NEAR of the engine's limit."""
    limit = PAYLOAD_LIMIT_BYTES.get(engine)
    seen = _lately(row, past)
    if limit is None or not seen:
        return None
    near = (row["near"] if row is not None else 0) + (past.near if past is not None else 0)
    n = sum(sizes.n for sizes, _ in seen)
    if near <= NEAR_SHARE * n:
        return None
    now, since = max(seen, key=lambda one: one[0].p99)
    return Grown(now, since, PAYLOAD_NEAR * limit, near=near / n, of=n)


def _doubled(row: Row | None, past: Payloads | None) -> Grown | None:
    """The p99 of late is twice that of the week's beginning, beyond what chance gives: even its lower limit is above
    the upper one of then."""
    if past is None or past.earliest.n < COMPARED:
        return None
    seen = _lately(row, past if past.n >= 2 * COMPARED else None)
    for now, since in seen:
        is_sure = now.n >= LATELY_MIN and now.low > past.earliest.high
        if is_sure and now.p99 >= DOUBLED * past.earliest.p99:
            return Grown(now, since, DOUBLED * past.earliest.p99, before=past)
    return None


def _lately(row: Row | None, past: Payloads | None) -> list[tuple[Sizes, datetime]]:
    """What came since the calibration, and the latest that it knows; each with its beginning."""
    seen = []
    if row is not None and row["n"]:
        seen.append((Sizes(row["n"], *row["sizes"]), row["first_at"]))
    if past is not None and past.latest is not None:
        seen.append((past.latest, past.latest_from))
    return seen


def _observe(place: Place, grown: Grown, row: Row | None, context: Context) -> Observation:
    namespace, engine, workflow, step = place
    name = f"{step} of {workflow}"
    largest = row["largest"] if row is not None else []
    executions = tuple(dict.fromkeys(one for less, one in largest if -less >= grown.floor))
    limit = PAYLOAD_LIMIT_BYTES.get(engine)
    evidence: dict[str, Any] = {
        "p99_bytes": round(grown.now.p99),
        "n": grown.now.n,
        "limit_bytes": limit,
    }
    if grown.near is not None:
        evidence["near_share"] = round(grown.near, 4)
        title = f"Payloads of {name} are near the limit of {_bytes(limit or 0)}"
    else:
        title = f"Payloads of {name} have doubled"
    if grown.before is not None:
        evidence["before_p99_bytes"] = round(grown.before.earliest.p99)
        evidence["before_n"] = grown.before.earliest.n
    words = _near_words(name, grown, limit) if grown.near is not None else _growth(name, grown)
    if executions:
        words += f" The largest of the last hour: {named(executions)}."
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(place, Severity.WARNING),
        namespace=namespace,
        engine=engine,
        workflow=workflow,
        step=step,
        executions=executions,
        count=len(executions),
        since=grown.since,
        title=title,
        explanation=words,
        evidence=evidence,
        next_steps=(
            f"Look at what {step} is given and what it gives back: lists that grow with each run, whole documents, "
            "what an earlier step added and nobody needs any more.",
            "Keep what is large in a bucket or a database, and hand on where it is.",
        ),
    )


def _near_words(name: str, grown: Grown, limit: int | None) -> str:
    now = grown.now
    # The p99 of fewer is the largest of them.
    which = "p99" if now.n >= P99_MIN else "largest"
    return (
        f"{share(grown.near or 0.0, 2)} of the latest {counted(grown.of, 'payload')} of {name} are beyond "
        f"{_bytes(grown.floor)}, {share(PAYLOAD_NEAR)} of the {_bytes(limit or 0)} that the engine takes; a payload "
        f"that is larger fails the step. Since {clock(grown.since)} the {which} of {counted(now.n, 'payload')} is "
        f"about {_bytes(now.p99)}."
    )


def _growth(name: str, grown: Grown) -> str:
    if grown.before is None:
        return ""
    before = grown.before.earliest
    return (
        f"The p99 of {grown.now.n:,} payloads of {name} since {clock(grown.since)} is {_bytes(grown.now.p99)}, "
        f"{grown.now.p99 / max(before.p99, 1.0):.1f} times the {_bytes(before.p99)} of the {before.n:,} up to "
        f"{clock(grown.before.earliest_until)}. That is no chance: even their p98 is above the p99.9 of then."
    )


def _bytes(size: float) -> str:
    """`512 B`, `3.2 KiB`, `256 KiB`, `1.4 MiB`."""
    if size < 1024:
        return f"{size:.0f} B"
    if size < 1024 * 1024:
        return f"{size / 1024:.3g} KiB" if size < 999.5 * 1024 else f"{size / 1024:.0f} KiB"
    return f"{size / 1024 / 1024:.3g} MiB"


DETECTOR: Final = Detector("payload_growth", 60.0, judge, parameters)
