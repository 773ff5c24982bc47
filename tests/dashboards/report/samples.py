"""Steps whose numbers are written by hand, one for each verdict."""

from datetime import UTC, date, datetime
from typing import Any, Final

from stallwatch.model.recommendations import StepRecommendation

NOW: Final = datetime(2026, 1, 5, 8, tzinfo=UTC)
SINCE: Final = datetime(2025, 12, 29, 8, tzinfo=UTC)
WINDOW: Final = (NOW, SINCE, NOW)
CURVE: Final = ((0.5, 1.0), (2.0, 0.5), (5.0, 0.01), (8.0, 0.001))


def a_step(step: str = "charge", **changes: Any) -> StepRecommendation:
    """A step with too loose a timeout, or what `changes` make of it."""
    values: dict[str, Any] = {
        "namespace": "default",
        "engine": "custom",
        "workflow": "order",
        "step": step,
        "n": 4812,
        "censored": 40,
        "p50_s": 2.0,
        "p95_s": 3.8,
        "p99_s": 5.0,
        "p999_s": 7.0,
        "p99_low_s": 4.8,
        "p99_high_s": 5.2,
        "current_timeout_s": 300.0,
        "recommended_timeout_s": 8.04,
        "guidance_timeout_s": 6.5,
        "buffer": 0.608,
        "verdict": "too_loose",
        "healthy_cut": 0.0,
        "stuck_s_saved": 11_520.0,
        "week": date(2026, 1, 5),
        "guidance_buffer": 0.3,
        "recommended_cut": 0.0,
        "guidance_cut": 0.002,
        "recommended_cut_n": 0,
        "survival": CURVE,
    }
    return StepRecommendation(**{**values, **changes})


def every_verdict() -> list[StepRecommendation]:
    """In an order that is not the report's."""
    return [
        a_step("reserve", verdict="ok", current_timeout_s=10.0, stuck_s_saved=78.4),
        a_step(
            "notify",
            n=87,
            censored=0,
            p999_s=None,
            p99_high_s=None,
            recommended_timeout_s=None,
            guidance_timeout_s=None,
            buffer=None,
            verdict="inconclusive",
            stuck_s_saved=None,
            recommended_cut=None,
            guidance_cut=None,
            recommended_cut_n=None,
            missing_n=212,
            notes=("A note.", "Another one."),
        ),
        a_step(),
        a_step("ship", verdict="no_timeout", censored=0, current_timeout_s=None, healthy_cut=None),
        a_step(
            "pack",
            verdict="too_tight",
            n=4812,
            censored=58,
            current_timeout_s=6.0,
            recommended_timeout_s=9.0,
            healthy_cut=0.012,
            stuck_s_saved=-174.0,
        ),
    ]
