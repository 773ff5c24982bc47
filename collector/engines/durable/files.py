"""Files whose lines or elements are the events of one history: together they are one document.

So are written the events of an instance alone, and the Python SDK's history export as JSON lines, which begins with a
line that names the instance.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from collector.documents import DOCUMENT_BYTES_MAX, Document, Source
from collector.engines.durable.documents import is_event
from collector.json_text import decode_any
from stallwatch.errors import InputError


def history_document(path: Path) -> Iterator[Document] | None:
    """The history in a file of events; None if it is none, or cannot be opened."""
    if not path.is_file():
        return None
    source = Source(str(path))
    try:
        first = next(source.json_documents(), None)
    finally:
        source.close()
    return _together(path) if first is not None and _begins_a_history(first) else None


def _together(path: Path) -> Iterator[Document]:
    instance, parts, size = b"", [], 0
    source = Source(str(path))
    try:
        for document in source.json_documents():
            size += len(document.data)
            if document.problem or size > DOCUMENT_BYTES_MAX:
                problem = (
                    document.problem or f"the history has more than {DOCUMENT_BYTES_MAX} bytes"
                )
                yield Document(document.place, problem=problem)
                return
            head = _head(document)
            if head:
                instance = head
            else:
                parts.append(document.data)
    finally:
        source.close()
    events = b"[" + b",".join(parts) + b"]"
    named = b'{"instance_id":' + instance + b',"events":' + events + b"}"
    yield Document("history", named if instance else events)


def _begins_a_history(document: Document) -> bool:
    return bool(_head(document)) or is_event(_decoded(document))


def _head(document: Document) -> bytes:
    """The instance that the first line of an export names, as JSON; empty if it is no such line."""
    data = _decoded(document)
    if not isinstance(data, Mapping) or "events" in data or "schema_version" not in data:
        return b""
    return (
        msgspec.json.encode(data["instance_id"])
        if isinstance(data.get("instance_id"), str)
        else b""
    )


def _decoded(document: Document) -> object:
    try:
        return None if document.problem else decode_any(document.data)
    except InputError:
        return None
