"""What a user is told of real engines: the right findings, and no others.

One `serve` asks a real Temporal server and a real interpreter of state machines (moto), and gets the spans of the
Temporal SDK as well. Much goes well, some things hang, fail or wait, a worker is killed, and Temporal is away for a
while.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Final

import pytest

from stallwatch.app.demo.temporal_processes import require_temporal
from stallwatch.errors import UsageError
from tests.app.engine_play import (
    AFTER,
    AWAY_S,
    BACK_S,
    CLOCK,
    HELD,
    NEVER,
    OPEN_WAITS,
    RECORDED,
    STILL_S,
    TOLD,
    TOLD_S,
    Play,
    Told,
    begin,
    go_on,
    told,
)
from tests.app.running import Place, run_all, until
from tests.collector.engines.stepfunctions_endpoint import set_aws_environment
from tests.collector.engines.temporal_worker import DOOMED, FORGETFUL, NOBODY, QUEUE
from tests.requirements import require

pytestmark = pytest.mark.slow
STORIES: Final = "STALLWATCH_TEST_STORIES" in os.environ  # noqa: TID251 - no setting of the product


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    try:
        command = require_temporal()
    except UsageError as error:
        require(False, str(error))
        raise
    folder = tmp_path_factory.mktemp("findings")
    with ExitStack() as ending, asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patch:
        set_aws_environment(patch, folder)
        play = Play(folder, ending, runner)
        play.build(command)
        begin(play)
        yield play


def attempts(play: Play, name: str) -> list[tuple[str, int, str, str]]:
    """step, attempt, status and error of an execution, as `trace` shows them; each has the execution's trace."""
    (run,) = play.place.here("trace", name, "--format", "json").data
    found = run["attempt_list"]
    assert len({one["span_id"] for one in found} - {""}) == len(found)
    return [(one["step"], one["attempt"], one["status"], one["error_type"]) for one in found]


def check_attempts(play: Play) -> None:
    """Each attempt is there once, though spans and histories tell of it, and leads to its trace."""
    busy = ("Busy", "Busy", "")
    told = attempts(play, "healed")
    assert told == [
        ("flaky", number, "completed" if number == 3 else "failed", error)
        for number, error in enumerate(busy, 1)
    ]
    # On a busy machine workers may take so long for a workflow task that it is told.
    rows = play.running.select(
        "SELECT x.workflow AS workflow, x.status AS status, a.n AS attempts, x.trace_id AS trace_id "
        "FROM executions AS x INNER JOIN "
        "(SELECT execution_id, countIf(step != 'workflow task') AS n FROM attempts GROUP BY execution_id) AS a "
        "ON a.execution_id = x.execution_id "
        "WHERE NOT x.historical AND x.engine = 'temporal' AND match(x.execution_id, '^(first|away|back)-.*-')"
    )
    assert len(rows) > 50
    assert {(row["workflow"], row["status"], int(row["attempts"])) for row in rows} == {
        ("Plain", "completed", 1),
        ("Retried", "completed", 2),
        ("Parallel", "completed", 3),
    }
    assert len({row["trace_id"] for row in rows} - {""}) == len(rows)
    spans = play.running.select(
        "SELECT count() AS n, uniqExact(span_id) AS spans, countIf(span_id = '') AS without FROM attempts "
        "WHERE NOT historical AND engine = 'temporal' AND step != 'workflow task' "
        "AND match(execution_id, '^(first|away|back)-.*-')"
    )
    assert spans[0]["n"] == spans[0]["spans"]
    assert int(spans[0]["without"]) == 0
    statuses = play.statuses()
    waiting = ("waiting", "asleep", "asked", "sleeping", "hung", "patient", "away-waiting")
    assert {statuses[name] for name in waiting} == {"running"}
    assert statuses["healing"] == "completed"


def fires(play: Play, expected: set[Told]) -> None:
    """Wait until this fires, no more and no less."""
    try:
        until(lambda: play.firing() == expected, TOLD_S)
    finally:
        # Says what is missing, if something is.
        assert play.firing() == expected


def check_causes(play: Play) -> None:
    """Whose own code does not run is told with the reason, and with the queue by which incidents are grouped."""
    why = {
        one["executions"][0]: {name: one["evidence"].get(name) for name in ("error_type", "queue")}
        for one in play.found()
        if one["step"] == "workflow task"
    }
    assert why == {
        "broken": {"error_type": "RuntimeError", "queue": QUEUE},
        "mended": {"error_type": "RuntimeError", "queue": QUEUE},
        "changed": {"error_type": "NonDeterministicError", "queue": FORGETFUL},
        "unknown": {"error_type": "NotFoundError", "queue": QUEUE},
        "untaken": {"error_type": None, "queue": NOBODY},
    }


def kill_worker(play: Play) -> None:
    """Kill the only worker of a queue while it is at work, and go on as if nothing had happened."""
    for name in HELD:
        play.start(name, "Doomed", 600.0, queue=DOOMED)
    CLOCK.wait(NEVER, 1.0)
    play.killed_at = CLOCK.now()
    play.workers[DOOMED].kill()
    for name in AFTER:
        play.start(name, "Doomed", 0.05, queue=DOOMED)


def delays(play: Play) -> Iterator[str]:
    """How long after its fault each finding fired: after the kill, the failure, or the beginning of what hangs."""
    times = {
        row["execution_id"].rpartition(":")[2]: row
        for row in play.running.select(
            "SELECT execution_id, toUnixTimestamp64Milli(started_at) / 1e3 AS started_s, "
            "toUnixTimestamp64Milli(ended_at) / 1e3 AS ended_s FROM executions WHERE NOT historical"
        )
    }
    for one in play.found():
        detector, workflow, _, executions = told(one)
        its = times[executions[0]]
        fault_s = its["started_s"] if its["ended_s"] is None else its["ended_s"]
        if detector == "dead_queue":
            fault_s = play.killed_at.timestamp()
        seen_s = datetime.fromisoformat(one["first_seen"]).timestamp()
        yield f"{detector} of {workflow}: {seen_s - float(fault_s):.1f} s"


@pytest.mark.skipif(not STORIES, reason="takes minutes: `make soak` runs it")
def test_what_is_wrong_is_told_and_nothing_else(
    play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    go_on(play, "first", 4.0)
    # The state machine's Retry finds what was missing.
    play.sqs.create_queue(QueueName="later")
    kill_worker(play)
    go_on(play, "first-too", STILL_S)
    fires(play, TOLD)
    assert play.ever() == TOLD
    check_causes(play)
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(delays(play)) + "\n")

    # Workers go on, and their spans come, while Stallwatch cannot reach the server.
    play.gate.close()
    play.start("away-waiting", "Signaled")
    play.start("away-asleep", "Slept", 3600.0)
    play.start("away-patient", "Retried", 10_000)
    go_on(play, "away", AWAY_S)
    assert play.running.metric("collector_poll_failures_total") > 0
    play.gate.open()
    go_on(play, "back", BACK_S)
    until(
        lambda: (
            "running"
            not in {status for name, status in play.statuses().items() if name.startswith("back-")}
        )
    )
    until(lambda: {row["status"] for row in play.running.select(OPEN_WAITS)} == {"waiting"})
    assert play.ever() == TOLD
    check_attempts(play)

    play.run(play.handles["frozen"].terminate("enough"))
    hung = ("stalled_step", "Frozen", "work", ("frozen",))
    fires(play, TOLD - {hung})

    # One branch hangs for a while, the other is done.
    play.execute("halves", "halved")
    halved: set[Told] = {
        ("partial_failure", "halves", "Ship", ("halved",)),
        ("stalled_step", "halves", "Ship", ("halved",)),
    }
    fires(play, TOLD - {hung} | halved)
    fires(play, TOLD - {hung})
    assert play.statuses()["halved"] == "completed"

    # Nobody restarts anything: the next attempt finds mended code.
    (play.folder / "mended").touch()
    mended = ("stalled_execution", "Mended", "workflow task", ("mended",))
    fires(play, TOLD - {hung, mended})
    assert play.statuses()["mended"] == "completed"
    assert play.ever() == TOLD | halved


def test_history_never_pages(tmp_path: Path) -> None:
    place = Place(tmp_path)
    folders = {
        "durable_management": "durable",
        "durable_unstamped": "durable",
        "handmade": "stepfunctions",
    }
    documents: dict[Path, list[str]] = {}
    for path in sorted(RECORDED.rglob("*.json")):
        documents.setdefault(path.parent, []).append(str(path))
    imports = [
        ["import", folders.get(folder.name, folder.name), *its] for folder, its in documents.items()
    ]
    said = ["detect", "findings", "executions"]
    commands = [*imports, *([one, "--format", "json"] for one in said)]
    ended = run_all([place.argv(*one) for one in commands])
    assert len(imports) == 9
    assert {(one.code, one.err) for one in ended} == {(0, "")}
    detected, found, executions = (one.data for one in ended[-3:])
    assert detected == found == []
    assert len(executions) > 50
