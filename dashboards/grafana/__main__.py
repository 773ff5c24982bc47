"""Write the committed JSON anew."""

from pathlib import Path

from dashboards.grafana import export

export(Path(__file__).parent / "json")
