"""Every decoder as a function of bytes. It may raise what Stallwatch raises on purpose, and nothing else."""

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from starlette.datastructures import QueryParams

from collector import encodings, importing, items, senders
from collector.engines import registry
from collector.engines.desk import DEPTH_MAX
from collector.engines.reading import Hints
from collector.events import parse_events
from collector.json_text import decode_any, is_deeper
from collector.otlp import SIGNALS
from dashboards.web.asked import filters_of
from stallwatch.config import load_settings
from stallwatch.config.tokens import hash_of, parse_tokens, token_in
from stallwatch.errors import ConfigError, InputError
from stallwatch.model.durations import format_duration, parse_duration_s, parse_time, rfc3339
from stallwatch.model.events import StepEvent, check_event
from stallwatch.simulator.scenario import load_scenario
from stallwatch.store.sql_guard import SqlRefused, check_tree, read_statement
from tests.fuzz import corpus
from tests.fuzz.corpus import NOW
from tests.fuzz.mutating import Mutate, mutate_bytes, mutate_json, mutate_protobuf, prefixed

INFLATED_BYTES_MAX: Final = 4 * 1024 * 1024
MEDIA: Final = (
    "application/json", "application/x-ndjson", "application/cloudevents+json",
    "application/cloudevents-batch+json", "", "text/plain",
)  # fmt: skip
ENCODINGS: Final = ("identity", "gzip", "deflate", "zstd", "br", "gzip, gzip", None)
HINTS: Final = Hints(NOW, execution_id="from the file's name")
_VIEWS: Final = ("attempts", "executions", "spans")


@dataclass(frozen=True)
class Target:
    """A decoder, what to begin with, and how to change it. `run` raises for a defect only."""

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]
    mutate: Mutate


def _first(data: bytes, of: int) -> int:
    return data[0] % of if data else 0


def otlp_protobuf(data: bytes) -> None:
    with suppress(InputError):
        SIGNALS[_first(data, 3)].read(data[1:], False, NOW, "default")


def otlp_json(data: bytes) -> None:
    with suppress(InputError):
        SIGNALS[_first(data, 3)].read(data[1:], True, NOW, "default")


def inflation(data: bytes) -> None:
    with suppress(InputError):
        inflated = encodings.inflate(
            data[1:], ENCODINGS[_first(data, len(ENCODINGS))], INFLATED_BYTES_MAX
        )
        assert len(inflated) <= INFLATED_BYTES_MAX


def events(data: bytes) -> None:
    with suppress(InputError):
        parsed = parse_events(data[1:], MEDIA[_first(data, len(MEDIA))], NOW)
        assert len(parsed.events) <= parsed.accepted


def headers(data: bytes) -> None:
    """As HTTP hands them over: Latin-1, names in lower case."""
    head, _, body = data.partition(b"\n\n")
    lines = (line.partition(b": ") for line in head.split(b"\n"))
    said = {name.decode("latin-1").lower(): value.decode("latin-1") for name, _, value in lines}
    sender = senders.sender_name(said.get(senders.HEADER), "local", said.get("user-agent"))
    assert sender.isprintable()
    senders.grpc_address(said.get("user-agent", ""))
    with suppress(InputError):
        media = encodings.media_type(said.get("content-type"))
        inflated = encodings.inflate(body, said.get("content-encoding"), INFLATED_BYTES_MAX)
        parse_events(inflated, media, NOW, headers=said)


class _Nowhere:
    """Takes an import and keeps nothing."""

    def submit_otlp(self, request: bytes, spans: int, namespace: str) -> Future[None]:
        return self._done()

    def submit_events(self, events: Sequence[StepEvent], size_bytes: int) -> Future[None]:
        return self._done()

    def _done(self) -> Future[None]:
        future: Future[None] = Future()
        future.set_result(None)
        return future


def documents(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file, suppress(InputError):
        file.write(data[1:])
        file.flush()
        if _first(data, 2):
            list(importing.import_events([file.name], _Nowhere(), NOW))
        else:
            list(importing.import_otlp([file.name], _Nowhere(), NOW))


def engine_documents(data: bytes) -> None:
    """The first byte names the engine. What is read of facts are events that can be stored, or are refused."""
    asked = registry.engine(registry.ENGINES[_first(data, len(registry.ENGINES))])
    with suppress(InputError, OverflowError):
        document = decode_any(data[1:])
        delivery = None if is_deeper(document, DEPTH_MAX) else asked.delivery(document)
        for inner in [document] if delivery is None else delivery.documents:
            for fragment in asked.parts(inner, HINTS).fragments:
                facts = msgspec.json.decode(msgspec.json.encode(fragment.facts))
                for event in asked.read(fragment.execution, facts, "default").events:
                    with suppress(InputError):
                        check_event(event, NOW)
                    msgspec.json.encode(event)


def scenarios(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file, suppress(InputError, ConfigError):
        file.write(data)
        file.flush()
        load_scenario(Path(file.name))


def settings(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file, suppress(ConfigError):
        file.write(data)
        file.flush()
        load_settings(Path(file.name))


def words(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    with suppress(InputError):
        format_duration(parse_duration_s(text))
    with suppress(InputError):
        rfc3339(parse_time(text, NOW))


def tokens(data: bytes) -> None:
    """A file of tokens, and an Authorization header (Latin-1, as HTTP has it)."""
    with suppress(ConfigError):
        parse_tokens(data.decode("utf-8", "replace"), "tokens.toml")
    presented = token_in(data.decode("latin-1"))
    if presented is not None:
        hash_of(presented)


def spool_records(data: bytes) -> None:
    """The first byte says whether a body (even) or step events."""
    with suppress(InputError):
        items.decoded("event" if _first(data, 2) else "span", data[1:], len(data), 1).encoded()


def web_queries(data: bytes) -> None:
    everything = (
        "namespace", "engine", "workflow", "step", "status", "detector", "since", "until", "limit",
    )  # fmt: skip
    with suppress(InputError):
        filters_of(QueryParams(data), NOW, everything, since_s=86400.0).parameters()


def sql_guard(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    with suppress(SqlRefused):
        read_statement(text, {"stallwatch"}, _VIEWS)
    with suppress(SqlRefused):
        check_tree(text, {"stallwatch"}, _VIEWS, {"span_log"})


TARGETS: Final = (
    Target("otlp_protobuf", otlp_protobuf, corpus.otlp_bodies, prefixed(mutate_protobuf)),
    Target("otlp_json", otlp_json, corpus.otlp_texts, prefixed(mutate_json)),
    Target("inflation", inflation, corpus.zipped, prefixed(mutate_bytes)),
    Target("events", events, corpus.events, prefixed(mutate_json)),
    Target("headers", headers, corpus.headers, mutate_bytes),
    Target("documents", documents, corpus.documents, prefixed(mutate_bytes)),
    Target("engine_documents", engine_documents, corpus.engine_documents, prefixed(mutate_json)),
    Target("scenarios", scenarios, corpus.scenarios, mutate_bytes),
    Target("settings", settings, corpus.settings, mutate_bytes),
    Target("words", words, corpus.words, mutate_bytes),
    Target("tokens", tokens, corpus.tokens, mutate_bytes),
    Target("spool_records", spool_records, corpus.spool_records, prefixed(mutate_bytes)),
    Target("web_queries", web_queries, corpus.queries, mutate_bytes),
    Target("sql_guard", sql_guard, corpus.statements, mutate_bytes),
)
BY_NAME: Final = {target.name: target for target in TARGETS}
