"""JSON, health and metrics."""

from datetime import datetime, timedelta
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from dashboards import reading
from stallwatch.errors import InputError
from stallwatch.model.durations import rfc3339
from stallwatch.model.findings import Incident, Severity, Status
from stallwatch.store import Store
from stallwatch.store.state import State
from tests.dashboards.conftest import HOSTILE, HOSTILE_STEP, event, finding


def test_health_and_metrics(client: TestClient, reasons: list[str]) -> None:
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").json() == {"ready": True, "reasons": []}
    reasons.append("the store is not migrated")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["the store is not migrated"]
    assert "stallwatch_things_total 3.0" in client.get("/metrics").text


def test_steps_have_percentiles_from_statistics(client: TestClient) -> None:
    rows = {row["step"]: row for row in client.get("/api/steps").json()}
    charge = rows["charge"]
    assert (charge["n"], charge["completed"], charge["failed"]) == (103, 100, 3)
    assert charge["retried"] == 0
    assert charge["p50_s"] == pytest.approx(50, rel=0.03)
    assert charge["p95_s"] == pytest.approx(95, rel=0.03)
    assert charge["p99_s"] == pytest.approx(99, rel=0.03)
    assert charge["open"] == 1
    waiting = rows[HOSTILE_STEP]
    assert (waiting["n"], waiting["open"], waiting["p95_s"]) == (0, 1, None)


def test_steps_of_a_period_and_a_filter(client: TestClient) -> None:
    minutes = client.get("/api/steps?since=-65m&step=charge").json()
    assert [(row["n"], row["failed"], row["p50_s"]) for row in minutes] == [(3, 3, None)]
    assert client.get("/api/steps?workflow=nothing").json() == []


def test_executions(client: TestClient, now: datetime) -> None:
    everything = client.get("/api/executions?limit=1000").json()
    assert len(everything) == 103
    assert everything[0]["execution_id"] == HOSTILE
    failed = client.get("/api/executions?status=failed").json()
    assert {row["execution_id"] for row in failed} == {"bad-1", "bad-2"}
    assert failed[0]["started_at"] == rfc3339(now - timedelta(hours=1))
    assert failed[0]["duration_s"] == 10.0
    alive = client.get("/api/executions?since=-5m").json()
    assert [row["execution_id"] for row in alive] == [HOSTILE]
    stepped = client.get("/api/executions", params={"step": HOSTILE_STEP}).json()
    assert [row["execution_id"] for row in stepped] == [HOSTILE]
    assert client.get("/api/executions?engine=temporal").json() == []


def test_one_execution(client: TestClient) -> None:
    [run] = client.get(f"/api/executions/{quote(HOSTILE, safe='')}").json()
    assert run["status"] == "running"
    tries = [(a["step"], a["attempt"], a["status"]) for a in run["attempt_list"]]
    assert ("charge", 1, "failed") in tries
    assert ("charge", 2, "running") in tries
    assert run["attempts"] == len(tries)
    assert run["events"][0]["event"] == "workflow.started"
    assert len(run["events"]) == 7
    assert client.get("/api/executions/order-001?run=other").status_code == 404


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("workflow=order&engine=custom&status=completed", True),
        ("workflow=refund", False),
        ("status=running", False),
        ("since=-1h", False),
        ("until=-3h", False),
    ],
)
def test_the_runs_of_an_execution_are_filtered(client: TestClient, asked: str, found: bool) -> None:
    answer = client.get(f"/api/executions/order-001?{asked}")
    assert answer.status_code == (200 if found else 404)


def test_one_step_of_an_execution(client: TestClient) -> None:
    path = f"/api/executions/{quote(HOSTILE, safe='')}"
    [run] = client.get(path, params={"step": HOSTILE_STEP}).json()
    assert {one["step"] for one in run["attempt_list"] + run["events"]} == {HOSTILE_STEP}


def test_what_names_no_run_is_not_shown_in_another(store: Store, now: datetime) -> None:
    store.insert_events(
        [
            event(now, 60, "workflow.started", "twice", run_id="r1"),
            event(now, 50, "workflow.completed", "twice", run_id="r1"),
            event(now, 40, "workflow.started", "twice", run_id="r2"),
            event(now, 30, "step.started", "twice", step="charge"),
        ],
        now,
        "test",
    )
    store.fold(now)
    [first] = reading.execution(store, "twice", "r1")
    assert (first["attempt_list"], len(first["events"])) == ([], 2)
    [second] = reading.execution(store, "twice", "r2")
    assert [one["step"] for one in second["attempt_list"]] == ["charge"]
    assert [one["event"] for one in second["events"]] == ["workflow.started", "step.started"]


@pytest.mark.parametrize(
    ("status", "steps"),
    [
        ("failed", {"charge"}),
        ("waiting", {HOSTILE_STEP}),
        ("open", {"charge", HOSTILE_STEP}),
        ("backing_off", set()),
    ],
)
def test_steps_with_attempts_in_a_status(client: TestClient, status: str, steps: set[str]) -> None:
    rows = client.get("/api/steps", params={"status": status}).json()
    assert {row["step"] for row in rows} == steps
    assert all("statuses" not in row for row in rows)


def test_a_step_that_backs_off_is_open(store: Store, now: datetime) -> None:
    store.insert_events(
        [
            event(now, 120, "workflow.started", "o-1"),
            event(now, 120, "step.started", "o-1", step="charge"),
            event(now, 60, "step.retrying", "o-1", step="charge"),
        ],
        now,
        "test",
    )
    store.fold(now)
    for status in ("", "open", "backing_off"):
        filters = reading.Filters(status=status, since=now - timedelta(hours=1), until=now)
        [row] = reading.steps(store, filters, now)
        oldest = row["oldest_open_at"]
        assert (row["step"], row["open"], oldest) == ("charge", 1, now - timedelta(seconds=120))


@pytest.mark.parametrize(
    ("path", "status", "named"),
    [
        ("/api/executions?limit=10001", 400, "limit"),
        ("/api/executions?limit=x", 400, "limit"),
        ("/api/executions?since=yesterday", 400, "since: a time such as"),
        ("/api/executions?until=yesterday", 400, "until: a time such as"),
        ("/api/steps?status=lost", 400, "status"),
        ("/api/executions/order-001?status=lost", 400, "status"),
        ("/api/executions?since=-1h&until=-2h", 400, "since"),
        ("/api/executions?status=lost", 400, "status"),
        ("/api/executions?nonsense=1", 400, "nonsense"),
        ("/api/findings?detector=nobody", 400, "detector"),
        ("/api/executions/nobody", 404, "execution"),
        ("/api/nothing", 404, "/api/nothing"),
    ],
)
def test_errors_are_json_and_name_the_field(
    client: TestClient, path: str, status: int, named: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert named in answer.json()["error"]


def test_findings_come_from_the_state(client: TestClient, state: State, now: datetime) -> None:
    assert client.get("/api/findings").json() == []
    state.save_findings(
        [
            finding(now),
            finding(now, fingerprint="a" * 16, detector="retry_storm", status=Status.RESOLVED),
            finding(now, fingerprint="b" * 16, detector="event_gap", status=Status.PENDING),
        ]
    )
    current = client.get("/api/findings").json()
    assert {one["detector"] for one in current} == {"stalled_step", "event_gap"}
    assert [one["detector"] for one in client.get("/api/findings?status=resolved").json()] == [
        "retry_storm"
    ]
    [one] = client.get("/api/findings?detector=stalled_step&step=charge").json()
    assert one["executions"] == [HOSTILE]
    assert one["evidence"] == {"age_s": 470.0}
    assert one["first_seen"] == rfc3339(now - timedelta(seconds=470))


def test_findings_from_the_store_are_the_same(store: Store, state: State, now: datetime) -> None:
    state.save_findings([finding(now)])
    store.write_findings([finding(now)], now)
    filters = reading.Filters(status="firing")
    [copied], [kept] = reading.findings(store, filters), reading.findings(state, filters)
    assert {**vars(copied), "number": 1} == vars(kept)


def test_incidents_and_recommendations(client: TestClient, shop: Store, now: datetime) -> None:
    incident = Incident(
        id="i-1",
        cause="stripe",
        severity=Severity.CRITICAL,
        opened_at=now - timedelta(minutes=5),
        closed_at=None,
        findings=(finding(now),),
    )
    shop.write_incidents([incident], now)
    [one] = client.get("/api/incidents?status=open").json()
    assert (one["id"], one["closed_at"], one["findings"]) == ("i-1", None, ["f" * 16])
    assert client.get("/api/incidents?status=closed").json() == []
    columns = ("week", "namespace", "engine", "workflow", "step", "n", "verdict", "written_at")
    for week in (now - timedelta(days=7), now):
        row = (week.date(), "default", "custom", "order", "charge", 100, "ok", now)
        shop.engine.insert_rows("recommendation_log", columns, [row])
    [latest] = client.get("/api/recommendations").json()
    assert (latest["week"], latest["verdict"], latest["p50_s"]) == ("2026-01-05", "ok", None)


def test_the_finest_windows_still_kept(now: datetime) -> None:
    def window(since_s: float, until_s: float = 0) -> int:
        since, until = (now - timedelta(seconds=s) for s in (since_s, until_s))
        return reading.window_for(reading.Filters(since=since, until=until), now)

    assert window(3600) == 60
    assert window(86400) == 3600
    assert window(5 * 86400, 5 * 86400 - 3600) == 3600
    assert window(90 * 86400) == 86400
    with pytest.raises(InputError, match="since"):
        window(0, 10)


def test_whole_windows_are_counted(now: datetime) -> None:
    def counted(since: timedelta, until: timedelta) -> tuple[timedelta, timedelta]:
        filters = reading.Filters(since=now - since, until=now - until)
        first, last = reading.counted(filters, now)
        return now - first, now - last

    hours, minutes, seconds = (timedelta(**{unit: 1}) for unit in ("hours", "minutes", "seconds"))
    assert counted(90 * seconds, 0 * seconds) == (2 * minutes, 0 * seconds)
    assert counted(90 * minutes, 30 * seconds) == (90 * minutes, 0 * seconds)
    assert counted(9.5 * hours, 1.5 * hours) == (10 * hours, 1 * hours)
    # The window that is not over is counted up to now.
    later = now + timedelta(minutes=7)
    filters = reading.Filters(since=now - timedelta(days=1), until=later)
    assert reading.counted(filters, later) == (now - timedelta(days=1), later)
