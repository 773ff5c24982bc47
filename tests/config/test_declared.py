"""`[[engines.definition]]`."""

from pathlib import Path

import pytest

from stallwatch.config import load_settings
from stallwatch.errors import ConfigError
from stallwatch.model.definitions import Definition

PLACE = '[[engines.definition]]\nworkflow = "order"\nstep = "charge"\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stallwatch.toml"


def test_what_is_written_is_what_is_declared(path: Path) -> None:
    path.write_text(
        """
[[engines.definition]]
engine = "airflow"
namespace = "shop"
workflow = "order"
workflow_version = "7"
step = "charge"
timeout = "30s"
heartbeat_timeout = "500ms"
schedule_to_start_timeout = "1m"
schedule_to_close_timeout = 90
max_attempts = 0
backoff = "1s"
backoff_rate = 2
backoff_max = "1h"
compensated_by = "refund"
downstream = "stripe"
waiting_on = "callback"

[[engines.definition]]
workflow = "order"
timeout = "1d"
"""
    )
    whole, bare = (one.definition() for one in load_settings(path).engines.definition)
    assert whole == Definition(
        engine="airflow",
        namespace="shop",
        workflow="order",
        workflow_version="7",
        step="charge",
        source="configuration",
        timeout_s=30.0,
        heartbeat_timeout_s=0.5,
        schedule_to_start_timeout_s=60.0,
        schedule_to_close_timeout_s=90.0,
        max_attempts=0,
        backoff_s=1.0,
        backoff_rate=2.0,
        backoff_max_s=3600.0,
        compensated_by="refund",
        downstream="stripe",
        waiting_on="callback",
    )
    assert bare == Definition(
        engine="custom", workflow="order", source="configuration", timeout_s=86400.0
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (PLACE + 'time_out = "30s"', r"engines\.definition\.0\.time_out: there is no such key"),
        (PLACE + 'timeout = "soon"', r"engines\.definition\.0\.timeout: .*duration"),
        (PLACE + 'timeout = "0s"', r"engines\.definition\.0\.timeout: "),
        (PLACE + "max_attempts = -1", r"engines\.definition\.0\.max_attempts: "),
        (PLACE + "backoff_rate = 0.5", r"engines\.definition\.0\.backoff_rate: "),
        (PLACE + "backoff_rate = inf", r"engines\.definition\.0\.backoff_rate: "),
        (PLACE + 'waiting_on = "godot"', r"engines\.definition\.0\.waiting_on: must be one of"),
        (PLACE, r"engines\.definition\.0: nothing is declared"),
        ('[[engines.definition]]\ntimeout = "30s"', r"engines\.definition\.0\.workflow: "),
        (2 * (PLACE + 'timeout = "30s"\n'), "engines: definition: step 'charge' of 'order' is"),
    ],
)
def test_what_is_wrong_is_named(text: str, complaint: str, path: Path) -> None:
    path.write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        load_settings(path)
