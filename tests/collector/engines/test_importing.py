"""Files of engines' histories: what tells whose they are, and what is no history of the engine that is named."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from collector.importing import Progress
from collector.service import Collector
from stallwatch.clock import ManualClock
from tests.collector.helpers import FakeStore, collecting

FIXTURES: Final = Path(__file__).parents[2] / "fixtures" / "engines"
RETRY: Final = FIXTURES / "stepfunctions" / "history_retry.json"
LATER: Final = datetime(2026, 12, 1, tzinfo=UTC)
"""After what was recorded."""
ARN: Final = "arn:aws:states:us-east-1:123456789012:execution:order:o-1"


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def collector(store: FakeStore) -> Iterator[Collector]:
    with collecting(store, ManualClock(LATER)) as collector:
        yield collector


def written(path: Path, document: Any) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document))
    return str(path)


def history(**beside: str) -> dict[str, Any]:
    """A history of Step Functions that does not say whose it is, unless that is said `beside`."""
    return {**json.loads(RETRY.read_text()), **beside}


def other(**beside: str) -> dict[str, Any]:
    found = history(**beside)
    found["events"] = found["events"][:4]
    return found


def told(steps: Iterator[Progress]) -> tuple[int, list[str]]:
    """How many documents were accepted, and what was wrong with the others."""
    accepted: dict[str, int] = {}
    errors: list[str] = []
    for step in steps:
        accepted[step.path] = step.accepted
        errors += step.errors
    return sum(accepted.values()), errors


def test_two_files_of_one_name_are_not_made_one_execution(
    store: FakeStore, collector: Collector, tmp_path: Path
) -> None:
    paths = [
        written(tmp_path / "x" / "same.json", history()),
        written(tmp_path / "y" / "same.json", other()),
        written(tmp_path / "z" / "same.json", dict(reversed(history().items()))),
    ]
    accepted, (error,) = told(collector.import_documents("stepfunctions", paths))
    assert accepted == 2
    assert error == (
        f"{paths[1]}, line 1: only the file's name says whose this is, and {paths[0]} has the same name and says "
        "something else: rename one of them, or let each say whose it is"
    )
    assert set(store.stored()) == {"same"}


@pytest.mark.parametrize("beside", ["in the document", "in a file beside it"])
def test_files_of_one_name_that_say_whose_they_are_are_taken(
    collector: Collector, tmp_path: Path, beside: str
) -> None:
    said = {"executionArn": ARN} if beside == "in the document" else {}
    if not said:
        for folder in ("x", "y"):
            written(tmp_path / folder / "same.describe.json", {"executionArn": ARN})
    paths = [
        written(tmp_path / "x" / "same.json", history(**said)),
        written(tmp_path / "y" / "same.json", other(**said)),
    ]
    assert told(collector.import_documents("stepfunctions", paths)) == (2, [])


def test_whose_history_it_is_can_be_said(
    store: FakeStore, collector: Collector, tmp_path: Path
) -> None:
    path = written(tmp_path / "same.json", history())
    steps = collector.import_documents("stepfunctions", [path], execution_id="o-7")
    assert told(steps) == (1, [])
    assert set(store.stored()) == {"o-7"}


def test_the_ways_to_say_it_are_named(collector: Collector, tmp_path: Path) -> None:
    # Of several documents in a file its name does not say whose each is.
    path = written(tmp_path / "same.json", [history(), history()])
    _, errors = told(collector.import_documents("stepfunctions", [path]))
    assert len(errors) == 2
    for way in ('{"executionArn": …, "events": […]}', "--execution-id", "?execution_id="):
        assert way in errors[0]


@pytest.mark.parametrize(
    ("engine", "document", "says"),
    [
        ("durable", history(), "not one event type is known, the first is 'ExecutionStartedEventDetails'"),
        ("durable", {"instanceId": "a", "history": [{"eventType": "N" * 900}]}, f"the first is '{'N' * 100}'"),
        (
            "stepfunctions",
            {"events": [{"id": 1, "type": "Novel", "timestamp": "2026-01-05T10:00:00Z"}]},
            "not one type is known, the first is 'Novel'",
        ),
        (
            "temporal",
            {"events": [{"eventId": "1", "eventType": "NOVEL", "eventTime": "2026-01-05T10:00:00Z"}]},
            "not one eventType is known, the first is 'NOVEL'",
        ),
        ("temporal", history(), "eventType is missing"),
        ("dbos", history(), "not of DBOS"),
        ("stepfunctions", {"workflow_status": []}, "is none of Step Functions"),
        ("durable", 7, "a document is an object, not a number"),
        ("temporal", None, "a document is an object, not null"),
    ],
)  # fmt: skip
def test_a_document_of_which_nothing_is_known_is_bad(
    store: FakeStore, collector: Collector, tmp_path: Path, engine: str, document: Any, says: str
) -> None:
    path = written(tmp_path / "one.json", document)
    accepted, (error,) = told(collector.import_documents(engine, [path]))
    assert accepted == 0
    assert error.startswith(f"{path}, line 1: ")
    assert says in error
    assert store.stored() == []


@pytest.mark.parametrize(
    ("engine", "document"),
    [
        (
            "stepfunctions",
            {"events": [{"id": 9, "type": "Novel", "timestamp": "2026-01-05T10:00:00Z"}]},
        ),
        (
            "temporal",
            {"events": [{"eventId": "9", "eventType": "NOVEL", "eventTime": "2026-01-05T10:00:00Z"}]},
        ),
    ],
)  # fmt: skip
def test_a_later_part_may_be_newer_than_all_that_is_known(
    collector: Collector, tmp_path: Path, engine: str, document: Any
) -> None:
    path = written(tmp_path / "one.json", document)
    assert told(collector.import_documents(engine, [path])) == (1, [])
