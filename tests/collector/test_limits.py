"""Step events that are too large, too old or too various."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from collector.admission import Sender
from collector.limits import KEY_MAX, NAMESPACES, OTHER, TEXT_MAX, Limits, Names, is_longer
from collector.meters import Meters
from stallwatch.config.settings import CollectorConfig
from stallwatch.errors import InputError
from stallwatch.model.events import StepEvent

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
ANYBODY = Sender("test")


class Limited:
    """Limits of a configuration, and what they counted."""

    def __init__(self, **config: Any) -> None:
        self.registry = CollectorRegistry()
        self.limits = Limits(CollectorConfig(**config), Meters(self.registry))

    def accept(
        self, sender: Sender = ANYBODY, historical: bool = False, **fields: Any
    ) -> StepEvent:
        event = StepEvent(
            **{
                "event": "step.started",
                "time": NOW,
                "workflow": "order",
                "execution_id": "o-1",
                "step": "charge",
                "namespace": "default",
                **fields,
            }
        )
        return self.limits.of(sender, NOW, historical)(event)

    def counted(self, limit: str) -> float:
        return self.registry.get_sample_value("collector_limited_total", {"limit": limit}) or 0.0


def test_the_first_attributes_stay_and_the_rest_is_counted() -> None:
    limited = Limited(max_attributes=3)
    event = limited.accept(attributes={f"a{number}": number for number in range(5)})
    assert event.attributes == {"a0": 0, "a1": 1, "a2": 2}
    assert limited.counted("attributes") == 2


def test_long_names_of_attributes_are_left_out() -> None:
    limited = Limited()
    assert limited.accept(attributes={"k" * (KEY_MAX + 1): 1, "b": 2}).attributes == {"b": 2}
    assert limited.counted("attributes") == 1


@pytest.mark.parametrize("value", ["x" * 100, "€" * 40, ["x"] * 40, {"a": {"b": "x" * 100}}])
def test_long_values_are_counted_and_left_to_the_store_to_cut(value: object) -> None:
    limited = Limited(max_attribute_bytes=32)
    assert limited.accept(attributes={"a": value, "b": "short"}).attributes["a"] == value
    assert limited.counted("attribute_bytes") == 1
    # What is left out is not cut as well.
    few = Limited(max_attribute_bytes=32, max_attributes=1)
    assert few.accept(attributes={"b": "short", "a": value}).attributes == {"b": "short"}
    assert few.counted("attribute_bytes") == 0


def test_a_long_error_message_is_counted() -> None:
    limited = Limited(max_attribute_bytes=32)
    assert limited.accept(error_message="x" * 33).error_message == "x" * 33
    assert limited.counted("attribute_bytes") == 1


def test_what_is_within_the_limits_is_the_same_object() -> None:
    event = StepEvent(event="step.started", time=NOW, workflow="w", execution_id="e", step="s")
    assert Limited().limits.of(ANYBODY, NOW)(event) is event


@given(st.text(), st.integers(16, 64))
def test_what_is_longer_is_so_in_utf_8(text: str, limit_bytes: int) -> None:
    assert is_longer(text, limit_bytes) == (len(text.encode()) > limit_bytes)


@pytest.mark.parametrize("field", ["workflow", "execution_id", "step", "run_id", "queue", "engine"])
def test_long_names_and_ids_go_back(field: str) -> None:
    limited = Limited()
    longest: dict[str, Any] = {field: "x" * TEXT_MAX}
    limited.accept(**longest)
    longer: dict[str, Any] = {field: "x" * (TEXT_MAX + 1)}
    with pytest.raises(InputError, match=f"{field}: may have 2048 characters"):
        limited.accept(**longer)


def test_age_and_future() -> None:
    limited = Limited(max_event_age="1h", max_future="10m")
    limited.accept(time=NOW - timedelta(hours=1))
    limited.accept(time=NOW + timedelta(minutes=10))
    with pytest.raises(InputError, match="more than 1h ago"):
        limited.accept(time=NOW - timedelta(hours=1, seconds=1))
    with pytest.raises(InputError, match="more than 10m ahead"):
        limited.accept(time=NOW + timedelta(minutes=10, seconds=1))
    limited.accept(time=NOW - timedelta(days=900), historical=True)


def test_by_default_any_age_is_taken() -> None:
    Limited().accept(time=NOW - timedelta(days=900))


def test_a_pinned_sender_sends_for_its_namespace_only() -> None:
    billing = Sender("billing", "billing", pinned=True)
    assert Limited().accept(billing, namespace="billing").namespace == "billing"
    with pytest.raises(InputError, match="namespace: the token is for 'billing'"):
        Limited().accept(billing, namespace="shop")


def test_names_beyond_the_limit_are_pooled_and_stay_different_steps() -> None:
    limited = Limited(max_names=3)
    limited.accept(step="a")
    limited.accept(step="b")
    pooled = limited.accept(step="c")
    assert (pooled.workflow, pooled.step, pooled.step_run_id) == ("order", OTHER, "c")
    assert limited.accept(step="c", step_run_id="r").step_run_id == "r"
    assert limited.accept(step="b").step == "b"
    assert limited.accept(workflow="new", step="a").workflow == OTHER
    whole = limited.accept(event="workflow.started", workflow="new", step="")
    assert (whole.workflow, whole.step, whole.step_run_id) == (OTHER, "", "")
    assert limited.accept(namespace="elsewhere", step="c").step == "c"
    assert limited.counted("names") == 4


def test_made_up_namespaces_do_not_help() -> None:
    names = Names(10)
    kept = sum(names.kept(str(number), "w", "s")[0] == "w" for number in range(1000))
    assert kept == NAMESPACES * 10 / 2


def test_threads_together_keep_no_more_names_than_allowed() -> None:
    names = Names(50)
    kept: list[str] = []

    def send(thread: int) -> None:
        for number in range(100):
            kept.append(names.kept("default", f"{thread}-{number}", "")[0])

    threads = [threading.Thread(target=send, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(name != OTHER for name in kept) == 50
