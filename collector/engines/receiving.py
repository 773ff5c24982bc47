"""`/v1/engines/<name>`: documents over HTTP."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, Final, NamedTuple

from collector.engines import desk as desks
from collector.engines.desk import Desk
from collector.engines.reading import Hints
from collector.engines.registry import engine
from collector.events import Answer, documents_in
from collector.exports import Origin
from stallwatch.errors import InputError

_PARAMETERS: Final = ("execution_id", "workflow", "namespace")


class Received(NamedTuple):
    """What became of a body; to be told when all `commits` are through."""

    documents: int
    commits: list[Future[None]]
    status: int
    answer: Mapping[str, Any] | Answer


def receive(
    desk: Desk, name: str, body: bytes, media: str, query: Mapping[str, str], origin: Origin
) -> Received:
    """Take the documents of a body: one, an array, or one a line.

    `query` may say what a document does not: `execution_id`, `workflow`, `namespace`. Raises InputError for a body that
    cannot be read or a parameter that is not known, and Transient if nothing can be kept now.
    """
    for parameter in query:
        if parameter not in _PARAMETERS:
            raise InputError(
                f"{parameter[:60]}: is not a parameter; there are {', '.join(_PARAMETERS)}"
            )
    namespace = query.get("namespace") or origin.namespace
    origin.admitted.check_namespace(namespace)
    hints = Hints(
        origin.received_at, namespace, query.get("execution_id", ""), query.get("workflow", "")
    )
    documents = (decode for _, decode in documents_in(body, media))
    came = desks.Origin(origin.sender, origin.received_at, origin.historical, origin.accept())
    taken = desk.take(engine(name), documents, hints, came)
    parsed = taken.parsed
    if taken.answer is not None:
        # Its sender would send the whole envelope again, for a document that will never be understood.
        return Received(parsed.accepted, taken.commits, 200, taken.answer)
    status = 400 if parsed.rejected and not parsed.accepted else 200
    answer = Answer(parsed.accepted, parsed.rejected, parsed.errors)
    return Received(parsed.accepted, taken.commits, status, answer)
