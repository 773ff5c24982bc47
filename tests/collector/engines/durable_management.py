"""A stand-in for the HTTP management API of a Functions app, over real HTTP.

Written by hand after its documentation (https://learn.microsoft.com/azure/azure-functions/durable/durable-functions-http-api)
and after what the extension does to a history (`DurableClient.GetDurableOrchestrationStatusAsync`); no Functions host
runs here.
"""

import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from collector.engines.durable.kinds import status as status_of

PATH = "/runtime/webhooks/durabletask/instances"
KEY = "the-system-key"
Answer = tuple[int, dict[str, str], bytes]


def management_document(recorded: dict[str, Any]) -> dict[str, Any]:
    """What the API would say of a history that was recorded as the backend keeps it."""
    history = recorded["history"]
    times = [event["timestamp"] for event in history]
    return {
        "name": recorded["name"],
        "instanceId": recorded["instanceId"],
        "runtimeStatus": status_of(recorded["status"]),
        "input": None,
        "customStatus": None,
        "output": None,
        "createdTime": f"{times[1 if len(times) > 1 else 0][:19]}Z",
        "lastUpdatedTime": f"{times[-1][:19]}Z",
        "historyEvents": history_events(history),
    }


def history_events(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A history without turns, ids and payloads, and with what was scheduled folded into its answer."""
    scheduled: dict[int, dict[str, Any]] = {}
    found: list[dict[str, Any]] = []
    for event in history:
        kind = next(name for name in event if name not in ("eventId", "timestamp"))
        body = event[kind]
        item: dict[str, Any] = {
            "EventType": kind[0].upper() + kind[1:], "Timestamp": event["timestamp"]
        }  # fmt: skip
        if kind.startswith("orchestrator"):
            continue
        if kind in ("taskScheduled", "subOrchestrationInstanceCreated"):
            item["Name"] = body["name"]
            scheduled[event.get("eventId", 0)] = item
        elif "taskScheduledId" in body:
            its = scheduled.pop(body["taskScheduledId"])
            found.remove(its)
            item |= {"ScheduledTime": its["Timestamp"], "FunctionName": its["Name"]}
            if "failureDetails" in body:
                item["Reason"] = body["failureDetails"]["errorMessage"]
                item["FailureDetails"] = {
                    "ErrorType": body["failureDetails"]["errorType"],
                    "ErrorMessage": body["failureDetails"]["errorMessage"],
                }
        elif kind in ("timerCreated", "timerFired"):
            item["FireAt"] = body["fireAt"]
        elif kind in ("eventRaised", "eventSent"):
            item["Name"] = body["name"]
        elif kind == "executionStarted":
            item["FunctionName"] = body["name"]
        elif kind == "executionCompleted":
            item["OrchestrationStatus"] = status_of(body["orchestrationStatus"])
            if "failureDetails" in body:
                item["FailureDetails"] = {
                    "ErrorType": body["failureDetails"]["errorType"],
                    "ErrorMessage": body["failureDetails"]["errorMessage"],
                }
        found.append(item)
    return found


class ManagementApi:
    """Instances that a test puts in; `script` answers before they do."""

    def __init__(self, page: int = 2) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.script: deque[Answer] = deque()
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""
        self._page = page

    def put(self, *documents: dict[str, Any]) -> None:
        for document in documents:
            self.documents[document["instanceId"]] = document

    def answer(self, path: str, headers: dict[str, str]) -> Answer:
        self.asked.append(path)
        self.headers.append(headers)
        if self.script:
            return self.script.popleft()
        if headers.get("x-functions-key") != KEY:
            return 401, {}, b""
        parts = urlsplit(path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == PATH:
            return self._instances(asked, headers)
        document = self.documents.get(unquote(parts.path.removeprefix(f"{PATH}/")))
        if document is None:
            return 404, {}, b""
        if asked.get("showHistory") != "true":
            document = {**document, "historyEvents": None}
        is_open = document["runtimeStatus"] in ("Running", "Pending")
        return 202 if is_open else 200, {}, json.dumps(document).encode()

    def _instances(self, asked: dict[str, str], headers: dict[str, str]) -> Answer:
        fitting = [
            {**document, "historyEvents": None}
            for document in self.documents.values()
            if document["runtimeStatus"] in asked["runtimeStatus"].split(",")
            and document["createdTime"] >= asked.get("createdTimeFrom", "")
        ]
        start = int(headers.get("x-ms-continuation-token", "0"))
        more = start + self._page < len(fitting)
        token = {"x-ms-continuation-token": str(start + self._page)} if more else {}
        return 200, token, json.dumps(fitting[start : start + self._page]).encode()


@contextmanager
def serving(api: ManagementApi) -> Iterator[str]:
    """The URL that it is served at, on the loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more, body = api.answer(self.path, headers)
            self.send_response(status)
            for name, value in {**more, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
