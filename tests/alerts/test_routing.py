from dataclasses import replace
from typing import Any

from alerts.routing import Router, RouteReason
from stallwatch.config.alerts import AlertsConfig
from stallwatch.model.findings import Incident, Severity
from tests.alerts.helpers import finding, incident


def router(*routes: dict[str, Any]) -> Router:
    named = ("first", "oncall", "team")
    receivers: list[dict[str, Any]] = [{"name": one, "console_configs": [{}]} for one in named]
    return Router(AlertsConfig.model_validate({"receivers": receivers, "route": list(routes)}))


def names(routes: Router, one: Incident) -> list[str]:
    return [routed.receiver for routed in routes.receivers(one)]


def test_the_first_route_that_matches_ends_the_search() -> None:
    routes = router(
        {"receiver": "oncall", "matchers": ["severity=critical"]},
        {"receiver": "team", "matchers": ['workflow=~"ord.*"', "step!=ship"]},
    )
    assert names(routes, incident(finding(severity=Severity.CRITICAL))) == ["oncall"]
    assert names(routes, incident(finding())) == ["team"]


def test_continue_goes_on_and_names_each_receiver_once() -> None:
    routes = router(
        {"receiver": "oncall", "continue": True, "repeat_interval": "1h"},
        {"receiver": "oncall", "continue": True},
        {"receiver": "team"},
    )
    routed = routes.receivers(incident())
    assert [one.receiver for one in routed] == ["oncall", "team"]
    assert routed[0].pace.repeat_interval == 3600


def test_what_no_route_matches_goes_to_the_first_receiver() -> None:
    routes = router({"receiver": "oncall", "matchers": ["detector=retry_storm"]})
    (routed,) = routes.receivers(incident())
    assert (routed.receiver, routed.reason) == ("first", RouteReason.NO_ROUTE_MATCHED)
    assert routed.pace.repeat_interval == 4 * 3600


def test_all_matchers_of_a_route_must_match_the_whole_label() -> None:
    routes = router({"receiver": "oncall", "matchers": ["workflow=~ord", "engine=temporal"]})
    assert names(routes, incident()) == ["first"]
    other = replace(finding(), engine="dbos")
    routes = router({"receiver": "oncall", "matchers": ["workflow=~ord.*", "engine!~temp.*"]})
    assert names(routes, incident()) == ["first"]
    assert names(routes, incident(other)) == ["oncall"]
