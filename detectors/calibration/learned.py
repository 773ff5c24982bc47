"""The results of learning: plain values that detectors look up by place."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np

from detectors.calibration.declared import Declared
from detectors.statistics.samples import Floats, empirical_quantile
from detectors.statistics.threshold import (
    NEW_VERSION_MIN,
    Threshold,
    version_threshold,
)

SLACK_MIN_S: Final = 1.0
SLACK_MEDIAN_SHARE: Final = 0.05
"""News of an end takes at least a moment, and what always takes equally long never takes exactly
equally long: 5 % of the median keeps a constant duration from being its own threshold. For spread
out durations both are small beside the threshold."""

VERSION_MATURE: Final = 300
VERSION_SETTLED: Final = 500
"""A version with fewer completions borrows the tail of the one that has most, if that is mature."""

EVERY_VERSION: Final = "*"

StepKey = tuple[str, str, str, str]
"""namespace, engine, workflow, step"""
WorkflowKey = tuple[str, str, str]


@dataclass(frozen=True)
class Spread:
    """How past durations were spread, for a person's comparison; seconds."""

    n: int
    median_s: float
    p99_s: float
    longest_s: float

    @classmethod
    def of(cls, ascending: Floats) -> "Spread":
        """Of a sorted, not empty sample."""
        return cls(
            n=len(ascending),
            median_s=empirical_quantile(ascending, 0.5),
            p99_s=empirical_quantile(ascending, 0.99),
            longest_s=float(ascending[-1]),
        )


@dataclass(frozen=True)
class Learned:
    """A calibrated duration. `threshold.seconds` is τ; `limit_s` is the age beyond which the thing
    is late, news of it being on the way for `lateness_s`."""

    threshold: Threshold
    spread: Spread
    lateness_s: float = 0.0
    rest_s: float = 0.0
    """Gaps only: how long, in the median, an execution goes on from here to its end."""

    @property
    def slack_s(self) -> float:
        """What is allowed beyond τ."""
        return max(self.lateness_s, SLACK_MIN_S, SLACK_MEDIAN_SHARE * self.spread.median_s)

    @property
    def limit_s(self) -> float | None:
        """None: never late."""
        seconds = self.threshold.seconds
        return None if seconds is None else seconds + self.slack_s


@dataclass(frozen=True)
class RetryHabit:
    """A step's usual retries: their ratio to first attempts, and the dispersion k of their count
    per 10 s (negative binomial)."""

    firsts: float
    ratio: float
    dispersion: float


@dataclass(frozen=True)
class Calibration:
    """Everything learned as of `at`. Empty mappings know nothing and judge nothing."""

    at: datetime
    steps: Mapping[StepKey, Mapping[str, Learned]] = field(default_factory=dict)
    """By version inside; every version's durations together stand under EVERY_VERSION."""
    gaps: Mapping[StepKey, Learned] = field(default_factory=dict)
    """What follows this step; the empty step: what follows the start."""
    executions: Mapping[WorkflowKey, Learned] = field(default_factory=dict)
    senders: Mapping[str, Learned] = field(default_factory=dict)
    last_beats: Mapping[str, datetime] = field(default_factory=dict)
    retries: Mapping[StepKey, RetryHabit] = field(default_factory=dict)
    declared: Declared = field(default_factory=Declared)
    """What definitions declare."""

    def step(self, key: StepKey, version: str) -> Learned | None:
        """What is known of a step in this version; None: it never completed.

        1. A version with enough completions stands for itself. 2. Beside a mature other version a
        new one takes over its tail. 3. Otherwise all versions together.
        """
        versions = self.steps.get(key)
        if versions is None:
            return None
        own = versions.get(version)
        everything = versions[EVERY_VERSION]
        if own is not None and own.spread.n >= VERSION_SETTLED:
            return own
        others = [
            learned
            for name, learned in versions.items()
            if name not in (EVERY_VERSION, version) and learned.spread.n >= VERSION_MATURE
        ]
        if not others:
            return everything
        return _moved(max(others, key=lambda one: one.spread.n), own)

    def lateness_s(self, key: StepKey) -> float:
        """How late news of this step's ends usually are; of the whole fleet's where it has none."""
        versions = self.steps.get(key)
        if versions is not None:
            return versions[EVERY_VERSION].lateness_s
        return self.fleet_lateness_s

    @property
    def fleet_lateness_s(self) -> float:
        """The median of all steps' lateness; 0 without any."""
        known = sorted(versions[EVERY_VERSION].lateness_s for versions in self.steps.values())
        return known[len(known) // 2] if known else 0.0


def _moved(old: Learned, new: Learned | None) -> Learned:
    """The old version's tail where the new version's median is."""
    tau_s = old.threshold.seconds
    if tau_s is None:
        return old
    enough = new is not None and new.spread.n >= NEW_VERSION_MIN
    n = new.spread.n if new is not None else 0
    median_s = new.spread.median_s if new is not None and enough else old.spread.median_s
    # Only the count and the median of the new durations matter for the moved threshold.
    moved_s = version_threshold(tau_s, old.spread.median_s, np.full(n, median_s))
    threshold = Threshold(moved_s, old.threshold.rule, n, old.threshold.alpha)
    return Learned(
        threshold, new.spread if new is not None and enough else old.spread, old.lateness_s
    )
