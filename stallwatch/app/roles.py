"""Which parts of the service one process runs."""

from enum import StrEnum

from stallwatch.errors import UsageError


class Role(StrEnum):
    COLLECTOR = "collector"
    DETECTORS = "detectors"
    ALERTS = "alerts"
    WEB = "web"


def parse_roles(text: str) -> frozenset[Role]:
    """`collector,detectors,alerts,web`, or some of them."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = {role.value for role in Role}
    for name in names:
        if name not in known:
            raise UsageError(
                f"--roles: there is no role {name!r}; there are {', '.join(sorted(known))}"
            )
    if not names:
        raise UsageError("--roles: name at least one role")
    return frozenset(Role(name) for name in names)
