"""A ClickHouse server that drops what it is given: `python -m benchmarks.sink FOLDER`.

It writes the port that it listens on to standard output. Inserts into the inbox and into rotel's table are read,
counted and forgotten. All else (handshake, migrations, folds of nothing) is answered by a real engine in FOLDER, so
that whoever connects meets the answers of a server. `GET /counts` tells what came.
"""

import sys
import threading
from typing import Final
from urllib.parse import parse_qs, urlsplit

import lz4.block
import msgspec

from benchmarks.bodies import MARK
from tests.clickhouse_twin import Handler, Twin, inflated

DROPPED: Final = ("otlp_inbox", "event_inbox", "otel_traces")
_BLOCK_HEADER_BYTES: Final = 25
"""Of ClickHouse's compressed blocks: a checksum of 16 bytes, the method, the sizes after and before compression."""


class Counts(msgspec.Struct, frozen=True):
    """What came since the start."""

    inserts: int = 0
    size_bytes: int = 0
    spans: int = 0


class Sink(Twin):
    """The server."""

    def __init__(self, path: str) -> None:
        super().__init__(path, 0, "")
        self.RequestHandlerClass = _Handler
        self.counts = Counts()
        self.lock = threading.Lock()


class _Handler(Handler):
    server: Sink

    def do_GET(self) -> None:
        if self.path != "/counts":
            super().do_GET()
            return
        self._answer(200, msgspec.json.encode(self.server.counts), {})

    def _run(self, body: bytes) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        first_line = asked["query"][0] if "query" in asked else body[:500].decode("latin-1")
        words = first_line.replace("`", "").replace(".", " ").split(maxsplit=5)
        if [word.upper() for word in words[:2]] != ["INSERT", "INTO"] or not any(
            word in DROPPED for word in words[2:5]
        ):
            super()._run(body)
            return
        size_bytes = len(body)
        body = inflated(body, self.headers.get("Content-Encoding"))
        if "decompress" in asked:
            body = _decompressed(body)
        spans = body.count(MARK)
        with self.server.lock:
            before = self.server.counts
            self.server.counts = Counts(
                before.inserts + 1, before.size_bytes + size_bytes, before.spans + spans
            )
        self._answer(200, b"", {"X-ClickHouse-Summary": "{}"})


def _decompressed(body: bytes) -> bytes:
    """ClickHouse's own compressed blocks, one after the other (LZ4 only)."""
    out, position = [], 0
    while position < len(body):
        size = int.from_bytes(body[position + 17 : position + 21], "little")
        inflated = int.from_bytes(body[position + 21 : position + 25], "little")
        begin, end = position + _BLOCK_HEADER_BYTES, position + 16 + size
        out.append(lz4.block.decompress(body[begin:end], uncompressed_size=inflated))
        position = end
    return b"".join(out)


def main() -> None:
    """Serve until killed."""
    sink = Sink(sys.argv[1])
    sys.stdout.write(f"{sink.server_address[1]}\n")
    sys.stdout.flush()
    sink.serve_forever()


if __name__ == "__main__":
    main()
