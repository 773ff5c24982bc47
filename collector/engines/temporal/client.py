"""The calls to a Temporal frontend that polling needs: read-only ones, each with a deadline, few at a time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

from google.protobuf.json_format import MessageToDict
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
    GetWorkflowExecutionHistoryReverseRequest,
    ListWorkflowExecutionsRequest,
)
from temporalio.client import Client
from temporalio.service import KeepAliveConfig, RPCError, RPCStatusCode, TLSConfig

from stallwatch.config.engines.temporal import TemporalConfig
from stallwatch.errors import ConfigError, Permanent, Transient

DEADLINE: Final = timedelta(seconds=20)
LIST_PAGE: Final = 1000
HISTORY_PAGE: Final = 500
_LIST_PAUSES_S: Final = (0.5, 1.0, 2.0)
_PERMANENT: Final = frozenset(
    {
        RPCStatusCode.UNAUTHENTICATED,
        RPCStatusCode.PERMISSION_DENIED,
        RPCStatusCode.NOT_FOUND,
        RPCStatusCode.INVALID_ARGUMENT,
        RPCStatusCode.UNIMPLEMENTED,
        RPCStatusCode.FAILED_PRECONDITION,
    }
)
_ABOUT_ONE: Final = frozenset(
    {RPCStatusCode.NOT_FOUND, RPCStatusCode.DATA_LOSS, RPCStatusCode.INVALID_ARGUMENT}
)
"""Refusals that are about one execution (it is gone, its history is damaged), and no reason not to ask for others."""
_Asked = TypeVar("_Asked")
_Told = TypeVar("_Told")


class Execution(NamedTuple):
    """One run of a workflow."""

    workflow_id: str
    run_id: str


class Frontend:
    """A connection. All methods raise Transient or Permanent."""

    def __init__(self, config: TemporalConfig) -> None:
        """Check what can be checked without connecting. Raises ConfigError."""
        self._config = config
        self._tls = _tls(config)
        self._client: Client | None = None
        self._slots = asyncio.Semaphore(config.concurrency)
        _api_key(config)

    async def connect(self) -> None:
        """Connect if it is not connected yet, and take the API key as it is now."""
        key = _api_key(self._config)
        if self._client is not None:
            if key is not None:
                self._client.api_key = key
            return
        try:
            self._client = await Client.connect(
                self._config.address,
                api_key=key,
                tls=self._tls,
                identity="stallwatch",
                keep_alive_config=KeepAliveConfig(),
            )
        except RPCError as error:
            _raise(error, f"Temporal at {self._config.address}")
        except RuntimeError as error:
            # The SDK's core tells of addresses, TLS and connections in this way, and of who is refused.
            message = f"Temporal at {self._config.address}: {error}"
            if "code: Unauthenticated" in message or "code: PermissionDenied" in message:
                raise Permanent(message) from None
            raise Transient(message) from None

    async def each(
        self, asked: Iterable[_Asked], ask: Callable[[_Asked], Awaitable[_Told]]
    ) -> list[_Told]:
        """Ask for all, as many at a time as configured; the answers in the order of the questions."""

        async def one(it: _Asked) -> _Told:
            async with self._slots:
                return await ask(it)

        tasks = [asyncio.ensure_future(one(it)) for it in asked]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def executions(
        self, namespace: str, query: str, most: int
    ) -> AsyncIterator[tuple[Execution, int]]:
        """What a visibility query finds, about `most` at most; of what is closed, how many events it has."""
        token = b""
        found = 0
        while True:
            request = ListWorkflowExecutionsRequest(
                namespace=namespace, query=query, page_size=LIST_PAGE, next_page_token=token
            )
            answer = await self._listed(request, namespace)
            for info in answer.executions:
                execution = Execution(info.execution.workflow_id, info.execution.run_id)
                yield execution, int(info.history_length)
            found += len(answer.executions)
            token = answer.next_page_token
            if not token or found >= most:
                return

    async def _listed(self, request: ListWorkflowExecutionsRequest, namespace: str) -> Any:
        """One page. Servers allow few lists in a second, 10 by default: so it is worth a wait."""
        for pause_s in (*_LIST_PAUSES_S, None):
            try:
                return await self._service.list_workflow_executions(request, timeout=DEADLINE)
            except RPCError as error:
                if error.status is not RPCStatusCode.RESOURCE_EXHAUSTED or pause_s is None:
                    _raise(error, f"Temporal's namespace {namespace!r}")
                await asyncio.sleep(pause_s)
        raise AssertionError

    async def describe(
        self, namespace: str, execution: Execution
    ) -> DescribeWorkflowExecutionResponse | None:
        """What it is doing now; None if it cannot be had."""
        request = DescribeWorkflowExecutionRequest(
            namespace=namespace, execution=WorkflowExecution(**execution._asdict())
        )
        answer: DescribeWorkflowExecutionResponse | None = await self._call_if_there(
            self._service.describe_workflow_execution, request, namespace
        )
        return answer

    async def history(
        self,
        namespace: str,
        execution: Execution,
        known: int,
        length: int,
        most: int,
        wanted: Iterable[str] = (),
    ) -> dict[str, Any] | None:
        """The events behind number `known`, as a document; None if it cannot be had.

        From the start, if that is all and not too much; else from the end backwards, about `most` of them, or until the
        activities with the ids `wanted` were scheduled.
        """
        if known == 0 and length <= most:
            events = await self._forward(namespace, execution, most)
        else:
            events = await self._backward(namespace, execution, known, most, set(wanted))
            if known == 0:
                # Without its start nobody knows which events a run copied from another.
                start = await self._page(namespace, execution, 1, b"")
                events = (
                    None if events is None or start is None else [*start.history.events, *events]
                )
        if events is None:
            return None
        return {
            "execution": {"workflowId": execution.workflow_id, "runId": execution.run_id},
            "events": [MessageToDict(event) for event in events],
        }

    async def _forward(self, namespace: str, execution: Execution, most: int) -> list[Any] | None:
        events: list[Any] = []
        token = b""
        while True:
            answer = await self._page(namespace, execution, HISTORY_PAGE, token)
            if answer is None:
                return None
            events += answer.history.events
            token = answer.next_page_token
            if not token or len(events) > most:
                return events

    async def _page(
        self, namespace: str, execution: Execution, size: int, token: bytes
    ) -> GetWorkflowExecutionHistoryResponse | None:
        request = GetWorkflowExecutionHistoryRequest(
            namespace=namespace,
            execution=WorkflowExecution(**execution._asdict()),
            maximum_page_size=size,
            next_page_token=token,
        )
        answer: GetWorkflowExecutionHistoryResponse | None = await self._call_if_there(
            self._service.get_workflow_execution_history, request, namespace
        )
        return answer

    async def _backward(
        self, namespace: str, execution: Execution, known: int, most: int, wanted: set[str]
    ) -> list[Any] | None:
        events: list[Any] = []
        token = b""
        while True:
            request = GetWorkflowExecutionHistoryReverseRequest(
                namespace=namespace,
                execution=WorkflowExecution(**execution._asdict()),
                maximum_page_size=HISTORY_PAGE if known == 0 else 50,
                next_page_token=token,
            )
            answer = await self._call_if_there(
                self._service.get_workflow_execution_history_reverse, request, namespace
            )
            if answer is None:
                return None
            page = [event for event in answer.history.events if event.event_id > known]
            events += page
            wanted.difference_update(
                event.activity_task_scheduled_event_attributes.activity_id for event in page
            )
            token = answer.next_page_token
            is_enough = len(events) >= most and not wanted
            if not token or len(page) < len(answer.history.events) or is_enough:
                return events

    @property
    def _service(self) -> Any:
        assert self._client is not None
        return self._client.workflow_service

    async def _call_if_there(self, call: Any, request: Any, namespace: str) -> Any:
        try:
            return await call(request, timeout=DEADLINE)
        except RPCError as error:
            if error.status in _ABOUT_ONE:
                return None
            _raise(error, f"Temporal's namespace {namespace!r}")


def time_in_query(at: datetime) -> str:
    return f'"{at.isoformat(timespec="microseconds")}"'


def _raise(error: RPCError, what: str) -> NoReturn:
    message = f"{what}: {error.status.name.lower().replace('_', ' ')}: {error.message}"
    if error.status in _PERMANENT:
        raise Permanent(message) from None
    raise Transient(message) from None


def _tls(config: TemporalConfig) -> TLSConfig | bool:
    files = (config.tls_cert_file, config.tls_key_file, config.tls_ca_file)
    if (config.tls_cert_file is None) != (config.tls_key_file is None):
        raise ConfigError("engines.temporal: tls_cert_file and tls_key_file belong together")
    if not any(files) and not config.tls_server_name:
        return config.tls
    cert, key, ca = (_content(file) for file in files)
    return TLSConfig(
        server_root_ca_cert=ca,
        client_cert=cert,
        client_private_key=key,
        domain=config.tls_server_name or None,
    )


def _api_key(config: TemporalConfig) -> str | None:
    content = _content(config.api_key_file)
    return None if content is None else content.decode("ascii", "replace").strip()


def _content(file: Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"engines.temporal: {file}: {error.strerror}") from None
