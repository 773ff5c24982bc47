"""A store with one small shop in it, and the web over it."""

import socket
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import uvicorn
from prometheus_client import CollectorRegistry, Counter
from starlette.testclient import TestClient

from dashboards.web import web_app
from stallwatch.clock import ManualClock
from stallwatch.model.events import StepEvent, event_from_dict
from stallwatch.model.findings import Finding, Severity, Status
from stallwatch.store import Store
from stallwatch.store.sql_endpoint import SqlEndpoint
from stallwatch.store.state import State

HOSTILE = 'o-<script>alert("1")</script>/7'
HOSTILE_STEP = '"><img src=x onerror=alert(2)>'


def event(now: datetime, ago_s: float, name: str, execution_id: str, **fields: Any) -> StepEvent:
    """An event that happened `ago_s` seconds before now."""
    when = (now - timedelta(seconds=ago_s)).isoformat()
    data: Mapping[str, Any] = {
        "event": name, "time": when, "workflow": "order", "execution_id": execution_id, **fields,
    }  # fmt: skip
    return event_from_dict(dict(data), now)


def shop_events(now: datetime) -> list[StepEvent]:
    """100 charges of 1 to 100 s that completed, two that failed, and an execution whose second attempt hangs."""
    events = []
    for i in range(1, 101):
        name = f"order-{i:03d}"
        events += [
            event(now, 7200, "workflow.started", name),
            event(now, 7200, "step.started", name, step="charge", worker="w-1"),
            event(now, 7200 - i, "step.completed", name, step="charge"),
            event(now, 7200 - i, "workflow.completed", name),
        ]
    for name in ("bad-1", "bad-2"):
        events += [
            event(now, 3600, "workflow.started", name),
            event(now, 3600, "step.started", name, step="charge"),
            event(now, 3590, "step.failed", name, step="charge", error_type="CardDeclined"),
            event(now, 3590, "workflow.failed", name, error_type="CardDeclined"),
        ]
    stuck = {"step": "charge", "downstream": "stripe"}
    return [
        *events,
        event(now, 600, "workflow.started", HOSTILE),
        event(now, 600, "step.waiting", HOSTILE, step=HOSTILE_STEP, waiting_on="human"),
        event(now, 580, "step.scheduled", HOSTILE, **stuck, attempt=1),
        event(now, 570, "step.started", HOSTILE, **stuck, attempt=1),
        event(now, 500, "step.failed", HOSTILE, **stuck, attempt=1, error_type="<b>Timeout</b>"),
        event(now, 500, "step.retrying", HOSTILE, **stuck, attempt=1),
        event(now, 470, "step.started", HOSTILE, **stuck, attempt=2),
    ]


def finding(now: datetime, **changes: Any) -> Finding:
    """A stalled step of the hostile execution, unless changed."""
    values: dict[str, Any] = {
        "detector": "stalled_step",
        "severity": Severity.CRITICAL,
        "status": Status.FIRING,
        "namespace": "default",
        "engine": "custom",
        "workflow": "order",
        "step": "charge",
        "executions": (HOSTILE,),
        "count": 1,
        "first_seen": now - timedelta(seconds=470),
        "last_seen": now,
        "fingerprint": "f" * 16,
        "title": f"charge hangs in {HOSTILE}",
        "explanation": "Nothing was heard of it for 7m 50s; 99 of 100 calls took less than 99s.",
        "evidence": {"age_s": 470.0},
        "next_steps": ("Look whether its worker lives.",),
        "number": 1,
    }
    return Finding(**{**values, **changes})


@pytest.fixture(scope="session")
def shop(store_root: Store) -> Iterator[Store]:
    """The shop's events, folded, with statistics; made once, because these tests hardly write."""
    now = datetime(2026, 1, 5, 12, tzinfo=UTC)
    with store_root.scratch("shop", now) as store:
        store.insert_events(shop_events(now), now, "shop-api")
        store.fold(now)
        store.refresh_statistics()
        yield store


@pytest.fixture
def state() -> Iterator[State]:
    """The brain's memory, empty."""
    state = State(None)
    yield state
    state.close()


@pytest.fixture
def reasons() -> list[str]:
    """Why the service is not ready; a test fills it."""
    return []


@pytest.fixture
def client(shop: Store, state: State, now: datetime, reasons: list[str]) -> Iterator[TestClient]:
    """The web over the shop."""
    registry = CollectorRegistry()
    Counter("stallwatch_things", "Things.", registry=registry).inc(3)
    sql = SqlEndpoint(shop.engine)
    app = web_app(shop, state, ManualClock(now), registry, lambda: reasons, sql)
    with TestClient(app) as client:
        yield client
    sql.close()


class _Server(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@pytest.fixture
def port(shop: Store, state: State, now: datetime) -> Iterator[int]:
    """The port of a real server over the shop."""
    sql = SqlEndpoint(shop.engine)
    app = web_app(shop, state, ManualClock(now), CollectorRegistry(), lambda: [], sql)
    listener = socket.create_server(("127.0.0.1", 0))
    server = _Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    assert server.listening.wait(20)
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(20)
    listener.close()
    sql.close()
