"""Dashboards: what people look at: Grafana, the web pages, the weekly report."""
