"""The HTTP management API: what its documents tell, and asking it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.engines.durable import Durable
from collector.engines.durable.instances import instance_of_key
from collector.engines.durable.poll import DurablePoller
from collector.engines.reading import Hints, Parts
from stallwatch.config.engines.durable import DurableConfig
from stallwatch.errors import Permanent, Transient
from stallwatch.model.events import StepEvent
from stallwatch.store import Store
from tests.collector.engines.durable_made import Maker
from tests.collector.engines.durable_management import (
    KEY,
    ManagementApi,
    management_document,
    serving,
)
from tests.collector.engines.timelines import FIXTURES, NOW, load, read_all, stored, timeline

ENGINE = Durable()
RECORDED = FIXTURES / "durable"


def documents(phase: str) -> list[dict[str, Any]]:
    paths = sorted(RECORDED.glob(f"{phase}_*.json"))
    return [management_document(load(path)) for path in paths]


def told(*documents: object) -> list[StepEvent]:
    parts = [ENGINE.parts(document, Hints(NOW)) for document in documents]
    return [event for reading in read_all(ENGINE, parts) for event in reading.events]


def ids(events: list[StepEvent]) -> set[tuple[str, str]]:
    return {(event.event_id, repr(event)) for event in events}


@pytest.mark.parametrize("phase", ["mid", "final"])
def test_the_api_tells_the_same_timeline(store: Store, phase: str) -> None:
    """Which instance is whose child is not told by it."""
    parts = [ENGINE.parts(document, Hints(NOW)) for document in documents(phase)]
    stored(store, read_all(ENGINE, parts))
    golden = (RECORDED / f"timeline_{phase}.txt").read_text().replace(" parent=o_sub-1", "")
    assert timeline(store) == golden


def test_a_documented_answer_is_understood(store: Store) -> None:
    """The example of the documentation, typed by hand."""
    document = load(FIXTURES / "durable_management" / "documented.json")
    stored(store, read_all(ENGINE, [ENGINE.parts(document, Hints(NOW))]))
    golden = FIXTURES / "durable_management" / "timeline_documented.txt"
    assert timeline(store) == golden.read_text()


def made_document(events: list[dict[str, Any]]) -> dict[str, Any]:
    is_done = any("executionCompleted" in event for event in events)
    recorded = {"instanceId": "made", "name": "made", "status": int(is_done), "history": events}
    return management_document(recorded)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_later_answer_tells_all_that_an_earlier_one_told(data: st.DataObject) -> None:
    maker = Maker(data)
    events = maker.make()
    answers = [made_document(events[:length]) for length in maker.rests]
    several = [told(answer) for answer in answers]
    for early, late in pairwise(several):
        assert ids(early) <= ids(late)
    assert ids(told(*answers)) == ids(told(*reversed(answers))) == ids(several[-1])


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_what_the_api_leaves_out_is_worked_out(data: st.DataObject) -> None:
    """Ids, attempts and waits are those of the history as the backend keeps it."""
    maker = Maker(data)
    events = maker.make()
    for length in maker.rests:
        document = made_document(events[:length])
        whole = {**document, "history": events[:length]}
        del whole["historyEvents"]
        assert {key(event) for event in told(document)} == {key(event) for event in told(whole)}


def key(event: StepEvent) -> tuple[object, ...]:
    return (event.event_id, event.time, event.step, event.attempt, event.due, event.error_type)


@pytest.fixture
def api() -> Iterator[ManagementApi]:
    its = ManagementApi()
    with serving(its) as url:
        its.url = url
        yield its


@pytest.fixture
def poller(api: ManagementApi) -> Iterator[DurablePoller]:
    its = poller_of(api)
    yield its
    its.close()


def poller_of(api: ManagementApi, **more: Any) -> DurablePoller:
    config = DurableConfig.model_validate({"url": api.url, "key": KEY, "task_hub": "hub", **more})
    poller = ENGINE.poller(config)
    assert isinstance(poller, DurablePoller)
    return poller


def look(
    poller: DurablePoller, mark: str | None = None, now: datetime = NOW
) -> tuple[list[Parts], str]:
    pieces = list(poller.poll(mark, now))
    assert pieces[-1].mark
    return [piece.parts for piece in pieces], pieces[-1].mark


def names(parts: list[Parts]) -> list[str]:
    return [instance_of_key(one.execution) for part in parts for one in part.fragments]


def test_what_is_polled_has_its_timeline(
    api: ManagementApi, poller: DurablePoller, store: Store
) -> None:
    """Mid-run, then at the end: what was open closes, and nothing counts twice."""
    api.put(*documents("mid"))
    first, mark = look(poller)
    stored(store, read_all(ENGINE, first))
    api.put(*documents("final"))
    second, _ = look(poller, mark, NOW + timedelta(minutes=1))
    stored(store, read_all(ENGINE, first + second))
    golden = (RECORDED / "timeline_final.txt").read_text().replace(" parent=o_sub-1", "")
    assert timeline(store) == golden
    assert sorted(names(second)) == ["o_stallact-1", "o_wait-1"]


def test_the_key_is_in_no_url_and_no_error(
    api: ManagementApi, caplog: pytest.LogCaptureFixture
) -> None:
    api.put(*documents("mid"))
    caplog.set_level("DEBUG")
    good, bad = poller_of(api), poller_of(api, key="a wrong key")
    look(good)
    with pytest.raises(Permanent, match="system key") as refused:
        look(bad)
    good.close()
    bad.close()
    said = caplog.text + "".join(api.asked) + str(refused.value)
    assert KEY not in said
    assert "a wrong key" not in said
    assert all("taskHub=hub" in path for path in api.asked)


@pytest.mark.parametrize(
    ("answer", "error", "retry_after_s"),
    [
        ((429, {"Retry-After": "17"}, b""), Transient, 17.0),
        ((503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, b""), Transient, None),
        ((500, {}, b"Function host is not running."), Transient, None),
        ((200, {}, b"<html>starting</html>"), Transient, None),
        ((200, {}, b'{"instanceId": "no list"}'), Transient, None),
        ((403, {}, b""), Permanent, None),
        ((404, {}, b""), Permanent, None),
        ((302, {"Location": "https://login.example.com"}, b""), Permanent, None),
    ],
)
def test_a_refusal_says_whether_to_ask_again(
    api: ManagementApi,
    poller: DurablePoller,
    answer: tuple[int, dict[str, str], bytes],
    error: type[Exception],
    retry_after_s: float | None,
) -> None:
    api.script.append(answer)
    with pytest.raises(error) as raised:
        look(poller)
    assert getattr(raised.value, "retry_after_s", None) == retry_after_s


def test_an_app_that_is_away_is_asked_again() -> None:
    poller = ENGINE.poller(DurableConfig(url="http://127.0.0.1:9"))
    with pytest.raises(Transient, match="cannot be reached"):
        list(poller.poll(None, NOW))
    poller.close()


def test_only_what_changed_is_read_again(api: ManagementApi, poller: DurablePoller) -> None:
    api.put(*documents("mid"))
    first, mark = look(poller)
    assert len(names(first)) == 10
    second, mark = look(poller, mark, NOW + timedelta(seconds=10))
    assert names(second) == []
    changed = next(d for d in documents("mid") if d["instanceId"] == "o_wait-1")
    api.put({**changed, "lastUpdatedTime": "2026-11-22T11:59:59Z"})
    third, mark = look(poller, mark, NOW + timedelta(seconds=20))
    assert names(third) == ["o_wait-1"]


def instance(number: int, status: str, updated: str = "2026-11-22T11:00:00Z") -> dict[str, Any]:
    return {
        "name": "made",
        "instanceId": f"i{number}",
        "runtimeStatus": status,
        "createdTime": "2026-11-22T10:00:00Z",
        "lastUpdatedTime": updated,
        "historyEvents": [
            {"EventType": "ExecutionStarted", "FunctionName": "made", "Timestamp": "2026-11-22T10:00:00.1Z"},
            *([] if status == "Running" else [
                {"EventType": "ExecutionCompleted", "OrchestrationStatus": status,
                 "Timestamp": "2026-11-22T11:00:00.1Z"}
            ]),
        ],
    }  # fmt: skip


def test_a_look_is_bounded_and_everything_has_its_turn(api: ManagementApi) -> None:
    api.put(*(instance(number, "Running") for number in range(7)))
    api.put(*(instance(number, "Completed") for number in range(7, 12)))
    poller = poller_of(api, max_histories=4)
    seen: list[str] = []
    mark: str | None = None
    for turn in range(4):
        parts, mark = look(poller, mark, NOW + timedelta(minutes=turn))
        assert len(names(parts)) <= 4
        seen += names(parts)
    poller.close()
    assert sorted(seen) == sorted(f"i{number}" for number in range(12))


def test_what_closed_while_nobody_looked_is_found(api: ManagementApi) -> None:
    """Another process looked before, and what was open then closed since: it is older than what is listed else."""
    api.put(instance(1, "Running"))
    poller = poller_of(api, lookback="1m")
    _, mark = look(poller)
    poller.close()
    api.put(instance(1, "Completed", "2026-11-22T12:30:00Z"))
    poller = poller_of(api, lookback="1m")
    parts, _ = look(poller, mark, NOW + timedelta(hours=1))
    poller.close()
    assert names(parts) == ["i1"]


def test_only_the_first_look_is_history(api: ManagementApi, poller: DurablePoller) -> None:
    api.put(instance(1, "Running"), instance(2, "Completed"))
    pieces = list(poller.poll(None, NOW))
    assert {
        instance_of_key(fragment.execution): piece.historical
        for piece in pieces
        for fragment in piece.parts.fragments
    } == {"i1": False, "i2": True}
    api.put(instance(1, "Completed"))
    pieces = list(poller.poll(pieces[-1].mark, NOW + timedelta(minutes=1)))
    assert [piece.historical for piece in pieces if piece.parts.fragments] == [False]


def test_what_does_not_fit_into_the_first_look_is_history_too(api: ManagementApi) -> None:
    api.put(*(instance(number, "Failed") for number in range(5)))
    poller = poller_of(api, max_histories=2)
    mark: str | None = None
    told: list[bool] = []
    for turn in range(3):
        pieces = list(poller.poll(mark, NOW + timedelta(minutes=turn)))
        told += [piece.historical for piece in pieces for _ in piece.parts.fragments]
        mark = pieces[-1].mark
    poller.close()
    assert told == [True] * 5


def test_what_was_not_stored_is_asked_for_again(api: ManagementApi, poller: DurablePoller) -> None:
    """The look is broken off behind its first piece: the mark did not move, and the piece comes again."""
    api.put(instance(1, "Running"))
    next(poller.poll(None, NOW))
    parts, _ = look(poller, None, NOW + timedelta(seconds=1))
    assert names(parts) == ["i1"]


def test_entities_and_what_was_purged_are_passed_over(
    api: ManagementApi, poller: DurablePoller
) -> None:
    api.put({**instance(1, "Running"), "instanceId": "@counter@k"}, instance(2, "Running"))
    first, mark = look(poller)
    assert names(first) == ["i2"]
    del api.documents["i2"]
    second, _ = look(poller, mark, NOW + timedelta(minutes=1))
    assert names(second) == []


def test_any_instance_id_is_asked_for_as_it_is(api: ManagementApi, poller: DurablePoller) -> None:
    strange = "a/b?c=d#e f&g%2Fü"
    api.put({**instance(1, "Running"), "instanceId": strange})
    parts, _ = look(poller)
    assert names(parts) == [strange]


SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({}, "exactly one of url"),
    ({"url": "https://app.example", "grpc": "127.0.0.1:8080"}, "exactly one of url"),
    ({"url": "https://app.example/?code=hidden"}, "write the URL alone"),
    ({"url": "ftp://app.example"}, "http"),
    ({"connection_string": "hidden"}, "task_hub"),
    ({"grpc": "127.0.0.1:8080", "key": "hidden"}, "go with url"),
]


@pytest.mark.parametrize(("settings", "reason"), SETTINGS)
def test_a_wrong_section_is_refused_with_its_reason(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        DurableConfig.model_validate(settings)
