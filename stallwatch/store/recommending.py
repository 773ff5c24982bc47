"""Writing timeout recommendations: one row per step and week, the newest writing counts."""

from collections.abc import Sequence
from datetime import datetime

from stallwatch.model.recommendations import LOGGED_FIELDS, StepRecommendation
from stallwatch.store.store import Store


def write_recommendations(
    store: Store, recommendations: Sequence[StepRecommendation], now: datetime
) -> None:
    """Write what the `recommendations` view shows. The same step and week again replaces its row."""
    rows = [
        [*(getattr(recommendation, name) for name in LOGGED_FIELDS), now]
        for recommendation in recommendations
    ]
    store.engine.insert_rows("recommendation_log", (*LOGGED_FIELDS, "written_at"), rows)
