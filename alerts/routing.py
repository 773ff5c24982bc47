"""Which receivers an incident goes to."""

from dataclasses import dataclass
from enum import StrEnum

from alerts.grouping import key_of
from stallwatch.config.alerts import AlertsConfig, Matcher, RouteConfig, parse_matcher
from stallwatch.model.findings import Incident


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
        """From the top, each receiver once; the first receiver of all when nothing matches."""
        labels = labels_of(incident)
        found: dict[str, Routed] = {}
        for route, matchers in self._routes:
            if not all(matcher.matches(labels) for matcher in matchers):
                continue
            if route.receiver not in found:
                found[route.receiver] = Routed(route.receiver, route, RouteReason.MATCHED)
            if not route.continue_:
                break
        if not found:
            return [Routed(self._fallback.receiver, self._fallback, RouteReason.NO_ROUTE_MATCHED)]
        return list(found.values())


def labels_of(incident: Incident) -> dict[str, str]:
    """What matchers look at: the words that the incident's findings share, and its severity."""
    return {**key_of(incident.findings[0])._asdict(), "severity": incident.severity.value}
