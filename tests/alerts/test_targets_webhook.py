import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from alerts.targets.webhook import NO_END, WebhookTarget, body_of
from stallwatch.errors import Permanent, Transient
from stallwatch.model.findings import Severity, Status
from tests.alerts.helpers import NOW, Answer, StandIn, drip, finding, golden, message, stand_in


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as state:
        yield state


def target(server: StandIn, timeout_s: float = 5.0) -> WebhookTarget:
    return WebhookTarget(server.url + "/hook?key=secret", timeout_s=timeout_s)


def test_the_body_on_the_wire_is_the_golden_one(server: StandIn) -> None:
    target(server).send(message(finding(), finding("f2", status=Status.RESOLVED)))
    (request,) = server.requests
    assert request.path == "/hook?key=secret"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Idempotency-Key"] == "0123456789abcdef/1"
    assert request.body == golden("webhook_partly_resolved.json")


def shape(value: Any) -> Any:
    """Names and types, without the values; the names of labels and annotations are free."""
    if isinstance(value, dict):
        return {
            key: "texts"
            if key in ("labels", "annotations", "groupLabels", "commonLabels", "commonAnnotations")
            else shape(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [shape(value[0])]
    return type(value).__name__


@pytest.mark.parametrize("status", ["firing", "resolved"])
def test_the_shape_is_what_alertmanager_sends(status: str) -> None:
    recorded = golden("alertmanager_recorded.json")[status]
    closed_at = NOW + timedelta(minutes=1) if status == "resolved" else None
    body = body_of(message(closed_at=closed_at))
    assert shape(body) == shape(recorded)
    assert body["status"] == recorded["status"] == status
    assert body["version"] == recorded["version"] == "4"
    ends = {(alert["endsAt"] == NO_END) for alert in recorded["alerts"] + body["alerts"]}
    assert ends == {status == "firing"}
    assert not any("." in label for alert in body["alerts"] for label in alert["labels"])


def test_the_groups_key_is_quoted_as_alertmanager_does() -> None:
    key = body_of(message(finding(step='say "C:\\x"')))["groupKey"]
    assert key.endswith(', step="say \\"C:\\\\x\\""}:0123456789abcdef')


def test_the_token_goes_into_the_header(server: StandIn) -> None:
    WebhookTarget(server.url, timeout_s=5, bearer_token="t0ken").send(message())
    assert server.requests[0].headers["Authorization"] == "Bearer t0ken"


@pytest.mark.parametrize("status", [401, 403, 404, 408, 410, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_transient(server: StandIn, status: int) -> None:
    server.script(Answer(status, "busy", {"Retry-After": "17"}))
    with pytest.raises(Transient, match=f"answered {status}: busy") as caught:
        target(server).send(message())
    assert caught.value.retry_after_s == 17
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 405, 413, 422])
def test_a_refusal_is_permanent_and_does_not_tell_the_address(server: StandIn, status: int) -> None:
    server.script(Answer(status, "no"))
    with pytest.raises(Permanent) as caught:
        target(server).send(message())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_and_may_pass(server: StandIn, status: int) -> None:
    server.script(Answer(status, "there", {"Location": server.url + "/login"}), Answer())
    with pytest.raises(Transient, match=f"answered {status}"):
        target(server).send(message())
    assert len(server.requests) == 1


def test_an_answer_that_drips_for_ever_is_given_up_in_time() -> None:
    with drip(b"HTTP/1.1 503 Busy\r\nX-Slow: ") as slow:
        with pytest.raises(Transient, match="within"):
            WebhookTarget(slow.url, timeout_s=0.3).send(message())
        assert slow.left.wait(5)


def test_a_token_that_no_header_can_carry_is_permanent(server: StandIn) -> None:
    with pytest.raises(Permanent, match="bearer_token cannot be sent") as caught:
        WebhookTarget(server.url, timeout_s=5, bearer_token="t0ken\nnext").send(message())
    assert "t0ken" not in str(caught.value)


def test_alerts_have_the_severity_of_their_incident() -> None:
    minor, major = finding(), finding("f2", severity=Severity.CRITICAL)
    body = body_of(replace(message(minor, major), severity="critical"))
    assert body["commonLabels"]["severity"] == "critical"
    told = [(one["labels"]["severity"], one["annotations"]) for one in body["alerts"]]
    assert [severity for severity, _ in told] == ["critical", "critical"]
    own = [annotations.get("finding_severity") for _, annotations in told]
    assert own == ["warning", None]


def test_no_listener_is_transient() -> None:
    with stand_in() as gone:
        pass
    with pytest.raises(Transient, match="ConnectError"):
        target(gone).send(message())


def test_a_wrong_address_is_permanent() -> None:
    with pytest.raises(Permanent):
        WebhookTarget("http://[::1", timeout_s=1).send(message())
    with pytest.raises(Permanent):
        WebhookTarget("ftp://example.com/x", timeout_s=1).send(message())


def test_the_address_is_not_logged(server: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        target(server).send(message())
    assert "secret" not in caplog.text


def test_the_body_is_json_of_plain_types() -> None:
    assert json.loads(json.dumps(body_of(message()))) == body_of(message())
