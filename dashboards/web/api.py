"""JSON for programs under `/api/`: lists of objects with the public field names; errors as {"error": …}."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboards import reading
from dashboards.web.asked import filters_of
from stallwatch.clock import Clock
from stallwatch.model.findings_json import finding_to_json
from stallwatch.store import Store
from stallwatch.store.state import State

PLACE: Final = ("namespace", "engine", "workflow", "step")
PERIOD: Final = ("since", "until")
DAY_S: Final = 86400.0


def api_routes(store: Store, state: State | None, clock: Clock) -> list[Route]:
    """The routes under `/api/`."""

    def findings(request: Request) -> Any:
        allowed = ("detector", "status", *PLACE)
        filters = filters_of(request.query_params, clock.now(), allowed)
        return [finding_to_json(one) for one in reading.findings(state or store, filters)]

    def incidents(request: Request) -> Any:
        allowed = ("status", *PERIOD, "limit")
        return reading.incidents(store, filters_of(request.query_params, clock.now(), allowed))

    def executions(request: Request) -> Any:
        allowed = (*PLACE, "status", *PERIOD, "limit")
        return reading.executions(store, filters_of(request.query_params, clock.now(), allowed))

    def execution(request: Request) -> Any:
        asked = request.query_params
        filters_of(asked, clock.now(), ("run", "namespace", "engine"))
        found = reading.execution(
            store,
            request.path_params["execution_id"],
            *(asked.get(name, "") for name in ("run", "namespace", "engine")),
        )
        if not found:
            raise HTTPException(404, "there is no such execution")
        return found

    def steps(request: Request) -> Any:
        now = clock.now()
        filters = filters_of(request.query_params, now, (*PLACE, *PERIOD), since_s=DAY_S)
        return reading.steps(store, filters, now)

    def recommendations(request: Request) -> Any:
        allowed = (*PLACE, "limit")
        filters = filters_of(request.query_params, clock.now(), allowed, limit=reading.LIMIT_MAX)
        return reading.recommendations(store, filters)

    def unknown(request: Request) -> Any:
        raise HTTPException(404, f"there is no {request.url.path}")

    return [
        Route("/api/findings", _json(findings)),
        Route("/api/incidents", _json(incidents)),
        Route("/api/executions", _json(executions)),
        Route("/api/executions/{execution_id:path}", _json(execution)),
        Route("/api/steps", _json(steps)),
        Route("/api/recommendations", _json(recommendations)),
        Route("/api/{rest:path}", _json(unknown)),
    ]


def _json(answer: Callable[[Request], Any]) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:
        body = msgspec.json.encode(reading.plain(answer(request)))
        return Response(body, media_type="application/json")

    return endpoint
