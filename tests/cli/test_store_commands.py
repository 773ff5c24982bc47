"""What commands print of a store with known events. The store's own process is where it is opened."""

import json
import os
import re
import subprocess
from datetime import datetime
from typing import Any, Final

import pytest

from tests.app.running import (
    STALLWATCH,
    WAIT_S,
    Ended,
    Place,
    run_all,
    run_alone,
)
from tests.cli.document import documented

JSON: Final = ("--format", "json")
ESCAPE: Final = "\x1b"
RED: Final = f"{ESCAPE}[31mred{ESCAPE}[0m\a\N{RIGHT-TO-LEFT OVERRIDE}"
"""A name that would act on a terminal."""


def event(name: str, execution_id: str, minute: int, **said: Any) -> str:
    time = f"2026-01-05T12:{minute:02d}:00Z"
    return json.dumps(
        {"event": name, "time": time, "workflow": "order", "execution_id": execution_id, **said}
    )


LINES: Final = [
    event("workflow.started", "o-1", 0),
    event("step.started", "o-1", 1, step="charge"),
    event("step.exploded", "o-1", 2, step="charge"),
    event("step.completed", "o-1", 3, step="charge"),
    event("workflow.completed", "o-1", 4),
]
HOSTILE: Final = [
    json.dumps({
        "event": name, "time": "2026-01-05T12:00:00Z",
        **dict.fromkeys(("workflow", "execution_id", "engine", "namespace", "run_id", "step", "branch"), RED),
        **dict.fromkeys(("worker", "queue", "error_type", "error_message"), RED),
    })
    for name in ("step.started", "step.completed", "workflow.failed", f"step.{RED}")
]  # fmt: skip
SINCE: Final = ("--since", "2026-01-05T00:00:00Z")
WHILE: Final = ("--since", "2026-01-05T12:00:30Z", "--until", "2026-01-05T12:30:30Z")
EVER: Final = ("--since", "0001-01-01T00:00:00Z")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("cli"))


@pytest.fixture(scope="module")
def ended(place: Place) -> dict[str, Ended]:
    """A small story of commands on one store, in one process."""
    lines = place.folder / "lines.ndjson"
    lines.write_text("\n".join(LINES), encoding="utf-8")
    hostile = place.folder / "[b]hostile.ndjson"
    hostile.write_text("\n".join(HOSTILE), encoding="utf-8")
    many = place.folder / "many.ndjson"
    many.write_text("\n".join(event("workflow.started", f"m-{i}", 5) for i in range(10_000)))
    told = ("--namespace", "default", *SINCE, *JSON)
    story: dict[str, list[str]] = {
        "doctor before": ["doctor", *JSON],
        "migrate --dry-run": ["migrate", "--dry-run", *JSON],
        "migrate": ["migrate", *JSON],
        "migrate again": ["migrate"],
        "nothing": ["executions"],
        "nothing as JSON": ["executions", *JSON],
        "import": ["import", "events", str(lines)],
        "steps": ["steps", *told],
        "executions": ["executions", *told],
        "trace": ["trace", "o-1", *JSON],
        "import again": ["import", "events", str(lines)],
        "steps again": ["steps", *told],
        "steps of a while": ["steps", *WHILE],
        "steps of a while as JSON": ["steps", *WHILE, *JSON],
        "steps of whole days": ["steps", *SINCE, "--until", "2026-01-06T00:00:00Z"],
        "steps ever": ["steps", *EVER, *JSON],
        "report ever": ["report", "timeouts", *EVER, *JSON],
        "executions again": ["executions", *told],
        "trace again": ["trace", "o-1", *JSON],
        "import nothing": ["import", "events", str(place.folder / "nowhere")],
        "lately": ["executions", "--since", "-15m", *JSON],
        "findings": ["findings", "--firing", *JSON],
        "doctor": ["doctor", *JSON],
        "trace unknown": ["trace", "o-2"],
        "forget unknown": ["forget", "--yes", "o-2"],
        "hostile import": ["import", "events", str(hostile)],
        "hostile steps": ["steps", *SINCE],
        "hostile executions": ["executions", *SINCE],
        "hostile trace": ["trace", RED],
        "hostile findings": ["findings"],
        "hostile report": ["report", "timeouts", *SINCE],
        "hostile JSON": ["executions", *SINCE, *JSON],
        "hostile doctor": ["doctor"],
        "forget": ["forget", "--yes", "o-1"],
        "executions forgotten": ["executions", *told],
        "many import": ["import", "events", str(many)],
        "many in a table": ["executions", *SINCE],
        "many as JSON": ["executions", *SINCE, *JSON],
    }
    results = run_all([place.argv(*words) for words in story.values()])
    return dict(zip(story, results, strict=True))


@pytest.mark.slow
def test_migrating(ended: dict[str, Ended]) -> None:
    planned, done = ended["migrate --dry-run"].data, ended["migrate"].data
    assert planned
    assert [list(row) for row in planned] == [documented("migrate")] * len(planned)
    assert {row["done"] for row in planned} == {False}
    assert done == [row | {"done": True} for row in planned]
    assert ended["migrate again"] == Ended(0, "The store is up to date.\n", "")


@pytest.mark.slow
def test_the_doctor(ended: dict[str, Ended]) -> None:
    assert (ended["doctor before"].code, ended["doctor"].code) == (0, 0)
    rows = {row["check"]: row for row in ended["doctor"].data}
    assert list(rows["store"]) == documented("doctor")
    assert rows["migrations"]["detail"] == "up to date"
    before = {row["check"]: row["detail"] for row in ended["doctor before"].data}
    assert re.fullmatch(r"\d+ to apply", before["migrations"])


@pytest.mark.slow
def test_nothing_there(ended: dict[str, Ended]) -> None:
    assert ended["nothing"] == Ended(0, "", "No executions.\n")
    assert ended["nothing as JSON"] == Ended(0, "[]\n", "")
    assert ended["lately"].data == []
    assert ended["findings"] == Ended(0, "[]\n", "")


@pytest.mark.slow
def test_a_bad_line_is_named_and_the_rest_is_imported(
    ended: dict[str, Ended], place: Place
) -> None:
    imported = ended["import"]
    assert imported.code == 2
    assert imported.out == "4 events imported, 1 bad document\n"
    (line,) = imported.err.splitlines()
    assert line.startswith(f"{place.folder / 'lines.ndjson'}, line 3: ")
    assert "step.exploded" in line
    (run,) = ended["trace"].data
    assert [one["event"] for one in run["events"]] == [
        "workflow.started",
        "step.started",
        "step.completed",
        "workflow.completed",
    ]
    nowhere = ended["import nothing"]
    assert (nowhere.code, nowhere.out) == (2, "")
    assert "No such file" in nowhere.err


@pytest.mark.slow
def test_importing_twice_changes_nothing(ended: dict[str, Ended]) -> None:
    for what in ("steps", "executions"):
        assert ended[what].data == ended[f"{what} again"].data != []
    (run,), (again,) = ended["trace"].data, ended["trace again"].data
    assert run["attempt_list"] == again["attempt_list"] != []
    assert len(run["events"]) == len(again["events"])


@pytest.mark.slow
def test_what_is_counted_whole_is_told_to_people(ended: dict[str, Ended]) -> None:
    told = ended["steps of a while"]
    assert told.err == "In whole days: 2026-01-05 00:00:00 to 2026-01-06 00:00:00 UTC.\n"
    assert "charge" in told.out
    assert ended["steps of whole days"] == Ended(0, told.out, "")
    assert ended["steps of a while as JSON"].err == ""


@pytest.mark.slow
def test_before_all_time_is_since_ever(ended: dict[str, Ended]) -> None:
    assert ended["steps ever"].data == ended["steps again"].data
    assert [row["step"] for row in ended["report ever"].data] == ["charge"]


@pytest.mark.slow
def test_it_is_told_how_to_see_more(ended: dict[str, Ended]) -> None:
    table, data = ended["many in a table"], ended["many as JSON"]
    assert table.err == "These are the latest 100; --limit shows more.\n"
    assert data.err == "These are the latest 10,000; --until shows earlier ones.\n"
    assert len(data.data) == 10_000


@pytest.mark.slow
def test_json_has_the_documented_fields(ended: dict[str, Ended]) -> None:
    for what in ("steps", "executions"):
        (row,) = ended[what].data
        assert sorted(row) == sorted(documented(what))
    (run,) = ended["trace"].data
    of_run = [name for name in documented("trace") if name not in ("executions", "attempts")]
    assert sorted(run) == sorted([*documented("executions"), *of_run])
    (step,) = ended["steps"].data
    assert (step["n"], step["completed"], step["oldest_open_at"]) == (1, 1, None)
    assert step["p50_s"] == pytest.approx(120, rel=0.02)
    (execution,) = ended["executions"].data
    assert execution["duration_s"] == 240
    assert datetime.fromisoformat(execution["started_at"]).utcoffset() is not None


@pytest.mark.slow
def test_an_unknown_execution_is_exit_status_2(ended: dict[str, Ended]) -> None:
    for what in ("trace unknown", "forget unknown"):
        assert ended[what] == Ended(2, "", "stallwatch: there is no execution 'o-2'\n")


@pytest.mark.slow
def test_forgetting(ended: dict[str, Ended]) -> None:
    assert ended["forget"] == Ended(0, "4 events erased\n", "")
    assert ended["executions forgotten"].data == []


@pytest.mark.slow
def test_names_from_senders_do_not_act_on_the_terminal(ended: dict[str, Ended]) -> None:
    names = [name for name in ended if name.startswith("hostile ") and name != "hostile JSON"]
    shown = {name: ended[name].out + ended[name].err for name in names}
    assert {name for name, text in shown.items() if set(text) & set(RED[0] + RED[-2:])} == set()
    for name in ("hostile steps", "hostile executions", "hostile trace", "hostile report"):
        assert ended[name].code == 0
        assert "\N{REPLACEMENT CHARACTER}[31mred" in ended[name].out.replace("\\[", "["), name
    assert ended["hostile import"].out == "3 events imported, 1 bad document\n"
    # Programs get the name as it is, in JSON's own writing.
    assert ESCAPE not in ended["hostile JSON"].out
    assert RED in {row["execution_id"] for row in ended["hostile JSON"].data}


@pytest.mark.slow
def test_forgetting_asks_first_at_a_terminal(place: Place, ended: dict[str, Ended]) -> None:
    ours, theirs = os.openpty()
    os.write(ours, b"n\n")
    asked = subprocess.run(
        [STALLWATCH, *place.argv("forget", RED)],
        stdin=theirs, capture_output=True, timeout=WAIT_S, check=False,
    )  # fmt: skip
    os.close(ours)
    os.close(theirs)
    assert asked.returncode not in (0, 2)
    assert asked.stdout.strip() == b""
    assert b"for good?" in asked.stderr
    assert ESCAPE.encode() not in asked.stderr


@pytest.mark.slow
def test_forgetting_asks_no_script(place: Place, ended: dict[str, Ended]) -> None:
    assert run_alone(*place.argv("forget", "nobody")).code == 2
    erased = run_alone(*place.argv("forget", RED))
    assert (erased.code, erased.err) == (0, "")
