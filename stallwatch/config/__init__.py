"""Configuration: `stallwatch.toml`, then the environment; validated whole, named by key when wrong."""

from stallwatch.config.load import check_secrets, load_detectors, load_settings, placed
from stallwatch.config.settings import DetectorsConfig, Policy, Settings

__all__ = [
    "DetectorsConfig",
    "Policy",
    "Settings",
    "check_secrets",
    "load_detectors",
    "load_settings",
    "placed",
]
