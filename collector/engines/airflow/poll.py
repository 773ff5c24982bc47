"""Asking Airflow's API what is new."""

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

from collector.engines.airflow.documents import OPEN, RUN_ENDS, RUN_OPEN, parts_of
from collector.engines.answers import Answer, listed, number, text
from collector.engines.reading import Hints, Piece, Poller
from collector.engines.rest import Refused, Rest, Unknown
from stallwatch.errors import Permanent, Transient

API: Final = "api/v2"
OVERLAP: Final = timedelta(minutes=2)
"""How much is asked for again: what ended is dated by workers and seen when the database says so."""
PAGE: Final = 100
"""The most that the API answers at once ([api] maximum_page_limit)."""
TRIES_MAX: Final = 500
"""Task instances whose earlier tries are asked for in one look; there is one request for each."""
DAGS_MAX: Final = 100
"""DAGs whose definitions are asked for in one look; there are two requests for each."""
_REMEMBERED_MAX: Final = 100_000
_NEW_STATE: Final = "awaiting_input"
_UNPROCESSABLE: Final = 422


class AirflowPoller(Poller):
    """The mark is when the last look began."""

    def __init__(
        self,
        rest: Rest,
        token: Callable[[Rest], str],
        lookback_s: float,
        namespace: str,
        dags: Sequence[str],
    ) -> None:
        """`token` gives a new token of the server; empty where none is needed."""
        self._rest = rest
        self._token = token
        self._authorized = False
        self._lookback = timedelta(seconds=lookback_s)
        self._namespace = namespace
        self._dags = {"dag_ids": list(dags)} if dags else {}
        self._open = list(OPEN)
        self._tries_read: OrderedDict[str, int] = OrderedDict()
        self._defined: dict[str, str] = {}
        self._tries_left = self._dags_left = 0

    def poll(self, mark: str | None, now: datetime) -> Iterator[Piece]:
        """1. runs that are open, and that ended since; 2. task instances that are open, and that ended since."""
        fresh = not self._authorized
        if fresh:
            self._authorize()
        try:
            yield from self._looked(mark, now)
        except Refused as error:
            # A token that was good once has expired; a fresh one that is refused stays refused.
            self._authorized = False
            if fresh or error.code != 401:
                raise
            raise Transient(
                "Airflow does not take the token any more: asking for another"
            ) from None

    def close(self) -> None:
        self._rest.close()

    def _authorize(self) -> None:
        token = self._token(self._rest)
        if token:
            self._rest.authorize(f"Bearer {token}")
        self._authorized = True

    def _looked(self, mark: str | None, now: datetime) -> Iterator[Piece]:
        self._tries_left, self._dags_left = TRIES_MAX, DAGS_MAX
        since = now - self._lookback if mark is None else datetime.fromisoformat(mark) - OVERLAP
        ended = {"end_date_gte": since.isoformat()}
        is_first = mark is None
        closed: set[tuple[str, str]] = set()
        for runs in self._pages("dagRuns/list", "dag_runs", {"states": list(RUN_OPEN)}):
            yield self._piece(self._run_document(runs), now)
        for runs in self._pages("dagRuns/list", "dag_runs", {"states": list(RUN_ENDS), **ended}):
            closed |= {_run_of(run) for run in runs} if is_first else set()
            yield self._piece(self._run_document(runs), now, historical=is_first)
        what = "dagRuns/~/taskInstances/list"
        for filters in ({"state": self._open}, ended):
            for tasks in self._pages(what, "task_instances", filters):
                old = [task for task in tasks if _run_of(task) in closed]
                new = [task for task in tasks if _run_of(task) not in closed]
                for found, historical in ((new, False), (old, True)):
                    if found:
                        yield self._piece(self._task_document(found), now, historical)
        yield self._piece({"dag_runs": []}, now, mark=now.isoformat())

    def _piece(
        self,
        document: dict[str, Any],
        now: datetime,
        historical: bool = False,
        mark: str | None = None,
    ) -> Piece:
        parts = parts_of(document, Hints(now, self._namespace))
        return Piece(parts, self._namespace, mark, historical)

    def _pages(self, path: str, key: str, filters: Mapping[str, Any]) -> Iterator[list[Answer]]:
        for offset in itertools.count(0, PAGE):
            body = {**filters, **self._dags, "page_limit": PAGE, "page_offset": offset}
            page = self._page(path, key, body)
            if page:
                yield page
            if len(page) < PAGE:
                return

    def _page(self, path: str, key: str, body: dict[str, Any]) -> list[Answer]:
        try:
            answer = self._rest.post(f"{API}/dags/~/{path}", {**body, "order_by": "id"})
        except Refused as error:
            if error.code != _UNPROCESSABLE or _NEW_STATE not in body.get("state", ()):
                raise
            # Older than Airflow 3.3.
            self._open.remove(_NEW_STATE)
            return self._page(path, key, {**body, "state": self._open})
        if not isinstance(answer, dict) or key not in answer:
            raise Permanent(f"Airflow answered {path} without {key}: is the url its API server's?")
        return listed(answer, key)

    def _run_document(self, runs: Sequence[Answer]) -> dict[str, Any]:
        """The runs, and what their DAGs declare where that was not asked for this version yet."""
        document: dict[str, Any] = {"dag_runs": list(runs), "tasks": {}, "dags": {}}
        for run in runs:
            dag = text(run, "dag_id")
            versions = listed(run, "dag_versions")
            version = text(versions[-1], "id") if versions else "none"
            if self._defined.get(dag) == version or self._dags_left == 0:
                continue
            self._dags_left -= 1
            base = f"{API}/dags/{quote(dag, safe='')}"
            try:
                document["tasks"][dag] = listed(self._rest.get(f"{base}/tasks"), "tasks")
                document["dags"][dag] = self._rest.get(f"{base}/details")
            except Unknown:
                # The DAG is gone, its runs are not.
                document["tasks"].pop(dag, None)
            self._defined[dag] = version
        return document

    def _task_document(self, tasks: Sequence[Answer]) -> dict[str, Any]:
        found: list[Answer] = []
        for task in tasks:
            found += self._tries(task)
        # What is true now comes last: it says more of the present try than the list of tries does.
        return {"task_instances": [*found, *tasks]}

    def _tries(self, task: Answer) -> list[Answer]:
        """The tries before the present one, where they were not asked for yet."""
        id_, attempt = text(task, "id"), number(task, "try_number")
        if attempt < 2 or self._tries_read.get(id_) == attempt or self._tries_left == 0:
            return []
        self._tries_left -= 1
        dag, run, name = (
            quote(text(task, key), safe="") for key in ("dag_id", "dag_run_id", "task_id")
        )
        map_index = number(task, "map_index", default=-1)
        mapped = f"/{map_index}" if map_index >= 0 else ""
        path = f"{API}/dags/{dag}/dagRuns/{run}/taskInstances/{name}{mapped}/tries"
        try:
            tries = listed(self._rest.get(path), "task_instances")
        except Unknown:
            return []
        self._tries_read[id_] = attempt
        if len(self._tries_read) > _REMEMBERED_MAX:
            self._tries_read.popitem(last=False)
        return [one for one in tries if number(one, "try_number") < attempt]


def _run_of(answer: Answer) -> tuple[str, str]:
    return text(answer, "dag_id"), text(answer, "dag_run_id")
