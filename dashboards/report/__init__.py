"""The timeout tuning report: recommendations as a page, as Markdown, JSON or CSV."""

from dashboards.report.forms import FORMATS, Format, render

__all__ = ["FORMATS", "Format", "render"]
