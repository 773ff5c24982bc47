"""A span on which a convention fails harms neither its neighbours nor what comes after it."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from collector.conventions import conventions
from stallwatch.store import Body, Store
from tests.otlp import request


def spans(now: datetime, first: int, names: list[str]) -> bytes:
    """Marked spans, each a step of an execution of its own."""
    start_ns = int(now.timestamp()) * 10**9 - 10**10
    rows: list[dict[str, Any]] = [
        {
            "trace_id": f"{first + number:032x}",
            "span_id": f"{first + number:016x}",
            "parent_span_id": "",
            "name": name,
            "start_ns": start_ns,
            "end_ns": start_ns + 10**9,
            "attributes": {
                "stallwatch.workflow": "order",
                "stallwatch.step": "charge",
                "stallwatch.execution_id": f"o-{first + number}",
            },
        }
        for number, name in enumerate(names)
    ]
    return request(rows)


def test_only_the_span_that_a_convention_fails_on_is_set_aside(
    store_root: Store, now: datetime
) -> None:
    found = conventions()
    claimed = "WHERE claimed_by = 'stallwatch'"
    sql = found.spans["stallwatch"]
    assert claimed in sql
    failing = sql.replace(claimed, f"{claimed} AND throwIf(name = 'poison') = 0")
    poisoned = replace(found, spans={**found.spans, "stallwatch": failing})
    rooted = Store(store_root.engine, conventions=poisoned)
    with rooted.scratch("poison", now) as store:
        names = ["good"] * 60
        names[17] = "poison"
        store.insert_otlp([Body(spans(now, 1, names[:30]), now, "one")])
        store.insert_otlp([Body(spans(now, 100, names[30:]), now, "two")])
        store.fold(now)
        later = now + timedelta(seconds=5)
        store.insert_otlp([Body(spans(later, 200, ["good"]), later, "one")])
        store.fold(later)
        assert store.select("SELECT count() AS n FROM spans") == [{"n": 61}]
        assert store.select("SELECT count() AS n FROM attempts") == [{"n": 60}]
        [aside] = store.select("SELECT reason, item FROM quarantine")
        assert aside["reason"] == "its convention cannot read it"
        assert f"{18:032x}" in aside["item"]
        health = store.select("SELECT sum(accepted) AS n FROM ingest_health")
        assert health == [{"n": 61}]
