"""A process hangs in a step, and a real `stallwatch serve` sees it while it is open, and counts it once."""

import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.app.running import ROOT, WAIT_S, Place, Running, until
from tests.collector.test_senders_real import javascript  # noqa: F401 - a fixture

pytestmark = pytest.mark.slow
ATTEMPTS = """SELECT workflow, execution_id, step, attempt, status, queue, started_at, ended_at,
    last_heartbeat_at, span_id
FROM attempts"""


def beat_at(running: Running) -> datetime | None:
    """The last heartbeat of the one attempt, if it has come."""
    rows = running.select(ATTEMPTS)
    beaten = rows and rows[0]["last_heartbeat_at"]
    return datetime.fromisoformat(beaten) if beaten else None


def watch(running: Running, command: Sequence[str]) -> dict[str, Any]:
    """The one attempt as it was seen while `command` hung in it; the command has ended by now."""
    hanging = subprocess.Popen(
        [*command, running.ingest],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with hanging:
        assert hanging.stdout is not None
        assert hanging.stdout.readline() == "open\n"
        until(lambda: beat_at(running) is not None)
        first = beat_at(running)
        assert first is not None
        (seen,) = running.select(ATTEMPTS)
        assert running.select("SELECT name FROM spans") == []
        until(lambda: (beat_at(running) or first) > first)
        hanging.communicate(timeout=WAIT_S)
        assert hanging.returncode == 0
    until(lambda: running.select(ATTEMPTS)[0]["status"] != "running")
    return seen


def events(running: Running) -> dict[str, int]:
    """How often each event is there."""
    rows = running.select("SELECT event, count() AS n FROM step_events GROUP BY event")
    return {row["event"]: int(row["n"]) for row in rows}


def test_python(tmp_path: Path) -> None:
    with Place(tmp_path).serving() as running:
        seen = watch(running, [sys.executable, "-m", "tests.instrumentation.hanging"])
        assert_same_attempt(seen, running.select(ATTEMPTS))
        executions = running.select("SELECT workflow, status FROM executions")
        counted = events(running)
    assert executions == [{"workflow": "order", "status": "completed"}]
    assert counted.pop("step.heartbeat") >= 2
    assert counted == dict.fromkeys(
        ("step.completed", "step.started", "workflow.completed", "workflow.started"), 1
    )


@pytest.mark.usefixtures("javascript")
def test_javascript(tmp_path: Path) -> None:
    with Place(tmp_path).serving() as running:
        seen = watch(running, ["node", str(ROOT / "tests" / "js" / "hanging.mjs")])
        assert_same_attempt(seen, running.select(ATTEMPTS))
        counted = events(running)
    assert counted.pop("step.heartbeat") >= 2
    # A root that names its step is that step, and no execution.
    assert counted == {"step.completed": 1, "step.started": 1}


@pytest.mark.parametrize("name", ["steps.mjs", "hanging.mjs"])
def test_the_documented_javascript_is_what_was_tested(name: str) -> None:
    """Lines of the document's blocks are lines of the files."""
    shown = (ROOT / "docs" / "instrumentation.md").read_text()
    code = (ROOT / "tests" / "js" / name).read_text()
    blocks = re.findall(r"^```js\n(.*?)^```", shown, re.MULTILINE | re.DOTALL)
    assert any(block in code for block in blocks), name


def assert_same_attempt(seen: dict[str, Any], ended: list[dict[str, Any]]) -> None:
    """What was seen open is the one attempt that there is in the end."""
    assert (seen["workflow"], seen["step"], seen["status"]) == ("order", "charge", "running")
    assert (seen["queue"], seen["ended_at"]) == ("payments", None)
    (row,) = ended
    assert row["status"] == "completed"
    assert row["ended_at"] is not None
    for name in ("workflow", "execution_id", "step", "attempt", "queue", "started_at", "span_id"):
        assert row[name] == seen[name], name
