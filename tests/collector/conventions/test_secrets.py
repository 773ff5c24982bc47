"""Secrets that spans carry reach no table."""

from tests.collector.conventions.sandbox import Sandbox, trace_id
from tests.collector.conventions.test_generic import marked, span

TASK_TOKEN = "AQCEAAAAKgAAAAMAAAAAAAAAAf" + "0123456789abcdefABCDEF" * 3
SECRETS = [TASK_TOKEN, "hunter2hunter2", "s3cr3tBearerValue99", "AKIAIOSFODNN7EXAMPLE"]


def test_secrets_are_gone_everywhere(sandbox: Sandbox) -> None:
    trace = trace_id()
    said = marked(trace, 2, "charge")
    said["attributes"] |= {
        "input": f'{{"token": "{TASK_TOKEN}"}}',
        "authorization": "hunter2hunter2",
        "http.request.header.authorization": ["hunter2hunter2"],
        "note": "sent Bearer s3cr3tBearerValue99 upstream",
    }
    said |= {"status": "error", "message": f"call with Bearer s3cr3tBearerValue99 and {TASK_TOKEN}"}
    said["events"] = [
        {
            "name": "exception",
            "at_ns": said["end_ns"],
            "attributes": {
                "exception.type": "E",
                "exception.message": "key AKIAIOSFODNN7EXAMPLE, bearer s3cr3tBearerValue99",
                "authorization": "hunter2hunter2",
            },
        }
    ]
    # A time that cannot be believed: the span goes to quarantine.
    strange = {**span(trace, 3), "start_ns": 1, "name": "old", "attributes": said["attributes"]}
    sandbox.deliver([said, strange])
    assert sandbox.step("charge")["error_type"] == "E"
    tables = sandbox.store.select(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree%'"
    )
    assert {"span_log", "step_event_log", "attempt_fold", "quarantine"} <= {
        row["name"] for row in tables
    }
    for table in tables:
        for row in sandbox.store.select(f"SELECT * FROM {table['name']}"):
            text = repr(row)
            assert [secret for secret in SECRETS if secret in text] == [], table["name"]
