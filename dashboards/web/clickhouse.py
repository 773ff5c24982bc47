"""ClickHouse's HTTP interface over the public views, read-only: for Grafana, clickhouse-connect and BI tools."""

import gzip
import json
import re
import uuid
import zlib
from collections.abc import Mapping
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboards.web import away
from stallwatch.errors import StoreRefused, StoreUnavailable
from stallwatch.store.sql_endpoint import ACCESS_DENIED, SqlAnswer, SqlBusy, SqlEndpoint, SqlRefused

QUERY_BYTES_MAX: Final = 256 * 1024
GZIP_BYTES_MIN: Final = 1400
"""Below about one packet, compressing is not worth it."""
_STATUS_BY_CODE: Final = {
    46: 404, 47: 404, 60: 404, 73: 404, 81: 404, 115: 404, 159: 408, 241: 500, ACCESS_DENIED: 403,
}  # fmt: skip
TOO_MANY_QUERIES: Final = 202
NETWORK_ERROR: Final = 210
_REPEATED: Final = re.compile(
    r"Code: \d+\. DB::Exception: (?=Code: )| (\([A-Z_]+\)) \(version [\d.]+\)\.(?= \1)"
)
"""What the embedded engine says again of a few errors."""
_CONTENT_TYPES: Final = {
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8",
    "CSVWithNames": "text/csv; charset=UTF-8",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
    "Parquet": "application/vnd.apache.parquet",
    "Arrow": "application/vnd.apache.arrow.file",
}


def clickhouse_routes(endpoint: SqlEndpoint, prefix: str = "/clickhouse") -> list[Route]:
    """The routes of the interface; settings that clients send in the URL are ignored, because they are fixed here."""

    async def query(request: Request) -> Response:
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            return _refusal(SqlRefused("send the query as the body or as `query`, not as a form"))
        if request.query_params.get("compress", "0") not in ("0", "false"):
            return _refusal(SqlRefused("compress=1 is not spoken here: send Accept-Encoding: gzip"))
        body = await _body(request)
        if body is None:
            return _refusal(SqlRefused(f"a query may have {QUERY_BYTES_MAX} bytes"))
        asked = request.query_params
        sql = "\n".join(part for part in (asked.get("query", ""), body) if part.strip())
        if not sql:
            return Response("Ok.\n", media_type="text/plain")
        query_id = _query_id(asked)
        try:
            answer = await run_in_threadpool(_answer, endpoint, sql, asked, request.headers)
        except SqlRefused as error:
            return _refusal(error, query_id)
        except SqlBusy as error:
            return _come_again(TOO_MANY_QUERIES, str(error), "TOO_MANY_SIMULTANEOUS_QUERIES")
        except (StoreUnavailable, StoreRefused) as error:
            return _come_again(NETWORK_ERROR, away.sentence(error), "NETWORK_ERROR")
        compress = "gzip" in request.headers.get("accept-encoding", "")
        return _response(endpoint, answer, query_id, compress)

    async def ping(request: Request) -> Response:
        return Response("Ok.\n", media_type="text/plain")

    return [
        Route(prefix, query, methods=["GET", "POST"]),
        Route(f"{prefix}/", query, methods=["GET", "POST"]),
        Route(f"{prefix}/ping", ping),
    ]


def _answer(
    endpoint: SqlEndpoint, sql: str, asked: Mapping[str, str], headers: Mapping[str, str]
) -> SqlAnswer:
    revision = asked.get("client_protocol_version", "0")
    return endpoint.query(
        sql,
        {
            name.removeprefix("param_"): value
            for name, value in asked.items()
            if name.startswith("param_")
        },
        default_format=asked.get("default_format")
        or headers.get("x-clickhouse-format")
        or "TabSeparated",
        database=asked.get("database") or headers.get("x-clickhouse-database") or "",
        revision=int(revision) if revision.isdigit() else 0,
    )


async def _body(request: Request) -> str | None:
    """The body as text, inflated if it came so; None when it is too large."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > QUERY_BYTES_MAX:
            return None
    data = bytes(raw)
    if request.headers.get("content-encoding") == "gzip":
        inflater = zlib.decompressobj(wbits=31)
        try:
            data = inflater.decompress(data, QUERY_BYTES_MAX)
        except zlib.error:
            return None
        if inflater.unconsumed_tail:
            return None
    return data.decode("utf-8", "replace")


def _query_id(asked: Mapping[str, str]) -> str:
    """The name that the client gave its query, where a header can carry it, else a new one."""
    given = asked.get("query_id", "")
    return given if given.isascii() and given.isprintable() and given else str(uuid.uuid4())


def _response(endpoint: SqlEndpoint, answer: SqlAnswer, query_id: str, compress: bool) -> Response:
    headers = {
        "X-ClickHouse-Query-Id": query_id,
        "X-ClickHouse-Format": answer.format,
        "X-ClickHouse-Timezone": endpoint.timezone,
        "X-ClickHouse-Server-Display-Name": endpoint.display_name,
        "X-ClickHouse-Summary": json.dumps({"result_bytes": str(len(answer.body))}),
        "Vary": "Accept-Encoding",
    }
    body = answer.body
    if compress and len(body) >= GZIP_BYTES_MIN:
        body = gzip.compress(body, compresslevel=3, mtime=0)
        headers["Content-Encoding"] = "gzip"
    type_ = _CONTENT_TYPES.get(answer.format, "application/octet-stream")
    return Response(body, headers=headers, media_type=type_)


def _refusal(error: SqlRefused, query_id: str = "") -> Response:
    message = _REPEATED.sub("", str(error))
    if not message.startswith("Code: "):
        message = f"Code: {error.code}. DB::Exception: {message}. (ACCESS_DENIED)"
    return Response(
        message + "\n",
        _STATUS_BY_CODE.get(error.code, 400),
        {"X-ClickHouse-Exception-Code": str(error.code)}
        | ({"X-ClickHouse-Query-Id": query_id} if query_id else {}),
        media_type="text/plain",
    )


def _come_again(code: int, message: str, name: str) -> Response:
    return Response(
        f"Code: {code}. DB::Exception: {message}. ({name})\n",
        503,
        {"X-ClickHouse-Exception-Code": str(code), **away.RETRY_AFTER},
        media_type="text/plain",
    )
