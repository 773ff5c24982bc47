"""What a service answers to other commands on this machine."""

from typing import Any

from starlette.applications import Starlette

from stallwatch.app import replaying
from stallwatch.app.control import GoOn, LongWork, control_app
from stallwatch.app.feedback import budget_rows, judged
from stallwatch.app.forgetting import forget_everywhere
from stallwatch.app.jobs import Jobs
from stallwatch.app.parts import Parts
from stallwatch.app.pulling import chosen
from stallwatch.app.replay.scoring import replayed
from stallwatch.errors import InputError
from stallwatch.model.durations import parse_time
from stallwatch.model.findings_json import finding_to_json


class Answers:
    """The commands that need the service, and their answers."""

    def __init__(self, parts: Parts, jobs: Jobs) -> None:
        self._parts = parts
        self._jobs = jobs
        self._long_work = LongWork()

    def app(self) -> Starlette:
        """To be served to this machine alone."""
        return control_app(
            {
                "forget": self._forget,
                "fold": self._catch_up,
                "pull": self._pull,
                "engines": self._engines,
                "feedback": self._feedback,
                "budget": lambda _fields: self.budget(),
                "detectors": lambda _fields: self._jobs.detecting(),
            },
            {"detect": self._detect, "replay": self._replay},
            self._long_work,
        )

    def stop(self) -> None:
        """Give up what takes minutes: no listener is to wait for it."""
        self._long_work.stop()

    def _forget(self, fields: dict[str, Any]) -> dict[str, int]:
        self._parts.folder.catch_up()
        execution_id = str(fields["execution_id"])
        erased = forget_everywhere(self._parts.store, self._parts.state, execution_id)
        self._parts.collector.desk.forget(execution_id)
        return {"events": erased}

    def _engines(self, _fields: dict[str, Any]) -> dict[str, str]:
        """Why the last look at each polled engine failed; empty: it did not."""
        return {polling.name: polling.problem for polling in self._parts.pollings}

    def _pull(self, fields: dict[str, Any]) -> dict[str, Any]:
        ours = "the configuration with which the serve began (restart it where that has changed)"
        looked = chosen(self._parts.pollings, str(fields["engine"]), ours).look()
        self._parts.folder.catch_up()
        return looked._asdict()

    def _feedback(self, fields: dict[str, Any]) -> dict[str, Any]:
        return judged(self._parts.state, fields, "command line", self._parts.clock.now())

    def budget(self) -> list[dict[str, Any]]:
        """See `budget_rows`."""
        return budget_rows(
            self._parts.state, self._parts.settings.detectors, self._parts.clock.now()
        )

    def _detect(self, fields: dict[str, Any], go_on: GoOn) -> list[dict[str, Any]]:
        self._parts.folder.catch_up()
        now = self._parts.clock.now()
        at = parse_time(str(fields["at"]), now)
        only = fields.get("only")
        if only is not None and not isinstance(only, list):
            raise InputError("only: must be a list of detector ids")
        found = replaying.detect_at(
            self._parts.store,
            at,
            self._parts.settings.detectors,
            only,
            now=now,
            retention_s=self._parts.settings.store.retention.events,
            go_on=go_on,
        )
        return [finding_to_json(finding) for finding in found]

    def _replay(self, fields: dict[str, Any], go_on: GoOn) -> dict[str, Any]:
        self._parts.folder.catch_up()
        now = self._parts.clock.now()
        return replayed(
            self._parts.store, self._parts.settings, now, fields, lambda _share: go_on()
        )

    def _catch_up(self, fields: dict[str, Any]) -> dict[str, bool]:
        self._parts.folder.catch_up()
        self._jobs.statistics()
        if fields.get("learn"):
            self._jobs.learn_soon()
        return {"folded": True}
