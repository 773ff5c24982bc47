"""The store's own `.sql` files, read once."""

from functools import cache
from importlib.resources import files


@cache
def sql_text(folder: str, name: str) -> str:
    """The statement in `stallwatch/store/<folder>/<name>.sql`."""
    path = files("stallwatch.store") / folder / f"{name}.sql"
    return path.read_text(encoding="utf-8").strip()


@cache
def sql_names(folder: str) -> tuple[str, ...]:
    """The names of a folder's statements in their order."""
    found = (files("stallwatch.store") / folder).iterdir()
    return tuple(sorted(f.name.removesuffix(".sql") for f in found if f.name.endswith(".sql")))
