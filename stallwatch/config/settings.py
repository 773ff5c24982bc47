"""`stallwatch.toml`: every section, every key, checked whole at start. See `stallwatch.example.toml`."""

from fnmatch import fnmatchcase
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    field_validator,
    model_validator,
)

from stallwatch.config.alerts import AlertsConfig
from stallwatch.config.environment import default_data_folder
from stallwatch.errors import InputError
from stallwatch.model.durations import format_duration, parse_duration_s
from stallwatch.model.events import WAITS
from stallwatch.model.findings import DETECTOR_IDS, Severity


def _duration(value: object) -> float:
    try:
        return parse_duration_s(value)
    except InputError as error:
        raise ValueError(str(error)) from None


def _address(value: str) -> str:
    host, separator, port = value.rpartition(":")
    if not separator or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"write host:port, not {value!r}")
    return value


def _detector(value: str) -> str:
    if value not in DETECTOR_IDS:
        raise ValueError(f"there is no detector {value!r}; there are {', '.join(DETECTOR_IDS)}")
    return value


DurationS = Annotated[
    float, BeforeValidator(_duration), PlainSerializer(format_duration, return_type=str)
]
Address = Annotated[str, AfterValidator(_address)]
DetectorId = Annotated[str, AfterValidator(_detector)]
SENDER_LIMIT_MIB: Final = 1024 * 1024


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Retention(Section):
    """How long rows are kept. Open executions never expire."""

    spans: DurationS = 7 * 86400.0
    events: DurationS = 30 * 86400.0
    closed: DurationS = 90 * 86400.0
    statistics: DurationS = 400 * 86400.0


class StoreConfig(Section):
    url: str = Field(default_factory=lambda: f"chdb://{default_data_folder()}")
    cluster: str = ""
    state: Path | None = None
    retention: Retention = Retention()

    @field_validator("cluster")
    @classmethod
    def _no_cluster_yet(cls, value: str) -> str:
        if value:
            raise ValueError("clusters are not supported yet; leave it empty")
        return value


class CollectorConfig(Section):
    otlp_http: Address = "127.0.0.1:4318"
    otlp_grpc: Address = "127.0.0.1:4317"
    batch_ms: Annotated[int, Field(ge=0, le=10_000)] = 100
    max_body_bytes: Annotated[int, Field(ge=1024)] = 16 * SENDER_LIMIT_MIB
    max_inflated_bytes: Annotated[int, Field(ge=1024)] = 64 * SENDER_LIMIT_MIB
    max_pending_bytes: Annotated[int, Field(ge=1024)] = 256 * SENDER_LIMIT_MIB
    generic_services: tuple[str, ...] = ()
    redact: tuple[str, ...] = ()


class WebConfig(Section):
    listen: Address = "127.0.0.1:8900"
    insecure: bool = False


class Policy(Section):
    """What is normal for the workflows and steps that the globs name. The last policy that says something counts."""

    workflow: str = "*"
    step: str = "*"
    engine: str = "*"
    namespace: str = "*"
    on_failure: Literal["always", "unusual", "never"] | None = None
    max_wait: DurationS | None = None
    max_duration: DurationS | None = None
    waiting_on: str | None = None
    severity: Severity | None = None
    enabled: bool | None = None

    @field_validator("waiting_on")
    @classmethod
    def _known_wait(cls, value: str | None) -> str | None:
        if value is not None and value not in WAITS:
            raise ValueError(f"must be one of {', '.join(sorted(WAITS))}")
        return value

    def matches(self, namespace: str, engine: str, workflow: str, step: str) -> bool:
        """Whether the globs take in this place (case counts)."""
        return (
            fnmatchcase(namespace, self.namespace)
            and fnmatchcase(engine, self.engine)
            and fnmatchcase(workflow, self.workflow)
            and fnmatchcase(step, self.step)
        )


class DetectorsConfig(Section):
    false_alarms_per_week: Annotated[float, Field(gt=0, le=10_000)] = 1.0
    gap_confirm: DurationS = 600.0
    point_finding_ttl: DurationS = 3600.0
    enabled: tuple[DetectorId, ...] = ()
    disabled: tuple[DetectorId, ...] = ()
    policy: tuple[Policy, ...] = ()

    @model_validator(mode="after")
    def _one_list(self) -> Self:
        if self.enabled and self.disabled:
            raise ValueError("set enabled (only these) or disabled (all but these), not both")
        return self

    def wants(self, detector: str) -> bool:
        """Whether the detector runs at all."""
        return detector in self.enabled if self.enabled else detector not in self.disabled

    def policy_for(
        self,
        setting: str,
        namespace: str = "",
        engine: str = "",
        workflow: str = "",
        step: str = "",
    ) -> Any:
        """The value that the last matching policy gives a setting, or None."""
        value = None
        for policy in self.policy:
            said = getattr(policy, setting)
            if said is not None and policy.matches(namespace, engine, workflow, step):
                value = said
        return value


class ReportConfig(Section):
    """The weekly timeout tuning report."""

    cron: str = "0 8 * * MON"
    timezone: str = "UTC"
    to: tuple[str, ...] = ()
    buffer: Annotated[float, Field(ge=0.2, le=0.5)] = 0.3


class TelemetryConfig(Section):
    """What Stallwatch says of itself. Metrics are always at /metrics."""

    otlp_endpoint: str = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "text"] = "json"


class Settings(Section):
    """The whole configuration."""

    store: StoreConfig = StoreConfig()
    collector: CollectorConfig = CollectorConfig()
    web: WebConfig = WebConfig()
    detectors: DetectorsConfig = DetectorsConfig()
    alerts: AlertsConfig = AlertsConfig()
    report: ReportConfig = ReportConfig()
    telemetry: TelemetryConfig = TelemetryConfig()

    @model_validator(mode="after")
    def _report_receivers(self) -> Self:
        known = [receiver.name for receiver in self.alerts.receivers]
        for name in self.report.to:
            if name not in known:
                raise ValueError(
                    f"report.to: there is no receiver {name!r}; there are {', '.join(known)}"
                )
        return self

    @model_validator(mode="after")
    def _loopback(self) -> Self:
        for key, address in (
            ("collector.otlp_http", self.collector.otlp_http),
            ("collector.otlp_grpc", self.collector.otlp_grpc),
            ("web.listen", self.web.listen),
        ):
            if not is_loopback(address) and not self.web.insecure:
                raise ValueError(
                    f"{key} = {address!r} can be reached from other machines and nothing protects it: "
                    "bind it to 127.0.0.1, or set web.insecure = true behind a proxy that does"
                )
        return self


def is_loopback(address: str) -> bool:
    """Whether `host:port` can be reached from this machine only."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
