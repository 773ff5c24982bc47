"""The results of learning: plain values that detectors look up by place."""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Final

import numpy as np

from detectors.calibration.bursts import BurstHabit
from detectors.calibration.compensations import Compensation
from detectors.calibration.declared import Declared
from detectors.calibration.hazards import Liveness
from detectors.calibration.outcomes import Outcomes
from detectors.calibration.payloads import Payloads
from detectors.calibration.scheduling import Pace
from detectors.calibration.trends import Trend
from detectors.calibration.workflows import Workflow
from detectors.statistics.flow_model import Flow
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
ANY_OTHER: Final = "\0"
"""Stands for a version of which nothing is known."""

StepKey = tuple[str, str, str, str]
"""namespace, engine, workflow, step"""
WorkflowKey = tuple[str, str, str]


SHARES: Final = (0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999)
"""Steps in which it is told how many had ended by some age."""


@dataclass(frozen=True)
class Spread:
    """How past durations were spread, for a person's comparison; seconds."""

    n: int
    median_s: float
    p99_s: float
    longest_s: float
    percentiles_s: tuple[float, ...] = ()
    """At SHARES; empty: not known."""
    days: int = 7
    """Of so many last days."""

    @classmethod
    def of(cls, ascending: Floats, days: int = 7) -> "Spread":
        """Of a sorted, not empty sample."""
        return cls(
            n=len(ascending),
            median_s=empirical_quantile(ascending, 0.5),
            p99_s=empirical_quantile(ascending, 0.99),
            longest_s=float(ascending[-1]),
            percentiles_s=tuple(empirical_quantile(ascending, share) for share in SHARES),
            days=days,
        )

    def ended_by(self, age_s: float) -> float:
        """At least this share of them had ended by that age (0 to 1)."""
        if age_s >= self.longest_s:
            return 1.0
        at = bisect_right(self.percentiles_s, age_s)
        return SHARES[at - 1] if at else 0.0


@dataclass(frozen=True)
class Learned:
    """A calibrated duration. `threshold.seconds` is τ; `limit_s` is the age beyond which the thing
    is late, news of it being on the way for `lateness_s`."""

    threshold: Threshold
    spread: Spread
    lateness_s: float = 0.0
    rest_percentiles_s: tuple[float, ...] = ()
    """Gaps only: how long executions go on from here to their end, at `remaining.SHARES`."""
    correlation: float = 1.0
    """By what τ is longer because durations are alike inside executions, of which few are known."""

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
    """A step's usual retries: their ratio to first attempts, the dispersion k of their count per
    10 s (negative binomial), the share of first attempts that fail, by how much swings that last
    inflate the variance of ten minutes, and how much evidence of a storm 10 s may be where short spikes are usual."""

    firsts: float
    ratio: float
    dispersion: float
    first_failures: float = 0.0
    inflation: float = 1.0
    evidence_max: float = math.inf


@dataclass(frozen=True)
class Calibration:
    """Everything learned as of `at`. Empty mappings know nothing and judge nothing."""

    at: datetime
    steps: Mapping[StepKey, Mapping[str, Learned]] = field(default_factory=dict)
    """By version inside; every version's durations together stand under EVERY_VERSION."""
    heartbeats: Mapping[StepKey, Learned] = field(default_factory=dict)
    """How long steps that beat are silent in between."""
    gaps: Mapping[StepKey, Learned] = field(default_factory=dict)
    """What follows this step; the empty step: what follows the start."""
    executions: Mapping[WorkflowKey, Mapping[str, Learned]] = field(default_factory=dict)
    """By version inside, as steps."""
    senders: Mapping[str, Learned] = field(default_factory=dict)
    last_beats: Mapping[str, datetime] = field(default_factory=dict)
    usual_lags_s: Mapping[str, float] = field(default_factory=dict)
    """How late senders deliver, but for one delivery in ten."""
    retries: Mapping[StepKey, RetryHabit] = field(default_factory=dict)
    queue_waits: Mapping[StepKey, Learned] = field(default_factory=dict)
    """From the scheduling of an attempt to its start."""
    timers: Mapping[StepKey, Learned] = field(default_factory=dict)
    """How long after they are due timers fire."""
    liveness: Liveness = field(default_factory=Liveness)
    trends: Mapping[StepKey, Trend] = field(default_factory=dict)
    """Steps whose errors have risen for hours."""
    scheduling: Mapping[StepKey, Pace] = field(default_factory=dict)
    """Gaps before the next step's scheduling, by the step that ended; the empty step: all of the workflow's."""
    bursts: Mapping[str, Mapping[StepKey, BurstHabit]] = field(default_factory=dict)
    """How often steps fail, by the kind of error: failed, timed_out, throttled."""
    flows: Mapping[WorkflowKey, Flow] = field(default_factory=dict)
    """Which step follows which."""
    compensations: Mapping[WorkflowKey, tuple[Compensation, ...]] = field(default_factory=dict)
    """Which step undoes which."""
    declared: Declared = field(default_factory=Declared)
    """What definitions declare."""
    payloads: Mapping[StepKey, Payloads] = field(default_factory=dict)
    large_histories: tuple[int, ...] = ()
    """Keys of running executions that have had large payloads."""
    workflows: Mapping[WorkflowKey, Workflow] = field(default_factory=dict)
    outcomes: Mapping[WorkflowKey, Outcomes] = field(default_factory=dict)
    """How their executions ended."""
    expected: Mapping[str, float] = field(default_factory=dict)
    """False alarms a week by detector, as its thresholds lead one to expect them."""
    watched_s: float = 0.0
    """How long before `at` the first of it happened."""

    def step(self, key: StepKey, version: str) -> Learned | None:
        """What is known of a step in this version; None: it never completed.

        1. A version with enough completions stands for itself. 2. Beside a mature other version a
        new one takes over its tail. 3. Otherwise all versions together, and always for an attempt
        that names no version: it may be any.
        """
        return _of_version(self.steps.get(key), version)

    def execution(self, key: WorkflowKey, version: str) -> Learned | None:
        """What is known of executions of this version, in the same way."""
        return _of_version(self.executions.get(key), version)

    @cached_property
    def least_limits_s(self) -> dict[StepKey, float]:
        """The least age or silence, in seconds, from which on some attempt of a step may be late by what was learned:
        in whatever version, with heartbeats or without."""
        least: dict[StepKey, float] = {}
        for key in self.steps.keys() | self.heartbeats.keys():
            known = [
                self.step(key, version) for version in (*self.steps.get(key, ()), "", ANY_OTHER)
            ]
            limits_s = [
                one.limit_s
                for one in (*known, self.heartbeats.get(key))
                if one is not None and one.limit_s is not None
            ]
            if limits_s:
                least[key] = min(limits_s)
        return least

    def least_execution_limit_s(self, key: WorkflowKey) -> float | None:
        """The least active time, in seconds, from which on some execution may be overdue by what was learned."""
        versions = (*self.executions.get(key, ()), "", ANY_OTHER)
        known = [self.execution(key, version) for version in versions]
        limits_s = [one.limit_s for one in known if one is not None and one.limit_s is not None]
        return min(limits_s, default=None)

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


def _of_version(versions: Mapping[str, Learned] | None, version: str) -> Learned | None:
    if versions is None:
        return None
    own = versions.get(version)
    everything = versions[EVERY_VERSION]
    if not version:
        return everything
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
