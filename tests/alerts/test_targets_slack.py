import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from alerts.targets.slack import SlackBotTarget, SlackWebhookTarget, blocks_of
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

WEBHOOK = "/services/T/B/secret"


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as state:
        yield state


def webhook(server: StandIn) -> SlackWebhookTarget:
    return SlackWebhookTarget(server.url + WEBHOOK, timeout_s=5)


def test_the_webhook_posts_the_golden_body(server: StandIn) -> None:
    webhook(server).send(message(finding(severity=Severity.CRITICAL), why="The severity rose."))
    (request,) = server.requests
    assert request.path == WEBHOOK
    assert request.headers["Content-Type"] == "application/json;charset=utf-8"
    assert request.body == golden("slack_webhook.json")


def test_what_is_only_no_longer_told_gets_no_tick(server: StandIn) -> None:
    closed = message(closed_at=NOW + timedelta(minutes=1))
    for one in (closed, replace(closed, lapsed=True)):
        webhook(server).send(one)
    told = [(one.body["text"][:10], str(one.body["blocks"][0])) for one in server.requests]
    assert (told[0][0], ":white_check_mark:" in told[0][1]) == ("[resolved]", True)
    assert (told[1][0], ":white_check_mark:" in told[1][1]) == ("[no longer", False)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_what_may_pass_is_handed_up_without_waiting_here(server: StandIn, status: int) -> None:
    server.script(Answer(status, "later", {"Retry-After": "30"}))
    with pytest.raises(Transient, match=f"answered {status}: later") as caught:
        webhook(server).send(message())
    assert caught.value.retry_after_s == 30
    assert len(server.requests) == 1


def test_what_is_behind_a_redirect_is_not_taken_for_slack(server: StandIn) -> None:
    server.script(Answer(302, "", {"Location": server.url + "/login"}))
    for target in (webhook(server), bot(server, Memory())):
        with pytest.raises(Transient):
            target.send(message())


@pytest.mark.parametrize("text", ["<html>log in</html>", "", '{"ok": true}'])
def test_a_webhooks_answer_that_is_not_slacks_may_pass(server: StandIn, text: str) -> None:
    server.script(Answer(200, text))
    with pytest.raises(Transient, match="not an answer of Slack"):
        webhook(server).send(message())


def test_an_answer_that_drips_for_ever_is_given_up_in_time() -> None:
    for beginning in (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\n\r\n"):
        with drip(beginning) as slow, pytest.raises(Transient, match="within"):
            SlackWebhookTarget(slow.url, timeout_s=0.3).send(message())
        with drip(beginning) as slow:
            address = SlackBotTarget(
                "xoxb-1", channel="#c", notes=Memory(), timeout_s=0.3, api_url=slow.url
            )
            with pytest.raises(Transient, match="within"):
                address.send(message())


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_refusal_is_permanent(server: StandIn, status: int) -> None:
    server.script(Answer(status, "no_service"))
    with pytest.raises(Permanent, match="no_service") as caught:
        webhook(server).send(message())
    assert "secret" not in str(caught.value)


def test_no_listener_is_transient() -> None:
    with stand_in() as gone:
        pass
    with pytest.raises(Transient, match="did not answer"):
        webhook(gone).send(message())


def test_a_wrong_address_is_permanent_and_not_told() -> None:
    with pytest.raises(Permanent) as caught:
        SlackWebhookTarget("hooks.secret/x", timeout_s=1).send(message())
    assert "secret" not in str(caught.value)


def test_the_address_is_not_logged(server: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        webhook(server).send(message())
    assert "secret" not in caplog.text


class Memory:
    def __init__(self) -> None:
        self.notes: dict[str, str] = {}

    def read(self, dedup_key: str) -> str | None:
        return self.notes.get(dedup_key)

    def write(self, dedup_key: str, note: str) -> None:
        self.notes[dedup_key] = note


def slack(request: Request) -> Answer:
    if request.path == "/api/chat.postMessage":
        # Slack answers a channel's name with its id, which is what chat.update takes.
        return Answer(body=json.dumps({"ok": True, "channel": "C1", "ts": "17.42"}))
    return Answer(body=json.dumps({"ok": True, "channel": "C1", "ts": request.body["ts"]}))


def bot(server: StandIn, memory: Memory) -> SlackBotTarget:
    return SlackBotTarget(
        "xoxb-1", channel="#oncall", notes=memory, timeout_s=5, api_url=server.url + "/api/"
    )


def test_the_bot_posts_once_then_updates_and_replies(server: StandIn) -> None:
    server.answer = slack
    memory = Memory()
    bot(server, memory).send(message())
    # Another process: only the notes survive.
    again = bot(server, memory)
    again.send(message(finding(severity=Severity.CRITICAL), why="The severity rose.", number=2))
    again.send(message(closed_at=NOW + timedelta(minutes=1), number=3))
    told = [(one.path.removeprefix("/api/"), one.body) for one in server.requests]
    assert [method for method, _ in told] == [
        "chat.postMessage",
        "chat.update",
        "chat.postMessage",
        "chat.update",
        "chat.postMessage",
    ]
    assert told[0][1]["channel"] == "#oncall"
    assert {body["ts"] for method, body in told if method == "chat.update"} == {"17.42"}
    replies = [body for _, body in told if "thread_ts" in body]
    assert [(one["thread_ts"], one["channel"]) for one in replies] == [("17.42", "C1")] * 2
    assert replies[0]["text"].startswith("The severity rose.")
    assert replies[1]["text"].startswith("Over since 2026-11-22 10:01:00 UTC")
    assert server.requests[0].headers["Authorization"] == "Bearer xoxb-1"


def test_the_bot_posts_anew_when_its_message_was_deleted(server: StandIn) -> None:
    def deleted(request: Request) -> Answer:
        if request.path == "/api/chat.update":
            return Answer(body=json.dumps({"ok": False, "error": "message_not_found"}))
        return slack(request)

    server.answer = deleted
    memory = Memory()
    memory.write(message().dedup_key, json.dumps({"channel": "C1", "ts": "1.1"}))
    bot(server, memory).send(message(number=2))
    assert [one.path for one in server.requests] == ["/api/chat.update", "/api/chat.postMessage"]
    assert json.loads(memory.notes[message().dedup_key]) == {"channel": "C1", "ts": "17.42"}


@pytest.mark.parametrize("error", ["invalid_auth", "channel_not_found", "not_in_channel"])
def test_the_bots_refusals_are_permanent(server: StandIn, error: str) -> None:
    server.script(Answer(body=json.dumps({"ok": False, "error": error, "token": "xoxb-1"})))
    with pytest.raises(Permanent, match=error) as caught:
        bot(server, Memory()).send(message())
    assert "xoxb-1" not in str(caught.value)


def test_the_bots_troubles_are_transient(server: StandIn) -> None:
    limited = json.dumps({"ok": False, "error": "ratelimited"})
    server.script(Answer(429, limited, {"Retry-After": "30"}))
    with pytest.raises(Transient, match="ratelimited") as caught:
        bot(server, Memory()).send(message())
    assert caught.value.retry_after_s == 30
    server.script(Answer(body=json.dumps({"ok": False, "error": "internal_error"})))
    with pytest.raises(Transient, match="internal_error"):
        bot(server, Memory()).send(message())
    for status in (200, 403, 502):
        server.script(Answer(status, "<html>bad gateway</html>"))
        with pytest.raises(Transient, match=f"answered {status} to chat.postMessage: .*<html>bad"):
            bot(server, Memory()).send(message())


@pytest.mark.parametrize("token", ["", "xoxb-1\nnext", "xoxb-\u00e4"])
def test_a_token_that_no_header_can_carry_is_permanent(server: StandIn, token: str) -> None:
    target = SlackBotTarget(
        token, channel="#c", notes=Memory(), timeout_s=5, api_url=server.url + "/api/"
    )
    with pytest.raises(Permanent, match="bot_token cannot be sent") as caught:
        target.send(message())
    assert "xoxb" not in str(caught.value)


def test_lengths_and_markup_keep_to_slacks_rules() -> None:
    long = finding(step="x" * 500, executions=tuple("<&>" * 300 for _ in range(5)))
    blocks = blocks_of(message(long))
    assert len(blocks[0]["text"]["text"]) == 150
    assert len(blocks[1]["text"]["text"]) <= 3000
    assert "&lt;&amp;&gt;" in blocks[1]["text"]["text"]
