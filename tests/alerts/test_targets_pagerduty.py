import json
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import trustme

from alerts.targets.pagerduty import PagerDutyTarget
from stallwatch.errors import Permanent, Transient
from stallwatch.model.findings import Severity
from tests.alerts.helpers import NOW, Answer, Request, StandIn, finding, golden, message, stand_in


def accepted(request: Request) -> Answer:
    """202 with the key, as the Events API v2 documents it."""
    key = request.body["dedup_key"]
    body = {"status": "success", "message": "Event processed", "dedup_key": key}
    return Answer(202, json.dumps(body))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with stand_in(context) as state:
        state.answer = accepted
        yield state


def target(server: StandIn) -> PagerDutyTarget:
    return PagerDutyTarget("r0uting", base_url=server.url, timeout_s=5)


def test_it_triggers_and_resolves_under_one_key(server: StandIn) -> None:
    target(server).send(message(finding(severity=Severity.CRITICAL), why="It fires again."))
    target(server).send(message(closed_at=NOW + timedelta(minutes=1), number=2))
    trigger, resolve = server.requests
    assert trigger.path == resolve.path == "/v2/enqueue"
    assert trigger.body == golden("pagerduty_trigger.json")
    assert resolve.body == {
        "event_action": "resolve",
        "dedup_key": "0123456789abcdef",
        "routing_key": "r0uting",
    }


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_handed_up_without_waiting_here(server: StandIn, status: int) -> None:
    server.script(Answer(status, "later", {"Retry-After": "60"}))
    with pytest.raises(Transient, match=str(status)) as caught:
        target(server).send(message())
    assert caught.value.retry_after_s == 60
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refusal_is_permanent_and_does_not_tell_the_key(server: StandIn, status: int) -> None:
    server.script(Answer(status, "no"))
    with pytest.raises(Permanent, match=str(status)) as caught:
        target(server).send(message())
    assert "r0uting" not in str(caught.value)


def test_a_strange_answer_is_transient(server: StandIn) -> None:
    server.script(Answer(200, "<html>welcome to the proxy</html>"))
    with pytest.raises(Transient):
        target(server).send(message())


def test_no_listener_is_transient(server: StandIn) -> None:
    with stand_in() as gone:
        pass
    away = PagerDutyTarget("r0uting", base_url=gone.url.replace("http:", "https:"), timeout_s=5)
    with pytest.raises(Transient, match="did not answer"):
        away.send(message())
