"""Posts JSON of Alertmanager's webhook shape, version 4: what reads that, reads this.

The fields are those of https://prometheus.io/docs/alerting/latest/configuration/#webhook_config:
one alert per finding, `endsAt` 0001-01-01T00:00:00Z while it fires, `groupKey` the incident. The
label `severity` is the incident's, for receivers route by it; the finding's own, where it is
another, is the annotation `finding_severity`. The header `Idempotency-Key` names one telling: the
same key twice is the same telling, sent again after a crash or a lost answer.
"""

from typing import Any, Final

from alerts.message import FindingSummary, Message
from alerts.targets.base import raise_for_status
from alerts.targets.posting import bearer, post
from stallwatch.model.durations import rfc3339

NO_END: Final = "0001-01-01T00:00:00Z"
MAY_PASS: Final = frozenset({401, 403, 404, 410})
"""What a receiver answers while it is deployed anew or its secret is changed."""
LABELS: Final = ("namespace", "engine", "workflow", "step")


class WebhookTarget:
    """Posts to `url`; `bearer_token` goes into the Authorization header when given."""

    def __init__(self, url: str, *, timeout_s: float, bearer_token: str | None = None) -> None:
        self._url = url
        self._bearer_token = bearer_token
        self._timeout_s = timeout_s

    def send(self, message: Message) -> None:
        """One POST. Raises Permanent on 4xx but MAY_PASS, 408, 425 and 429, on all else Transient."""
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": f"{message.dedup_key}/{message.number}",
        }
        if self._bearer_token is not None:
            headers |= bearer("bearer_token", self._bearer_token)
        answer = post(
            "the webhook",
            self._url,
            body_of(message),
            headers=headers,
            timeout_s=self._timeout_s,
            secrets=[self._bearer_token or ""],
        )
        raise_for_status("the webhook", answer, MAY_PASS)


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
    labels = {"alertname": finding.detector, "severity": message.severity}
    labels |= {name: getattr(finding, name) for name in LABELS if getattr(finding, name)}
    annotations = {"summary": finding.title, "description": finding.explanation}
    if finding.severity != message.severity:
        annotations["finding_severity"] = finding.severity
    return {
        "status": "resolved" if over else "firing",
        "labels": labels,
        "annotations": annotations,
        "startsAt": rfc3339(finding.first_seen),
        "endsAt": rfc3339(message.ended_at or finding.last_seen) if over else NO_END,
        "generatorURL": link,
        "fingerprint": finding.fingerprint,
    }
