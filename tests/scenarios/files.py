"""The scenario files, in parts of which each is a test file of its own: a worker takes whole files."""

from pathlib import Path
from typing import Final

import pytest

SCENARIOS: Final = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))
PARTS: Final = 3


def every_one_of(part: int) -> pytest.MarkDecorator:
    """Parametrizes a test with `path`, the scenarios of this part (from 0)."""
    paths = SCENARIOS[part::PARTS]
    return pytest.mark.parametrize("path", paths, ids=[path.stem for path in paths])
