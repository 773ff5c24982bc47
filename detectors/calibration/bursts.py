"""How often steps fail, time out and are throttled when all is well, and how much that varies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any, Final

import numpy as np

from detectors.statistics.bursts import (
    COMMON,
    ERRORS_MIN,
    KNOWN_MIN,
    SCREEN_Z,
    WINDOWS_MIN,
    dispersion_by_moments,
    learn_correction,
    rate_of,
    widened,
    window_evidence,
)
from detectors.statistics.samples import Floats
from stallwatch.store import Store

BASELINE: Final = timedelta(hours=24)
LAG: Final = timedelta(minutes=70)
"""The last of it, which may hold the burst that is to be told, teaches nothing."""
HIGHS_MAX: Final = 2_000
"""Windows far above the rate, of one step and length: what they teach is a mean."""
KINDS: Final = ("failed", "timed_out", "throttled")
THROTTLES: Final = (
    r"(?i)throttl|too.?many.?requests|resource.?exhausted|rate.{0,2}(limit|exceed|too.?large)"
    r"|(request|bandwidth).?limit.?exceed|^limit.?exceeded.?exception$|^prior.?request.?not.?complete"
    r"|throughput.?exceed|quota.?exceed|concurren\w*.?limit|rps.?limit|^slow.?down$|(^|[^0-9])429([^0-9]|$)"
)
"""Error types by which a service says that it is asked too much: AWS's `ThrottlingException`, `SlowDown`,
`TooManyRequestsException`, `ProvisionedThroughputExceededException` and the others that botocore calls so but for
transactions in progress; gRPC's and Temporal's `RESOURCE_EXHAUSTED`; Cosmos DB's `RequestRateTooLarge`; HTTP's 429."""

StepKey = tuple[str, str, str, str]
"""namespace, engine, workflow, step"""
Row = Mapping[str, Any]
_NONE: Final = (0.0,) * len(WINDOWS_MIN)
_NO_STRETCH: Final = (1.0,) * len(WINDOWS_MIN)


@dataclass(frozen=True)
class BurstHabit:
    """One kind of error of one step: the errors and attempts that its usual rate is known from, and by length of
    window the dispersion and the correction of evidence (see `detectors.statistics.bursts`)."""

    errors: float
    attempts: float
    dispersions: tuple[float, ...] = _NONE
    stretches: tuple[float, ...] = _NO_STRETCH
    surpluses: tuple[float, ...] = _NONE

    @property
    def rate(self) -> float:
        return (self.errors + 0.5) / (self.attempts + 1.0)


UNSEEN: Final = BurstHabit(errors=0.0, attempts=KNOWN_MIN)
"""What is taken for usual where nothing was ever seen, of a kind that usually never happens."""


def learn_bursts(store: Store, now: datetime) -> dict[str, dict[StepKey, BurstHabit]]:
    """The habits of every step with attempts in the trailing day, by kind."""
    rows = store.select(
        (files("detectors.calibration") / "bursts.sql").read_text(encoding="utf-8").strip(),
        {
            "from": now - BASELINE - LAG,
            "until": now,
            "folded_from": max(0, int((now - BASELINE - LAG).timestamp() * 1e6)),
            "until_min": int(now.timestamp()) // 60,
            "lag_min": int(LAG.total_seconds()) // 60,
            "enough": int(KNOWN_MIN),
            "pairs": [(kind, w) for kind in range(1, len(KINDS) + 1) for w in WINDOWS_MIN],
            "throttles": THROTTLES,
            "errors_min": ERRORS_MIN,
            "screen_z": SCREEN_Z,
            "highs_max": HIGHS_MAX,
        },
    )
    return {
        kind: habits_of([row for row in rows if row["kind"] == number])
        for number, kind in enumerate(KINDS, start=1)
    }


def habits_of(rows: Sequence[Row]) -> dict[StepKey, BurstHabit]:
    """Habits of one kind from the sums of `bursts.sql`; a step without errors has a row for windows of 1 min alone."""
    totals: dict[StepKey, Row] = {_key(row): row for row in rows if row["window_min"] == 1}
    dispersions = {key: list(_NONE) for key in totals}
    stretches = {key: list(_NO_STRETCH) for key in totals}
    surpluses = {key: list(_NONE) for key in totals}
    for place, window_min in enumerate(WINDOWS_MIN):
        of_length = [row for row in rows if row["window_min"] == window_min]
        rho = _dispersions(of_length)
        stretch, surplus = _corrections(of_length, rho)
        for number, row in enumerate(of_length):
            key = _key(row)
            dispersions[key][place] = float(rho[number])
            stretches[key][place] = float(stretch[number])
            surpluses[key][place] = float(surplus[number])
    return {
        key: BurstHabit(
            row["sum_e"],
            row["sum_n"],
            tuple(dispersions[key]),
            tuple(stretches[key]),
            tuple(surpluses[key]),
        )
        for key, row in totals.items()
    }


def _key(row: Row) -> StepKey:
    return (row["namespace"], row["engine"], row["workflow"], row["step"])


def _column(rows: Sequence[Row], name: str) -> Floats:
    return np.array([row[name] for row in rows], dtype=np.float64)


def _dispersions(rows: Sequence[Row]) -> Floats:
    names = ("sum_e", "sum_n", "sum_nn", "sum_pairs", "sum_en", "sum_ee")
    rho = dispersion_by_moments(*(_column(rows, name) for name in names))
    return widened(rho, _column(rows, "windows"))


def _corrections(rows: Sequence[Row], dispersions: Floats) -> tuple[Floats, Floats]:
    """What the evidence of the past's own windows says of the evidence to come."""
    which = np.repeat(np.arange(len(rows)), [len(row["highs"]) for row in rows])
    highs = np.array([high for row in rows for high in row["highs"]], dtype=np.float64)
    errors, attempts = highs.reshape(-1, 2).T
    known = _column(rows, "sum_n")
    rates = rate_of(_column(rows, "sum_e"), known)
    evidence = window_evidence(errors, attempts, rates[which], known[which], dispersions[which])
    excess = np.maximum(evidence - COMMON, 0.0)
    counts, excesses = (
        np.bincount(which, weights=one, minlength=len(rows)).astype(np.float64)
        for one in (excess > 0, excess)
    )
    ends = np.cumsum([len(row["highs"]) for row in rows])
    seconds = [np.sort(one)[-2] if len(one) > 1 else 0.0 for one in np.split(excess, ends)[:-1]]
    return learn_correction(counts, excesses, np.array(seconds), _column(rows, "windows"))
