"""What definitions declare, and what attempts say that was declared, in the view `definitions`."""

from datetime import datetime, timedelta
from typing import Any

from msgspec import structs

from stallwatch.model.definitions import SOURCES, Definition
from stallwatch.model.events import event_from_dict
from stallwatch.store import Store
from stallwatch.store.sql_endpoint import SqlEndpoint

CHARGE = Definition(
    namespace="shop",
    engine="stepfunctions",
    workflow="order",
    workflow_version="7",
    step="charge",
    kind="Task",
    source="asl",
    timeout_s=30.0,
    heartbeat_timeout_s=5.0,
    schedule_to_start_timeout_s=60.0,
    schedule_to_close_timeout_s=90.0,
    max_attempts=0,
    backoff_s=1.0,
    backoff_rate=2.0,
    backoff_max_s=100.0,
    jitter=True,
    retries=("States.Timeout", "Lambda.TooManyRequestsException"),
    catches=("States.ALL",),
    caught_by=("refund",),
    compensated_by="refund",
    inside="pay",
    waiting_on="callback",
    downstream="stripe",
    region="eu-west-1",
    next=("ship", "é\n'\\"),
    attributes={"Retry": '[{"ErrorEquals":["States.ALL"]}]'},
)


def declared(store: Store, **where: str) -> list[dict[str, Any]]:
    """Rows of the view, the most trusted first."""
    wanted = " AND ".join(["true", *(f"{name} = {{{name}:String}}" for name in where)])
    query = f"SELECT * FROM definitions WHERE {wanted} ORDER BY workflow, step, preference"
    return store.select(query, where)


def attempt(
    store: Store, at: datetime, execution_id: str, event: str = "step.started", **said: Any
) -> None:
    data = {"event": event, "workflow": "order", "execution_id": execution_id, **said}
    told = event_from_dict({**data, "time": at.isoformat()}, at)
    store.insert_events([told], at, "poll:temporal", "history")
    store.fold(at)


def test_every_field_comes_back(store: Store, now: datetime) -> None:
    store.write_definitions([CHARGE, Definition(engine="e", workflow="w", source="server")], now)
    [row] = declared(store, step="charge")
    seen = {name: tuple(v) if isinstance(v, list) else v for name, v in row.items()}
    assert seen == structs.asdict(CHARGE) | {"declared_at": now, "preference": 1}
    [bare] = declared(store, workflow="w")
    defaults = structs.asdict(Definition(engine="e", workflow="w", source="server"))
    defaults |= {"retries": [], "catches": [], "caught_by": [], "next": []}
    assert bare == defaults | {"declared_at": now, "preference": 1}


def test_declared_again_the_newest_counts(store: Store, now: datetime) -> None:
    store.write_definitions([], now)
    for minute, timeout_s in enumerate((30.0, 30.0, 45.0)):
        again = structs.replace(CHARGE, timeout_s=timeout_s)
        store.write_definitions([again], now + timedelta(minutes=minute))
    [row] = declared(store)
    assert (row["timeout_s"], row["declared_at"]) == (45.0, now + timedelta(minutes=2))


def test_the_most_trusted_source_comes_first(store: Store, now: datetime) -> None:
    """And the attempts themselves last."""
    shuffled = [structs.replace(CHARGE, source=source) for source in sorted(SOURCES)]
    store.write_definitions(shuffled, now)
    place = {"engine": "stepfunctions", "namespace": "shop", "workflow_version": "7"}
    attempt(store, now, "o-1", step="charge", timeout_s=12.0, **place)
    rows = declared(store)
    assert [row["source"] for row in rows] == [*SOURCES, "history"]
    assert [row["preference"] for row in rows] == [1, 2, 3, 4, 5]


def test_attempts_declare_too_the_latest_counts(store: Store, now: datetime) -> None:
    policy: dict[str, Any] = {
        "timeout_s": 30.0,
        "max_attempts": 3,
        "backoff_s": 1.0,
        "downstream": "stripe",
    }
    later = now + timedelta(minutes=5)
    attempt(store, later, "o-2", step="charge", attempt=1, timeout_s=60.0)
    attempt(store, now, "o-1", step="charge", attempt=1, **policy)
    attempt(store, now, "o-3", step="charge", attempt=1, workflow_version="1", **policy)
    attempt(store, later, "o-4", step="charge")
    attempt(store, later, "o-5", step="rest")
    newest, first = declared(store, step="charge")
    assert (newest["timeout_s"], newest["max_attempts"], newest["declared_at"]) == (60, None, later)
    assert (newest["source"], newest["engine"], newest["kind"]) == ("history", "custom", "")
    assert first["workflow_version"] == "1"
    assert {name: first[name] for name in policy} == policy
    assert declared(store, step="rest") == []


def test_executions_declare_their_timeout(store: Store, now: datetime) -> None:
    for minute, timeout_s in ((0, 600.0), (1, 900.0)):
        at = now + timedelta(minutes=minute)
        attempt(store, at, f"o-{minute}", "workflow.started", timeout_s=timeout_s)
    attempt(store, now + timedelta(minutes=2), "o-2", "workflow.started")
    [row] = declared(store)
    assert (row["step"], row["timeout_s"], row["source"]) == ("", 900.0, "history")


def test_what_the_configuration_no_longer_says_is_gone(store: Store, now: datetime) -> None:
    store.write_definitions([CHARGE], now)
    limits: dict[str, Any] = {"waiting_on": "", "downstream": "stripe", "attributes": {"a": "b"}}
    kept = Definition(engine="e", workflow="w", source="configuration", timeout_s=30.0, **limits)
    gone = structs.replace(kept, step="old")
    store.replace_configured([kept, gone], now)
    assert len(declared(store, source="configuration")) == 2
    changed = structs.replace(kept, timeout_s=45.0, retries=("E",))
    later = now + timedelta(minutes=1)
    store.replace_configured([changed], later)
    (row,) = declared(store, source="configuration")
    assert (row["step"], row["timeout_s"], row["declared_at"]) == ("", 45.0, later)
    store.replace_configured([], later)
    assert [row["source"] for row in declared(store)] == ["asl"]


def test_the_same_configuration_again_writes_nothing(store: Store, now: datetime) -> None:
    whole = structs.replace(CHARGE, source="configuration")
    for minute in range(3):
        store.replace_configured([whole], now + timedelta(minutes=minute))
    (row,) = store.select("SELECT count() AS n, min(declared_at) AS at FROM definition_log")
    assert row == {"n": 1, "at": now}


def test_declarations_are_definitions_without_what_attempts_said(
    store: Store, now: datetime
) -> None:
    store.write_definitions([CHARGE], now)
    attempt(store, now, "o-1", step="charge", timeout_s=12.0)
    (row,) = store.select("SELECT * FROM declarations")
    assert (row["source"], row["timeout_s"]) == ("asl", 30.0)
    assert len(declared(store)) == 2


def test_strangers_may_read_them(store: Store, now: datetime) -> None:
    store.write_definitions([CHARGE], now)
    endpoint = SqlEndpoint(store.engine)
    try:
        answer = endpoint.query(
            "SELECT step, argMin(timeout_s, preference) FROM definitions GROUP BY step"
        )
    finally:
        endpoint.close()
    assert answer.body == b"charge\t30\n"
