"""Files, folders and patterns of the command line."""

from pathlib import Path

import pytest

from collector.paths import files_of
from stallwatch.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.json", "a.jsonl.gz", "deep/c.ndjson", "notes.txt", ".hidden.json", "d.sqlite"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    return tmp_path


def names(folder: Path, *paths: str) -> list[str]:
    return [
        str(Path(file).relative_to(folder))
        for file in files_of([str(folder / path) for path in paths])
    ]


def test_a_folder_gives_its_documents(folder: Path) -> None:
    assert names(folder, "") == ["a.jsonl.gz", "b.json", "d.sqlite", "deep/c.ndjson"]


def test_a_pattern(folder: Path) -> None:
    assert names(folder, "*.json*") == ["a.jsonl.gz", "b.json"]
    assert names(folder, "**/*.ndjson") == ["deep/c.ndjson"]


def test_a_file_is_taken_whatever_its_name_and_once(folder: Path) -> None:
    assert names(folder, "notes.txt", "*.txt", "notes.txt") == ["notes.txt"]


def test_a_file_that_is_called_like_a_pattern(folder: Path) -> None:
    (folder / "[x].json").write_text("{}")
    assert names(folder, "[x].json") == ["[x].json"]


def test_standard_input() -> None:
    assert files_of(["-"]) == ["-"]


@pytest.mark.parametrize("path", ["*.csv", "empty"])
def test_what_names_nothing_is_told(folder: Path, path: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty|\.csv"):
        files_of([str(folder / path)])
