"""The HTTP management API of a Functions app.

https://learn.microsoft.com/azure/azure-functions/durable/durable-functions-http-api
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import httpx

from collector.engines.durable.documents import instance_of
from collector.engines.durable.facts import flat
from collector.engines.durable.source import CLOSED, OPEN, Look, Source
from collector.engines.durable.status import Status, status_of
from collector.engines.reading import Hints
from collector.json_text import decode_any
from stallwatch.errors import InputError, Permanent, Transient

PATH: Final = "/runtime/webhooks/durabletask/instances"
CONTINUATION: Final = "x-ms-continuation-token"
KEY_HEADER: Final = "x-functions-key"
"""The key goes here and not into the query: URLs are logged."""
_PAGE: Final = 100
_PAGES_MAX: Final = 100_000
_THROTTLED: Final = frozenset({408, 425, 429, 502, 503, 504})
# An instance that failed is answered with 400 or 500 by some versions, with its status in the body all the same.
_STATUS_INSIDE: Final = frozenset({200, 202, 400, 500})


class HttpApi(Source):
    """Asks for instances page by page, and for one instance with its history, without inputs and outputs."""

    def __init__(
        self, url: str, key: str, task_hub: str, connection: str, timeout_s: float
    ) -> None:
        self._url = url + PATH
        headers = {KEY_HEADER: key} if key else {}
        named = {"taskHub": task_hub, "connection": connection}
        self._where = {name: value for name, value in named.items() if value}
        self._client = httpx.Client(headers=headers, timeout=timeout_s, follow_redirects=False)

    def open(self, received_at: datetime) -> Iterator[Status]:
        return self._instances(OPEN, {}, received_at)

    def closed(
        self, updated_from: datetime, created_from: datetime, received_at: datetime
    ) -> Iterator[Status]:
        made = created_from.strftime("%Y-%m-%dT%H:%M:%SZ")
        return self._instances(CLOSED, {"createdTimeFrom": made}, received_at)

    def look(self, instance: str, received_at: datetime) -> Look | None:
        # Every character that means something in a path is escaped: ids are the users' own.
        response = self._get(
            f"{self._url}/{quote(instance, safe='')}",
            {"showHistory": "true", "showHistoryOutput": "false", "showInput": "false"},
        )
        if response.status_code == 404:
            return None
        document = self._document(response, _STATUS_INSIDE)
        if not isinstance(document, Mapping):
            raise Transient("the management API answered with something else than an instance")
        try:
            return Look(*instance_of(document, Hints(received_at, execution_id=instance)))
        except InputError as error:
            raise Transient(
                f"the management API answered with something else than an instance: {error}"
            ) from None

    def close(self) -> None:
        self._client.close()

    def _instances(
        self, statuses: Iterable[str], conditions: Mapping[str, str], received_at: datetime
    ) -> Iterator[Status]:
        asked = {
            "runtimeStatus": ",".join(statuses), "showInput": "false", "top": str(_PAGE), **conditions
        }  # fmt: skip
        token = ""
        for _ in range(_PAGES_MAX):
            response = self._get(self._url, asked, {CONTINUATION: token} if token else {})
            page = self._document(response, {200})
            if not isinstance(page, list):
                raise Transient("the management API answered with something else than instances")
            for element in page:
                if isinstance(element, Mapping):
                    yield status_of(flat(element), Hints(received_at))
            token = response.headers.get(CONTINUATION, "")
            # An empty page with a token is not the last: the store is asked in pieces.
            if not token or token == "null":
                return

    def _get(
        self, url: str, asked: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        try:
            response = self._client.get(url, params={**self._where, **asked}, headers=headers)
        except httpx.HTTPError as error:
            raise Transient(f"the Functions app cannot be reached: {error}") from None
        if response.status_code in (401, 403):
            raise Permanent(
                "the Functions app refuses the key: engines.durable.key must be its system key durabletask_extension"
            )
        if response.status_code in _THROTTLED:
            raise Transient(
                f"the Functions app answers {response.status_code}", _retry_after_s(response)
            )
        return response

    def _document(self, response: httpx.Response, good: Iterable[int]) -> Any:
        status = response.status_code
        if status in good:
            try:
                return decode_any(response.content)
            except InputError:
                if status < 400:
                    raise Transient(
                        "the management API answered with something else than JSON"
                    ) from None
        if status == 404:
            raise Permanent(
                "the app has no management API there: is engines.durable.url right, and Durable Functions in the app?"
            )
        if status >= 500:
            raise Transient(f"the Functions app answers {status}")
        raise Permanent(f"the Functions app answers {status} and will not take the question")


def _retry_after_s(response: httpx.Response) -> float | None:
    wish = response.headers.get("retry-after", "")
    return min(float(wish), 3600.0) if wish.isascii() and wish.isdigit() else None
