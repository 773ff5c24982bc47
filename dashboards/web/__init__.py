"""The web: pages for people, JSON for programs, metrics for Prometheus, SQL for Grafana."""

from dashboards.web.app import web_app

__all__ = ["web_app"]
