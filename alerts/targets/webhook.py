"""Posts JSON of Alertmanager's webhook shape, version 4: what reads that, reads this.

The fields are those of https://prometheus.io/docs/alerting/latest/configuration/#webhook_config:
one alert per finding, `endsAt` 0001-01-01T00:00:00Z while it fires, `groupKey` the incident. The
header `Idempotency-Key` names one telling: the same key twice is the same telling, sent again
after a crash or a lost answer.
"""

import logging
from typing import Any, Final

import httpx

from alerts.message import FindingSummary, Message
from alerts.targets.base import raise_for_status
from stallwatch.errors import Permanent, Transient
from stallwatch.model.durations import rfc3339

NO_END: Final = "0001-01-01T00:00:00Z"
LABELS: Final = ("namespace", "engine", "workflow", "step")


class WebhookTarget:
    """Posts to `url`; `bearer_token` goes into the Authorization header when given."""

    def __init__(self, url: str, *, timeout_s: float, bearer_token: str | None = None) -> None:
        # httpx writes the whole address at INFO; it is a secret.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        self._url = url
        self._headers = {"Content-Type": "application/json"}
        if bearer_token is not None:
            self._headers["Authorization"] = f"Bearer {bearer_token}"
        self._timeout_s = timeout_s

    def send(self, message: Message) -> None:
        """One POST. Raises Transient on 408, 425, 429, 5xx and network errors, else Permanent."""
        headers = {
            **self._headers,
            "Idempotency-Key": f"{message.dedup_key}/{message.number}",
        }
        try:
            answer = httpx.post(
                self._url, json=body_of(message), headers=headers, timeout=self._timeout_s
            )
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise Permanent(f"the webhook's url is wrong: {error}") from error
        except httpx.TransportError as error:
            raise Transient(f"the webhook did not answer: {type(error).__name__}") from error
        raise_for_status("the webhook", answer.status_code, answer.text, answer.headers)


def body_of(message: Message) -> dict[str, Any]:
    """The JSON body."""
    link = message.links[0].url if message.links else ""
    group_labels = {"alertname": message.fields.get("detector", "incident")} | {
        name: message.fields[name] for name in (*LABELS, "cause") if name in message.fields
    }
    described = "\n".join(line for line in (message.why, *message.lines) if line)
    pairs = ", ".join(f"{name}={_quoted(value)}" for name, value in group_labels.items())
    alerts = [_alert(message, finding, link) for finding in message.findings]
    return {
        "receiver": message.receiver,
        "status": message.status,
        "alerts": alerts,
        "groupLabels": group_labels,
        "commonLabels": dict(
            item
            for item in (alerts[0]["labels"].items() if alerts else ())
            if all(item in alert["labels"].items() for alert in alerts)
        ),
        "commonAnnotations": {"summary": message.title, "description": described},
        "externalURL": link,
        "version": "4",
        "groupKey": f"{{{pairs}}}:{message.dedup_key}",
        "truncatedAlerts": message.findings_left_out,
    }


def _quoted(value: str) -> str:
    """As Alertmanager quotes the values in a group's key."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _alert(message: Message, finding: FindingSummary, link: str) -> dict[str, Any]:
    over = message.ended_at is not None or finding.status == "resolved"
    labels = {"alertname": finding.detector, "severity": finding.severity}
    labels |= {name: getattr(finding, name) for name in LABELS if getattr(finding, name)}
    return {
        "status": "resolved" if over else "firing",
        "labels": labels,
        "annotations": {"summary": finding.title, "description": finding.explanation},
        "startsAt": rfc3339(finding.first_seen),
        "endsAt": rfc3339(message.ended_at or finding.last_seen) if over else NO_END,
        "generatorURL": link,
        "fingerprint": finding.fingerprint,
    }
