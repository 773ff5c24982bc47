"""The files that paths of the command line name: files, folders, patterns."""

from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import Final

from collector.documents import STDIN
from stallwatch.errors import InputError

_SUFFIXES: Final = (".json", ".jsonl", ".ndjson", ".pb", ".bin", ".sqlite", ".sqlite3", ".db")


def files_of(paths: Sequence[str]) -> list[str]:
    """Each file once, in the order of the paths; those of a folder, and of the folders in it, by name.

    In a folder only files are taken whose suffix says that they hold documents (also with `.gz`), and none whose name
    begins with a dot. Raises InputError for a path that names nothing.
    """
    found: dict[str, None] = {}
    for path in paths:
        for file in _files(path):
            found[file] = None
    return list(found)


def _files(path: str) -> list[str]:
    if path == STDIN:
        return [path]
    if Path(path).is_dir():
        files = [str(file) for file in sorted(Path(path).rglob("*")) if _holds_documents(file)]
        if not files:
            raise InputError(
                f"{path}: has no file that ends in {', '.join(_SUFFIXES)}, with or without .gz"
            )
        return files
    if has_magic(path) and not Path(path).exists():
        files = sorted(file for file in glob(path, recursive=True) if Path(file).is_file())
        if not files:
            raise InputError(f"{path}: no file is like that")
        return files
    return [path]


def _holds_documents(file: Path) -> bool:
    name = file.name.removesuffix(".gz")
    return file.is_file() and not name.startswith(".") and name.endswith(_SUFFIXES)
