"""Was a finding right? What people say of it, what completions show, and what both mean for the budget."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from detectors.expectations import expected
from detectors.spending import MONTH, spending
from stallwatch.clock import Clock
from stallwatch.config import DetectorsConfig
from stallwatch.store.labels import judge_finding, label_json, labels
from stallwatch.store.state import State

ROADS: Final = {"late_completion": "from_late_completions", "feedback": "from_feedback"}


def judged(state: State, fields: dict[str, Any], by: str, now: datetime) -> dict[str, Any]:
    """Keep a verdict: `fingerprint`, `verdict` and `note` of the fields. Returns the label; InputError says what is
    wrong."""
    label = judge_finding(
        state,
        str(fields["fingerprint"]),
        str(fields["verdict"]),
        note=str(fields.get("note", "")),
        by=by,
        at=now,
    )
    return label_json(label)


def budget_rows(state: State, config: DetectorsConfig, now: datetime) -> list[dict[str, Any]]:
    """The parts of the budget and what became of them, under their public field names."""
    known = labels(state, first_seen_from=now - MONTH)
    return [asdict(one) for one in spending(config, known, expected(state), now)]


class BudgetMetrics(Collector):
    """The same for Prometheus, read whenever it asks."""

    def __init__(self, state: State, config: DetectorsConfig, clock: Clock) -> None:
        self._state = state
        self._config = config
        self._clock = clock

    def describe(self) -> list[Metric]:
        """Nothing is read at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        """False alarms of the last 7 days by detector and road, and what is allowed a week."""
        wrong = GaugeMetricFamily(
            "stallwatch_false_alarms_7d",
            "Findings of the last 7 days that were wrong, by how that is known",
            labels=["detector", "known_from"],
        )
        allowed = GaugeMetricFamily(
            "stallwatch_false_alarms_allowed_per_week",
            "False alarms a week that the configuration allows",
            labels=["detector"],
        )
        for row in budget_rows(self._state, self._config, self._clock.now()):
            for road, column in ROADS.items():
                wrong.add_metric([row["detector"], road], row[f"{column}_7d"])
            if row["allowed_per_week"] is not None:
                allowed.add_metric([row["detector"]], row["allowed_per_week"])
        yield wrong
        yield allowed
