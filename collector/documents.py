"""Files of documents: JSON lines, one JSON value, an array, or protobuf messages; plain or gzip."""

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from collector.encodings import BOM
from collector.json_text import CutOff, decode, decode_any
from stallwatch.errors import InputError

DOCUMENT_BYTES_MAX: Final = 64 * 1024 * 1024
STDIN: Final = "-"
_GZIP: Final = b"\x1f\x8b"
_LENGTH_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Document:
    """One document and where it was; `problem` is set instead of `data` where none could be read."""

    place: str
    data: bytes = b""
    problem: str = ""


class Source:
    """A file that knows how much of it was read."""

    def __init__(self, path: str) -> None:
        """Open a file, or standard input for `-`. Raises InputError if that is impossible."""
        self.path = path
        try:
            raw: BinaryIO = sys.stdin.buffer if path == STDIN else open(path, "rb")  # noqa: SIM115
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from None
        self.bytes_total = 0 if path == STDIN else Path(path).stat().st_size
        self._counting = _Counting(raw)
        plain = io.BufferedReader(self._counting)
        self.stream: io.BufferedReader[Any] = plain
        zipped = plain.peek(len(_GZIP))[: len(_GZIP)] == _GZIP
        if zipped:
            self.stream = io.BufferedReader(gzip.GzipFile(fileobj=plain))

    @property
    def bytes_done(self) -> int:
        """Bytes read of the file as it is on disk, some of them ahead of the documents."""
        return self._counting.bytes_read

    def close(self) -> None:
        self.stream.close()
        if self.path != STDIN:
            self._counting.source.close()

    def json_documents(self) -> Iterator[Document]:
        """The values of a JSON or JSON lines file; a bad one is told and the rest goes on."""
        return self._told(_json_documents(self.stream))

    def otlp_documents(self) -> Iterator[Document]:
        """The same, or protobuf: one request, or messages with four bytes of big-endian length before each, as the
        Collector's file exporter writes them. JSON documents begin with `{`, protobuf ones never do.
        """
        return self._told(
            _json_documents(self.stream) if self.looks_like_json() else _messages(self.stream)
        )

    def looks_like_json(self) -> bool:
        """Whether the file is text. A trace request begins with 0x0a, a line feed too: then what follows decides."""
        head = self._peek().removeprefix(BOM)
        if head[:1] != b"\n":
            return head.lstrip()[:1] in (b"{", b"[", b"")
        return head.lstrip()[:1] in (b"{", b"[") and head.lstrip()[1:].lstrip()[:1] in (
            b'"',
            b"{",
            b"}",
        )

    def _peek(self) -> bytes:
        try:
            return self.stream.peek(64)[:64]
        except (OSError, EOFError, zlib.error):
            # Told when the documents are read.
            return b"{"

    def _told(self, documents: Iterator[Document]) -> Iterator[Document]:
        place = "beginning"
        try:
            for document in documents:
                place = document.place
                yield document
        except (OSError, EOFError, zlib.error) as error:
            yield Document(f"after {place}", problem=f"cannot be read further: {error}")


def _json_documents(stream: "io.BufferedReader[Any]") -> Iterator[Document]:
    first = True
    for number, line in enumerate(_lines(stream), 1):
        text = (line or b"").removeprefix(BOM).strip()
        if line is not None and not text:
            continue
        if line is not None and first and (text.startswith(b"[") or not _is_whole(text)):
            yield from _whole_file(text, stream, number)
            return
        first = False
        yield _line(number, None if line is None else text)


def _whole_file(
    first_line: bytes, stream: "io.BufferedReader[Any]", number: int
) -> Iterator[Document]:
    """A file that is one JSON value over many lines; if it is not, its lines one by one.

    One whose first line only opens it is such a value and no lines, also where its end is missing.
    """
    body = first_line + b"\n" + stream.read(DOCUMENT_BYTES_MAX)
    is_all = not stream.peek(1)
    try:
        if not body.startswith(b"["):
            decode_any(body)
            yield Document(f"line {number}", body)
        elif is_all:
            for index, raw in enumerate(decode(body, list[msgspec.Raw])):
                yield Document(f"element {index}", bytes(raw))
        else:
            problem = f"an array of more than {DOCUMENT_BYTES_MAX} bytes: write one event a line"
            yield Document(f"line {number}", problem=problem)
    except InputError as error:
        if isinstance(error, CutOff) and not first_line.strip(b"[{ \t"):
            problem = str(error) if is_all else f"has more than {DOCUMENT_BYTES_MAX} bytes"
            yield Document(f"line {number}", problem=problem)
            return
        lines = body.split(b"\n")
        lines[-1] += stream.readline(DOCUMENT_BYTES_MAX)
        for offset, line in enumerate(chain(lines, _lines(stream))):
            if line is None or line.strip():
                yield _line(number + offset, line)


def _line(number: int, line: bytes | None) -> Document:
    if line is None:
        return Document(f"line {number}", problem=f"has more than {DOCUMENT_BYTES_MAX} bytes")
    return Document(f"line {number}", line.strip())


def _is_whole(text: bytes) -> bool:
    try:
        decode_any(text)
    except InputError:
        return False
    return True


def _lines(stream: "io.BufferedReader[Any]") -> Iterator[bytes | None]:
    """Lines; None for one that is too long, whose rest is skipped."""
    while line := stream.readline(DOCUMENT_BYTES_MAX):
        if len(line) == DOCUMENT_BYTES_MAX and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = stream.readline(DOCUMENT_BYTES_MAX)
            yield None
        else:
            yield line


def _messages(stream: "io.BufferedReader[Any]") -> Iterator[Document]:
    if stream.peek(1)[:1] != b"\x00":
        body = stream.read(DOCUMENT_BYTES_MAX + 1)
        if len(body) > DOCUMENT_BYTES_MAX:
            yield Document("message 0", problem=f"has more than {DOCUMENT_BYTES_MAX} bytes")
        else:
            yield Document("message 0", body)
        return
    index = 0
    while prefix := stream.read(_LENGTH_BYTES):
        length = int.from_bytes(prefix, "big")
        if len(prefix) < _LENGTH_BYTES or length > DOCUMENT_BYTES_MAX:
            yield Document(f"message {index}", problem="has no length before it")
            return
        data = stream.read(length)
        if len(data) < length:
            yield Document(f"message {index}", problem=f"ends after {len(data)} of {length} bytes")
            return
        yield Document(f"message {index}", data)
        index += 1


class _Counting(io.RawIOBase):
    """Counts what is read through it."""

    def __init__(self, source: BinaryIO) -> None:
        self.source = source
        self.bytes_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.source.read(len(buffer))
        buffer[: len(data)] = data
        self.bytes_read += len(data)
        return len(data)
