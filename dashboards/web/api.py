"""JSON for programs under `/api/`: lists of objects with the public field names; errors as {"error": …}."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboards import reading
from dashboards.web.asked import FILTERS, filters_of
from dashboards.web.openapi import document
from stallwatch.clock import Clock
from stallwatch.model.findings_json import finding_to_json
from stallwatch.store import Store
from stallwatch.store.state import State

DAY_S: Final = 86400.0
Budget = Callable[[], list[dict[str, Any]]]


def api_routes(
    store: Store, state: State | None, clock: Clock, budget: Budget = list
) -> list[Route]:
    """The routes under `/api/` that only tell. `budget`: the rows of `/api/budget`."""

    def findings(request: Request) -> Any:
        filters = filters_of(request.query_params, clock.now(), FILTERS["findings"])
        return [finding_to_json(one) for one in reading.findings(state or store, filters)]

    def incidents(request: Request) -> Any:
        allowed = FILTERS["incidents"]
        return reading.incidents(store, filters_of(request.query_params, clock.now(), allowed))

    def executions(request: Request) -> Any:
        allowed = FILTERS["executions"]
        return reading.executions(store, filters_of(request.query_params, clock.now(), allowed))

    def execution(request: Request) -> Any:
        asked = request.query_params
        filters = filters_of(asked, clock.now(), FILTERS["execution"])
        found = reading.execution(
            store, request.path_params["execution_id"], asked.get("run", ""), filters
        )
        if not found:
            raise HTTPException(404, "there is no such execution")
        return found

    def steps(request: Request) -> Any:
        now = clock.now()
        filters = filters_of(request.query_params, now, FILTERS["steps"], since_s=DAY_S)
        return reading.steps(store, filters, now)

    def recommendations(request: Request) -> Any:
        allowed = FILTERS["recommendations"]
        filters = filters_of(request.query_params, clock.now(), allowed, limit=reading.LIMIT_MAX)
        return reading.recommendations(store, filters)

    def spent(request: Request) -> Any:
        filters_of(request.query_params, clock.now(), FILTERS["budget"])
        return budget()

    def openapi(request: Request) -> Any:
        return document()

    def unknown(request: Request) -> Any:
        raise HTTPException(404, f"there is no {request.url.path}")

    return [
        Route("/api/findings", _json(findings)),
        Route("/api/incidents", _json(incidents)),
        Route("/api/executions", _json(executions)),
        Route("/api/executions/{execution_id:anything}", _json(execution)),
        Route("/api/steps", _json(steps)),
        Route("/api/recommendations", _json(recommendations)),
        Route("/api/budget", _json(spent)),
        Route("/api/openapi.json", _json(openapi)),
        Route("/api/{rest:anything}", _json(unknown)),
    ]


def _json(answer: Callable[[Request], Any]) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:
        body = msgspec.json.encode(reading.plain(answer(request)))
        return Response(body, media_type="application/json")

    return endpoint
