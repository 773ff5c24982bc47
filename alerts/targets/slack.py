"""Tells a Slack channel, by an incoming webhook or as a bot.

A webhook can only post. A bot keeps one message per incident: the first telling posts it, a later
one brings it up to date (`chat.update`, which is silent) and says in its thread what changed.
Lengths are those of https://docs.slack.dev/reference/block-kit/blocks: header 150 characters,
section text 3000, ten fields of 2000.
"""

import http.client
import json
import logging
from typing import Any, Final

from slack_sdk import WebClient, WebhookClient
from slack_sdk.errors import SlackApiError, SlackRequestError
from slack_sdk.http_retry import RetryHandler
from slack_sdk.http_retry.builtin_handlers import (
    ConnectionErrorRetryHandler,
    RateLimitErrorRetryHandler,
    ServerErrorRetryHandler,
)
from slack_sdk.http_retry.request import HttpRequest
from slack_sdk.http_retry.response import HttpResponse
from slack_sdk.http_retry.state import RetryState

from alerts.message import Message
from alerts.targets.base import TRANSIENT_STATUSES, Notes, raise_for_status, retry_after_s
from stallwatch.errors import Permanent, Transient

HEADER_MAX: Final = 150
SECTION_MAX: Final = 3000
FIELD_MAX: Final = 2000
RETRY_AFTER_MAX_S: Final = 2.0
"""A longer Retry-After is waited for in the ledger, not in a thread."""
TRANSIENT_ERRORS: Final = frozenset(
    {
        "fatal_error",
        "internal_error",
        "ratelimited",
        "request_timeout",
        "service_unavailable",
    }
)
MARKS: Final = {
    "critical": ":red_circle:",
    "warning": ":large_orange_circle:",
    "info": ":large_blue_circle:",
}

# slack_sdk writes addresses (which are secrets) when its logger has no level or DEBUG.
_LOG: Final = logging.getLogger("alerts.targets.slack.client")
_LOG.setLevel(logging.WARNING)


class _ShortRateLimitHandler(RateLimitErrorRetryHandler):
    """Waits in place only when the wait is short."""

    def _can_retry(
        self,
        *,
        state: RetryState,
        request: HttpRequest,
        response: HttpResponse | None = None,
        error: Exception | None = None,
    ) -> bool:
        if response is None or response.status_code != 429:
            return False
        wait_s = retry_after_s({name: values[0] for name, values in response.headers.items()})
        return wait_s is not None and wait_s <= RETRY_AFTER_MAX_S


class SlackWebhookTarget:
    """Posts to an incoming webhook."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._client = WebhookClient(
            url, timeout=max(1, round(timeout_s)), logger=_LOG, retry_handlers=_retry_handlers()
        )

    def send(self, message: Message) -> None:
        """One post. Raises Transient on 429, 5xx and network errors, else Permanent."""
        try:
            answer = self._client.send(text=_summary(message), blocks=blocks_of(message))
        except (OSError, http.client.HTTPException) as error:
            raise Transient(f"Slack did not answer: {type(error).__name__}") from error
        except (SlackRequestError, ValueError):
            # The error's text holds the address.
            raise Permanent("the url of the Slack webhook is no web address") from None
        raise_for_status("Slack", answer.status_code, answer.body, answer.headers)


class SlackBotTarget:
    """Posts as a bot to one channel; `notes` keeps where each incident's message is."""

    def __init__(
        self, token: str, *, channel: str, notes: Notes, timeout_s: float, api_url: str
    ) -> None:
        self._client = WebClient(
            token,
            base_url=api_url,
            timeout=max(1, round(timeout_s)),
            logger=_LOG,
            retry_handlers=_retry_handlers(),
        )
        self._channel = channel
        self._notes = notes

    def send(self, message: Message) -> None:
        """Post, or update and reply. Raises Transient on 429, 5xx and no answer, else Permanent."""
        note = self._notes.read(message.dedup_key)
        if note is not None:
            place = json.loads(note)
            if self._update(message, place):
                # The reply goes last: it alone cannot be repeated without being seen.
                self._call(
                    "chat.postMessage",
                    channel=place["channel"],
                    thread_ts=place["ts"],
                    text=_reply(message),
                )
                return
        answer = self._call(
            "chat.postMessage",
            channel=self._channel,
            text=_summary(message),
            blocks=blocks_of(message),
        )
        place = {"channel": answer["channel"], "ts": answer["ts"]}
        self._notes.write(message.dedup_key, json.dumps(place))

    def _update(self, message: Message, place: dict[str, str]) -> bool:
        """False when the message is no longer there: someone deleted it or the channel changed."""
        try:
            self._call(
                "chat.update",
                channel=place["channel"],
                ts=place["ts"],
                text=_summary(message),
                blocks=blocks_of(message),
            )
        except _MessageGone:
            return False
        return True

    def _call(self, method: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer = self._client.api_call(method, json=arguments)
        except SlackApiError as error:
            raise _translate(method, error) from error
        except (OSError, http.client.HTTPException) as error:
            raise Transient(f"Slack did not answer: {type(error).__name__}") from error
        data: dict[str, Any] = dict(answer.data) if isinstance(answer.data, dict) else {}
        return data


class _MessageGone(Permanent):
    """The message to update cannot be found or changed any more."""


def _translate(method: str, error: SlackApiError) -> Transient | Permanent:
    response = error.response
    reason = str(response.get("error", "")) if isinstance(response.data, dict) else ""
    text = f"Slack answered {response.status_code} to {method}: {reason or 'no reason'}"
    if response.status_code >= 500 or response.status_code in TRANSIENT_STATUSES:
        return Transient(text, retry_after_s=retry_after_s(response.headers))
    if reason in TRANSIENT_ERRORS:
        return Transient(text, retry_after_s=retry_after_s(response.headers))
    if reason in ("message_not_found", "cant_update_message", "edit_window_closed"):
        return _MessageGone(text)
    return Permanent(text)


def _retry_handlers() -> list[RetryHandler]:
    return [
        ConnectionErrorRetryHandler(max_retry_count=1),
        _ShortRateLimitHandler(max_retry_count=1),
        ServerErrorRetryHandler(max_retry_count=1),
    ]


def blocks_of(message: Message) -> list[dict[str, Any]]:
    """The message in Block Kit: headline, explanation, fields, links."""
    headline = f"{_mark(message)} {message.title}"
    paragraphs = "\n".join(_escape(line) for line in (message.why, *message.lines) if line)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(headline, HEADER_MAX)}},
    ]
    if paragraphs:
        blocks.append(_section(paragraphs))
    if message.fields:
        texts = [f"*{name}*\n{_escape(value)}" for name, value in message.fields.items()]
        fields = [{"type": "mrkdwn", "text": _cut(text, FIELD_MAX)} for text in texts[:10]]
        blocks.append({"type": "section", "fields": fields})
    links = " · ".join(f"<{link.url}|{_escape(link.text)}>" for link in message.links)
    footer = f"{links}   `{message.dedup_key}`" if links else f"`{message.dedup_key}`"
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": footer}]})
    return blocks


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": _cut(text, SECTION_MAX)}}


def _summary(message: Message) -> str:
    """What a notification shows, and all that a client without blocks shows."""
    return f"[{_label(message)}] {_escape(message.title)}"


def _label(message: Message) -> str:
    if message.status == "resolved":
        return "no longer told" if message.lapsed else "resolved"
    return message.severity


def _reply(message: Message) -> str:
    if message.status == "resolved":
        return _escape(message.lines[0]) if message.lines else "It is over."
    return _escape(" ".join(part for part in (message.why, *message.lines[:1]) if part))


def _mark(message: Message) -> str:
    if message.status == "resolved":
        return ":white_circle:" if message.lapsed else ":white_check_mark:"
    return MARKS[message.severity]


def _escape(text: str) -> str:
    """The three characters that mrkdwn reads as its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, length_max: int) -> str:
    return text if len(text) <= length_max else text[: length_max - 1] + "…"
