"""From events to a printed report."""

import json
from datetime import datetime, timedelta

from dashboards.report import FORMATS, render
from detectors.recommendations import recommend_timeouts
from stallwatch.model.events import event_from_dict
from stallwatch.store import Store


def test_events_become_a_report_in_every_form(store: Store, now: datetime) -> None:
    events = [
        event_from_dict(
            {
                "event": event,
                "time": (now - timedelta(seconds=at)).isoformat(),
                "workflow": "order",
                "execution_id": f"o-{i}",
                "step": "charge",
                "timeout_s": 300,
            },
            now,
        )
        for i in range(310)
        for event, at in (("step.started", i + 2 + i % 7), ("step.completed", i + 1))
    ]
    store.insert_events(events, now, "test")
    store.fold(now)
    since = now - timedelta(days=1)
    found = recommend_timeouts(store, since, now)
    texts = {form: render(found, form, now, since, now) for form in FORMATS}
    (record,) = json.loads(texts["json"])
    assert (record["n"], record["p50_s"], record["p99_s"]) == (310, 4.0, 7.0)
    assert all(("charge" in text and "300" in text) or "5m" in text for text in texts.values())
