"""Opens and resolves PagerDuty alerts through the Events API v2.

https://developer.pagerduty.com/docs/events-api-v2-overview: `dedup_key` makes a second trigger
update the open alert and a second resolve do nothing, so sending twice is harmless. A summary has
at most 1024 characters.
"""

from typing import Any, Final

from alerts.message import Message
from alerts.targets.base import raise_for_status
from alerts.targets.posting import post
from stallwatch.errors import Transient
from stallwatch.model.durations import rfc3339

SUMMARY_MAX: Final = 1024
SEVERITIES: Final = {"critical": "critical", "warning": "warning", "info": "info"}


class PagerDutyTarget:
    """One integration, named by its routing key."""

    def __init__(self, routing_key: str, *, base_url: str, timeout_s: float) -> None:
        self._routing_key = routing_key
        self._url = base_url.rstrip("/") + "/v2/enqueue"
        self._timeout_s = timeout_s

    def send(self, message: Message) -> None:
        """Trigger or resolve. Raises Permanent on 4xx but 408, 425 and 429, on all else Transient.

        What has no end is not sent: it would stay open until someone closes it.
        """
        if message.endless:
            return
        answer = post(
            "PagerDuty",
            self._url,
            {**event_of(message), "routing_key": self._routing_key},
            headers={"Content-Type": "application/json"},
            timeout_s=self._timeout_s,
            secrets=[self._routing_key],
        )
        raise_for_status("PagerDuty", answer)
        if "dedup_key" not in answer.fields():
            # A proxy's page.
            raise Transient(f"not an answer of PagerDuty: {answer.said}")


def event_of(message: Message) -> dict[str, Any]:
    """The event, but for the key of the integration."""
    if message.status == "resolved":
        return {"event_action": "resolve", "dedup_key": message.dedup_key}
    details = {**message.fields, "explanation": "\n".join(message.lines)}
    if message.why:
        details["told_again_because"] = message.why
    return {
        "event_action": "trigger",
        "dedup_key": message.dedup_key,
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
