"""The names of files as what tells whose history each holds, where the history itself does not say it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import xxhash

from collector.documents import STDIN, Document
from collector.engines.desk import DEPTH_MAX
from collector.engines.reading import Engine, Hints
from collector.json_text import decode_any, is_deeper
from stallwatch.errors import InputError


class FileNames:
    """What files say by their names where documents do not say whose they are.

    Two files of one name in different folders are most likely two executions: as one they would be nonsense.
    """

    def __init__(self, engine: Engine, paths: Sequence[str], hints: Hints) -> None:
        self.hints = {path: engine.file_hints(Path(path), hints) for path in paths if path != STDIN}
        self._engine = engine
        self._files = Counter(told.execution_id for told in self.hints.values())
        self._first: dict[str, tuple[str, int]] = {}

    def check(self, path: str, document: Document, told: Hints) -> None:
        """Raises InputError if this file's name alone says whose it is, and says the same of another, unlike file."""
        name = told.execution_id
        # What a file beside it says, such as an ARN, is no file's name: those are pieces of one history.
        if document.problem or self._files[name] < 2 or name not in Path(path).name:
            return
        read = decode_any(document.data)
        nameless = told._replace(execution_id="")
        # What cannot be read at all is told when it is taken.
        if is_deeper(read, DEPTH_MAX) or not self._reads(read, told) or self._reads(read, nameless):
            return
        digest = xxhash.xxh3_64_intdigest(msgspec.json.encode(read, order="sorted"))
        first, its_digest = self._first.setdefault(name, (path, digest))
        if digest != its_digest:
            raise InputError(
                f"only the file's name says whose this is, and {first} has the same name and says something else: "
                "rename one of them, or let each say whose it is"
            )

    def _reads(self, document: object, hints: Hints) -> bool:
        try:
            self._engine.parts(document, hints)
        except (InputError, OverflowError):
            return False
        return True
