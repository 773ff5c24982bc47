"""The timeout tuning report, made on demand and once a week."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from dashboards.report import Format, headlines, render
from detectors.recommendations import recommend_timeouts
from stallwatch.app.access import state_folder
from stallwatch.config import Settings
from stallwatch.model.recommendations import StepRecommendation
from stallwatch.store import Store
from stallwatch.store.recommending import write_recommendations

PAST: Final = timedelta(days=28)
HEADLINES: Final = 5


@dataclass(frozen=True)
class WeeklyReport:
    """Where the page is, its name, and what to say of it: how many steps need a change, then the first of them."""

    path: Path
    name: str
    headlines: list[str]


def make_report(
    store: Store, settings: Settings, since: datetime, now: datetime, form: Format
) -> str:
    """The report over [since, now) in one of its forms."""
    return render(recommendations(store, settings, since, now), form, now, since, now)


def recommendations(
    store: Store, settings: Settings, since: datetime, now: datetime
) -> list[StepRecommendation]:
    """What every step's timeout should be, from attempts that ended in [since, now)."""
    return recommend_timeouts(store, since, now, settings.report.buffer)


def write_weekly_report(store: Store, settings: Settings, now: datetime) -> WeeklyReport:
    """Write the report as a page into `reports/` beside the state, and its numbers into the store."""
    found = recommendations(store, settings, now - PAST, now)
    write_recommendations(store, found, now)
    folder = state_folder(settings) / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"timeouts-{now:%G-W%V}.html"
    path.write_text(render(found, "html", now, now - PAST, now), encoding="utf-8")
    return WeeklyReport(path, f"timeouts {now:%G-W%V}", headlines(found, HEADLINES))
