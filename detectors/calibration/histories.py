"""Which running executions have had payloads so large that their histories may be full before they are long."""

from importlib.resources import files
from typing import Any, Final

from detectors.limits import HISTORY_LIMIT_BYTES
from stallwatch.store import Store

LARGE_BYTES: Final = 64 * 1024
"""Smaller ones fill a history no sooner than their number does."""
KNOWN_MOST: Final = 200
_SQL: Final = (files("detectors.calibration") / "histories.sql").read_text(encoding="utf-8")


def sized() -> dict[str, Any]:
    """The engines that limit the bytes of a history, and what is large: parameters of statements."""
    return {"sized": list(HISTORY_LIMIT_BYTES), "large": LARGE_BYTES}


def learn_large_histories(store: Store) -> tuple[int, ...]:
    """Keys of executions, the one with most bytes first."""
    rows = store.select(_SQL, {**sized(), "most": KNOWN_MOST})
    return tuple(row["execution_key"] for row in rows)
