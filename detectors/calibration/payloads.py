"""How large the payloads of steps are, and how large they were when the week began."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any, Final, NamedTuple

from detectors.limits import PAYLOAD_LIMIT_BYTES, PAYLOAD_NEAR
from stallwatch.store import Store

Place = tuple[str, str, str, str]
"""namespace, engine, workflow, step"""

SAMPLE: Final = 2000
"""Payloads of a step that are looked at, of all times of the window alike."""
COMPARED: Final = 300
"""So many tell a p99 and its upper limit: the longest of 299 exceeds it with 95 % confidence."""
_COUNTS: Final = {"sample": SAMPLE, "compared": COMPARED}
_SQL: Final = (files("detectors.calibration") / "payloads.sql").read_text(encoding="utf-8")


class Sizes(NamedTuple):
    """`n` payloads in bytes. With `n` of a few hundred, the p99 lies between `low` (p98) and `high` (p99.9)
    with 95 % confidence each; with more it lies so all the more."""

    n: int
    low: float
    p99: float
    high: float


@dataclass(frozen=True)
class Payloads:
    """A step's payloads of the last days: `n` in all; the earliest COMPARED of a sample, and the latest that came live.

    `near`: how many of the latest are beyond PAYLOAD_NEAR of the engine's limit. What came live is None where none did.
    """

    n: int
    earliest: Sizes
    earliest_until: datetime
    latest: Sizes | None
    latest_from: datetime
    latest_until: datetime
    near: int


def near_limits() -> dict[str, Any]:
    """The engines that have a limit, and how many bytes are near it: parameters of statements."""
    return {
        "engines": list(PAYLOAD_LIMIT_BYTES),
        "near": [PAYLOAD_NEAR * limit for limit in PAYLOAD_LIMIT_BYTES.values()],
    }


def learn_payloads(store: Store, since: datetime, until: datetime) -> dict[Place, Payloads]:
    """From the attempts with a payload whose last event came in (since, until]."""
    rows = store.select(_SQL, {"from": since, "until": until, **_COUNTS, **near_limits()})
    return payloads_of(rows)


def payloads_of(rows: Iterable[Mapping[str, Any]]) -> dict[Place, Payloads]:
    """From rows of `payloads.sql`."""
    return {
        (row["namespace"], row["engine"], row["workflow"], row["step"]): Payloads(
            n=row["n"],
            earliest=Sizes(row["earliest_n"], *row["earliest"]),
            earliest_until=row["earliest_until"],
            latest=Sizes(row["latest_n"], *row["latest"]) if row["latest_n"] else None,
            latest_from=row["latest_from"],
            latest_until=row["latest_until"],
            near=row["latest_near"],
        )
        for row in rows
    }
