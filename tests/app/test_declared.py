"""`[[engines.definition]]`, from the file to what is said of a step: with a `serve` and without one."""

import json
from datetime import timedelta
from pathlib import Path

from stallwatch.clock import SystemClock
from tests.app.running import Place, run_all

REPORT = ("report", "timeouts", "--format", "json")


def declaring(folder: Path, timeout: str) -> Place:
    """A place whose configuration declares a timeout of the step charge; with an empty text: nothing."""
    block = '[[engines.definition]]\nworkflow = "order"\nstep = "charge"\n'
    return Place(folder, f'{block}timeout = "{timeout}"\n' if timeout else "")


def a_charge(folder: Path) -> str:
    """A file of the events of one charge, which says nothing of its timeout."""
    path = folder / "events.jsonl"
    at = SystemClock().now() - timedelta(hours=1)
    told = {"workflow": "order", "execution_id": "o-1", "step": "charge"}
    events = [
        {"event": event, "time": (at + timedelta(seconds=second)).isoformat(), **told}
        for second, event in enumerate(("step.started", "step.completed"))
    ]
    path.write_text("\n".join(map(json.dumps, events)))
    return str(path)


def test_what_is_declared_follows_the_file(tmp_path: Path) -> None:
    place = declaring(tmp_path, "30s")
    commands = [place.argv("import", "events", a_charge(tmp_path)), place.argv(*REPORT)]
    imported, first = run_all(commands)
    assert (imported.code, first.code) == (0, 0), first.err
    assert [row["current_timeout_s"] for row in first.data] == [30.0]
    with declaring(tmp_path, "45s").serving() as running:
        served = running.place.here(*REPORT)
    assert [row["current_timeout_s"] for row in served.data] == [45.0]
    assert "declared in the configuration" in served.data[0]["notes"][-1]
    (gone,) = run_all([declaring(tmp_path, "").argv(*REPORT)])
    assert [row["current_timeout_s"] for row in gone.data] == [None]
