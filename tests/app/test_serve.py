"""The assembled service as a process: started, stopped, killed, asked by the other commands."""

import os
import random
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from stallwatch.clock import SystemClock
from stallwatch.model.durations import rfc3339
from tests import spans
from tests.app.hook import listening
from tests.app.loader import STEPS, Load, Parcel, resend
from tests.app.running import (
    STALLWATCH,
    WAIT_S,
    Place,
    Running,
    run_all,
    run_alone,
    run_here,
    until,
)
from tests.cli.document import documented

pytestmark = pytest.mark.slow

KILLS: Final = int(os.environ.get("STALLWATCH_TEST_KILLS", "3"))  # noqa: TID251 - no setting of the product
"""How often the service is killed under load. For a soak: STALLWATCH_TEST_KILLS=200."""
SEED: Final = 20260105
CLOCK: Final = SystemClock()


def event(name: str, execution_id: str, /, **said: Any) -> dict[str, Any]:
    """A step event of now."""
    workflow = said.pop("workflow", "order")
    at = said.pop("time", rfc3339(CLOCK.now()))
    return {"event": name, "time": at, "workflow": workflow, "execution_id": execution_id, **said}


# Start and stop -----------------------------------------------------------------------------------


def test_what_was_accepted_before_sigterm_is_there(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with place.serving() as running:
        assert httpx.get(f"{running.web}/readyz").json() == {"ready": True, "reasons": []}
        for number in range(8):
            running.tell(
                event("workflow.started", f"o-{number}"),
                event("step.started", f"o-{number}", step="charge"),
                event("step.completed", f"o-{number}", step="charge"),
            )
        assert running.terminate() == 0
        assert not [line for line in running.said if '"level"' in line]
    assert not (place.data / "serve.json").exists()
    executions, steps = run_all(
        [place.argv("executions", "--format", "json"), place.argv("steps", "--format", "json")]
    )
    assert {row["execution_id"] for row in executions.data} == {f"o-{n}" for n in range(8)}
    assert {row["status"] for row in executions.data} == {"running"}
    assert [(row["step"], row["completed"]) for row in steps.data] == [("charge", 8)]


def test_the_addresses_of_a_killed_one_are_not_believed(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with place.serving() as running:
        running.tell(event("workflow.started", "o-1"))
        running.kill()
    assert (place.data / "serve.json").exists()
    (executions,) = run_all([place.argv("executions", "--format", "json")])
    assert [row["execution_id"] for row in executions.data] == ["o-1"]
    assert not (place.data / "serve.json").exists()


def scratch_in(place: Place) -> set[str]:
    """The databases that `replay` and `detect` work in."""
    return {path.stem for path in (place.data / "metadata").glob("scratch_*.sql")}


@contextmanager
def replaying(place: Place) -> Iterator[subprocess.Popen[bytes]]:
    """A `replay` of so many ticks that only somebody's end can end it."""
    argv = place.argv("replay", "--since", "-1d", "--every", "5s")
    with subprocess.Popen([STALLWATCH, *argv], stderr=subprocess.PIPE) as asking:
        try:
            until(lambda: bool(scratch_in(place)))
            yield asking
        finally:
            asking.kill()


def test_a_replay_ends_with_who_asked_and_with_the_service(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with place.serving() as running:
        running.tell(event("workflow.started", "o-1"))
        with replaying(place) as asking:
            asking.kill()
            until(lambda: not scratch_in(place))
        with replaying(place) as asking:
            assert running.terminate() == 0
            _, told = asking.communicate(timeout=WAIT_S)
            assert (asking.returncode, b"stopping" in told) == (3, True), told
        assert not [line for line in running.said if "Traceback" in line or '"level"' in line]
    assert not scratch_in(place)


def test_what_a_killed_replay_leaves_is_dropped_at_the_next_start(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with place.serving() as running, replaying(place):
        running.kill()
    assert scratch_in(place)
    with place.serving():
        assert not scratch_in(place)


# Killed under load --------------------------------------------------------------------------------


def test_what_was_acknowledged_survives_sigkill_and_is_there_once(tmp_path: Path) -> None:
    place = Place(tmp_path)
    chance = random.Random(SEED)
    sent: list[Parcel] = []
    waiting: list[Parcel] = []
    for life in range(KILLS + 1):
        with place.serving() as running:
            # On a slow machine some was answered from the spool.
            running.until_drained()
            assert_stored(running, sent, maybe=waiting)
            resend(running, waiting)
            sent += waiting
            running.until_drained()
            assert_stored(running, sent)
            if life == KILLS:
                break
            load = Load(running, f"life-{life}")
            load.wait_for(chance.randint(10, 40))
            threading.Event().wait(chance.uniform(0, 0.3))
            running.kill()
            load.join()
            sent += load.promised
            waiting = load.unanswered
            assert waiting


def assert_stored(
    running: Running, parcels: list[Parcel], maybe: list[Parcel] | None = None
) -> None:
    """Every item is there exactly once; of `maybe` each is there once or not at all."""
    counted = {
        "/v1/events": "SELECT event_id AS id, count() AS n FROM step_events WHERE road = 'event' GROUP BY id",
        "/v1/traces": "SELECT span_id AS id, count() AS n FROM spans GROUP BY id",
    }
    for path, sql in counted.items():
        certain = {item for parcel in parcels if parcel.path == path for item in parcel.items}
        possible = {item for parcel in maybe or () if parcel.path == path for item in parcel.items}
        rows = running.select(sql)
        assert {row["id"] for row in rows if int(row["n"]) != 1} == set()
        found = {row["id"] for row in rows}
        assert certain - found == set()
        assert found - certain - possible == set()
    rows = running.select(
        "SELECT execution_id, count() AS n, countIf(status = 'completed') AS completed, uniqExact(step) AS steps "
        "FROM attempts GROUP BY execution_id"
    )
    attempts = {row["execution_id"]: row for row in rows}
    for parcel in parcels:
        row = attempts[parcel.execution_id]
        assert (int(row["n"]), int(row["completed"]), int(row["steps"])) == (STEPS,) * 3, row
    assert_counted(running, parcels, maybe or [])


def assert_counted(running: Running, parcels: list[Parcel], maybe: list[Parcel]) -> None:
    """The statistics have counted every step once; of `maybe` once or not at all."""
    sql = "SELECT sum(completed) AS n FROM step_latency WHERE window_s = 60"
    least = STEPS * len(parcels)

    def counted() -> int:
        n = int(running.select(sql)[0]["n"] or 0)
        assert n <= least + STEPS * len(maybe)
        return n

    until(lambda: counted() >= least)


# Killed in the middle of incidents ----------------------------------------------------------------

ALERTS: Final = """
[detectors]
enabled = ["stalled_step"]
[[alerts.receivers]]
name = "hook"
webhook_configs = [{{ url = "{url}" }}]
"""


def stall(workflow: str) -> list[dict[str, Any]]:
    """A step that was to end after a second, a minute ago."""
    said = {"workflow": workflow, "time": rfc3339(CLOCK.now() - timedelta(minutes=1))}
    return [
        event("workflow.started", f"{workflow}-1", **said),
        event("step.started", f"{workflow}-1", **said, step="charge", timeout_s=1.0),
    ]


def end(workflow: str) -> dict[str, Any]:
    """That step's end."""
    return event("step.completed", f"{workflow}-1", workflow=workflow, step="charge")


def wait_until_noted(running: Running, tellings: int) -> None:
    """Return when the service knows that so many tellings arrived: dying before, it would have to repeat the last."""

    def noted() -> bool:
        lines = httpx.get(f"{running.web}/metrics").text.splitlines()
        told = [
            line for line in lines if line.startswith("alerts_sent_total{") and '"told"' in line
        ]
        return any(float(line.rsplit(" ", 1)[1]) >= tellings for line in told)

    until(noted)


def test_incidents_outlive_sigkill(tmp_path: Path) -> None:
    with listening() as hook:
        place = Place(tmp_path, ALERTS.format(url=hook.url))
        with place.serving() as running:
            running.tell(*stall("order"))
            hook.wait_for("firing order")
            wait_until_noted(running, 1)
            hook.away = True
            running.tell(*stall("refund"))
            hook.wait_for("firing refund", 503)
            running.kill()
        hook.away = False
        with place.serving() as running:
            hook.wait_for("firing refund")
            wait_until_noted(running, 1)
            running.tell(end("order"))
            running.kill()
        with place.serving() as running:
            hook.wait_for("resolved order")
            running.tell(end("refund"))
            hook.wait_for("resolved refund")
            wait_until_noted(running, 2)
            assert running.terminate() == 0
        assert hook.told == ["firing order", "firing refund", "resolved order", "resolved refund"]
        assert len(hook.keys) == 4


# Asked by others ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("asked"))


@pytest.fixture(scope="module")
def running(place: Place) -> Iterator[Running]:
    with place.serving() as running:
        yield running


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_what_needs_the_store_for_itself_is_refused(
    place: Place, running: Running, command: str
) -> None:
    ended = run_alone(*place.argv(command))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"stallwatch: the store at {place.data} is held by another process "
        f"(pid {running.pid}); stop it, or use another store.url\n"
    )
    assert httpx.get(f"{running.web}/healthz").status_code == 200


STARTED: Final = '{"event":"workflow.started","time":"%s","workflow":"w","execution_id":"e"}'
WRONG: Final[list[tuple[str, bytes, dict[str, str], int]]] = [
    ("/v1/events", b'{"event":', {}, 400),
    ("/v1/events", b"7", {}, 400),
    ("/v1/events", b"[" * 100_000, {}, 400),
    ("/v1/events", b'{"event":"\xff\xfe"}', {}, 400),
    ("/v1/events", b"hello", {"Content-Encoding": "gzip"}, 400),
    ("/v1/events", (STARTED % "1970-01-01T00:00:00Z").encode(), {}, 400),
    ("/v1/events", (STARTED % "2970-01-01T00:00:00Z").encode(), {}, 400),
    ("/v1/events", b" " * (17 * 1024 * 1024), {}, 413),
    ("/v1/traces", b'{"resourceSpans":', {}, 400),
    ("/v1/traces", b"[" * 100_000, {}, 400),
    ("/v1/traces", b" " * (17 * 1024 * 1024), {}, 413),
    ("/v1/nothing", b"{}", {}, 404),
]


@pytest.mark.parametrize(("path", "body", "headers", "status"), WRONG, ids=range(len(WRONG)))
def test_wrong_input_is_refused_and_the_service_lives(
    running: Running, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    headers = {"Content-Type": "application/json", **headers}
    url = f"{running.ingest}{path}"
    answer = httpx.post(url, content=body, headers=headers, timeout=WAIT_S)
    assert answer.status_code == status, answer.text
    assert httpx.get(f"{running.ingest}/healthz").status_code == 200
    assert httpx.get(f"{running.web}/readyz").status_code == 200


def test_spans_of_impossible_times_are_counted_and_left_out(running: Running) -> None:
    now = CLOCK.now()
    good, ancient, future = (
        spans.Span("one", now),
        spans.Span("two", start_ns=1),
        spans.Span("three", now + timedelta(days=400)),
    )
    answer = httpx.post(
        f"{running.ingest}/v1/traces",
        content=spans.request(ancient, good, future),
        headers={"Content-Type": "application/x-protobuf", "Stallwatch-Sender": "odd"},
    )
    assert answer.status_code == 200
    assert running.select("SELECT name FROM spans") == [{"name": "one"}]
    (row,) = running.select("SELECT accepted, quarantined FROM ingest_health WHERE sender = 'odd'")
    assert (int(row["accepted"]), int(row["quarantined"])) == (1, 2)


def test_names_from_senders_do_not_act_on_the_terminal(place: Place, running: Running) -> None:
    name = "\x1b[31mred\x1b[0m"
    said = {"time": rfc3339(CLOCK.now() - timedelta(minutes=1)), "workflow": name, "worker": name}
    running.tell(
        event("workflow.started", name, **said),
        event("step.started", name, **said, step=name, downstream=name, timeout_s=1.0),
    )
    until(lambda: place.here("findings", "--firing").code == 1)
    findings = place.here("findings")
    assert "[31mred" in findings.out
    assert "\x1b" not in findings.out
    until(lambda: any("[31mred" in line for line in running.said))
    assert [line for line in running.said if "\x1b" in line] == []


def test_whether_a_finding_was_right_is_said_through_a_serve(
    place: Place, running: Running
) -> None:
    running.tell(*stall("doubtful"))
    asked = ("findings", "--workflow", "doubtful", "--firing", "--format", "json")
    until(lambda: place.here(*asked).code == 1)
    (found,) = place.here(*asked).data
    said = place.here("feedback", found["fingerprint"], "--verdict", "false-alarm", "--note", "ok")
    assert (said.code, said.err) == (0, "")
    unknown = place.here("feedback", "nobody", "--verdict", "real")
    assert (unknown.code, unknown.err) == (
        2, "stallwatch: fingerprint: there is no finding 'nobody'\n",
    )  # fmt: skip
    budget = place.here("budget", "--format", "json").data
    assert budget == httpx.get(f"{running.web}/api/budget").json()
    (stalls,) = [row for row in budget if row["detector"] == found["detector"]]
    assert stalls["from_feedback_7d"] == 1
    metrics = httpx.get(f"{running.web}/metrics").text
    line = 'stallwatch_false_alarms_7d{detector="stalled_step",known_from="feedback"} 1.0'
    assert line in metrics
    assert 'stallwatch_false_alarms_allowed_per_week{detector="stalled_step"} 0.36' in metrics


def test_commands_say_the_same_through_a_serve_and_without(tmp_path: Path) -> None:
    place = Place(tmp_path, '[detectors]\nenabled = ["stalled_step"]\n')
    history = tmp_path / "history.json"
    history.write_text(STARTED % rfc3339(CLOCK.now()), encoding="utf-8")
    since = rfc3339(CLOCK.now() - timedelta(days=28))
    with place.serving() as running:
        running.tell(*stall("order"), *stall("refund"), end("refund"))
        imported = place.here("import", "events", str(history))
        assert (imported.code, imported.out) == (0, "1 event imported, 0 bad documents\n")
        assert place.here("trace", "e").code == 0
        forgotten = place.here("forget", "--yes", "e")
        assert (forgotten.code, forgotten.out) == (0, "1 events erased\n")
        assert place.here("forget", "--yes", "e").code == 2
        until(lambda: place.here("findings", "--firing").code == 1)
        expected = tmp_path / "expected.yaml"
        expected.write_text("expect: [{at: 1s, contains: [{workflow: order}]}]", encoding="utf-8")
        replayed = place.here(
            "replay", "--since", "-2m", "--every", "1m", "--expect", str(expected)
        )
        assert (replayed.code, "should be firing and is not" in replayed.err) == (1, True)
        questions = [
            place.argv(*words, "--format", "json")
            for words in (
                ["steps"],
                ["steps", "--workflow", "refund"],
                ["executions", "--status", "running"],
                ["trace", "order-1"],
                ["detect", "--at", rfc3339(CLOCK.now())],
                ["report", "timeouts", "--since", since],
                ["findings", "--firing"],
                ["doctor"],
            )
        ]
        through = [run_here(*words) for words in questions]
        assert running.terminate() == 0
    alone = run_all(questions)
    assert [one.code for one in through] == [one.code for one in alone] == [0, 0, 0, 0, 1, 0, 1, 0]
    assert [one.err for one in (*through, *alone)] == [""] * 16
    for question, one, other in zip(questions[:6], through, alone, strict=False):
        assert one.data == other.data != [], question
    for found in (*through[4].data, *through[6].data):
        assert sorted(found) == sorted(documented("findings"))
    # Findings go on while they are true: when they were seen last, and what was true then, moves.
    assert [row["fingerprint"] for row in through[6].data] == [
        row["fingerprint"] for row in alone[6].data
    ]
    checks = [{row["check"] for row in one[7].data} for one in (through, alone)]
    assert checks[0] >= {"service", "collector"}
    assert checks[1] >= {"store", "migrations", "senders", "web.listen"}
