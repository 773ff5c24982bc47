"""Calls of the Step Functions API: credentials, pace, and errors in plain words."""

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from collector.engines.stepfunctions.aws_errors import translated
from stallwatch.clock import Clock
from stallwatch.config.engines.stepfunctions import StepFunctionsConfig
from stallwatch.errors import ConfigError, Transient

if TYPE_CHECKING:
    import botocore.session

_SESSION_NAME: Final = "stallwatch"
_CONNECT_TIMEOUT_S: Final = 5
_READ_TIMEOUT_S: Final = 30
_ATTEMPTS: Final = 3
_PAGE: Final = 1000
"""The most items that AWS gives in a page."""
KEY: Final = "engines.stepfunctions"


class Pace:
    """A budget: no more than so many calls a second."""

    def __init__(self, calls_per_s: float, clock: Clock, closing: threading.Event) -> None:
        self._between_s = 1.0 / calls_per_s
        self._clock = clock
        self._closing = closing
        self._next_s = clock.monotonic_s()
        self.calls = 0

    def wait(self) -> None:
        """Wait for the turn of a call. Raises Transient when it is over."""
        now_s = self._clock.monotonic_s()
        if now_s < self._next_s and self._clock.wait(self._closing, self._next_s - now_s):
            raise Transient("Step Functions is not asked any more: it is being shut down")
        self._next_s = max(now_s, self._next_s) + self._between_s
        self.calls += 1


class Api:
    """The Step Functions API of one region. Answers are as JSON: times are RFC 3339 texts."""

    def __init__(self, client: Any, region: str, pace: Pace) -> None:
        self.region = region
        self._client = client
        self.pace = pace

    def call(self, action: str, **parameters: Any) -> dict[str, Any]:
        """`action` is boto3's name. Raises Transient, Permanent and those of aws_errors."""
        self.pace.wait()
        with translated(action):
            answer = getattr(self._client, action)(**parameters)
        answer.pop("ResponseMetadata", None)
        plain = as_json(answer)
        assert isinstance(plain, dict)
        return plain

    def pages(self, action: str, items: str, **parameters: Any) -> Iterator[list[dict[str, Any]]]:
        """The lists called `items` of an answer's pages."""
        parameters = {"maxResults": _PAGE, **parameters}
        while True:
            page = self.call(action, **parameters)
            if items not in page:
                raise Transient(f"what answers {action} at that endpoint is not AWS")
            yield page[items]
            if not page.get("nextToken"):
                return
            parameters["nextToken"] = page["nextToken"]

    def close(self) -> None:
        self._client.close()


def apis(config: StepFunctionsConfig, pace: Pace) -> list[Api]:
    """One for each region. Raises ConfigError in plain words."""
    try:
        import botocore.session
        from botocore.config import Config
        from botocore.exceptions import NoRegionError, ProfileNotFound
    except ImportError:
        raise ConfigError(f"{KEY}: asking AWS needs boto3: pip install 'stallwatch[aws]'") from None
    settings = Config(
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_READ_TIMEOUT_S,
        retries={"mode": "adaptive", "total_max_attempts": _ATTEMPTS},
        user_agent_extra=_SESSION_NAME,
    )
    try:
        session = botocore.session.Session(profile=config.profile or None)
        if config.role_arn:
            session = _assuming(session, config)
        return [
            Api(
                session.create_client(
                    "stepfunctions",
                    region_name=region,
                    endpoint_url=config.endpoint_url or None,
                    config=settings,
                ),
                region or str(session.get_config_variable("region")),
                pace,
            )
            for region in config.regions or (None,)
        ]
    except ProfileNotFound:
        raise ConfigError(f"{KEY}.profile: there is no profile {config.profile!r}") from None
    except NoRegionError:
        raise ConfigError(f"{KEY}.regions: name a region, here or in AWS_DEFAULT_REGION") from None
    except ValueError as error:
        # An endpoint or a region that makes no host name.
        raise ConfigError(f"{KEY}: {error}") from None


def _assuming(
    source: "botocore.session.Session", config: StepFunctionsConfig
) -> "botocore.session.Session":
    """A session with the credentials of a role, which are renewed before they expire."""
    import botocore.session
    from botocore.credentials import (
        AssumeRoleCredentialFetcher,
        CredentialProvider,
        CredentialResolver,
        DeferredRefreshableCredentials,
    )

    extra = {"RoleSessionName": _SESSION_NAME}
    if config.external_id:
        extra["ExternalId"] = config.external_id
    credentials = source.get_credentials()
    if credentials is None:
        raise ConfigError(f"{KEY}.role_arn: there are no AWS credentials to assume the role with")
    region = (config.regions or (source.get_config_variable("region"),))[0]
    fetcher = AssumeRoleCredentialFetcher(
        _in_region(source.create_client, region), credentials, config.role_arn, extra
    )

    class Assumed(CredentialProvider):
        METHOD = "assume-role"

        def load(self) -> DeferredRefreshableCredentials:
            return DeferredRefreshableCredentials(fetcher.fetch_credentials, self.METHOD)

    session = botocore.session.Session(profile=config.profile or None)
    session.register_component("credential_provider", CredentialResolver([Assumed()]))
    return session


def _in_region(create: Callable[..., Any], region: str | None) -> Callable[..., Any]:
    """STS answers in any region; the one that is asked anyway can be reached."""
    return lambda service, **parameters: create(service, region_name=region, **parameters)


def as_json(value: Any) -> Any:
    """What boto3 gives, without its datetimes."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Mapping):
        return {key: as_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_json(inner) for inner in value]
    return value
