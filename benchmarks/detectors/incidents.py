"""Is the right cause named, when one thing breaks and when two do; and what does it cost to ask?

Goal: of simulations with one cause, 99 % name it, and make one incident of it. Fleets are drawn anew for each:
workflows with steps on queues, calling downstreams, on workers, in regions, in versions, some much busier than others.
What breaks is one value of one dimension: most of its attempts are affected, of all others half a percent. Judged by
the product's own `explain`; two values that have exactly the same attempts count as the same. The cost is that of the
product's statement on a store of its own.
"""

import tempfile
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.detectors import table
from detectors.causes import find_causes
from detectors.population import Trouble
from detectors.statistics.explain import NO_VALUE, Cells, Explanation, Value, explain
from stallwatch.clock import SystemClock
from stallwatch.model.findings import Finding, Severity, Status
from stallwatch.model.ticks import Tick
from stallwatch.store import Store, open_store

NAME: Final = "One incident"

BREAKS: Final = ("queue", "version", "step", "worker", "downstream", "region")
HEALTHY: Final = 0.005
SEED: Final = 20261122
OPEN: Final = 1_000_000
AFFECTED: Final = 10_000
NOW: Final = datetime(2026, 1, 5, 12, tzinfo=UTC)

Codes = Mapping[str, NDArray[np.int64]]


def measure(quick: bool) -> str:
    """The tables of this section."""
    runs = 30 if quick else 1000
    singles = table(
        ("one cause: every attempt of it alike", "runs", "right", "and nothing else"),
        _single(runs, False),
    )
    uneven = table(
        ("one cause: each step suffers differently", "runs", "right", "and nothing else"),
        _single(runs, True),
    )
    pairs = table(("two causes at once", "runs", "both right", "one right", "none"), [_pairs(runs)])
    cost = table(
        ("open attempts", "ended lately", "affected", "steps", "right", "to ask, best of three"),
        [_cost(OPEN // 100 if quick else OPEN)],
    )
    return f"{singles}\n\n{uneven}\n\n{pairs}\n\n{cost}"


def fleet(rng: np.random.Generator, n: int) -> Codes:
    """`n` attempts of a fleet of its own."""
    workflows = int(rng.integers(4, 16))
    queues, downstreams, regions = (int(rng.integers(*span)) for span in ((3, 20), (3, 14), (2, 6)))
    lengths = rng.poisson(4, workflows) + 1
    of_step = np.repeat(np.arange(workflows), lengths)
    queue_of = rng.integers(0, queues, len(of_step))
    calls = np.where(
        rng.random(len(of_step)) < 0.3, NO_VALUE, rng.integers(0, downstreams, len(of_step))
    )
    busy = rng.lognormal(0, 1.5, len(of_step))
    step = rng.choice(len(of_step), n, p=busy / busy.sum())
    queue = queue_of[step]
    return {
        "step": step,
        "downstream": calls[step],
        "queue": queue,
        "worker": queue * 6 + rng.integers(0, 6, n),
        "version": of_step[step] * 2 + (rng.random(n) < rng.uniform(0.1, 0.9)),
        "region": rng.choice(regions, n, p=rng.dirichlet(np.full(regions, 5.0))),
        "workflow": of_step[step],
    }


def _judge(codes: Codes, affected: NDArray[np.bool_]) -> list[Explanation]:
    columns = np.stack(list(codes.values()))
    cells, index = np.unique(columns, axis=1, return_inverse=True)
    index = index.reshape(-1)
    return explain(
        Cells(
            attempts=np.bincount(index).astype(float),
            affected=np.bincount(index, affected).astype(float),
            codes=dict(zip(codes, cells, strict=True)),
            values={name: len(np.unique(column)) for name, column in codes.items()},
        )
    )


def _broken(rng: np.random.Generator, codes: Codes, most: float) -> Value | None:
    """Something that at least thirty attempts have, and not too many."""
    for _ in range(20):
        name = str(rng.choice(BREAKS))
        values, counts = np.unique(codes[name], return_counts=True)
        fit = values[(counts >= 30) & (counts <= most * counts.sum()) & (values != NO_VALUE)]
        if len(fit):
            return name, int(rng.choice(fit))
    return None


def _is(codes: Codes, found: Value, broken: Value) -> bool:
    return np.array_equal(codes[found[0]] == found[1], codes[broken[0]] == broken[1])


def _single(runs: int, uneven: bool) -> list[tuple[str, ...]]:
    rng = np.random.default_rng(SEED + uneven)
    asked, right, alone = Counter[str](), Counter[str](), Counter[str]()
    while asked.total() < runs:
        codes = fleet(rng, int(rng.choice((500, 3000, 10_000))))
        broken = _broken(rng, codes, 0.6)
        if broken is None:
            continue
        rate = np.full(len(codes["step"]), rng.uniform(0.5, 1.0))
        if uneven:
            rate = rng.beta(1.5, 1.0, codes["step"].max() + 1)[codes["step"]]
        inside = codes[broken[0]] == broken[1]
        found = _judge(codes, rng.random(len(rate)) < np.where(inside, rate, HEALTHY))
        hit = bool(found) and _is(codes, found[0].value, broken)
        asked[broken[0]] += 1
        right[broken[0]] += hit
        alone[broken[0]] += hit and len(found) == 1
    rows = [
        (name, str(asked[name]), _share(right[name], asked[name]), _share(alone[name], asked[name]))
        for name in BREAKS
        if asked[name]
    ]
    total = asked.total()
    return [*rows, ("all", str(total), _share(right.total(), total), _share(alone.total(), total))]


def _pairs(runs: int) -> tuple[str, ...]:
    """Two things that break at once and have at most a third of either in common."""
    rng = np.random.default_rng(SEED + 7)
    hits = Counter[int]()
    while hits.total() < runs:
        codes = fleet(rng, int(rng.choice((3000, 10_000))))
        one, other = _broken(rng, codes, 0.4), _broken(rng, codes, 0.4)
        if one is None or other is None or one == other:
            continue
        masks = [codes[name] == code for name, code in (one, other)]
        if 3 * (masks[0] & masks[1]).sum() > min(mask.sum() for mask in masks):
            continue
        rates = [np.where(mask, rng.uniform(0.5, 1.0), HEALTHY) for mask in masks]
        found = _judge(codes, rng.random(len(masks[0])) < np.maximum(*rates))[:2]
        hits[sum(any(_is(codes, e.value, broken) for e in found) for broken in (one, other))] += 1
    return ("any two", str(runs), *(_share(hits[n], runs) for n in (2, 1, 0)))


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"


def _cost(attempts: int) -> tuple[str, ...]:
    """Seconds for the statement and the judgement, with so many attempts open; the best of three."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"chdb://{folder}")
        try:
            store.migrate(NOW)
            _fill(store, attempts)
            clock = SystemClock()
            troubles = _troubles(store)
            tick = Tick(NOW, NOW, NOW - timedelta(hours=6))
            seconds = []
            for _ in range(3):
                began_s = clock.monotonic_s()
                causes = find_causes(store, tick, troubles)
                seconds.append(clock.monotonic_s() - began_s)
        finally:
            store.close()
    right = sum(one.words == "downstream d-3" for one in causes.values())
    affected = sum(one.finding.count for one in troubles)
    return (
        f"{attempts:,}",
        f"{attempts // 2:,}",
        f"{affected:,}",
        str(len(troubles)),
        f"{right} of {len(troubles)}",
        f"{min(seconds):.2f} s",
    )


def _fill(store: Store, attempts: int) -> None:
    """Open attempts of 40 workflows with 200 steps, of which every tenth calls `d-3`; half as many ended lately."""
    statement = """
        INSERT INTO {table} (execution_key, namespace, engine, workflow, workflow_version, execution_id, step, attempt,
            status, started_at, ended_at, queue, worker, downstream, region, is_last_attempt, last_event_at, version,
            folded)
        SELECT
            cityHash64(name), 'default', 'custom', concat('w-', toString(step % 40)), toString(sipHash64(name) % 3),
            name, concat('s-', toString(step)), 1, {{status:String}}, at, if({{status:String}} = 'running', NULL, at),
            concat('q-', toString(step % 7)), concat('k-', toString(sipHash64(name, 1) % 500)),
            concat('d-', toString(intDiv(step, 2) % 10)), concat('r-', toString(sipHash64(name, 2) % 4)), true, at, 1,
            toUnixTimestamp64Micro(at)
        FROM
        (
            SELECT
                concat({{status:String}}, '-', toString(number)) AS name, cityHash64(number, 5) % 200 AS step,
                toDateTime64('2026-01-05 11:55:00', 6, 'UTC') AS at
            FROM numbers({{attempts:UInt64}})
        )
        """
    for name, status, n in (
        ("open_attempt", "running", attempts),
        ("recent_attempt", "completed", attempts // 2),
    ):
        store.engine.command(statement.format(table=name), {"status": status, "attempts": n})


def _troubles(store: Store) -> list[Trouble]:
    """Stalled steps: AFFECTED executions that call `d-3`, and a few others."""
    rows: list[dict[str, Any]] = store.select(
        """
        SELECT workflow, step, groupArray(execution_id) AS executions
        FROM
        (
            SELECT workflow, step, execution_id
            FROM open_attempt
            WHERE downstream = 'd-3' OR sipHash64(execution_id) % 20000 = 0
            ORDER BY sipHash64(execution_id, 9)
            LIMIT {affected:UInt64}
        )
        GROUP BY workflow, step
        HAVING length(executions) > 20
        """,
        {"affected": AFFECTED},
    )
    return [
        Trouble(_finding(row["workflow"], row["step"], row["executions"]), row["executions"])
        for row in rows
    ]


def _finding(workflow: str, step: str, executions: list[str]) -> Finding:
    return Finding(
        detector="stalled_step",
        severity=Severity.WARNING,
        status=Status.FIRING,
        namespace="default",
        engine="custom",
        workflow=workflow,
        step=step,
        executions=tuple(executions[:100]),
        count=len(executions),
        first_seen=NOW,
        last_seen=NOW,
        fingerprint=f"{workflow}:{step}",
        title="",
        explanation="",
        evidence={},
        next_steps=(),
    )
