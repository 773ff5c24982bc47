"""The tables of a task hub: rows as documents, and asking azurite for them."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.engines.durable import Durable
from collector.engines.durable.poll import DurablePoller
from collector.engines.durable.rows import escaped, unescaped
from collector.engines.reading import Hints, Parts
from stallwatch.config.engines.durable import DurableConfig
from stallwatch.errors import ConfigError, Permanent, Transient
from stallwatch.store import Store
from tests.collector.engines.durable_tables import TaskHub, history_row, instance_row, tables
from tests.collector.engines.stepfunctions_endpoint import free_port
from tests.collector.engines.timelines import FIXTURES, NOW, load, read_all, stored, timeline

ENGINE = Durable()
RECORDED = FIXTURES / "durable"


def recorded(phase: str) -> list[dict[str, Any]]:
    return [load(path) for path in sorted(RECORDED.glob(f"{phase}_*.json"))]


def rows_of(document: dict[str, Any], execution_id: str = "x1") -> list[dict[str, Any]]:
    return [
        history_row(document["instanceId"], place, event, execution_id)
        for place, event in enumerate(document["history"])
    ]


def parts_of(document: object) -> Parts:
    return ENGINE.parts(document, Hints(NOW))


def test_rows_one_by_one_and_in_any_order_are_the_history(store: Store) -> None:
    """An export of the table: each row is a document of its own. That an instance rests is not known from them."""
    for document in recorded("final"):
        rows = reversed(rows_of(document))
        stored(store, read_all(ENGINE, [parts_of(row) for row in rows]))
    assert timeline(store) == (RECORDED / "timeline_final.txt").read_text()


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_of_some_rows_is_told_some_of_what_all_tell(data: st.DataObject) -> None:
    document = data.draw(st.sampled_from(recorded("final")))
    rows = rows_of(document)
    some = data.draw(st.lists(st.sampled_from(rows)))
    few = [e for r in read_all(ENGINE, [parts_of(row) for row in some]) for e in r.events]
    (whole,) = read_all(ENGINE, [parts_of(rows)])
    assert {event.event_id: event for event in few}.items() <= {
        event.event_id: event for event in whole.events
    }.items()


def test_a_row_of_an_earlier_generation_is_a_run_of_its_own() -> None:
    first, second = recorded("final")[:2]
    rows = [*rows_of(first, "x1"), *rows_of({**second, "instanceId": first["instanceId"]}, "x2")]
    found = read_all(ENGINE, [parts_of(rows)])
    assert len({event.run_id for reading in found for event in reading.events}) == 2


def test_an_instance_without_history_has_begun() -> None:
    pending = {"instanceId": "p", "name": "order", "status": 6, "history": []}
    (reading,) = read_all(ENGINE, [parts_of(instance_row(pending, "x1"))])
    (started,) = reading.events
    assert (started.event, started.workflow, started.run_id) == ("workflow.started", "order", "")


@given(key=st.text())
def test_a_partition_key_is_its_instance(key: str) -> None:
    assert unescaped(escaped(key)) == key
    assert not set(escaped(key)) & set("/\\#?\n\t")


def test_a_partition_key_is_escaped_as_the_extension_does() -> None:
    assert escaped("a/b\\c#d?e^f\n") == "a^0b^1c^2d^3e^^f^Ê"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with tables(tmp_path_factory.mktemp("azurite")) as text:
        yield text


@pytest.fixture
def hub(account: str, request: pytest.FixtureRequest) -> Iterator[tuple[str, TaskHub]]:
    name = f"hub{abs(hash(request.node.name)) % 10**9}"
    its = TaskHub(account, name)
    yield name, its
    its.close()


def poller_of(account: str, hub: str, folder: Path) -> DurablePoller:
    secret = folder / "connection"
    secret.write_text(account)
    poller = ENGINE.poller(DurableConfig(connection_string_file=secret, task_hub=hub))
    assert isinstance(poller, DurablePoller)
    return poller


def look(poller: DurablePoller, mark: str | None, minutes: int) -> tuple[list[Parts], str]:
    pieces = list(poller.poll(mark, NOW + timedelta(minutes=minutes)))
    assert pieces[-1].mark
    return [piece.parts for piece in pieces], pieces[-1].mark


@pytest.mark.slow
def test_what_is_polled_has_its_timeline(
    account: str, hub: tuple[str, TaskHub], tmp_path: Path, store: Store
) -> None:
    """Mid-run, then at the end: what was open closes, and nothing counts twice."""
    name, writing = hub
    for document in recorded("mid"):
        writing.write(document, "x1")
    poller = poller_of(account, name, tmp_path)
    first, mark = look(poller, None, 0)
    with store.scratch("mid", NOW) as mid:
        stored(mid, read_all(ENGINE, first))
        assert timeline(mid) == (RECORDED / "timeline_mid.txt").read_text()
    for document in recorded("final"):
        writing.write(document, "x1")
    second, mark = look(poller, mark, 1)
    stored(store, read_all(ENGINE, first + second))
    assert timeline(store) == (RECORDED / "timeline_final.txt").read_text()
    third, _ = look(poller, mark, 2)
    assert [part.fragments for part in third if part.fragments] == []
    assert "a secret" not in repr(first + second)
    poller.close()


@pytest.mark.slow
def test_a_new_generation_is_read_and_the_old_one_s_rows_are_not(
    account: str, hub: tuple[str, TaskHub], tmp_path: Path
) -> None:
    """Continue-as-new writes over the rows of the generation before; a longer one's last rows stay behind."""
    name, writing = hub
    long, short = load(RECORDED / "final_o_retry-1.json"), load(RECORDED / "mid_o_stallact-1.json")
    writing.write({**long, "instanceId": "a/b"}, "x1")
    writing.write({**short, "instanceId": "a/b"}, "x2")
    poller = poller_of(account, name, tmp_path)
    found, _ = look(poller, None, 0)
    poller.close()
    (reading,) = read_all(ENGINE, found)
    assert [event.event for event in reading.events] == ["workflow.started", "step.started"]
    assert {event.execution_id for event in reading.events} == {"a/b"}


@pytest.mark.slow
def test_a_hub_that_is_not_there_is_said_so(account: str, tmp_path: Path) -> None:
    poller = poller_of(account, "nobody", tmp_path)
    with pytest.raises(Permanent, match="task_hub"):
        look(poller, None, 0)
    poller.close()


@pytest.mark.slow
def test_a_wrong_key_is_refused_and_not_repeated(
    account: str, hub: tuple[str, TaskHub], tmp_path: Path
) -> None:
    wrong = account.replace("AccountKey=Eby8", "AccountKey=AAAA")
    poller = poller_of(wrong, hub[0], tmp_path)
    with pytest.raises(Permanent, match="Storage Table Data Reader") as refused:
        look(poller, None, 0)
    assert "AAAA" not in str(refused.value)
    poller.close()


def test_an_account_that_is_away_is_asked_again(tmp_path: Path) -> None:
    text = (
        "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=AAAA;"
        f"TableEndpoint=http://127.0.0.1:{free_port()}/a;"
    )
    poller = poller_of(text, "hub", tmp_path)
    with pytest.raises(Transient, match="cannot be reached"):
        look(poller, None, 0)
    poller.close()


def test_a_connection_string_that_is_none_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        poller_of("my-secret", "hub", tmp_path)
    assert "my-secret" not in str(refused.value)
