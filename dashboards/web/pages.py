"""The pages: rendered here, escaped by the template engine, readable without scripts."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from dashboards import reading
from dashboards.shown import shown
from dashboards.web.api import Budget
from dashboards.web.asked import filters_of
from dashboards.web.sparkline import sparkline
from dashboards.web.timeline import timeline
from stallwatch.clock import Clock
from stallwatch.model.durations import format_duration
from stallwatch.model.findings import Finding, Severity, Status
from stallwatch.store import Store
from stallwatch.store.labels import Label, labels
from stallwatch.store.state import State

PERIODS: Final = {"1h": 3600.0, "6h": 21600.0, "24h": 86400.0, "7d": 604800.0, "30d": 2592000.0}
PERIOD_DEFAULT: Final = "24h"
SENDER_SILENT_S: Final = 300.0
"""A sender not heard for so long is shown as quiet; whether that is trouble, telemetry_silence judges."""
IDS_SHOWN_MAX: Final = 8
NOTHING: Final = "\N{EN DASH}"
_SEVERITIES: Final = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)


class Pages:
    """Every page over one store."""

    def __init__(
        self, store: Store, state: State | None, clock: Clock, budget: Budget = list
    ) -> None:
        self._store = store
        self._budget = budget
        self._state = state
        self._clock = clock
        self._templates = Environment(
            loader=PackageLoader("dashboards.web"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True, finalize=shown,
        )  # fmt: skip
        self._templates.filters.update(
            duration=lambda s: NOTHING if s is None else format_duration(s),
            clock_time=_clock_time,
            execution_url=execution_url,
            words=lambda text: str(text).replace("_", " "),
        )

    def routes(self) -> list[Route]:
        """The routes of the pages."""
        return [
            Route("/", self.home),
            Route("/steps", self.steps),
            Route("/executions", self.executions),
            Route("/executions/{execution_id:anything}", self.execution),
        ]

    def home(self, request: Request) -> Response:
        """What is stuck now; with `?incident=ID`, as alerts link to it, that incident."""
        now = self._clock.now()
        filters_of(request.query_params, now, ("incident",))
        if "incident" in request.query_params:
            return self._incident(request.query_params["incident"], now)
        found = reading.findings(self._state or self._store, reading.Filters())
        firing = sorted(
            (one for one in found if one.status is Status.FIRING),
            key=lambda one: (_SEVERITIES.index(one.severity), one.first_seen),
        )
        senders = reading.ingest_health(self._store)
        for sender in senders:
            age_s = (now - sender["last_received_at"]).total_seconds()
            sender.update(age_s=max(0.0, age_s), quiet=age_s > SENDER_SILENT_S)
        return self._page(
            "home.html",
            now,
            firing=self._cards(firing, now),
            pending=self._cards([one for one in found if one.status is Status.PENDING], now),
            unknown=self._cards([one for one in found if one.status is Status.UNKNOWN], now),
            budget=self._budget(),
            counts=reading.counts(self._store, now - timedelta(hours=24)),
            senders=senders,
        )

    def _incident(self, incident_id: str, now: datetime) -> Response:
        found = reading.incident(self._store, incident_id)
        if found is None:
            raise HTTPException(404, "there is no such incident")
        cards = self._cards(found["members"], now)
        return self._page("incident.html", now, incident=found, cards=cards)

    def steps(self, request: Request) -> Response:
        """Every step with its percentiles."""
        now = self._clock.now()
        period = request.query_params.get("period", PERIOD_DEFAULT)
        if period not in PERIODS:
            raise HTTPException(400, f"period: must be one of {', '.join(PERIODS)}")
        allowed = ("period", "since", "until", "namespace", "engine", "workflow", "step")
        filters = filters_of(request.query_params, now, allowed, since_s=PERIODS[period])
        rows = reading.steps(self._store, filters, now)
        series = reading.p95_series(self._store, filters, now)
        for row in rows:
            points = series.get(reading.step_key(row), [])
            row["curve"] = sparkline(points, filters.since, min(filters.until, now))
            oldest = row["oldest_open_at"]
            row["oldest_s"] = (now - oldest).total_seconds() if oldest else None
        if {"since", "until"} & set(request.query_params):
            period = ""
        first, last = reading.counted(filters, now)
        return self._page(
            "steps.html", now, rows=rows, periods=list(PERIODS), period=period, filters=filters,
            first=first, last=min(last, now),
        )  # fmt: skip

    def executions(self, request: Request) -> Response:
        """The latest executions."""
        now = self._clock.now()
        allowed = ("namespace", "engine", "workflow", "step", "status", "since", "until", "limit")
        filters = filters_of(request.query_params, now, allowed)
        rows = reading.executions(self._store, filters)
        for row in rows:
            row["age_s"] = row["duration_s"]
            if row["ended_at"] is None:
                row["age_s"] = max(0.0, (now - row["started_at"]).total_seconds())
        return self._page(
            "executions.html", now, rows=rows, filters=filters,
            statuses=reading.EXECUTION_STATUSES, since=request.query_params.get("since", ""),
        )  # fmt: skip

    def execution(self, request: Request) -> Response:
        """One execution: its attempts as a picture, its events as a table."""
        now = self._clock.now()
        asked = request.query_params
        execution_id = request.path_params["execution_id"]
        wanted = reading.Filters(
            namespace=asked.get("namespace", ""), engine=asked.get("engine", "")
        )
        runs = reading.execution(self._store, execution_id, asked.get("run", ""), wanted)
        if not runs:
            raise HTTPException(404, f"there is no execution {execution_id}")
        for run in runs:
            run["picture"] = timeline(run, now)
            run["age_s"] = ((run["ended_at"] or now) - run["started_at"]).total_seconds()
        found = reading.findings(self._state or self._store, reading.Filters())
        about = self._cards([one for one in found if execution_id in one.executions], now)
        return self._page("execution.html", now, runs=runs, execution_id=execution_id, about=about)

    def error(self, status: int, message: str) -> str:
        """The page that says what went wrong."""
        template = self._templates.get_template("error.html")
        return template.render(status=status, message=message, now=self._clock.now())

    def _cards(self, findings: Sequence[Finding], now: datetime) -> list[dict[str, Any]]:
        """What a card shows of each finding, with what somebody said of it."""
        said: dict[tuple[str, datetime], Label] = {}
        if self._state is not None and findings:
            oldest = min(one.first_seen for one in findings)
            known = labels(self._state, first_seen_from=oldest)
            said = {(one.fingerprint, one.first_seen): one for one in known if one.verdict}
        cards = []
        for one in findings:
            told = self._state is not None and one.status is not Status.PENDING
            label = said.get((one.fingerprint, one.first_seen))
            cards.append({**_card(one, now), "can_be_judged": told, "label": label})
        return cards

    def _page(self, name: str, now: datetime, **values: Any) -> Response:
        return HTMLResponse(self._templates.get_template(name).render(now=now, **values))


def execution_url(execution_id: str, row: dict[str, Any] | None = None) -> str:
    """The page of an execution; with its row, of exactly that run."""
    url = f"/executions/{quote(execution_id, safe='')}"
    if row is None:
        return url
    wanted = {"run": row["run_id"], "namespace": row["namespace"], "engine": row["engine"]}
    return f"{url}?{urlencode({name: value for name, value in wanted.items() if value})}"


def _card(finding: Finding, now: datetime) -> dict[str, Any]:
    place = [finding.namespace, finding.engine, finding.workflow, finding.step]
    return {
        "finding": finding,
        "place": " · ".join(part for part in place if part),
        "age_s": max(0.0, (now - finding.first_seen).total_seconds()),
        "shown": finding.executions[:IDS_SHOWN_MAX],
        "more": finding.count - len(finding.executions[:IDS_SHOWN_MAX]),
    }


def _clock_time(when: datetime | None) -> str:
    return NOTHING if when is None else when.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
