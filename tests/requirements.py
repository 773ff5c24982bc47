"""What a test needs beyond Python: skipped with a line that says so, or a failure where nothing may be skipped."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest


def require(condition: object, why: str) -> None:
    """Skip the test unless `condition`; with STALLWATCH_REQUIRE_ALL=1 fail it instead."""
    if condition:
        return
    if os.environ.get("STALLWATCH_REQUIRE_ALL") == "1":  # noqa: TID251 - no setting of the product
        pytest.fail(f"required: {why}")
    pytest.skip(why)


def npm_installed(folder: Path) -> None:
    """Have in `node_modules` what the folder's lock file says; it is kept for the next run."""
    npm = shutil.which("npm")
    require(npm and shutil.which("node"), f"node and npm, for tests/{folder.name}")
    lock = folder / "package-lock.json"
    installed = folder / "node_modules" / ".installed-package-lock.json"
    with lock.open("rb") as held:
        # Test processes that run side by side install once.
        fcntl.flock(held, fcntl.LOCK_EX)
        if installed.exists() and installed.read_bytes() == lock.read_bytes():
            return
        done = subprocess.run(
            [str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        require(done.returncode == 0, f"npm ci works: {done.stderr[-300:]}")
        shutil.copy(lock, installed)
