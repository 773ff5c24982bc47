"""The OpenAPI document of the web port's JSON API, served at `/api/openapi.json`."""

from importlib.metadata import version
from typing import Any, Final

import msgspec

from dashboards.reading import EXECUTION_STATUSES, LIMIT_MAX, STEP_STATUSES
from dashboards.web.asked import FILTERS
from stallwatch.model.findings import DETECTOR_IDS, Finding, Status
from stallwatch.store.labels import NOTE_MAX, Verdict

_SUMMARIES: Final = {
    "findings": ("Findings; without `status` all that are not resolved", "Finding"),
    "incidents": ("Incidents that were open in [since, until), the latest first", "Incident"),
    "executions": ("Executions that were alive in [since, until), the latest first", "Execution"),
    "steps": ("Each step's counts and percentiles in [since, until), a day by default", "Step"),
    "recommendations": ("The latest timeout recommendation of each step", "Recommendation"),
    "budget": ("How many false alarms a week are allowed, and how many were there", "Spending"),
}
_TIME: Final = "RFC 3339 with an offset, `now`, or `-15m`: that long ago"
_STATUSES: Final = {
    "findings": [status.value for status in Status],
    "incidents": ["open", "closed"],
    "executions": list(EXECUTION_STATUSES),
    "execution": list(EXECUTION_STATUSES),
    "steps": list(STEP_STATUSES),
}
# Columns by their type: a question mark allows null. Durations (`…_s`) are seconds, times RFC 3339.
_ROWS: Final[dict[str, dict[str, str]]] = {
    "Execution": {
        "string": "namespace engine workflow workflow_version execution_id run_id parent_execution_id status "
        "error_type error_message trace_id",
        "time": "started_at last_progress_at",
        "time?": "ended_at",
        "number": "waited_s",
        "number?": "duration_s",
        "integer": "open_steps attempts",
    },
    "Attempt": {
        "string": "run_id step step_run_id branch status waiting_on queue worker downstream region error_type "
        "error_message road span_id",
        "time?": "scheduled_at started_at ended_at waiting_at last_heartbeat_at due",
        "number": "waited_s",
        "number?": "duration_s queue_s timeout_s heartbeat_timeout_s",
        "integer": "attempt",
        "integer?": "max_attempts",
    },
    "Event": {
        "string": "run_id event step step_run_id branch queue worker downstream waiting_on error_type error_message "
        "road event_id",
        "time": "time received_at",
        "time?": "due",
        "integer?": "attempt sequence",
    },
    "Incident": {
        "string": "id cause severity dimension value merged_into split_from",
        "time": "opened_at",
        "time?": "closed_at",
        "integer": "executions",
        "string[]": "findings",
    },
    "Step": {
        "string": "namespace engine workflow step",
        "integer": "n completed failed timed_out cancelled retried open window_s",
        "number?": "p50_s p95_s p99_s",
        "time?": "oldest_open_at",
    },
    "Spending": {
        "string": "detector",
        "string[]": "shared_with",
        "integer": "false_alarms_7d from_late_completions_7d from_feedback_7d false_alarms_28d "
        "from_late_completions_28d from_feedback_28d completed_late_28d",
        "number?": "allowed_per_week expected_per_week overspend_per_week",
    },
    "Label": {
        "string": "fingerprint detector namespace engine workflow step note by",
        "time": "first_seen changed_at",
        "integer": "completed_late",
        "number": "longest_s",
        "number?": "age_s",
        "verdict?": "verdict",
        "boolean": "false_alarm",
    },
    "Recommendation": {
        "string": "namespace engine workflow step verdict",
        "integer": "n censored",
        "number?": "p50_s p95_s p99_s p999_s p99_low_s p99_high_s current_timeout_s recommended_timeout_s "
        "guidance_timeout_s buffer healthy_cut stuck_s_saved",
        "date": "week",
    },
}
_TYPES: Final[dict[str, dict[str, Any]]] = {
    "string": {"type": "string"},
    "string[]": {"type": "array", "items": {"type": "string"}},
    "integer": {"type": "integer"},
    "integer?": {"type": ["integer", "null"]},
    "number": {"type": "number"},
    "number?": {"type": ["number", "null"]},
    "time": {"type": "string", "format": "date-time"},
    "time?": {"type": ["string", "null"], "format": "date-time"},
    "date": {"type": "string", "format": "date"},
    "boolean": {"type": "boolean"},
    "verdict?": {"enum": [*Verdict, None]},
}


def document() -> dict[str, Any]:
    """OpenAPI 3.1, as plain JSON types."""
    paths = {f"/api/{name}": {"get": _list(name)} for name in _SUMMARIES}
    paths["/api/executions/{execution_id}"] = {"get": _execution()}
    paths["/api/findings/{fingerprint}/feedback"] = {"post": _feedback()}
    paths["/api/openapi.json"] = _get("openapi", "This document", {"type": "object"})
    paths["/healthz"] = _get("health", "Alive", {"type": "string"}, "text/plain")
    paths["/metrics"] = _get("metrics", "For Prometheus", {"type": "string"}, "text/plain")
    paths["/readyz"] = _get("readiness", "Ready to do its work", _ref("Readiness"))
    paths["/readyz"]["get"]["responses"]["503"] = _answer("Not ready", _ref("Readiness"))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Stallwatch", "version": version("stallwatch")},
        "paths": paths,
        "components": {"schemas": _schemas()},
    }


def _schemas() -> dict[str, Any]:
    _, found = msgspec.json.schema_components([Finding], ref_template="#/components/schemas/{name}")
    # It counts a finding's states, and does not leave the house.
    del found["Finding"]["properties"]["number"]
    found["Finding"].update(additionalProperties=False, description="What a detector says")
    for name, columns in _ROWS.items():
        found[name] = _closed(
            {name: _TYPES[kind] for kind, names in columns.items() for name in names.split()}
        )
    run = {
        **found["Execution"]["properties"],
        "timeout_s": _TYPES["number?"],
        "attempt_list": {"type": "array", "items": _ref("Attempt")},
        "events": {"type": "array", "items": _ref("Event")},
    }
    found["Run"] = _closed(run)
    ready = {"ready": {"type": "boolean"}, "reasons": _TYPES["string[]"]}
    found["Readiness"] = _closed(ready)
    found["Error"] = _closed({"error": {"type": "string"}})
    return found


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    """An object that has these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(name: str) -> dict[str, Any]:
    summary, row = _SUMMARIES[name]
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [_filter(name, one) for one in FILTERS[name]],
        "responses": _responses({"type": "array", "items": _ref(row)}),
    }


def _execution() -> dict[str, Any]:
    path = {"name": "execution_id", "in": "path", "required": True, "schema": _TYPES["string"]}
    missing = {"404": _answer("There is no such execution", _ref("Error"))}
    return {
        "operationId": "execution",
        "summary": "The runs of an execution with their attempts and events, the latest first",
        "parameters": [path, *(_filter("execution", one) for one in FILTERS["execution"])],
        "responses": {**_responses({"type": "array", "items": _ref("Run")}), **missing},
    }


def _feedback() -> dict[str, Any]:
    path = {"name": "fingerprint", "in": "path", "required": True, "schema": _TYPES["string"]}
    said = {
        "type": "object",
        "properties": {
            "verdict": {"enum": list(Verdict)},
            "note": {"type": "string", "maxLength": NOTE_MAX},
        },
        "required": ["verdict"],
    }
    refused = {
        "403": "Another page's, or by a name where no token is asked for",
        "404": "There is no such finding",
        "413": "Too long",
        "415": "Not JSON",
    }
    return {
        "operationId": "feedback",
        "summary": "Say whether a finding was right",
        "parameters": [path],
        "requestBody": {"required": True, "content": {"application/json": {"schema": said}}},
        "responses": {
            **_responses(_ref("Label")),
            **{status: _answer(why, _ref("Error")) for status, why in refused.items()},
        },
    }


def _filter(endpoint: str, name: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    said: dict[str, Any] = {"name": name, "in": "query", "schema": schema}
    if name == "limit":
        schema.update(type="integer", minimum=1, maximum=LIMIT_MAX)
    elif name == "status":
        schema["enum"] = _STATUSES[endpoint]
    elif name == "detector":
        schema["enum"] = list(DETECTOR_IDS)
    elif name in ("since", "until"):
        said["description"] = _TIME
    return said


def _get(
    name: str, summary: str, schema: dict[str, Any], media: str = "application/json"
) -> dict[str, Any]:
    return {
        "get": {
            "operationId": name,
            "summary": summary,
            "responses": {"200": _answer(summary, schema, media)},
        }
    }


def _responses(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "200": _answer("What there is", schema),
        "400": _answer("A filter is wrong; the error names it", _ref("Error")),
        "503": _answer(
            "The store cannot be read now; `Retry-After` says when to ask again", _ref("Error")
        ),
    }


def _answer(
    description: str, schema: dict[str, Any], media: str = "application/json"
) -> dict[str, Any]:
    return {"description": description, "content": {media: {"schema": schema}}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
