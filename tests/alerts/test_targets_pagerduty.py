import json
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import trustme

from alerts.targets.pagerduty import PagerDutyTarget
from stallwatch.errors import Permanent, Transient
from stallwatch.model.findings import Severity
from tests.alerts.helpers import (
    NOW,
    Answer,
    Request,
    StandIn,
    drip,
    finding,
    golden,
    message,
    stand_in,
)


def accepted(request: Request) -> Answer:
    """202 with the key, as the Events API v2 documents it."""
    key = request.body["dedup_key"]
    body = {"status": "success", "message": "Event processed", "dedup_key": key}
    return Answer(202, json.dumps(body))


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def server(tls: ssl.SSLContext) -> Iterator[StandIn]:
    with stand_in(tls) as state:
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
    with pytest.raises(Transient, match="not an answer of PagerDuty: <html>welcome"):
        target(server).send(message())
    server.script(Answer(302, "", {"Location": server.url + "/login"}), Answer(200, "{}"))
    with pytest.raises(Transient, match="302"):
        target(server).send(message())
    assert len(server.requests) == 2


def test_an_answer_that_drips_for_ever_is_given_up_in_time(tls: ssl.SSLContext) -> None:
    for beginning in (b"HTTP/1.1 202 Accepted\r\nX-Slow: ", b"HTTP/1.1 202 Accepted\r\n\r\n"):
        with drip(beginning, tls=tls) as slow:
            with pytest.raises(Transient, match=r"within|not an answer of PagerDuty"):
                PagerDutyTarget("r0uting", base_url=slow.url, timeout_s=0.3).send(message())
            assert slow.left.wait(5)


def test_what_has_no_end_opens_nothing(server: StandIn) -> None:
    target(server).send(replace(message(), endless=True))
    assert server.requests == []


def test_no_listener_is_transient(server: StandIn) -> None:
    with stand_in() as gone:
        pass
    away = PagerDutyTarget("r0uting", base_url=gone.url.replace("http:", "https:"), timeout_s=5)
    with pytest.raises(Transient, match="did not answer"):
        away.send(message())
