"""How well the detectors do, measured.

One noun, one module: `benchmarks/detectors/<noun>.py` with `NAME`, the heading, and `measure(quick) -> str`, the
Markdown that stands below it (no heading of its own above `###`). Its docstring says what is measured and against which
goal. `quick` takes seconds and proves nothing. A module whose name begins with an underscore is no measurement.
"""

from collections.abc import Sequence


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, figures to the right."""
    ruler = ["---", *(["---:"] * (len(headings) - 1))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (headings, ruler, *rows))
