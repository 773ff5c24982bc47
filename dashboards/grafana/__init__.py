"""Grafana dashboards as code: made by the foundation SDK, committed as JSON, over the public views only.

`python -m dashboards.grafana` writes the committed files anew.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.grafana import boards
from dashboards.grafana.macros import replaced


@dataclass(frozen=True)
class PanelQuery:
    """A query that Grafana would send: of a panel, or of a variable."""

    dashboard: str
    panel: str
    sql: str


def render_all() -> dict[str, str]:
    """Every dashboard's JSON text by file name."""
    made = (
        boards.executions(),
        boards.step_latency(),
        boards.retries_and_errors(),
        boards.stalls(),
        boards.ingest_health(),
    )
    texts = {}
    for one in made:
        model = one.build()
        for number, panel in enumerate(model.panels or [], 1):
            panel.id_val = number
        name = f"{str(model.uid).removeprefix('stallwatch-')}.json"
        texts[name] = json.dumps(model, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
    return texts


def export(directory: Path) -> list[Path]:
    """Write every dashboard into a folder (made if it is not there); the files written."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in render_all().items():
        path = directory / name
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def panel_queries(
    since: datetime,
    until: datetime,
    interval_s: int = 60,
    chosen: Mapping[str, Sequence[str]] | None = None,
) -> list[PanelQuery]:
    """Every query of every dashboard with Grafana's macros and variables replaced."""
    return [
        PanelQuery(name, title, replaced(raw, since, until, interval_s, chosen))
        for name, text in render_all().items()
        for title, raw in _raw_queries(json.loads(text))
    ]


def _raw_queries(dashboard: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["rawSql"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", variable["query"]
