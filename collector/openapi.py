"""The OpenAPI document of the ingest port, served at `/openapi.json`; bodies as the code that reads them has them."""

from importlib.metadata import version
from typing import Any, Final

import msgspec

from collector import otlp_shapes
from collector.engines.registry import ENGINES
from collector.events import Answer
from stallwatch.model.events import STEP_EVENTS, WORKFLOW_EVENTS, StepEvent

_SIGNALS: Final = {
    "traces": (otlp_shapes.TraceRequest, "Spans, as an ExportTraceServiceRequest"),
    "logs": (otlp_shapes.LogsRequest, "Log records, as an ExportLogsServiceRequest"),
    "metrics": (otlp_shapes.MetricsRequest, "Taken and not stored: partial_success says so"),
}
_REFUSALS: Final = {
    "401": "No token, or one that is not known",
    "403": "The sender may not do this from where it is",
    "408": "The body did not arrive in time",
    "413": "Larger than allowed, or it would grow out of proportion when unpacked",
    "415": "A content type, encoding or charset that is not read",
    "429": "Too much waits to be stored, or the sender sends too fast: send again after Retry-After",
    "503": "The store is away: send again after Retry-After",
}


def document() -> dict[str, Any]:
    """OpenAPI 3.1, as plain JSON types."""
    kinds = [*(kind for kind, _ in _SIGNALS.values()), StepEvent, Answer]
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    schemas["StepEvent"]["properties"]["event"]["enum"] = sorted(WORKFLOW_EVENTS | STEP_EVENTS)
    schemas["Status"] = {
        "title": "Status",
        "description": "google.rpc.Status",
        "type": "object",
        "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
    }
    paths: dict[str, Any] = {
        f"/v1/{name}": {"post": _export(name, kind, summary)}
        for name, (kind, summary) in _SIGNALS.items()
    }
    paths["/v1/events"] = {"post": _events()}
    for name in ENGINES:
        paths[f"/v1/engines/{name}"] = {"post": _documents(name)}
    paths["/healthz"] = {
        "get": {
            "operationId": "health",
            "summary": "Whether requests are taken and committed",
            "responses": {"200": _json("It is", _TOLD), "503": _json("It is closing", _TOLD)},
        }
    }
    paths["/openapi.json"] = {
        "get": {
            "operationId": "openapi",
            "summary": "This document",
            "responses": {"200": _json("OpenAPI 3.1", {"type": "object"})},
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Stallwatch ingest",
            "version": version("stallwatch"),
            "description": "OTLP/HTTP (https://opentelemetry.io/docs/specs/otlp/) and step events. Bodies may be "
            "compressed (Content-Encoding: gzip, deflate, zstd).",
        },
        "paths": paths,
        "components": {"schemas": schemas},
    }


_NAMESPACE: Final = {
    "name": "namespace",
    "in": "query",
    "description": "In which namespace, where what is sent does not say it",
    "schema": {"type": "string"},
}
_TOLD: Final = {"type": "object", "properties": {"status": {"type": "string"}}}


def _export(name: str, kind: type, summary: str) -> dict[str, Any]:
    either = {
        "application/x-protobuf": {"schema": {"type": "string", "format": "binary"}},
        "application/json": {"schema": _ref("Status")},
    }
    refusals = {"400": "Not such a request, with the reason", **_REFUSALS}
    answer = {"type": "object", "properties": {"partialSuccess": {"type": "object"}}}
    return {
        "operationId": f"export_{name}",
        "summary": summary,
        "parameters": [_NAMESPACE],
        "requestBody": {
            "required": True,
            "content": {
                "application/x-protobuf": {"schema": {"type": "string", "format": "binary"}},
                "application/json": {"schema": _ref(kind.__name__)},
            },
        },
        "responses": {
            "200": {
                "description": "Stored; the answer is in the encoding of the request",
                "content": {**either, "application/json": {"schema": answer}},
            },
            **{code: {"description": why, "content": either} for code, why in refusals.items()},
        },
    }


def _events() -> dict[str, Any]:
    event = _ref("StepEvent")
    cloud = {
        "type": "object",
        "description": "CloudEvents 1.0; `data` is a step event or a Serverless Workflow lifecycle event",
        "required": ["specversion", "type", "source", "id"],
        "properties": {
            name: {"type": "string"} for name in ("specversion", "type", "source", "id", "time")
        },
    }
    return {
        "operationId": "send_events",
        "summary": "Step events: one, an array, a line each, or CloudEvents",
        "parameters": [_NAMESPACE],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"anyOf": [event, {"type": "array", "items": event}]}
                },
                "application/x-ndjson": {"schema": {"type": "string"}},
                "application/cloudevents+json": {"schema": cloud},
                "application/cloudevents-batch+json": {"schema": {"type": "array", "items": cloud}},
            },
        },
        "responses": {
            "200": _json(
                "What became of them; at least one is stored, or none was sent", _ref("Answer")
            ),
            "400": _json("All are rejected, or the body cannot be read", _ref("Answer")),
            **{code: _json(why, _ref("Status")) for code, why in _REFUSALS.items()},
        },
    }


def _documents(name: str) -> dict[str, Any]:
    document = {"type": "object", "description": "As the engine writes it"}
    told = {
        "execution_id": "Whose history it is",
        "workflow": "Of which workflow",
        "namespace": "In which namespace",
    }
    return {
        "operationId": f"send_{name}_documents",
        "summary": f"Documents of {name}: histories, descriptions, lifecycle events; one, an array, or a line each",
        "parameters": [
            {
                "name": parameter,
                "in": "query",
                "description": f"{what}, where the document does not say it",
                "schema": {"type": "string"},
            }
            for parameter, what in told.items()
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"anyOf": [document, {"type": "array", "items": document}]}
                },
                "application/x-ndjson": {"schema": {"type": "string"}},
            },
        },
        "responses": {
            "200": _json(
                "What became of the documents, or what the sender of an envelope expects",
                {"anyOf": [_ref("Answer"), {"type": "object"}]},
            ),
            "400": _json("All are rejected, or the body cannot be read", _ref("Answer")),
            **{code: _json(why, _ref("Status")) for code, why in _REFUSALS.items()},
        },
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
