"""What the poller of Step Functions remembers, in which order it looks, and what it says when it cannot begin."""

import itertools
import json
import re
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import pytest
from cfnlint.api import ManualArgs, lint  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from collector.engines.registry import engine
from collector.engines.stepfunctions.aws import Pace
from collector.engines.stepfunctions.histories import new_events
from collector.engines.stepfunctions.listing import list_executions
from collector.engines.stepfunctions.poll import StepFunctionsPoller
from collector.engines.stepfunctions.watching import (
    FEW,
    NAMED_MAX,
    OVERLAP,
    Execution,
    Source,
    mark_of,
    read_mark,
    source_of,
    turns,
)
from stallwatch.clock import ManualClock
from stallwatch.config.engines.stepfunctions import StepFunctionsConfig
from stallwatch.errors import ConfigError, Permanent, Transient
from tests.collector.engines.stepfunctions_endpoint import page_of

NOW: Final = datetime(2026, 11, 22, 12, tzinfo=UTC)
MACHINE: Final = "arn:aws:states:us-east-1:123456789012:stateMachine:m"


def item(number: int, status: str = "RUNNING", **more: Any) -> dict[str, Any]:
    started = (NOW + timedelta(seconds=number)).isoformat()
    return {"executionArn": f"e-{number}", "status": status, "startDate": started, **more}


def execution(number: int, looked_s: int | None = None, **more: Any) -> Execution:
    looked_at = None if looked_s is None else NOW + timedelta(seconds=looked_s)
    return Execution(f"e-{number}", item(number), looked_at=looked_at, **more)


def source(**more: Any) -> Source:
    return Source(MACHINE, is_map_run=False, began=NOW, **more)


def test_every_kind_has_its_turn() -> None:
    some = [
        execution(1, looked_s=30),
        execution(2, looked_s=10),
        execution(3, looked_s=20),
        execution(4),
        execution(5),
        execution(6, is_closed=True),
        execution(7, looked_s=5, is_closed=True),
        execution(8, is_told=True, is_closed=True),
        execution(9, historical=True),
        execution(10, historical=True),
    ]
    order = ["e-7", "e-6", "e-2", "e-10", "e-8", "e-5", "e-3", "e-9", "e-4", "e-1"]
    assert [one.arn for one in turns(some)] == order


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.none() | st.integers(0, 99)), max_size=40))  # fmt: skip
def test_everyone_has_one_turn(shape: list[tuple[bool, bool, int | None]]) -> None:
    some = [
        execution(number, looked_s, historical=historical, is_closed=is_closed)
        for number, (historical, is_closed, looked_s) in enumerate(shape)
    ]
    assert sorted(one.arn for one in turns(some)) == sorted(one.arn for one in some)


def test_what_closed_before_anybody_looked_is_history() -> None:
    one = source()
    before = (NOW - timedelta(seconds=1)).isoformat()
    after = (NOW + timedelta(seconds=1)).isoformat()
    one.note(item(-5, "FAILED", stopDate=before))
    one.note(item(-4, "FAILED", stopDate=after))
    one.note(item(-3, "TIMED_OUT"))
    one.note(item(-2))
    assert [found.historical for found in one.unfinished.values()] == [True, False, True, False]


def test_what_was_seen_to_its_end_is_new_again_when_it_is_redriven() -> None:
    one = source()
    assert one.note(item(1, "FAILED"))
    found = one.unfinished["e-1"]
    found.seen = 9
    one.finish(found, NOW)
    assert not one.note(item(1, "FAILED"))
    assert one.note(item(1, redriveCount=1))
    assert one.unfinished["e-1"].seen == 9
    one.forget_finished(NOW + 3 * OVERLAP)
    assert one.finished == {}


def test_what_is_running_is_listed_now_and_then_and_where_it_is_much() -> None:
    one = source()
    assert one.wants_running(NOW)
    one.running_at = NOW
    soon, later = NOW + timedelta(seconds=10), NOW + timedelta(seconds=70)
    assert not one.wants_running(soon)
    assert one.wants_running(later)
    for number in range(FEW):
        one.note(item(number))
    assert not one.wants_running(soon)
    one.note(item(FEW))
    assert one.wants_running(soon)


def test_a_mark_names_the_oldest_and_finds_the_others_by_their_start() -> None:
    one = source(looked_at=NOW + timedelta(hours=1))
    for number in range(NAMED_MAX + 7):
        one.note(item(number))
    text = mark_of([one], NOW)
    mark = read_mark(text)
    assert mark is not None
    again = source_of(MACHINE, mark.sources[MACHINE])
    assert list(again.unfinished) == [f"e-{number}" for number in range(NAMED_MAX)]
    assert again.floor(NOW, timedelta()) == NOW + timedelta(seconds=NAMED_MAX) - OVERLAP
    assert (again.began, again.is_map_run, mark.at) == (NOW, False, NOW)
    assert len(text) < 100 * NAMED_MAX


@pytest.mark.parametrize("text", [None, "", "2026-11-22T10:00:00Z", "{}", '{"at":1,"sources":2}'])
def test_what_is_no_mark_is_the_first_look(text: str | None) -> None:
    assert read_mark(text) is None


class Lists:
    """Lists executions, in pages of two, as AWS does: the newest first."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self.items = sorted(items, key=lambda one: str(one["startDate"]), reverse=True)
        self.pages_read = 0

    def pages(self, _action: str, _items: str, **asked: Any) -> Iterator[list[dict[str, Any]]]:
        status = asked.get("statusFilter")
        found = [one for one in self.items if status in (None, one["status"])]
        for start in range(0, len(found), 2):
            self.pages_read += 1
            yield found[start : start + 2]


def listed(one: Source, items: list[dict[str, Any]], at: datetime, room: int = 100) -> Lists:
    lists: Any = Lists(items)
    list_executions(lists, one, at, timedelta(hours=1), room)
    return lists  # type: ignore[no-any-return]


def test_what_is_no_longer_listed_as_running_has_closed() -> None:
    one = source()
    items = [item(number) for number in range(-20, 0)]
    listed(one, items, NOW)
    assert not any(found.is_closed for found in one.unfinished.values())
    # It began long before the newest that are read, so that only its absence tells.
    listed(one, items[1:], NOW + timedelta(minutes=2))
    assert [arn for arn, found in one.unfinished.items() if found.is_closed] == ["e--20"]
    # Lists are eventually right: it was too early.
    listed(one, items, NOW + timedelta(minutes=4))
    assert not any(found.is_closed for found in one.unfinished.values())


def test_the_newest_are_read_back_to_the_last_look() -> None:
    one = source()
    ended = [item(minute * 60, "FAILED") for minute in range(-100, 0)]
    assert listed(one, ended, NOW).pages_read == 31
    assert len(one.unfinished) == 60
    more = [*ended, item(60, "FAILED")]
    later = listed(one, more, NOW + timedelta(minutes=2))
    # Seven of them: what began since five minutes before the last look, and one before that.
    assert later.pages_read == 4
    assert len(one.unfinished) == 61


def test_there_is_an_end_to_what_is_remembered(caplog: pytest.LogCaptureFixture) -> None:
    one = source()
    running = [item(number) for number in range(-5, 0)]
    listed(one, running, NOW, room=3)
    assert len(one.unfinished) == 3
    assert "older ones are left out" in caplog.text
    # What is open is found when there is room again.
    listed(one, running, NOW + timedelta(minutes=2), room=3)
    assert len(one.unfinished) == 5
    caplog.clear()
    listed(one, running, NOW + timedelta(minutes=2), room=0)
    assert caplog.text == ""


class Pages:
    """Gives pages as AWS does, or as an endpoint that gives all events whatever it is asked for."""

    def __init__(self, events: list[dict[str, Any]], page_max: int | None) -> None:
        self._events = events
        self._page_max = page_max

    def pages(self, _action: str, items: str, **parameters: Any) -> Iterator[list[dict[str, Any]]]:
        if self._page_max is None:
            yield self._events
            return
        # A page may be shorter than asked for, or empty.
        yield []
        asked = {**parameters, "maxResults": min(parameters["maxResults"], self._page_max)}
        for start in itertools.count(0, asked["maxResults"]):
            page = page_of(self._events, {**asked, "nextToken": start})
            yield page[items]
            if "nextToken" not in page:
                return


@given(st.integers(1, 300), st.integers(0, 300), st.none() | st.integers(1, 60))
def test_what_is_new_comes_once_and_in_order(total: int, seen: int, page_max: int | None) -> None:
    events = [{"id": number} for number in range(1, total + 1)]
    one = execution(1, seen=seen)
    pages: Any = Pages(events, page_max)
    found = [event["id"] for page in new_events(pages, one) for event in page]
    assert found == list(range(seen + 1, total + 1))


def test_calls_keep_the_pace_and_end_when_it_is_closed() -> None:
    clock, closing = ManualClock(NOW), threading.Event()
    pace = Pace(4, clock, closing)
    for _ in range(9):
        pace.wait()
    assert (clock.now() - NOW).total_seconds() == 2
    assert pace.calls == 9
    clock.advance(60)
    # What was not used is not saved up: AWS counts by the second.
    for _ in range(3):
        pace.wait()
    assert (clock.now() - NOW).total_seconds() == 62.5
    closing.set()
    with pytest.raises(Transient, match="shut down"):
        pace.wait()


DOCS: Final = Path(__file__).parents[3] / "docs" / "engines"
SOURCES: Final = Path(sys.modules[StepFunctionsPoller.__module__].__file__ or "").parent


def called_actions() -> set[str]:
    """What the poller asks AWS for, by the names of policies."""
    found = {
        name
        for path in SOURCES.glob("*.py")
        for name in re.findall(r'"((?:list|describe|get)_[a-z_]+)",', path.read_text())
    }
    return {"states:" + "".join(word.capitalize() for word in name.split("_")) for name in found}


def test_the_policy_allows_what_is_called_and_no_more() -> None:
    policy = json.loads((DOCS / "stepfunctions-policy.json").read_text())
    allowed = [
        (action, resource)
        for statement in policy["Statement"]
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    ]
    assert {action for action, _ in allowed} == called_actions()
    arns = "arn:aws:states:eu-west-1:123456789012:"
    for action, arn in [
        ("ListStateMachines", "*"),
        ("DescribeStateMachine", "stateMachine:order"),
        ("DescribeStateMachine", "stateMachine:order:7"),
        ("ListExecutions", "stateMachine:order"),
        ("ListExecutions", "mapRun:order/items:0a1b"),
        ("DescribeMapRun", "mapRun:order/items:0a1b"),
        ("GetExecutionHistory", "execution:order:o-1"),
        ("GetExecutionHistory", "execution:order/items:0a1b"),
        ("DescribeExecution", "execution:order:o-1"),
    ]:
        target = arn if arn == "*" else arns + arn
        assert any(
            action == named.removeprefix("states:") and fnmatchcase(target, resource)
            for named, resource in allowed
        ), (action, target)


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_every_key_is_documented() -> None:
    text = (DOCS / "stepfunctions.md").read_text()
    for key in StepFunctionsConfig.model_fields:
        assert f"`{key}`" in text, key


def test_the_template_for_pushing_is_one() -> None:
    text = (DOCS / "stepfunctions-push.yaml").read_text()
    found = lint(text, config=ManualArgs(regions=["us-east-1"]))
    assert [f"{one.linenumber}: {one.message}" for one in found] == []


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A machine that AWS's tools know nothing of."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return monkeypatch


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "engines.stepfunctions.regions: name a region"),
        ({"profile": "ops"}, "engines.stepfunctions.profile: there is no profile 'ops'"),
        ({"regions": ["us-east-1"], "role_arn": "arn:x"}, "role_arn: there are no AWS credentials"),
        ({"regions": ["us east"]}, "engines.stepfunctions: "),
        ({"regions": ["us-east-1"], "endpoint_url": "here"}, "engines.stepfunctions: "),
    ],
)
def test_what_keeps_it_from_beginning_is_said_by_its_key(
    nowhere: pytest.MonkeyPatch, fields: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        StepFunctionsPoller(engine("stepfunctions"), StepFunctionsConfig(**fields))


def test_without_the_extra_it_says_what_to_install(nowhere: pytest.MonkeyPatch) -> None:
    nowhere.setitem(sys.modules, "botocore.session", None)
    with pytest.raises(ConfigError, match=r"pip install 'stallwatch\[aws\]'"):
        StepFunctionsPoller(engine("stepfunctions"), StepFunctionsConfig())


def test_without_credentials_it_says_so_when_it_asks(nowhere: pytest.MonkeyPatch) -> None:
    poller = StepFunctionsPoller(
        engine("stepfunctions"), StepFunctionsConfig(regions=("us-east-1",))
    )
    with pytest.raises(Permanent, match="Unable to locate credentials"):
        list(poller.poll(None, NOW))
    poller.close()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"external_id": "x"}, "set role_arn too"),
        ({"max_calls_per_s": 0}, "greater than or equal to 0.1"),
        ({"namespace": ""}, "at least 1 character"),
        ({"region": "us-east-1"}, "Extra inputs"),
    ],
)
def test_a_section_that_cannot_work_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        StepFunctionsConfig(**fields)


def test_a_section_of_json_is_read() -> None:
    config = StepFunctionsConfig.model_validate(json.loads('{"regions": ["eu-west-1"], "every": "30s"}'))  # fmt: skip
    assert (config.regions, config.every) == (("eu-west-1",), 30)
