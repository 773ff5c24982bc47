"""One line per record, whatever is in it, and no secrets on it."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stallwatch.errors import ConfigError
from stallwatch.telemetry.logs import (
    JsonFormatter,
    LogFormat,
    TextFormatter,
    _Handler,
    configure_logging,
)


@pytest.fixture(autouse=True)
def root_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def a_record(message: str = "batch written", args: tuple[object, ...] = (), **extra: Any) -> Any:
    record = logging.LogRecord("collector.batcher", logging.INFO, "f.py", 1, message, args, None)
    record.created = 1767614400.25
    record.__dict__.update(extra)
    return record


def as_json(record: logging.LogRecord) -> Any:
    line = JsonFormatter().format(record)
    assert "\n" not in line
    return json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_json_has_time_level_logger_message_and_fields() -> None:
    when = datetime(2026, 1, 5, tzinfo=UTC)
    assert as_json(a_record("%d rows", (3,), rows=3, until=when, where={"at": [1, None]})) == {
        "time": "2026-01-05T12:00:00.250000Z",
        "level": "info",
        "logger": "collector.batcher",
        "message": "3 rows",
        "rows": 3,
        "until": "2026-01-05T00:00:00.000000Z",
        "where": {"at": [1, None]},
    }


def test_text_is_for_people() -> None:
    line = TextFormatter().format(a_record(rows=3, sender="a b", step="charge"))
    assert line == (
        '2026-01-05T12:00:00.250000Z INFO collector.batcher batch written rows=3 sender="a b" '
        "step=charge"
    )


def test_a_field_cannot_take_the_place_of_the_records_own() -> None:
    found = as_json(a_record(time="never", level="none"))
    assert (found["level"], found["level_"], found["time_"]) == ("info", "none", "never")


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_a_traceback_stays_on_the_line(formatter: logging.Formatter) -> None:
    record = a_record("it broke")
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    line = formatter.format(record)
    assert "\n" not in line
    assert "Traceback (most recent call last)" in line
    assert "ValueError: two" in line


class Odd:
    def __repr__(self) -> str:
        return "<odd>"


def circle() -> list[Any]:
    around: list[Any] = []
    around.append(around)
    return around


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Odd(), "<odd>"),
        (float("nan"), "nan"),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        (circle(), "[[...]]"),
        ("\ud800", "\ud800"),
    ],
)
def test_every_value_can_be_written(value: object, shown: str) -> None:
    assert as_json(a_record(odd=value))["odd"] == shown


@given(st.text(), st.text(), st.text(min_size=1))
def test_nothing_forges_a_second_line(message: str, value: str, key: str) -> None:
    record = a_record(message.replace("%", ""))
    record.__dict__[f"x{key}"] = value
    for formatter in (JsonFormatter(), TextFormatter()):
        assert len(formatter.format(record).splitlines()) == 1


SECRETS = [
    a_record("connect to clickhouse://me:hunter2secret@host:8123/db"),
    a_record("sent Authorization: Bearer hunter2secret.abc"),
    a_record("posted to https://hooks.slack.com/services/T0/B0/hunter2secret"),
    a_record("refused xoxb-12-hunter2secret"),
    a_record(password="hunter2secret"),
    a_record(slack_token="hunter2secret"),
    a_record(headers={"Authorization": "hunter2secret", "api-key": 1}),
    a_record(url="https://u:hunter2secret@host/"),
]


@pytest.mark.parametrize("record", SECRETS)
@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_secrets_are_not_written(formatter: logging.Formatter, record: Any) -> None:
    line = formatter.format(record)
    assert "hunter2secret" not in line
    assert "[redacted]" in line


def test_a_secret_in_a_traceback_is_not_written() -> None:
    record = a_record()
    try:
        raise ValueError("cannot reach http://me:hunter2secret@host/")
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    found = as_json(record)
    assert "http://[redacted]@host/" in found["exception"]


def test_configured_again_it_replaces_itself_and_keeps_others() -> None:
    def others() -> list[logging.Handler]:
        return [one for one in logging.getLogger().handlers if not isinstance(one, _Handler)]

    before = others()
    first, second = io.StringIO(), io.StringIO()
    configure_logging("debug", first)
    configure_logging("warning", second, "text")
    log = logging.getLogger("tests.telemetry")
    log.info("too little")
    log.warning("enough")
    assert first.getvalue() == ""
    assert second.getvalue().endswith(" WARNING tests.telemetry enough\n")
    assert others() == before
    assert len(logging.getLogger().handlers) == len(before) + 1


def test_pythons_warnings_become_records() -> None:
    stream = io.StringIO()
    configure_logging("info", stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        logging._showwarning("old news", UserWarning, "f.py", 3)  # type: ignore[attr-defined]
    assert json.loads(stream.getvalue())["logger"] == "py.warnings"


@pytest.mark.parametrize(("level", "format"), [("loud", "json"), ("info", "xml")])
def test_what_is_not_known_is_refused(level: str, format: LogFormat) -> None:
    with pytest.raises(ConfigError, match=r"^log (level|format): must be"):
        configure_logging(level, io.StringIO(), format)
