"""Which receivers an incident goes to."""

from dataclasses import dataclass
from enum import StrEnum

from alerts.grouping import group_of
from stallwatch.config.alerts import AlertsConfig, Matcher, RouteConfig, parse_matcher
from stallwatch.model.findings import Incident, Status


class RouteReason(StrEnum):
    MATCHED = "matched"
    NO_ROUTE_MATCHED = "no_route_matched"


@dataclass(frozen=True)
class Routed:
    """A receiver's name, the pace at which it wants to be told, and why it was chosen."""

    receiver: str
    pace: RouteConfig
    reason: RouteReason


class Router:
    """The routes of one configuration, their matchers parsed once."""

    def __init__(self, config: AlertsConfig) -> None:
        self._fallback = RouteConfig(receiver=config.receivers[0].name)
        self._routes: list[tuple[RouteConfig, tuple[Matcher, ...]]] = [
            (route, tuple(parse_matcher(text) for text in route.matchers)) for route in config.route
        ]

    def receivers(self, incident: Incident) -> list[Routed]:
        """From the top, each receiver once; the first receiver of all when nothing matches.

        A route matches an incident when it matches one of its findings that is not over.
        """
        labels = labels_of(incident)
        found: dict[str, Routed] = {}
        for route, matchers in self._routes:
            if not any(all(matcher.matches(one) for matcher in matchers) for one in labels):
                continue
            if route.receiver not in found:
                found[route.receiver] = Routed(route.receiver, route, RouteReason.MATCHED)
            if not route.continue_:
                break
        if not found:
            return [Routed(self._fallback.receiver, self._fallback, RouteReason.NO_ROUTE_MATCHED)]
        return list(found.values())


def labels_of(incident: Incident) -> list[dict[str, str]]:
    """What matchers look at: the words of each of the incident's findings, and the incident's severity."""
    lasting = [one for one in incident.findings if one.status is not Status.RESOLVED]
    groups = {group_of(finding) for finding in lasting or incident.findings}
    return [{**group._asdict(), "severity": incident.severity.value} for group in sorted(groups)]
