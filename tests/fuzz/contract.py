"""schemathesis against the two OpenAPI documents of a real `serve`."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.app.running import Running

CHECKS: Final = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "unsupported_method",
)  # fmt: skip
"""Not whether all that fits the schema is taken: a schema cannot say that a time lies in the past."""
_SCHEMATHESIS: Final = Path(sys.executable).with_name("schemathesis")
_TIMEOUT_S: Final = 1800.0


def documents_hold(
    running: Running, examples: int, phases: str = "examples,coverage,fuzzing", seed: int = 1
) -> list[str]:
    """What schemathesis found, as text; empty if the service does as its documents say."""
    problems = []
    for document in (f"{running.web}/api/openapi.json", f"{running.ingest}/openapi.json"):
        ended = subprocess.run(
            [
                str(_SCHEMATHESIS), "run", document, "--checks", ",".join(CHECKS), "--phases", phases,
                "--max-examples", str(examples), "--seed", str(seed), "--generation-deterministic", "--no-color",
                "--suppress-health-check", "all",
            ],
            capture_output=True, text=True, check=False, timeout=_TIMEOUT_S, cwd=running.place.folder,
        )  # fmt: skip
        if ended.returncode:
            problems.append(f"{document}:\n{ended.stdout[:18_000]}{ended.stderr[-2000:]}")
    return problems
