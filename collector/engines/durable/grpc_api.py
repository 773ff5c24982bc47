"""A task hub over gRPC: the Durable Task Scheduler, its emulator, a sidecar (`orchestrator_service.proto`).

The generated classes of the durabletask package are used and not its client: that one reads all instances at once, and
raises at a status or a kind of event that it does not know.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import grpc
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as stubs
from google.protobuf import wrappers_pb2
from google.protobuf.json_format import MessageToDict

from collector.engines.durable.documents import fragment_of
from collector.engines.durable.facts import flat
from collector.engines.durable.source import CLOSED, OPEN, Look, Source
from collector.engines.durable.status import Status, status_of
from collector.engines.reading import Hints
from stallwatch.errors import Permanent, Transient

_PAGE: Final = 200
_ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
_STATUSES: Final = {
    "Running": pb.ORCHESTRATION_STATUS_RUNNING,
    "Pending": pb.ORCHESTRATION_STATUS_PENDING,
    "Suspended": pb.ORCHESTRATION_STATUS_SUSPENDED,
    "ContinuedAsNew": pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW,
    "Completed": pb.ORCHESTRATION_STATUS_COMPLETED,
    "Failed": pb.ORCHESTRATION_STATUS_FAILED,
    "Terminated": pb.ORCHESTRATION_STATUS_TERMINATED,
    "Canceled": pb.ORCHESTRATION_STATUS_CANCELED,
}
_REFUSALS: Final = {
    grpc.StatusCode.UNAUTHENTICATED: "does not accept who asks: see engines.durable.credential",
    grpc.StatusCode.PERMISSION_DENIED: "does not let who asks read this task hub: it needs Durable Task Data Reader",
    grpc.StatusCode.UNIMPLEMENTED: "cannot list instances or stream histories",
    grpc.StatusCode.INVALID_ARGUMENT: "does not take the question: is engines.durable.task_hub right?",
}
Metadata = Iterable[tuple[str, str]]


class GrpcApi(Source):
    """Asks for instances page by page, and for the histories of single ones."""

    def __init__(
        self, address: str, tls: bool, task_hub: str, tokens: Any, timeout_s: float
    ) -> None:
        """`tokens` gives `metadata()` that says who asks; None for who does not have to say."""
        options = [("grpc.max_receive_message_length", _ANSWER_BYTES_MAX)]
        self._channel = (
            grpc.secure_channel(address, grpc.ssl_channel_credentials(), options)
            if tls
            else grpc.insecure_channel(address, options)
        )
        self._stub = stubs.TaskHubSidecarServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._task_hub = task_hub
        self._tokens = tokens
        self._timeout_s = timeout_s

    def open(self, received_at: datetime) -> Iterator[Status]:
        return self._instances(OPEN, None, received_at)

    def closed(
        self, updated_from: datetime, created_from: datetime, received_at: datetime
    ) -> Iterator[Status]:
        return self._instances(CLOSED, created_from, received_at)

    def look(self, instance: str, received_at: datetime) -> Look | None:
        # The status is read first: what it says of an end or a rest, the history behind it cannot contradict.
        answer = self._call(self._stub.GetInstance, pb.GetInstanceRequest(instanceId=instance))
        if not answer.exists:
            return None
        status = _status(answer.orchestrationState, received_at)
        chunks = self._call(
            lambda request, **how: list(self._stub.StreamInstanceHistory(request, **how)),
            pb.StreamInstanceHistoryRequest(instanceId=instance),
        )
        history = [MessageToDict(event) for chunk in chunks for event in chunk.events]
        return Look(status, fragment_of(status, history, received_at))

    def close(self) -> None:
        self._channel.close()

    def _instances(
        self, statuses: Iterable[str], created_from: datetime | None, received_at: datetime
    ) -> Iterator[Status]:
        query = pb.InstanceQuery(
            runtimeStatus=[_STATUSES[status] for status in statuses], maxInstanceCount=_PAGE
        )
        if created_from is not None:
            query.createdTimeFrom.FromDatetime(created_from)
        while True:
            page = self._call(self._stub.QueryInstances, pb.QueryInstancesRequest(query=query))
            for state in page.orchestrationState:
                yield _status(state, received_at)
            token = page.continuationToken.value
            if not token or token == query.continuationToken.value:
                return
            query.continuationToken.CopyFrom(wrappers_pb2.StringValue(value=token))

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        metadata: list[tuple[str, str]] = [("taskhub", self._task_hub)] if self._task_hub else []
        if self._tokens is not None:
            metadata += self._tokens.metadata()
        try:
            return method(request, timeout=self._timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            code = error.code()
            if code in _REFUSALS:
                raise Permanent(f"the task hub {_REFUSALS[code]}") from None
            raise Transient(f"the task hub answers {code.name}") from None


def _status(state: Any, received_at: datetime) -> Status:
    fields: Mapping[str, Any] = flat(MessageToDict(state))
    # Protobuf's JSON leaves zeros out, and zero is Running.
    return status_of({"orchestrationstatus": "Running", **fields}, Hints(received_at))
