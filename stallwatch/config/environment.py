"""The only reader of the environment."""

import os
from pathlib import Path


def environment_variable(name: str) -> str | None:
    """One variable of the environment, or None."""
    return os.environ.get(name)  # noqa: TID251 - this is the one place


def environment_names() -> list[str]:
    """The names of all variables."""
    return list(os.environ)  # noqa: TID251 - this is the one place


def default_data_folder() -> Path:
    """Where data is kept when nothing says otherwise: the user's data folder by the XDG convention."""
    base = environment_variable("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "stallwatch"
