"""Rows, calibrations and ticks for pure tests of detectors."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from detectors.calibration import Calibration, Learned, RetryHabit, Spread
from detectors.calibration.learned import EVERY_VERSION
from detectors.detector import Context
from detectors.statistics.remaining import SHARES
from detectors.statistics.threshold import Threshold
from stallwatch.config import load_detectors
from stallwatch.model.ticks import Tick

NOW: Final = datetime(2026, 1, 5, 12, tzinfo=UTC)
EPOCH: Final = NOW - timedelta(hours=6)
PLACE: Final = ("default", "custom", "order", "charge")
NAMES: Final = {"namespace": "default", "engine": "custom", "workflow": "order"}


def ago(seconds: float) -> datetime:
    """So many seconds before NOW."""
    return NOW - timedelta(seconds=seconds)


def tick(until: datetime = NOW, epoch: datetime = EPOCH) -> Tick:
    return Tick(epoch, until, epoch)


def learned(tau_s: float | None = 10.0, n: int = 500, **more: Any) -> Learned:
    """A calibrated duration of median 2 s and p99 6 s whose longest was 8 s."""
    spread = Spread(n=n, median_s=2.0, p99_s=6.0, longest_s=8.0)
    return Learned(Threshold(tau_s, "gpd", n, 1e-5), spread, **more)


def calibration(**known: Any) -> Calibration:
    """Knows charge of order (τ = 10 s), its gaps (τ = 10 s), order (τ = 60 s), one sender (20 s)."""
    defaults: dict[str, Any] = {
        "steps": {PLACE: {EVERY_VERSION: learned()}},
        "gaps": {PLACE: learned(rest_percentiles_s=(3.0,) * len(SHARES))},
        "executions": {PLACE[:3]: {EVERY_VERSION: learned(60.0)}},
        "senders": {"shop": learned(20.0)},
        "last_beats": {"shop": NOW},
        "retries": {PLACE: RetryHabit(firsts=1000.0, ratio=0.02, dispersion=1e6)},
    }
    return Calibration(at=ago(600), **{**defaults, **known})


def context(policy: dict[str, Any] | None = None, **more: Any) -> Context:
    """With the default configuration unless `policy`, a [detectors] section, says otherwise."""
    known = more.pop("calibration", None) or calibration()
    return Context(load_detectors(policy or {}, "test"), known, **more)
