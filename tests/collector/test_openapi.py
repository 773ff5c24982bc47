"""The ingest port's OpenAPI document against what is there."""

import httpx
import jsonschema_rs
import pytest

from collector.engines.registry import ENGINES
from collector.openapi import document
from stallwatch.clock import ManualClock
from tests.collector.helpers import NOW, FakeStore, collecting, serving, step_event

PATHS = {
    "/v1/traces": "post", "/v1/logs": "post", "/v1/metrics": "post", "/v1/events": "post", "/healthz": "get",
    "/openapi.json": "get", **{f"/v1/engines/{name}": "post" for name in ENGINES},
}  # fmt: skip


def test_every_path_is_described_and_there() -> None:
    described = {path: method for path, said in document()["paths"].items() for method in said}
    assert described == PATHS
    with collecting(FakeStore(), ManualClock(NOW)) as collector, serving(collector) as url:
        for path, method in PATHS.items():
            assert httpx.request(method, url + path, content=b"").status_code not in (404, 405)
            other = "get" if method == "post" else "post"
            assert httpx.request(other, url + path).status_code == 405
        assert httpx.get(f"{url}/openapi.json").json() == document()
        # What the port itself says is there when asked for something else.
        told = httpx.get(f"{url}/nothing").text
    for path in described:
        assert path in told or not path.startswith("/v1/")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v1/events", step_event(1)),
        ("/v1/events", [step_event(1), {"event": "x"}]),
        ("/v1/events", {"event": "x"}),
        ("/v1/traces", {"resourceSpans": []}),
        ("/v1/traces", {"resourceSpans": 7}),
        ("/v1/logs", {"resourceLogs": [{"scopeLogs": [{"logRecords": [{}]}]}]}),
        ("/v1/metrics", {"resourceMetrics": []}),
    ],
)
def test_answers_are_as_described(path: str, said: object) -> None:
    with collecting(FakeStore(), ManualClock(NOW)) as collector, serving(collector) as url:
        answer = httpx.post(url + path, json=said)
    described = document()
    response = described["paths"][path]["post"]["responses"][str(answer.status_code)]
    schema = response["content"]["application/json"]["schema"]
    jsonschema_rs.validate({**schema, "components": described["components"]}, answer.json())


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_the_encodings_of_bodies_are_named(encoding: str) -> None:
    assert encoding in document()["info"]["description"]


def test_the_parameter_that_says_the_namespace_is_described() -> None:
    paths = document()["paths"]
    for path in ("/v1/traces", "/v1/logs", "/v1/events", "/v1/engines/temporal"):
        names = [parameter["name"] for parameter in paths[path]["post"]["parameters"]]
        assert "namespace" in names, path


def test_the_step_event_that_the_document_describes_is_taken() -> None:
    described = document()
    schema = {"$ref": "#/components/schemas/StepEvent", "components": described["components"]}
    jsonschema_rs.validate(schema, step_event(1))
    for wrong in ({"event": "step.begun"}, {"time": 5}, {"step": None}):
        with pytest.raises(jsonschema_rs.ValidationError):
            jsonschema_rs.validate(schema, {**step_event(1), **wrong})
