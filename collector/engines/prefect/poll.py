"""Asking Prefect's API what is new."""

import itertools
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from collector.engines.answers import Answer, text
from collector.engines.prefect.documents import RETRY, TERMINAL, parts_of
from collector.engines.reading import Hints, Piece, Poller
from collector.engines.rest import Rest
from stallwatch.errors import Permanent

OVERLAP: Final = timedelta(minutes=2)
"""How much is asked for again: task runs are recorded by the server some time after they happened."""
PAGE: Final = 200
"""The most that the API answers at once (PREFECT_API_DEFAULT_LIMIT)."""
IDS_PAGE: Final = 50
HISTORIES_MAX: Final = 500
"""Histories of states asked for in one look; there is one request for each."""
_REMEMBERED_MAX: Final = 100_000
_OPEN: Final = ["SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"]


class PrefectPoller(Poller):
    """The mark is when the last look began."""

    def __init__(self, rest: Rest, lookback_s: float, namespace: str) -> None:
        self._rest = rest
        self._lookback = timedelta(seconds=lookback_s)
        self._namespace = namespace
        self._flows: _Remembered = _Remembered()
        self._owners: _Remembered = _Remembered()
        self._read_states: _Remembered = _Remembered()
        self._histories_left = 0

    def poll(self, mark: str | None, now: datetime) -> Iterator[Piece]:
        """1. flow runs that are open, and that ended since; 2. task runs that are open, and that ended since."""
        self._histories_left = HISTORIES_MAX
        since = now - self._lookback if mark is None else datetime.fromisoformat(mark) - OVERLAP
        is_first = mark is None
        ended = {"end_time": {"after_": since.isoformat()}}
        is_open = {"state": {"type": {"any_": _OPEN}}}
        due = {"expected_start_time": {"before_": now.isoformat()}}
        for runs in self._pages("flow_runs", {"flow_runs": {**is_open, **due}}):
            yield self._piece(self._flow_document(runs), now)
        for runs in self._pages("flow_runs", {"flow_runs": ended}):
            yield self._piece(self._flow_document(runs), now, historical=is_first)
        live = {"flow_runs": {"state": {"type": {"any_": _OPEN}}}}
        alone = {"task_runs": {**is_open, "flow_run_id": {"is_null_": True}}}
        for filters in ({"task_runs": is_open, **live}, alone):
            for tasks in self._pages("task_runs", filters):
                yield self._piece(self._task_document(tasks), now)
        for tasks in self._pages("task_runs", {"task_runs": ended, **(live if is_first else {})}):
            yield self._piece(self._task_document(tasks), now)
        if is_first:
            done = {"flow_runs": {"state": {"type": {"any_": sorted(TERMINAL)}}}}
            for tasks in self._pages("task_runs", {"task_runs": ended, **done}):
                yield self._piece(self._task_document(tasks), now, historical=True)
        yield self._piece({"flow_runs": []}, now, mark=now.isoformat())

    def close(self) -> None:
        self._rest.close()

    def _piece(
        self,
        document: dict[str, Any],
        now: datetime,
        historical: bool = False,
        mark: str | None = None,
    ) -> Piece:
        parts = parts_of(document, Hints(now, self._namespace))
        return Piece(parts, self._namespace, mark, historical)

    def _pages(self, what: str, filters: Mapping[str, Any]) -> Iterator[list[Answer]]:
        for offset in itertools.count(0, PAGE):
            body = {**filters, "limit": PAGE, "offset": offset, "sort": "ID_DESC"}
            page = self._listed(f"{what}/filter", body)
            if page:
                yield page
            if len(page) < PAGE:
                return

    def _flow_document(self, runs: Sequence[Answer]) -> dict[str, Any]:
        flow_ids = {text(run, "flow_id") for run in runs}
        parents = {text(run, "parent_task_run_id") for run in runs} - {""}
        states: list[Answer] = []
        for run in runs:
            held = text(run, "state_type") == "PAUSED" or text(run, "state_name") == RETRY
            if held or (_count(run) > 1):
                states += self._history("flow_run_states", "flow_run_id", run)
        return {
            "flow_runs": list(runs),
            "flows": [
                {"id": id_, "name": name} for id_, name in self._flow_names(flow_ids).items()
            ],
            "parents": [
                {"id": id_, "flow_run_id": owner} for id_, owner in self._owners_of(parents).items()
            ],
            "flow_run_states": states,
        }

    def _task_document(self, tasks: Sequence[Answer]) -> dict[str, Any]:
        states: list[Answer] = []
        for task in tasks:
            if _count(task) > 1 or text(task, "state_type") == "PAUSED":
                states += self._history("task_run_states", "task_run_id", task)
        return {"task_runs": list(tasks), "task_run_states": states}

    def _history(self, path: str, key: str, run: Answer) -> list[Answer]:
        """All states that a run was in; none if its present one was there the last time, or too much was asked."""
        id_, state_id = text(run, "id"), text(run, "state_id")
        if self._read_states.get(id_) == state_id or self._histories_left == 0:
            return []
        self._histories_left -= 1
        states = self._rest.get(f"{path}/", {key: id_})
        if not isinstance(states, list):
            raise Permanent(f"Prefect answered {path} with something that is no list")
        self._read_states.put(id_, state_id)
        return states

    def _flow_names(self, ids: set[str]) -> dict[str, str]:
        self._look_up("flows", "flows", ids, "name", self._flows)
        return {id_: self._flows.get(id_) or "" for id_ in ids}

    def _owners_of(self, task_ids: set[str]) -> dict[str, str]:
        """The flow runs in which these task runs are, each of which stands for a flow run within."""
        self._look_up("task_runs", "task_runs", task_ids, "flow_run_id", self._owners)
        return {id_: self._owners.get(id_) or "" for id_ in task_ids}

    def _look_up(
        self, path: str, key: str, ids: set[str], wanted: str, known: "_Remembered"
    ) -> None:
        missing = sorted(id_ for id_ in ids if id_ and known.get(id_) is None)
        for start in range(0, len(missing), IDS_PAGE):
            some = missing[start : start + IDS_PAGE]
            body = {key: {"id": {"any_": some}}, "limit": PAGE}
            for found in self._listed(f"{path}/filter", body):
                known.put(text(found, "id"), text(found, wanted))

    def _listed(self, path: str, body: Mapping[str, Any]) -> list[Answer]:
        answer = self._rest.post(path, body)
        if not isinstance(answer, list) or not all(isinstance(one, dict) for one in answer):
            raise Permanent(
                f"Prefect answered {path} with something that is no list: is the url its API's?"
            )
        return answer


class _Remembered:
    """What was asked for once, up to a bound; the oldest is forgotten first."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, str] = OrderedDict()

    def get(self, key: str) -> str | None:
        return self._known.get(key)

    def put(self, key: str, value: str) -> None:
        self._known[key] = value
        self._known.move_to_end(key)
        if len(self._known) > _REMEMBERED_MAX:
            self._known.popitem(last=False)


def _count(run: Answer) -> int:
    value = run.get("run_count")
    return value if isinstance(value, int) else 0
