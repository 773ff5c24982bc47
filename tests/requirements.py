"""What a test needs beyond Python: skipped with a line that says so, or a failure where nothing may be skipped."""

import os

import pytest


def require(condition: object, why: str) -> None:
    """Skip the test unless `condition`; with STALLWATCH_REQUIRE_ALL=1 fail it instead."""
    if condition:
        return
    if os.environ.get("STALLWATCH_REQUIRE_ALL") == "1":  # noqa: TID251 - no setting of the product
        pytest.fail(f"required: {why}")
    pytest.skip(why)
