"""The recommendations as tables: exact for programs, short for people."""

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd

from dashboards.report.sentences import VERDICT_WORDS, advice, name_of, share
from stallwatch.model.durations import format_duration
from stallwatch.model.recommendations import RECOMMENDATION_FIELDS, StepRecommendation

FIELDS: Final = (
    *RECOMMENDATION_FIELDS,
    "guidance_buffer",
    "recommended_cut",
    "guidance_cut",
    "recommended_cut_n",
    "missing_n",
    "canary_timeout_s",
    "weekly_upper_s",
    "change",
    "cheapest_timeout_s",
    "workflow_current_timeout_s",
    "workflow_p999_s",
    "workflow_recommended_timeout_s",
    "notes",
    "advice",
)
"""What JSON and CSV hold of a step, in this order: the public view's columns, then the reasons."""

NOTHING: Final = "\N{EN DASH}"
_COUNTS: Final = ("n", "censored", "recommended_cut_n", "missing_n")
_DURATIONS: Final = {
    "p50": "p50_s",
    "p95": "p95_s",
    "p99": "p99_s",
    "p99.9": "p999_s",
    "current": "current_timeout_s",
    "recommended": "recommended_timeout_s",
    "guidance": "guidance_timeout_s",
}


def record(step: StepRecommendation) -> dict[str, Any]:
    """One step under FIELDS, in plain JSON types; `week` is an ISO date."""
    values = {name: getattr(step, name) for name in FIELDS if name != "advice"}
    return {
        **values,
        "week": step.week.isoformat(),
        "notes": list(step.notes),
        "advice": advice(step),
    }


def exact(steps: Sequence[StepRecommendation]) -> pd.DataFrame:
    """A row per step, a column per field; counts stay whole numbers where one is missing."""
    rows = [{**record(step), "notes": " ".join(step.notes)} for step in steps]
    return pd.DataFrame(rows, columns=list(FIELDS)).astype(dict.fromkeys(_COUNTS, "Int64"))


def readable(steps: Sequence[StepRecommendation]) -> pd.DataFrame:
    """The columns of the printed table as text, durations in words."""
    table = pd.DataFrame(
        {
            "step": [name_of(step) for step in steps],
            "verdict": [VERDICT_WORDS[step.verdict] for step in steps],
            "n": [f"{step.n:,}" for step in steps],
            "timed out": [f"{step.censored:,}" for step in steps],
        },
        dtype="str",
    )
    for title, field in _DURATIONS.items():
        table[title] = [_duration(getattr(step, field)) for step in steps]
    behind_p99 = list(table.columns).index("p99") + 1
    table.insert(behind_p99, "p99 lies within", [_interval(step) for step in steps])
    table["buffer"] = [NOTHING if s.buffer is None else f"{s.buffer:+.0%}" for s in steps]
    table["healthy cut"] = [_cut(step) for step in steps]
    return table


def _cut(step: StepRecommendation) -> str:
    """Without enough data for a verdict the estimate would only mislead."""
    if step.healthy_cut is None or step.verdict == "inconclusive":
        return NOTHING
    return share(step.healthy_cut)


def _duration(seconds: float | None) -> str:
    return NOTHING if seconds is None else format_duration(seconds)


def _interval(step: StepRecommendation) -> str:
    if step.p99_low_s is None and step.p99_high_s is None:
        return NOTHING
    low = "0" if step.p99_low_s is None else format_duration(step.p99_low_s)
    high = "?" if step.p99_high_s is None else format_duration(step.p99_high_s)
    return f"{low} to {high}"
