"""The command line. Every command is a file here, or shares one with its siblings."""

from stallwatch.cli.main import main

__all__ = ["main"]
