"""Who may send, as whom, and how much."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from collector.admission import BURST_S, WAIT_MAX_S, Admission, Sender
from collector.meters import Meters
from collector.refusals import Busy, Unauthorized, refusal_of
from stallwatch.clock import ManualClock
from stallwatch.config.settings import CollectorConfig
from stallwatch.config.tokens import LOOK_S, Token, add_token, hash_of, remove_token

LOCAL = "local-token"


class Door:
    """An admission with the tokens `billing` (of the namespace billing) and `free`."""

    def __init__(self, folder: Path, **rates: int) -> None:
        self.clock = ManualClock(datetime(2026, 1, 5, tzinfo=UTC))
        self.registry = CollectorRegistry()
        self.path = folder / "tokens.toml"
        self.add("billing", namespace="billing", **rates)
        self.add("free")
        config = CollectorConfig(tokens_file=self.path)
        self.admission = Admission(config, self.clock, Meters(self.registry), LOCAL)

    def add(self, name: str, **more: Any) -> None:
        add_token(self.path, Token(name=name, hash=hash_of(f"secret of {name}"), **more))

    def admit(self, token: str = "secret of billing", said: str | None = None) -> Sender:
        return self.admission.admit(f"Bearer {token}", said, "10.0.0.1", "agent/1")

    def counted(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"collector_{name}_total", labels)


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


def test_a_token_names_its_sender_and_its_namespace(door: Door) -> None:
    sender = door.admit()
    assert (sender.name, sender.namespace, sender.pinned) == ("billing", "billing", True)
    assert door.admit(said="worker-eu").name == "billing/worker-eu"
    free = door.admit("secret of free")
    assert (free.name, free.namespace, free.pinned) == ("free", "default", False)


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [(None, "missing"), ("Digest x", "missing"), ("Bearer wrong", "unknown"), ("Basic eDp5", "unknown")],
)  # fmt: skip
def test_others_are_sent_away_and_counted(
    authorization: str | None, reason: str, door: Door
) -> None:
    with pytest.raises(Unauthorized) as told:
        door.admission.admit(authorization, None, "10.0.0.1", None)
    with pytest.raises(Unauthorized):
        door.admission.authenticate(authorization)
    assert (refusal_of(told.value).http_status, refusal_of(told.value).code) == (401, 16)
    assert door.counted("unauthorized", reason=reason) == 2


def test_the_hash_in_the_file_opens_nothing(door: Door) -> None:
    with pytest.raises(Unauthorized):
        door.admit(hash_of("secret of billing"))


def test_this_machines_commands_may_say_any_namespace(door: Door) -> None:
    sender = door.admit(LOCAL, said="import")
    assert (sender.name, sender.pinned) == ("import", False)
    door.admission.authenticate(f"Bearer {LOCAL}")


def test_without_a_tokens_file_everybody_is_let_in() -> None:
    clock = ManualClock(datetime(2026, 1, 5, tzinfo=UTC))
    admission = Admission(CollectorConfig(), clock, Meters(CollectorRegistry()))
    assert admission.admit(None, None, "10.0.0.1", "agent/1").name == "10.0.0.1 agent"
    named = admission.admit("Bearer x", "worker", "10.0.0.1", None, certificate="billing")
    assert named.name == "billing/worker"


def test_a_removed_token_is_refused_within_seconds(door: Door) -> None:
    door.admit()
    remove_token(door.path, "billing")
    door.clock.advance(LOOK_S)
    with pytest.raises(Unauthorized):
        door.admit()


def test_a_rate_holds_over_time(tmp_path: Path) -> None:
    door = Door(tmp_path, items_per_second=100)
    sent = 0
    for _ in range(600):
        try:
            door.admit().charge(7, 1)
            sent += 7
        except Busy:
            pass
        door.clock.advance(0.05)
    assert 30 * 100 <= sent <= (30 + BURST_S) * 100 + 7
    refused = door.counted("limited", limit="rate")
    assert refused is not None
    assert refused > 100


def test_a_large_request_is_taken_and_paid_for_afterwards(tmp_path: Path) -> None:
    door = Door(tmp_path, bytes_per_second=1000)
    door.admit().charge(1, 12_000)
    with pytest.raises(Busy) as told:
        door.admit()
    assert told.value.retry_after_s == 10.0
    assert refusal_of(told.value).http_status == 429
    door.clock.advance(9.9)
    with pytest.raises(Busy, match="1000 bytes a second"):
        door.admit()
    door.clock.advance(0.2)
    door.admit()


def test_requests_at_the_same_time_are_charged_one_by_one(tmp_path: Path) -> None:
    door = Door(tmp_path, items_per_second=10)
    together = [door.admit() for _ in range(5)]
    together[0].charge(1000, 1)
    for late in together[1:]:
        with pytest.raises(Busy) as told:
            late.charge(1, 1)
        assert told.value.retry_after_s == WAIT_MAX_S


def test_one_senders_rate_is_nobody_elses(tmp_path: Path) -> None:
    door = Door(tmp_path, items_per_second=1)
    door.admit().charge(100, 1)
    with pytest.raises(Busy):
        door.admit()
    door.admit("secret of free").charge(10**9, 10**9)
    door.admit("secret of free")


def test_a_changed_rate_counts_at_once(tmp_path: Path) -> None:
    door = Door(tmp_path, items_per_second=1)
    door.admit().charge(1000, 1)
    remove_token(door.path, "billing")
    door.add("billing", items_per_second=5000)
    door.clock.advance(LOOK_S)
    door.admit().charge(1, 1)
