"""Who may raise how many of the false alarms that the configuration allows in a week.

`[detectors] false_alarms_per_week` is one number for the whole watch. Here it is split, and only here:
stalls have 40 % of it (senders that fall silent a tenth of that), dead queues 20 %, retry storms 20 %,
bursts 20 %. A detector that tests many places splits its part further: a step's threshold is held to
part ÷ attempts of the fleet in a week, a chart to part ÷ number of charts.

Detectors that follow a rule and no probability (an attempt was the last one allowed; an event is
missing) have no part: they err only where what they were told is wrong.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from stallwatch.config import DetectorsConfig

PARTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "stalled_step": 0.36,
        "telemetry_silence": 0.04,
        "dead_queue": 0.2,
        "retry_storm": 0.2,
        "error_burst": 0.1,
        "timeout_burst": 0.05,
        "throttled": 0.05,
    }
)
"""Of the whole budget, by the detector whose name the part bears."""

HELD_TO: Final[Mapping[str, str]] = MappingProxyType(
    {
        "never_started": "stalled_step",
        "stalled_execution": "stalled_step",
        "overdue_execution": "stalled_step",
        "overdue_wait": "stalled_step",
    }
)
"""Detectors without a part of their own, by the one whose part they draw on: the same probability
holds for a queue wait, a gap, an execution and a step."""


def share(config: DetectorsConfig, detector: str) -> float:
    """False alarms that this detector may raise in a week, together with those held to the same part.

    Raises KeyError for a detector that has no part.
    """
    return part_of(config.false_alarms_per_week, detector)


def part_of(per_week: float, detector: str) -> float:
    """The detector's part of `per_week` false alarms. Raises KeyError where it has none."""
    return per_week * PARTS[HELD_TO.get(detector, detector)]


def part_name(detector: str) -> str | None:
    """The detector whose part this one draws on: itself, another one, or none."""
    name = HELD_TO.get(detector, detector)
    return name if name in PARTS else None
