"""The timeout tuning report: recommendations as a page, as Markdown, JSON or CSV."""

from dashboards.report.forms import FORMATS, Format, render
from dashboards.report.sentences import headlines

__all__ = ["FORMATS", "Format", "headlines", "render"]
