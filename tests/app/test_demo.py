"""The demo, as someone meets it first: every fault is found, nothing healthy is named."""

import subprocess
from pathlib import Path
from typing import Final

import pytest

from stallwatch.app.demo.faults import FAULTS, SLOW, TIGHT_TIMEOUT
from tests.app.running import STALLWATCH, Place

pytestmark = pytest.mark.slow

SECONDS: Final = 70
TIMEOUT_S: Final = 240.0


def test_the_demo_finds_every_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Rows of the table stay on one line each.
    monkeypatch.setenv("COLUMNS", "200")
    place = Place(tmp_path)
    words = ["demo", "--exit", "--seconds", str(SECONDS), "--data", str(place.data)]
    ended = subprocess.run(
        [STALLWATCH, *place.argv(*words)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    lines = [line.strip() for line in ended.stdout.splitlines()]
    told = ended.stdout + ended.stderr
    for what in (*(fault.what for fault in FAULTS), *(slow.what for slow in SLOW), TIGHT_TIMEOUT):
        rows = [line for line in lines if what in line]
        assert rows, f"{what}\n{told}"
        assert all(line.strip("│┃ ").endswith(" ok") for line in rows), told
    assert "not expected" not in ended.stdout, told
    assert ended.stderr == ""
    assert ended.returncode == 0, told
