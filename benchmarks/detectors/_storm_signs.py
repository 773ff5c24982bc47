"""What is said of a storm: how often the retry policy and the cause are named right."""

from typing import Final

import numpy as np
from numpy.random import Generator

from detectors.calibration import RetryHabit
from detectors.statistics.backoff import retry_pattern
from detectors.storm import root_causes

PLACE: Final = {"namespace": "default", "engine": "custom", "workflow": "shop", "step": "call"}


# What the pauses say ---------------------------------------------------------------------------


def patterns(quick: bool) -> str:
    repeats = 100 if quick else 2000
    lines = ["| | 20 retries | 50 retries | 200 retries |", "|---|---|---|---|"]
    for kind, share in (("none", 0.0), ("equal", 0.5), ("full", 1.0)):
        rates = [_right("jitter", kind, 2.0, share, n, repeats) for n in (20, 50, 200)]
        lines.append(
            f"| jitter: {kind} | " + " | ".join(f"{100 * one:.1f} %" for one in rates) + " |"
        )
    for kind, factor in (("fixed", 1.0), ("exponential", 2.0)):
        rates = [_right("backoff", kind, factor, None, n, repeats) for n in (20, 50, 200)]
        lines.append(
            f"| backoff: {kind} | " + " | ".join(f"{100 * one:.1f} %" for one in rates) + " |"
        )
    return (
        "How often the retry policy is recognised. Pauses of 0.2 to 20 s before up to four retries of a call; each "
        "comes 2 % and some milliseconds off:\n\n" + "\n".join(lines)
    )


def _right(what: str, kind: str, factor: float, share: float | None, n: int, repeats: int) -> float:
    """The share of storms that are described right; `share` of the pause is jitter, None: any."""
    random = np.random.default_rng([17, n, round(10 * factor), round(10 * (share or 0)), len(what)])
    right = 0
    for _ in range(repeats):
        jitter = random.choice((0.0, 0.5, 1.0)) if share is None else share
        pattern = retry_pattern(_pauses(random, n, factor, jitter), [])
        right += getattr(pattern, what).value == kind
    return right / repeats


def _pauses(random: Generator, n: int, factor: float, jitter: float) -> dict[int, list[float]]:
    """`n` pauses, fewer before each further attempt."""
    base_s = float(np.exp(random.uniform(np.log(0.2), np.log(20))))
    pauses: dict[int, list[float]] = {}
    for attempt in random.choice((2, 3, 4, 5), n, p=(0.4, 0.3, 0.2, 0.1)):
        nominal_s = base_s * factor ** (attempt - 2)
        drawn_s = nominal_s * (1 - jitter * random.random()) * (1 + random.normal(0, 0.02))
        late_s = random.exponential(0.01)
        pauses.setdefault(int(attempt), []).append(max(drawn_s, 0.0) + late_s)
    return pauses


# What is behind it -----------------------------------------------------------------------------


def causes(quick: bool) -> str:
    repeats = 50 if quick else 1000
    lines = [
        "| callers of each downstream | right by the product | by raw counts |",
        "|---|---|---|",
    ]
    for callers in (2, 5, 20):
        random = np.random.default_rng([19, callers])
        found = [_cause_is_right(random, callers) for _ in range(repeats)]
        ours, raw = (float(np.mean([one[i] for one in found])) for i in (0, 1))
        lines.append(f"| {callers} | {100 * ours:.1f} % | {100 * raw:.1f} % |")
    return (
        "One of 20 downstreams refuses a tenth to a half of the calls; in three other steps something of their own "
        "goes wrong as badly, and volumes differ a hundredfold:\n\n" + "\n".join(lines)
    )


def _cause_is_right(random: Generator, callers: int) -> tuple[bool, bool]:
    steps = 20 * callers
    downstream = np.repeat(np.arange(20), callers)
    guilty = int(random.integers(20))
    firsts = random.poisson(60 * np.exp(random.normal(0, 1.2, steps))) + 1
    usual = np.exp(random.uniform(np.log(0.002), np.log(0.1), steps))
    ratio = usual.copy()
    refuses = random.uniform(0.1, 0.5)
    ratio[downstream == guilty] += refuses * random.uniform(0.5, 1.5, callers)
    ratio[random.choice(np.flatnonzero(downstream != guilty), 3, replace=False)] += refuses
    level = random.gamma(5.0, 1 / 5.0, steps)
    retries = random.poisson(ratio * level * firsts)
    rows = [
        {
            **PLACE,
            "step": f"s-{i}",
            "calls": [([f"d-{downstream[i]}"], [int(firsts[i])], [int(retries[i])])],
        }
        for i in range(steps)
    ]
    habits = {
        ("default", "custom", "shop", f"s-{i}"): RetryHabit(1e4, float(usual[i]), 5.0)
        for i in range(steps)
    }
    name, _ = root_causes(rows, habits)["default"]
    raw = int(np.bincount(downstream, weights=retries).argmax())
    return name == f"d-{guilty}", raw == guilty
