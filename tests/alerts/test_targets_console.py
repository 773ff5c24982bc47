import io
from dataclasses import replace
from datetime import timedelta

import pytest

from alerts.targets.console import ConsoleTarget
from stallwatch.errors import Transient
from stallwatch.model.findings import Severity
from tests.alerts.helpers import NOW, finding, message

FIRING = """\
CRITICAL charge of order is stalled  (2026-11-22T09:55:00.000000Z, 0123456789abcdef)
    charge of order runs for 5m; 99 of 100 took less than 8s.
    Executions: o-1.
    What to do: look at the worker of payments.
    detector=stalled_step  namespace=shop  engine=temporal  workflow=order  step=charge
"""


def test_it_writes_plain_text_to_a_stream() -> None:
    stream = io.StringIO()
    ConsoleTarget(stream).send(message(finding(severity=Severity.CRITICAL)))
    assert stream.getvalue() == FIRING


def test_resolved_says_so_and_markup_is_left_alone() -> None:
    stream = io.StringIO()
    over = message(finding(step="[bold]x[/nope]"), closed_at=NOW + timedelta(minutes=1))
    ConsoleTarget(stream).send(over)
    assert stream.getvalue().startswith("RESOLVED [bold]x[/nope] of order is stalled")


def test_what_is_only_no_longer_told_is_not_called_resolved() -> None:
    stream = io.StringIO()
    closed = message(closed_at=NOW + timedelta(minutes=1))
    ConsoleTarget(stream).send(replace(closed, lapsed=True))
    assert stream.getvalue().startswith("NO LONGER TOLD charge of order is stalled")


class _Gone(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_closed_terminal_is_transient() -> None:
    with pytest.raises(Transient, match="console"):
        ConsoleTarget(_Gone()).send(message())
