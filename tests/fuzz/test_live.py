"""A real `serve` under garbage and poison: it answers, lives, stays small, and keeps what is good."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

import httpx
import pytest

from stallwatch.clock import SystemClock
from stallwatch.model.durations import rfc3339
from tests.app.running import WAIT_S, Place, Running
from tests.fuzz.contract import documents_hold
from tests.fuzz.live import Live
from tests.fuzz.poison import POISONS, Poison

pytestmark = pytest.mark.slow

REQUESTS: Final = 200
SECONDS: Final = 60.0
RSS_BYTES_MAX: Final = 2 * 2**30
SEED: Final = 20260105


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Place(tmp_path_factory.mktemp("fuzzed")).serving() as running:
        yield running


def test_garbage_on_every_socket(running: Running) -> None:
    live = Live(running, SEED, good_every=20)
    live.attack(SECONDS, REQUESTS)
    assert live.defects == []
    assert live.answers["200"] > 0
    assert live.answers["400"] > 0
    assert live.rss_max_bytes < RSS_BYTES_MAX


@pytest.mark.parametrize("poison", POISONS, ids=lambda poison: poison.name)
def test_poison_is_answered(running: Running, poison: Poison) -> None:
    answer = httpx.post(
        f"{running.ingest}{poison.path}",
        content=poison.content(SystemClock().now()),
        headers=poison.headers(),
        timeout=WAIT_S,
    )
    assert answer.status_code == poison.status, answer.content


def test_after_the_poison(running: Running) -> None:
    live = Live(running, SEED + 1)
    live.attack(0, 0)
    assert live.defects == []
    assert live.rss_max_bytes < RSS_BYTES_MAX
    assert httpx.get(f"{running.web}/readyz", timeout=WAIT_S).status_code == 200


def test_an_id_with_a_line_feed_can_be_read(running: Running) -> None:
    at = rfc3339(SystemClock().now())
    name = "a\r\nb"
    running.tell({"event": "workflow.started", "time": at, "workflow": "odd", "execution_id": name})
    for path in ("api/executions", "executions"):
        assert httpx.get(f"{running.web}/{path}/{quote(name)}", timeout=WAIT_S).status_code == 200


def test_it_does_as_its_documents_say(running: Running) -> None:
    assert documents_hold(running, examples=3, phases="fuzzing") == []
