"""`stallwatch.toml`: every section, every key, checked whole at start. See `stallwatch.example.toml`."""

from fnmatch import fnmatchcase
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    field_validator,
    model_validator,
)

from stallwatch.config.alerts import AlertsConfig
from stallwatch.config.engines import EnginesConfig
from stallwatch.config.environment import default_data_folder
from stallwatch.config.fields import Address, DurationS, OptionalFile, Section, StoreUrl
from stallwatch.model.events import WAITS
from stallwatch.model.findings import DETECTOR_IDS, Severity


def _detector(value: str) -> str:
    if value not in DETECTOR_IDS:
        raise ValueError(f"there is no detector {value!r}; there are {', '.join(DETECTOR_IDS)}")
    return value


DetectorId = Annotated[str, AfterValidator(_detector)]
SENDER_LIMIT_MIB: Final = 1024 * 1024


class Retention(Section):
    """How long rows are kept. Open executions never expire."""

    spans: DurationS = 7 * 86400.0
    events: DurationS = 30 * 86400.0
    closed: DurationS = 90 * 86400.0
    statistics: DurationS = 400 * 86400.0


class StoreConfig(Section):
    url: StoreUrl = Field(default_factory=lambda: f"chdb://{default_data_folder()}")
    cluster: str = ""
    state: Path | None = None
    retention: Retention = Retention()

    @field_validator("cluster")
    @classmethod
    def _no_cluster_yet(cls, value: str) -> str:
        if value:
            raise ValueError("clusters are not supported yet; leave it empty")
        return value


class Protected(Section):
    """What protects a listener: tokens, TLS, or both."""

    tokens_file: OptionalFile = None
    tls_cert: OptionalFile = None
    tls_key: OptionalFile = None
    tls_client_ca: OptionalFile = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together: set both or none")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("tls_client_ca needs tls_cert and tls_key")
        return self

    @property
    def has_protection(self) -> bool:
        """Whether not everybody who reaches the listener may speak to it unheard by others."""
        return self.tokens_file is not None or self.tls_cert is not None


class RedactRule(Section):
    """What is not stored as it came: attributes whose name a glob matches, values in which a pattern is found."""

    name: str = ""
    value: str = ""
    do: Literal["drop", "hash", "truncate"] = "drop"
    length: Annotated[int, Field(ge=1, le=1_000_000)] = 64

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: object) -> object:
        """A text alone is the glob of names whose values are dropped."""
        return {"name": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if not self.name and not self.value:
            raise ValueError("write name (a glob), value (a pattern) or both")
        if self.do != "truncate" and "length" in self.model_fields_set:
            raise ValueError('length: goes with do = "truncate" only')
        return self


class CollectorConfig(Protected):
    otlp_http: Address = "127.0.0.1:4318"
    otlp_grpc: Address = "127.0.0.1:4317"
    batch_ms: Annotated[int, Field(ge=0, le=10_000)] = 100
    max_body_bytes: Annotated[int, Field(ge=1024)] = 16 * SENDER_LIMIT_MIB
    max_inflated_bytes: Annotated[int, Field(ge=1024)] = 64 * SENDER_LIMIT_MIB
    max_pending_bytes: Annotated[int, Field(ge=1024)] = 256 * SENDER_LIMIT_MIB
    inflight_inserts: Annotated[int, Field(ge=1, le=16)] = 2
    repeat_window: DurationS = 300.0
    spool_max_bytes: Annotated[int, Field(ge=0)] = 1024 * SENDER_LIMIT_MIB
    spool_after: Annotated[DurationS, Field(gt=0)] = 5.0
    request_timeout: Annotated[DurationS, Field(gt=0)] = 30.0
    max_connections: Annotated[int, Field(ge=1, le=65_536)] = 1000
    max_attributes: Annotated[int, Field(ge=1)] = 128
    max_attribute_bytes: Annotated[int, Field(ge=16)] = 16 * 1024
    max_event_age: DurationS = 0.0
    max_future: Annotated[DurationS, Field(gt=0, le=86400)] = 86400.0
    max_names: Annotated[int, Field(ge=1)] = 10_000
    generic_services: tuple[str, ...] = ()
    redact: tuple[RedactRule, ...] = ()
    redact_defaults: bool = True
    redact_salt: str = ""


class WebConfig(Protected):
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
    engines: EnginesConfig = EnginesConfig()
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
    def _beyond_loopback(self) -> Self:
        for section, key, config in (
            ("collector", "otlp_http", self.collector),
            ("collector", "otlp_grpc", self.collector),
            ("web", "listen", self.web),
        ):
            address = getattr(config, key)
            if is_loopback(address) or config.has_protection or self.web.insecure:
                continue
            raise ValueError(
                f"{section}.{key} = {address!r} can be reached from other machines and nothing protects it: "
                f"set {section}.tokens_file, or {section}.tls_cert and {section}.tls_key, or bind it to 127.0.0.1, "
                "or set web.insecure = true behind something that protects it"
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
