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
from slack_sdk.web import SlackResponse
from slack_sdk.webhook import WebhookResponse

from alerts.message import Message
from alerts.targets.base import TRANSIENT_REFUSALS, Notes, raise_for_status, retry_after_s
from alerts.targets.posting import answer_of, bearer, checked, readable, within
from stallwatch.errors import Permanent, Transient

HEADER_MAX: Final = 150
SECTION_MAX: Final = 3000
FIELD_MAX: Final = 2000
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

# slack_sdk writes addresses (which are secrets) when its logger has no level or DEBUG, and what answered as errors.
_LOG: Final = logging.getLogger("alerts.targets.slack.client")
_LOG.setLevel(logging.CRITICAL)


class SlackWebhookTarget:
    """Posts to an incoming webhook."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        # The ledger tries again, which waits on the Clock and survives a restart.
        self._client = WebhookClient(
            url, timeout=max(1, round(timeout_s)), logger=_LOG, retry_handlers=[]
        )
        self._timeout_s = timeout_s

    def send(self, message: Message) -> None:
        """One post. Raises Permanent on 4xx but 408, 425 and 429, on all else but Slack's `ok` Transient."""
        url = checked("Slack", self._client.url)
        try:
            said = within("Slack", self._timeout_s, lambda: self._post(message))
        except (OSError, http.client.HTTPException) as error:
            raise Transient(f"Slack did not answer: {type(error).__name__}") from error
        except (SlackRequestError, ValueError):
            # The error's text holds the address.
            raise Permanent("the address of Slack is no web address") from None
        answer = answer_of(said.status_code, said.headers, said.body, url)
        raise_for_status("Slack", answer)
        if answer.text.strip() != "ok":
            # A proxy's page.
            raise Transient(f"not an answer of Slack: {answer.said}")

    def _post(self, message: Message) -> WebhookResponse:
        return self._client.send(text=_summary(message), blocks=blocks_of(message))


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
            retry_handlers=[],
        )
        self._token = token
        self._timeout_s = timeout_s
        self._channel = channel
        self._notes = notes

    def send(self, message: Message) -> None:
        """Post, or update and reply. Raises Permanent when Slack itself says no for good, else Transient."""
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
        bearer("bot_token", self._token)
        checked("Slack", self._client.base_url)

        def call() -> SlackResponse:
            return self._client.api_call(method, json=arguments)

        try:
            answer = within("Slack", self._timeout_s, call)
        except SlackApiError as error:
            raise _translate(method, error, self._token) from error
        except (OSError, http.client.HTTPException) as error:
            raise Transient(f"Slack did not answer: {type(error).__name__}") from error
        data: dict[str, Any] = dict(answer.data) if isinstance(answer.data, dict) else {}
        return data


class _MessageGone(Permanent):
    """The message to update cannot be found or changed any more."""


def _translate(method: str, error: SlackApiError, token: str) -> Transient | Permanent:
    response = error.response
    reason = str(response.get("error", "")) if isinstance(response.data, dict) else ""
    said = readable(reason or "no reason", [token])
    text = f"Slack answered {response.status_code} to {method}: {said}"
    may_pass = response.status_code in TRANSIENT_REFUSALS or response.status_code >= 500
    # Slack's reasons are single words; what is more is the library's on an answer that is not Slack's: a proxy's page.
    if may_pass or reason in TRANSIENT_ERRORS or " " in reason:
        return Transient(text, retry_after_s=retry_after_s(response.headers))
    if reason in ("message_not_found", "cant_update_message", "edit_window_closed"):
        return _MessageGone(text)
    return Permanent(text)


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
