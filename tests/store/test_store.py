"""The store around the folds: batches, quarantine, redaction, statistics, forgetting, retention."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from stallwatch.errors import StoreRefused, StoreUnavailable
from stallwatch.model.events import StepEvent, event_from_dict
from stallwatch.store import Body, Store, folding, landing
from stallwatch.store.forgetting import Retention
from stallwatch.store.statements import sql_text
from tests.spans import Span, request

DAY_S = 86_400.0


def told(now: datetime, at_s: float, event: str, **fields: Any) -> StepEvent:
    when = now + timedelta(seconds=at_s)
    data = {"workflow": "order", "execution_id": "o-1", **fields}
    return event_from_dict({**data, "event": event, "time": when.isoformat()}, when)


def count(store: Store, table: str) -> int:
    return int(store.select(f"SELECT count() AS n FROM {table}")[0]["n"])


def test_the_same_token_lands_once(store: Store, now: datetime) -> None:
    body = Body(request(Span("a", start_at=now)), now, "me")
    for _ in range(2):
        store.insert_otlp([body], token="batch-1")
        store.insert_events([told(now, 0, "workflow.started")], now, "me", token="batch-2")
    store.fold(now)
    assert count(store, "span_log") == 1
    assert count(store, "step_event_log") == 1
    assert store.select("SELECT sum(accepted) AS n FROM ingest_health") == [{"n": 2}]


def test_an_emptied_store_is_as_new(store: Store, now: datetime) -> None:
    seen = []
    for _ in range(2):
        store.insert_otlp([Body(request(Span("a", start_at=now)), now, "me")], token="batch-1")
        story = [told(now, 0, "workflow.started"), told(now, 1, "workflow.completed")]
        store.insert_events(story, now, "me", token="batch-2")
        store.fold(now)
        store.refresh_statistics()
        seen.append(
            store.select(
                "SELECT name, total_rows FROM system.tables WHERE database = currentDatabase()"
            )
        )
        store.empty()
        left = "SELECT DISTINCT table FROM system.parts WHERE database = currentDatabase() AND active AND rows > 0"
        assert store.select(left) == [{"table": "schema_ledger"}]
    assert seen[0] == seen[1]
    assert sum(row["total_rows"] or 0 for row in seen[0] if row["name"] != "schema_ledger") > 5


def scratch_names(store: Store) -> set[str]:
    rows = store.select("SELECT name FROM system.databases WHERE startsWith(name, 'scratch_')")
    return {str(row["name"]) for row in rows}


def test_a_scratch_database_that_cannot_be_made_whole_leaves_nothing(
    store: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = scratch_names(store)

    def full(self: Store, *_args: object, **_more: object) -> None:
        self.engine.create_database()
        raise StoreUnavailable("no room")

    monkeypatch.setattr(Store, "migrate", full)
    with pytest.raises(StoreUnavailable), store.scratch("halfway", now):
        pytest.fail("it was made")
    assert scratch_names(store) == before


def test_a_span_delivered_twice_is_one_span(store: Store, now: datetime) -> None:
    body = Body(request(Span("a", start_at=now)), now, "me")
    store.insert_otlp([body])
    store.insert_otlp([body])
    store.fold(now)
    assert count(store, "spans") == 1


@pytest.mark.parametrize(
    ("span", "reason"),
    [
        (Span("bad", trace_id=b"short"), "trace_id is not 16 bytes or is zero"),
        (Span("bad", span_id=bytes(8)), "span_id is not 8 bytes or is zero"),
        (Span("bad", parent_span_id=b"123"), "parent_span_id is not 8 bytes"),
        (Span("bad", start_ns=1), "start is before 2000"),
        (Span("bad", start_ns=2**64 - 1), "start is more than 24 h ahead"),
        (Span("bad", start_ns=2**63), "start is more than 24 h ahead"),
    ],
)
def test_what_cannot_be_believed_is_quarantined_and_its_neighbours_are_not(
    span: Span, reason: str, store: Store, now: datetime
) -> None:
    span.start_at = None if span.start_ns is not None else now
    store.insert_otlp([Body(request(span, Span("good", start_at=now)), now, "me")])
    store.fold(now)
    assert [row["reason"] for row in store.select("SELECT reason FROM quarantine")] == [reason]
    assert [row["name"] for row in store.select("SELECT name FROM spans")] == ["good"]
    assert store.select("SELECT accepted, quarantined FROM ingest_health") == [
        {"accepted": 1, "quarantined": 1}
    ]


def test_a_span_that_ends_before_it_starts_took_no_time(store: Store, now: datetime) -> None:
    store.insert_otlp([Body(request(Span("a", start_at=now, duration_s=-5)), now, "me")])
    store.fold(now)
    assert store.select("SELECT duration_s FROM spans") == [{"duration_s": 0.0}]


def test_attribute_values_keep_their_meaning(store: Store, now: datetime) -> None:
    attributes = {"s": "", "i": 0, "f": 0.5, "b": False, "l": ["a", 1]}
    store.insert_otlp([Body(request(Span("a", start_at=now, attributes=attributes)), now, "me")])
    store.fold(now)
    assert store.select("SELECT attributes FROM spans")[0]["attributes"] == {
        "s": "",
        "i": "0",
        "f": "0.5",
        "b": "false",
        "l": '["a","1"]',
    }


def test_a_span_beyond_the_limits_loses_what_is_too_much_and_is_counted(
    store: Store, now: datetime
) -> None:
    """128 attributes and 16 KiB each by default; a cut in the middle of a letter leaves no half of it."""
    many = Span("many", start_at=now, attributes={f"key {i:03}": "v" for i in range(200)})
    long = Span("long", start_at=now, attributes={"text": "x" + "ä" * 10_000, "api.key": "hunter2"})
    usual = Span("usual", start_at=now, attributes={f"key {i:03}": "v" for i in range(128)})
    store.insert_otlp([Body(request(many, long, usual), now, "me")])
    store.fold(now)
    rows = store.select("SELECT name, attributes FROM spans ORDER BY name")
    kept = {row["name"]: row["attributes"] for row in rows}
    assert list(kept["many"]) == [f"key {i:03}" for i in range(128)]
    assert kept["usual"] == kept["many"]
    cut = kept["long"]["text"]
    assert len(cut.encode()) <= 16 * 1024 + 6
    assert set(cut[1:8000]) == {"ä"}
    assert cut.endswith("…")
    assert kept["long"]["api.key"] == "[redacted]"
    assert store.select("SELECT sum(limited) AS n FROM sender_beat") == [{"n": 2}]


def test_what_says_which_step_a_span_is_is_kept_before_other_attributes(
    store: Store, now: datetime
) -> None:
    others = {f"key {i:03}": "v" for i in range(200)}
    said = {"stallwatch.workflow": "order", "stallwatch.step": "charge"}
    far_too_many = {f"stallwatch.{i:03}": "v" for i in range(200)}
    last = Span("last", start_at=now, attributes={**others, **said})
    only = Span("only", start_at=now, attributes={**others, **far_too_many})
    store.insert_otlp([Body(request(last, only), now, "me")])
    store.fold(now)
    rows = store.select("SELECT name, attributes FROM spans")
    kept = {row["name"]: row["attributes"] for row in rows}
    assert kept["last"] == {**said, **dict(list(others.items())[:126])}
    assert kept["only"] == dict(list(far_too_many.items())[:128])


def test_spans_that_are_sorted_again_after_a_crash_are_not_there_twice(
    store: Store, now: datetime
) -> None:
    """The fold is cut short behind every one of its statements, and done again."""
    bad = Span("bad", trace_id=b"short", start_at=now)
    store.insert_otlp([Body(request(bad, Span("good", start_at=now)), now, "me")])
    for statement in range(1, 100):
        with pytest.MonkeyPatch.context() as patch:
            left = iter(range(statement))
            patch.setattr(landing, "sql_text", lambda *name, left=left: _failing(left, *name))
            try:
                store.fold(now)
            except StoreUnavailable:
                continue
        break
    assert statement > 4
    assert store.select("SELECT name FROM spans") == [{"name": "good"}]
    assert store.select("SELECT count() AS n FROM quarantine") == [{"n": 1}]
    assert store.select("SELECT accepted, quarantined FROM ingest_health") == [
        {"accepted": 1, "quarantined": 1}
    ]


def _failing(left: Iterator[int], folder: str, name: str) -> str:
    if next(left, None) is None:
        raise StoreUnavailable("cut short")
    return sql_text(folder, name)


TASK_TOKEN = "AQCEAAAAKgAAAAMAAAAAAAAAAV" + "x9Zk" * 20
SECRETS = {
    "http.request.header.authorization": "Basic dXNlcjpwYXNz",
    "aws.task_token": TASK_TOKEN,
    "taskToken": "plain-but-secret-by-name",
    "note": f"calling with Bearer abcdef0123456789 and {TASK_TOKEN}",
    "db.password": "hunter2hunter2",
}


def test_secrets_reach_no_table(store: Store, now: datetime) -> None:
    span = Span("a", start_at=now, attributes={**SECRETS, "gen_ai.usage.input_tokens": 7})
    store.insert_otlp([Body(request(span), now, "me")])
    event = told(now, 0, "step.failed", step="a", error_message=SECRETS["note"], **SECRETS)
    store.insert_events([event], now, "me")
    store.fold(now)
    tables = store.select(
        "SELECT name FROM system.tables WHERE database = {database:String} "
        "AND engine NOT IN ('Null', 'View', 'MaterializedView')",
        {"database": store.engine.database},
    )
    for table in tables:
        rows = str(store.select(f"SELECT * FROM {table['name']}"))
        for secret in ("dXNlcjpw", TASK_TOKEN, "plain-but", "abcdef0123", "hunter2"):
            assert secret not in rows, table
    kept = store.select("SELECT attributes FROM spans")[0]["attributes"]
    assert kept["gen_ai.usage.input_tokens"] == "7"
    assert kept["note"] == "calling with Bearer [redacted] and [redacted]"


def test_data_a_day_late_is_historical(store: Store, now: datetime) -> None:
    store.insert_events(
        [told(now, -2 * DAY_S, "workflow.started", execution_id="old"), told(now, -60, "workflow.started")],
        now,
        "me",
    )  # fmt: skip
    store.fold(now)
    rows = store.select("SELECT execution_id, historical FROM executions ORDER BY execution_id")
    assert [tuple(row.values()) for row in rows] == [("o-1", False), ("old", True)]


def course(now: datetime, name: str, start_s: float, duration_s: float) -> list[StepEvent]:
    return [
        told(now, start_s, "workflow.started", execution_id=name),
        told(now, start_s, "step.started", execution_id=name, step="a"),
        told(now, start_s + duration_s, "step.completed", execution_id=name, step="a"),
        told(now, start_s + duration_s, "workflow.completed", execution_id=name),
    ]


def test_percentiles_of_the_statistics_are_close_to_exact(store: Store, now: datetime) -> None:
    durations = np.random.default_rng(7).lognormal(0.0, 1.0, 2000)
    events = [e for i, d in enumerate(durations) for e in course(now, f"x{i}", -40_000 + i * 2, d)]
    store.insert_events(events, now, "me")
    store.fold(now)
    store.refresh_statistics()
    rows = store.select("SELECT * FROM step_latency WHERE window_s = 86400")
    assert sum(row["completed"] for row in rows) == 2000
    ordered = np.sort(durations)
    for column, q in (("p50_s", 0.5), ("p95_s", 0.95), ("p99_s", 0.99)):
        exact = ordered[int(np.ceil(q * 2000)) - 1]
        assert rows[0][column] == pytest.approx(exact, rel=0.022)


def test_a_changed_window_is_replaced_not_added_to(store: Store, now: datetime) -> None:
    def minutes() -> list[tuple[Any, ...]]:
        store.fold(now)
        store.refresh_statistics()
        rows = store.select(
            "SELECT window_start, completed, failed FROM step_latency WHERE window_s = 60 ORDER BY 1"
        )
        return [tuple(row.values()) for row in rows]

    store.insert_events(course(now, "a", 0, 10), now, "me")
    assert minutes() == [(now, 1, 0)]
    store.insert_events(course(now, "a", 0, 10), now, "me")
    assert minutes() == [(now, 1, 0)]
    # A later, better end moves the attempt into another minute; nothing stays behind.
    store.insert_events([told(now, 5, "step.failed", execution_id="b", step="a")], now, "me")
    assert minutes() == [(now, 1, 1)]
    store.insert_events(
        [
            told(now, 1, "step.retrying", execution_id="b", step="a"),
            told(now, 70, "step.completed", execution_id="b", step="a"),
        ],
        now,
        "me",
    )
    assert minutes()[-1] == (now + timedelta(minutes=1), 1, 0)
    assert sum(row[1] for row in minutes()) == 2


def test_forget_erases_everywhere(store: Store, now: datetime) -> None:
    store.insert_events(
        [*course(now, "secret-person", 0, 1), *course(now, "other", 0, 1)], now, "me"
    )
    store.fold(now)
    said = {
        "id": "i-1", "cause": "a timeout of secret-person.", "severity": "warning", "findings": [], "executions": 1,
        "opened_at": now,
    }  # fmt: skip
    store.engine.insert_rows("incident_log", list(said), [list(said.values())])
    assert store.forget("secret-person") == 4
    assert store.select("SELECT cause FROM incident_log") == [
        {"cause": "a timeout of [forgotten]."}
    ]
    for view in ("step_events", "attempts", "executions"):
        assert {r["execution_id"] for r in store.select(f"SELECT execution_id FROM {view}")} == {
            "other"
        }


def test_who_is_forgotten_is_nobodys_parent_any_more(store: Store, now: datetime) -> None:
    child = {"execution_id": "child", "parent_execution_id": "secret-person"}
    store.insert_events([told(now, 0, "workflow.started", **child)], now, "me")
    store.fold(now)
    store.forget("secret-person")
    for table in ("step_event_log", "execution_fold", "open_execution", "recent_execution"):
        rows = store.select(f"SELECT DISTINCT execution_id, parent_execution_id FROM {table} FINAL")
        assert rows == [{"execution_id": "child", "parent_execution_id": ""}]


def test_retention_takes_whole_closed_executions_and_never_open_ones(
    store: Store, now: datetime
) -> None:
    old = now - timedelta(days=100)
    store.insert_events(course(old, "closed-long-ago", 0, 1), old, "me")
    store.insert_events(course(old, "open", 0, 1)[:2], old, "me")
    store.insert_events(course(now, "recent", 0, 1), now, "me")
    store.fold(now)
    keep = Retention(
        spans_s=DAY_S, events_s=30 * DAY_S, closed_s=90 * DAY_S, statistics_s=400 * DAY_S
    )
    store.retain(now, keep)
    for view in ("executions", "step_events"):
        rows = store.select(f"SELECT DISTINCT execution_id FROM {view} ORDER BY 1")
        assert [row["execution_id"] for row in rows] == ["open", "recent"]


def test_a_late_event_does_not_undo_what_retention_left(store: Store, now: datetime) -> None:
    past = now - timedelta(days=40)
    other = told(past, 0.2, "step.started", execution_id="a", step="b")
    store.insert_events([*course(past, "a", 0, 1), other], past, "me")
    store.fold(past)
    keep = Retention(
        spans_s=DAY_S, events_s=30 * DAY_S, closed_s=90 * DAY_S, statistics_s=400 * DAY_S
    )
    store.retain(now, keep)
    assert count(store, "step_events") == 0
    store.insert_events([told(past, 0.5, "step.heartbeat", execution_id="a", step="a")], now, "me")
    store.fold(now)
    # Nor does it open again what nobody would ever close, or show what is left of it as what happened lately.
    for table in ("open_attempt", "open_execution"):
        assert store.select(f"SELECT status FROM {table} FINAL") == []
    assert store.select("SELECT status FROM recent_execution FINAL") == [{"status": "completed"}]
    assert store.select("SELECT status FROM executions") == [{"status": "completed"}]
    assert store.select("SELECT step, status FROM attempts ORDER BY step") == [
        {"step": "a", "status": "completed"},
        {"step": "b", "status": "cancelled"},
    ]


def test_a_fold_cut_short_is_done_after_the_restart(store: Store, now: datetime) -> None:
    store.insert_events(course(now, "a", 0, 1), now, "me")
    again = Store(store.engine)
    assert again.fold(now) == 1
    assert Store(store.engine).fold(now) == 0
    assert store.select("SELECT status FROM executions") == [{"status": "completed"}]


def test_many_executions_are_folded_in_parts(
    store: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fewer events they have the more of them go together; what an earlier fold saw of them counts as well."""
    parts: list[int] = []
    fold = folding.FoldSession._fold

    def watched(session: folding.FoldSession, parameters: dict[str, int]) -> int:
        parts.append(parameters["parts"])
        return fold(session, parameters)

    monkeypatch.setattr(folding.FoldSession, "_fold", watched)
    monkeypatch.setattr(folding, "PART_EXECUTIONS", 3)
    names = [f"x{number}" for number in range(10)]
    whole = [event for name in names for event in course(now, name, 0, 1)]
    beats = [
        [told(now, at, "step.heartbeat", execution_id=name, step="a") for name in names]
        for at in (0.3, 0.6)
    ]
    for events, part_events, expected in (
        (whole, 15, [3] * 3),  # 40 events
        (beats[0], 25, [2] * 2),  # 10 more
        (beats[1], 1, [4] * 4),
    ):
        monkeypatch.setattr(folding, "PART_EVENTS", part_events)
        store.insert_events(events, now, "me")
        assert store.fold(now) == 10
        assert parts == expected
        parts.clear()
    assert count(store, "executions") == 10
    assert store.fold(now) == 0


def test_an_error_in_a_fold_is_told_and_the_fold_done_again(store: Store, now: datetime) -> None:
    store.insert_events(course(now, "a", 0, 1), now, "me")
    store.engine.command("RENAME TABLE attempt_fold TO elsewhere")
    with pytest.raises(StoreRefused):
        store.fold(now)
    store.engine.command("RENAME TABLE elsewhere TO attempt_fold")
    assert store.fold(now) == 1
    assert store.select("SELECT status FROM attempts") == [{"status": "completed"}]


def test_a_join_that_finds_nothing_hides_no_rows_from_the_next_statement(store: Store) -> None:
    store.engine.command(
        "CREATE TABLE kept (k UInt64, status String, at UInt64) ENGINE = MergeTree ORDER BY k"
    )
    store.engine.command(
        "CREATE TABLE other (k UInt64, status String) ENGINE = MergeTree ORDER BY k"
    )
    store.engine.command("INSERT INTO kept VALUES (1, 'running', 100)")
    store.engine.command("INSERT INTO other VALUES (1, 'running')")
    newest = "SELECT * FROM kept WHERE at >= 50 ORDER BY at DESC LIMIT 1 BY k"
    joined = f"""SELECT x.k FROM (SELECT k FROM other WHERE status = 'failed') AS f
        INNER JOIN (SELECT k FROM ({newest}) WHERE status = 'completed') AS x ON x.k = f.k"""
    assert store.select(joined) == []
    assert store.select("SELECT k FROM kept WHERE at >= 50") == [{"k": 1}]
