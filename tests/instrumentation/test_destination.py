"""Where records go: arguments, the variables of the OpenTelemetry specification, and what is refused."""

import logging
import ssl
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import trustme
from stallwatch_otel import StallwatchSpanProcessor, by_name
from stallwatch_otel.destination import destination, parse_headers

from tests.instrumentation.helpers import receiving, step, tracing

BASE = "OTEL_EXPORTER_OTLP_ENDPOINT"
OWN = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"


@pytest.mark.parametrize(
    ("endpoint", "environment", "url"),
    [
        (None, {}, "http://127.0.0.1:4318/v1/logs"),
        (None, {BASE: ""}, "http://127.0.0.1:4318/v1/logs"),
        ("http://host:1", {}, "http://host:1/v1/logs"),
        ("http://host:1/", {BASE: "http://other"}, "http://host:1/v1/logs"),
        ("http://host:1/v1/logs", {}, "http://host:1/v1/logs"),
        (None, {BASE: "https://host/prefix/"}, "https://host/prefix/v1/logs"),
        (None, {BASE: "http://host", OWN: "http://logs/as/it/is"}, "http://logs/as/it/is"),
        ("http://host", {OWN: "http://logs/as/it/is"}, "http://host/v1/logs"),
    ],
)
def test_url(endpoint: str | None, environment: dict[str, str], url: str) -> None:
    assert destination(endpoint, None, environment).url == url


@pytest.mark.parametrize(
    "endpoint",
    ["file:///etc/passwd", "127.0.0.1:4318", "http://", "ftp://h", "http://h:port", "http://[h"],
)
def test_what_is_no_http_address_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="is not an http or https address"):
        StallwatchSpanProcessor(endpoint)


def test_user_and_password_in_the_address_are_sent_and_not_printed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with receiving() as receiver:
        receiver.answers = [(503, {}, b"")]
        address = receiver.url.replace("//", "//me:s3%20cret@")
        processor = StallwatchSpanProcessor(address)
        with tracing(processor) as tracer:
            span = step(tracer)
            assert not processor.force_flush()
            span.end()
    _, headers, _ = receiver.requests[0]
    assert headers["authorization"] == f"Basic {b64encode(b'me:s3 cret').decode()}"
    assert f"{receiver.url}/v1/logs answered 503" in caplog.text
    assert "s3" not in caplog.text
    assert destination("http://me@h", {"Authorization": "x"}, {}).headers == {"Authorization": "x"}


@pytest.mark.parametrize(
    "endpoint",
    ["ftp://me:s3cret@h", "http://me:s3/cret@h", "http://me:s3cret@h:x", "me:s3cret@h:1"],
)
def test_an_address_that_is_refused_is_named_without_its_password(endpoint: str) -> None:
    with pytest.raises(ValueError, match="is not an http or https address") as refusal:
        StallwatchSpanProcessor(endpoint)
    assert "s3" not in str(refusal.value)


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"a": "s3cret\nb: c"}, "the value of 'a'"),
        ({"a": "s3cret\u20ac"}, "the value of 'a'"),
        ({"a": None}, "the value of 'a'"),
        ({"a": b"s3cret"}, "the value of 'a'"),
        ({"authorization: Bearer s3cret": ""}, "a name"),
        ({"": "s3cret"}, "a name"),
        ({1: "s3cret"}, "a name"),
    ],
)
def test_headers_that_cannot_be_sent_are_refused_and_not_printed(headers: Any, why: str) -> None:
    with pytest.raises(ValueError, match=f"headers: {why}") as refusal:
        StallwatchSpanProcessor("http://host", headers)
    assert "s3cret" not in str(refusal.value)


def test_headers_of_the_signal_win_and_an_argument_before_them() -> None:
    environment = {"OTEL_EXPORTER_OTLP_HEADERS": "a=1", "OTEL_EXPORTER_OTLP_LOGS_HEADERS": "b=2"}
    assert destination(None, None, environment).headers == {"b": "2"}
    assert destination(None, {"C": "3"}, environment).headers == {"C": "3"}
    assert destination(None, {}, environment).headers == {}


def test_headers_are_percent_decoded(caplog: pytest.LogCaptureFixture) -> None:
    text = "Authorization=Bearer%20a%3Db%2C, x-team = shop ,, padded=a=="
    assert parse_headers(text) == {
        "authorization": "Bearer a=b,",
        "x-team": "shop",
        "padded": "a==",
    }
    assert not caplog.records


@pytest.mark.parametrize(
    "text", ["secret", "=secret", "a=secret%0d%0aX: y", "a=secret%E2%82%AC", "a b=secret"]
)
def test_a_pair_that_is_none_is_left_out_and_not_printed(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    assert parse_headers(text) == {}
    assert len(caplog.records) == 1
    assert "secret" not in caplog.text


def test_headers_are_never_printed() -> None:
    assert "s3cret" not in repr(destination(None, {"authorization": "Bearer s3cret"}, {}))


def test_certificates_come_from_the_environment(tmp_path: Path) -> None:
    authority, path = trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    found = destination("https://host", None, {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(path)})
    assert found.tls is not None
    assert len(found.tls.get_ca_certs()) == 1
    assert found.tls.verify_mode is ssl.CERT_REQUIRED
    assert destination("http://host", None, {}).tls is None
    with pytest.raises(OSError, match="No such file"):
        destination("https://host", None, {"OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere"})


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"heartbeat_s": 0}, "heartbeat_s"),
        ({"report_after_s": -1}, "report_after_s"),
        ({"report_after_s": float("nan")}, "report_after_s"),
        ({"timeout_s": float("inf")}, "timeout_s"),
        ({"max_open": 0}, "max_open"),
        ({"choose": "order *"}, "choose"),
        ({"heartbeat": "alive"}, "heartbeat: must"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        StallwatchSpanProcessor(**options)


def test_a_choice_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one glob"):
        by_name()
