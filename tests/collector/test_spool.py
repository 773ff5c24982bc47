"""The spool on disk: what goes in comes out, once, whole, in order, and nothing of it stays."""

import sqlite3
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from collector.items import Item, decoded
from collector.meters import Meters
from collector.refusals import Busy
from collector.spool import Spool
from collector.spool_file import FILE_NAME
from stallwatch.errors import InputError, Transient, UsageError
from stallwatch.model.events import event_from_dict
from stallwatch.store import Body, EventRow
from tests.collector.helpers import NOW, step_event

MIB = 1024 * 1024


def body(number: int, sender: str = "s", request: bytes = b"") -> Item:
    made = Body(
        request or b"request %d" % number, NOW + timedelta(seconds=number), sender, "ns", True
    )
    return Item(len(made.request), 3, body=made, number=number)


def events(number: int, sender: str = "s") -> Item:
    rows = [
        EventRow(event_from_dict(step_event(n, extra={"a": [1, "ü"]}), NOW), NOW, sender)
        for n in range(2)
    ]
    return Item(500, 2, rows=rows, number=number)


class Disk:
    """A folder in which the spool is opened again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.open()

    def open(self, limit_bytes: int = MIB) -> Spool:
        self.registry = CollectorRegistry()
        self.spool = Spool(self.folder, limit_bytes, Meters(self.registry))
        return self.spool

    def reopened(self, limit_bytes: int = MIB) -> Spool:
        self.spool.close()
        return self.open(limit_bytes)

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(self.folder / FILE_NAME)
        rows = connection.execute(statement).fetchall()
        connection.commit()
        connection.close()
        return rows

    def numbers(self) -> list[int]:
        """Drain everything; the order in which it came out."""
        out: list[int] = []
        while group := self.spool.next_group(MIB, f"token {len(out)}"):
            out += [item.number for item in group.items]
            self.spool.remove(group.token)
        return out

    def sample(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "spool")
    yield disk
    disk.spool.close()


def test_what_was_added_comes_out_as_it_was_after_a_restart(disk: Disk) -> None:
    added = [body(1), body(2)]
    disk.spool.add(added)
    disk.spool.add([events(3)])
    spool = disk.reopened()
    assert (spool.records, spool.newest_number, spool.oldest_at) == (
        3,
        3,
        NOW + timedelta(seconds=1),
    )
    first = spool.next_group(MIB, "t1")
    assert first is not None
    assert [(item.body, item.count) for item in first.items] == [(i.body, 3) for i in added]
    spool.remove("t1")
    second = spool.next_group(MIB, "t2")
    assert second is not None
    assert second.items[0].rows == events(3).rows
    spool.remove("t2")
    assert spool.next_group(MIB, "t3") is None
    assert (spool.records, spool.size_bytes, spool.oldest_at) == (0, 0, None)


text = st.text(max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | text
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@given(
    attributes=st.dictionaries(text, json_values, max_size=4), sender=text, historical=st.booleans()
)
def test_every_event_survives_the_way_through_the_spool(
    attributes: dict[str, object], sender: str, historical: bool
) -> None:
    event = event_from_dict(step_event(1, attributes=attributes), NOW)
    item = Item(100, 1, rows=[EventRow(event, NOW, sender, "event", historical)])
    assert decoded("event", item.encoded(), 100, 1).rows == item.rows


@given(data=st.binary(max_size=200), kind=st.sampled_from(["span", "event"]))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_garbage_is_an_input_error(data: bytes, kind: str) -> None:
    try:
        item = decoded(kind, data, 1, 1)
    except InputError:
        return
    assert item.body is not None or item.rows


def test_only_the_user_of_the_service_can_read_it(disk: Disk) -> None:
    disk.spool.add([body(1)])
    assert stat.S_IMODE(disk.folder.stat().st_mode) == 0o700
    made = sorted(path.name for path in disk.folder.iterdir())
    assert made == ["spool.lock", FILE_NAME, f"{FILE_NAME}-shm", f"{FILE_NAME}-wal"]
    for path in disk.folder.glob(f"{FILE_NAME}*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_second_process_is_refused_by_name(disk: Disk) -> None:
    with pytest.raises(UsageError, match="held by another process"):
        Spool(disk.folder, MIB, Meters(CollectorRegistry()))


def test_what_is_drained_leaves_no_bytes_behind_and_the_file_shrinks(disk: Disk) -> None:
    secret = b"Bearer 0123456789abcdef"
    for number in range(1, 9):
        disk.spool.add([body(number, request=secret * 4000)])
    disk.spool.add([body(9, "another")], token="goes on", held=True)

    def on_disk() -> list[str]:
        paths = disk.folder.glob(f"{FILE_NAME}*")
        return [path.name for path in paths if secret in path.read_bytes()]

    assert on_disk()
    assert disk.numbers() == list(range(1, 9))
    # Also while something else stays.
    assert disk.spool.records == 1
    assert on_disk() == []
    disk.spool.remove("goes on")
    assert (disk.folder / FILE_NAME).stat().st_size < 200_000


def test_it_is_bounded_and_room_is_waited_for(disk: Disk) -> None:
    spool = disk.reopened(limit_bytes=10_000)
    spool.add([body(1, request=b"x" * 8000)])
    with pytest.raises(Busy) as caught:
        spool.add([body(2, request=b"y" * 8000)])
    assert caught.value.retry_after_s
    assert disk.sample("collector_spool_refused_total") == 1
    assert spool.records == 1
    assert 8000 < disk.sample("collector_spool_bytes") < 10_000
    assert disk.numbers() == [1]
    spool.add([body(2, request=b"y" * 8000)])


def test_an_insert_of_unclear_outcome_goes_again_as_it_was(disk: Disk) -> None:
    disk.spool.add([body(1), body(2)])
    disk.spool.add([body(3), body(5)], token="unclear")
    disk.spool.add([body(4), body(6)])
    spool = disk.reopened()
    groups: list[tuple[str, list[int]]] = []
    while group := spool.next_group(MIB, f"new {len(groups)}"):
        groups.append((group.token, [item.number for item in group.items]))
        spool.remove(group.token)
    assert groups == [("new 0", [1, 2, 4, 6]), ("unclear", [3, 5])]


def test_a_group_that_was_begun_keeps_its_token_over_a_restart(disk: Disk) -> None:
    disk.spool.add([body(1), body(2)])
    assert disk.spool.next_group(MIB, "begun") is not None
    disk.spool.add([body(3)])
    again = disk.reopened().next_group(MIB, "other")
    assert again is not None
    assert (again.token, [item.number for item in again.items]) == ("begun", [1, 2])


def test_a_group_has_the_size_asked_for(disk: Disk) -> None:
    disk.spool.add([body(n, request=b"x" * 1000) for n in range(1, 11)])
    group = disk.spool.next_group(4000, "t")
    assert group is not None
    assert [item.number for item in group.items] == [1, 2]


def test_who_has_an_insert_under_way_is_not_overtaken(disk: Disk) -> None:
    disk.spool.add([body(1, "slow"), body(2, "both")], token="held", held=True)
    disk.spool.add([body(3, "slow"), body(4, "other")])
    group = disk.spool.next_group(MIB, "t")
    assert group is not None
    assert [item.number for item in group.items] == [4]
    disk.spool.remove("t")
    assert disk.spool.next_group(MIB, "t") is None
    disk.spool.release("held")
    assert disk.numbers() == [1, 2, 3]
    assert not disk.spool.has("slow")


def test_a_damaged_record_is_set_aside_and_harms_nobody(disk: Disk) -> None:
    disk.spool.add([body(1), body(2), body(3)])
    disk.sql("UPDATE payload SET data = x'00' WHERE number = 2")
    disk.sql("DELETE FROM payload WHERE number = 3")
    assert disk.numbers() == [1]
    aside = disk.sql("SELECT reason, sender FROM aside")
    assert aside == [("is damaged on disk", "s")] * 2
    assert disk.sample("collector_set_aside_total", reason="damaged") == 6
    assert disk.spool.records == 0


def test_what_is_set_aside_is_bounded(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.spool_aside.ASIDE_MAX", 5)
    for number in range(1, 9):
        disk.spool.add([body(number)])
        disk.spool.set_aside(number, "refused", "refused")
    assert disk.sql("SELECT count(*), min(number) FROM aside") == [(5, 4)]


@pytest.mark.parametrize("damage", ["no database", "a page in the middle", "the end is missing"])
def test_a_damaged_file_is_kept_and_what_is_readable_is_taken_over(disk: Disk, damage: str) -> None:
    for number in range(1, 41):
        disk.spool.add([body(number, request=b"%d " % number * 5000)])
    disk.spool.close()
    path = disk.folder / FILE_NAME
    data = bytearray(path.read_bytes())
    if damage == "no database":
        data[:16] = b"something else!!"
    elif damage == "a page in the middle":
        data[len(data) // 2 : len(data) // 2 + 16384] = b"\xff" * 16384
    else:
        del data[len(data) // 2 :]
    path.write_bytes(data)
    disk.open()
    taken = disk.numbers()
    assert len(taken) >= (30 if damage == "a page in the middle" else 0)
    assert (disk.folder / f"{FILE_NAME}.damaged-000001").stat().st_size == len(data)
    disk.spool.add([body(100)])
    assert disk.numbers() == [100]


def test_a_full_disk_is_transient_and_passes(disk: Disk) -> None:
    disk.spool.add([body(1)])
    disk.spool._db.execute("PRAGMA max_page_count = 8")
    with pytest.raises(Transient, match="full"):
        disk.spool.add([body(2, request=b"x" * 300_000)])
    assert disk.spool.records == 1
    disk.spool._db.execute("PRAGMA max_page_count = 1000000")
    disk.spool.add([body(2, request=b"x" * 300_000)])
    assert disk.numbers() == [1, 2]
