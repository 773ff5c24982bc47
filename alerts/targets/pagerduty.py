"""Opens and resolves PagerDuty alerts through the Events API v2.

https://developer.pagerduty.com/docs/events-api-v2-overview: `dedup_key` makes a second trigger
update the open alert and a second resolve do nothing, so sending twice is harmless. A summary has
at most 1024 characters.
"""

from typing import Any, Final

from pagerduty import Error, EventsApiV2Client, ServerHttpError

from alerts.message import Message
from alerts.targets.base import TRANSIENT_STATUSES, retry_after_s
from stallwatch.errors import Permanent, Transient
from stallwatch.model.durations import rfc3339

SUMMARY_MAX: Final = 1024
SEVERITIES: Final = {"critical": "critical", "warning": "warning", "info": "info"}


class _Client(EventsApiV2Client):
    """The client without its own waiting: it would sleep in this thread, and on 429 for ever."""

    max_network_attempts = 0

    def postprocess(self, response: Any) -> None:
        """Hand what may pass to the ledger, which waits on the Clock and survives a restart."""
        status = int(response.status_code)
        if status in TRANSIENT_STATUSES or status >= 500:
            raise Transient(
                f"PagerDuty answered {status}: {response.text[:200]}",
                retry_after_s=retry_after_s(response.headers),
            )


class PagerDutyTarget:
    """One integration, named by its routing key; `base_url` is https."""

    def __init__(self, routing_key: str, *, base_url: str, timeout_s: float) -> None:
        self._routing_key = routing_key
        self._base_url = base_url
        self._timeout_s = timeout_s

    def send(self, message: Message) -> None:
        """Trigger or resolve. Raises Transient on 429, 5xx and network errors, else Permanent."""
        with _Client(self._routing_key, base_url=self._base_url) as client:
            client.timeout = max(1, round(self._timeout_s))
            try:
                if message.status == "resolved":
                    client.resolve(message.dedup_key)
                else:
                    client.send_event("trigger", dedup_key=message.dedup_key, **event_of(message))
            except ServerHttpError as error:
                # An answer that is not PagerDuty's: a proxy's page, a redirect.
                raise Transient(f"not an answer of PagerDuty: {error}") from error
            except Error as error:
                answer = error.response
                if answer is None:
                    raise Transient(f"PagerDuty did not answer: {error}") from error
                text = f"PagerDuty refused with {answer.status_code}: {answer.text[:200]}"
                raise Permanent(text) from error


def event_of(message: Message) -> dict[str, Any]:
    """The trigger's `payload` and `links`."""
    details = {**message.fields, "explanation": "\n".join(message.lines)}
    if message.why:
        details["told_again_because"] = message.why
    return {
        "payload": {
            "summary": message.title[:SUMMARY_MAX],
            "source": message.fields.get("workflow")
            or message.fields.get("engine")
            or "stallwatch",
            "severity": SEVERITIES.get(message.severity, "error"),
            "timestamp": rfc3339(message.started_at),
            "component": message.fields.get("step", ""),
            "group": message.fields.get("namespace", ""),
            "class": message.fields.get("detector", ""),
            "custom_details": details,
        },
        "links": [{"href": link.url, "text": link.text} for link in message.links],
        "client": "Stallwatch",
    }
