"""The settings as frozen models: every name, type, default and description, once.

Takes validated values, gives read-only attributes. Never reads the environment, files or flags: ``load`` does.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from exporter.catalog import CATALOG, Kind
from exporter.settings import values as v
from exporter.settings.broker_urls import KombuTarget, parse_broker_url
from exporter.settings.celery import (
    CeleryOptions,
    EventOptions,
    QueueOptions,
    SeriesOptions,
    TrackingOptions,
    WorkerOptions,
)
from exporter.settings.credentials import PasswordFile, UrlFile
from exporter.settings.group import Group
from exporter.settings.names import MetricOptions, NamesOptions
from exporter.settings.nearest import suggest
from exporter.settings.redis import RedisOptions
from exporter.settings.targets import find_option_secrets, find_redis_targets, find_secrets
from exporter.settings.tasks import TASKS_HELP, RedBeatOptions, TasksByName
from exporter.settings.transport import ResultTransportOptions, TransportOptions
from exporter.settings.urls import RedisTarget
from exporter.web_config import WebConfig

HISTOGRAMS = tuple(metric.name for metric in CATALOG.values() if metric.kind is Kind.HISTOGRAM and metric.buckets)


def _check_buckets(buckets: Mapping[str, tuple[float, ...]]) -> Mapping[str, tuple[float, ...]]:
    for name, bounds in buckets.items():
        if name not in HISTOGRAMS:
            raise ValueError(f"has no histogram {name!r}{suggest(name, HISTOGRAMS)}")
        if not v.are_rising(bounds):
            raise ValueError(f"needs for {name} upper bounds above 0 in rising order, without +Inf")
    return buckets


Bounds = Annotated[tuple[float, ...], BeforeValidator(v.parse_list)]
Buckets = Annotated[dict[str, Bounds], BeforeValidator(v.parse_object), AfterValidator(_check_buckets)]


class ScrapeOptions(Group):
    """Reads that a scrape causes."""

    deadline: v.PositiveSeconds = Field(2, description="Time within which a scrape is answered, whatever hangs.")
    freshness: v.Seconds = Field(1, description="Age up to which Redis values are served again.")


class WebConfigOptions(Group):
    """Where the security of the HTTP side comes from."""

    file: str | None = Field(None, description="YAML file with TLS and users, as for every Prometheus exporter.")


class WebOptions(Group):
    """The HTTP side."""

    listen_address: v.ListenAddress = Field(":9808", description="Address to listen on, HOST:PORT.")
    telemetry_path: v.TelemetryPath = Field("/metrics", description="Path of the metrics.")
    open_health: bool = Field(default=False, description="Ask nobody for a password at /-/healthy.")
    config: WebConfigOptions = WebConfigOptions()

    @property
    def host(self) -> str:
        """The host to listen on, without brackets; empty for all addresses."""
        return self.listen_address.rpartition(":")[0].removeprefix("[").removesuffix("]")

    @property
    def port(self) -> int:
        """The port to listen on; 0 lets the system choose."""
        return int(self.listen_address.rpartition(":")[2])


class StatusOptions(Group):
    """The status page, ``top`` and /api/v1/status."""

    failures: v.Failures = Field(
        0, description="Last failures to show: task, exception class, worker, time, task id; 0 keeps none."
    )


class LogOptions(Group):
    """Logs on standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(v.lower)] = Field(
        "info", description="Lowest level logged: debug, info, warning or error."
    )
    format: Annotated[Literal["auto", "json", "console"], BeforeValidator(v.lower)] = Field(
        "auto", description="json, console, or auto: console on a terminal, else json."
    )


class ConfigOptions(Group):
    """Where the settings come from."""

    file: str | None = Field(None, description="YAML file with settings.")


class Settings(BaseSettings):
    """Everything that can be set; frozen. Its repr shows no secret.

    ``notes`` are facts about the configuration that are worth a log line; ``web_config`` is what the file
    ``web.config.file`` says.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, enable_decoding=False)

    broker_url: v.BrokerUrl = Field(
        SecretStr("redis://localhost:6379/0"),
        description="Celery's broker: redis://, rediss://, unix://, sentinel://, amqp:// or amqps://.",
    )
    broker_password_file: str | None = Field(
        None, description="File with the broker's Redis password, read for each connection."
    )
    result_backend_url: v.RedisUrl | None = Field(None, description="Celery's result backend, if it is Redis.")
    result_backend_password_file: str | None = Field(None, description="The same for the result backend.")
    broker_transport_options: TransportOptions = TransportOptions()
    result_backend_transport_options: ResultTransportOptions = ResultTransportOptions()
    event_exchange: str = Field("celeryev", min_length=1, description="Celery's event_exchange.")
    control_exchange: str = Field("celery", min_length=1, description="Celery's control_exchange.")
    events: EventOptions = EventOptions()
    celery: CeleryOptions = CeleryOptions()
    queues: QueueOptions = QueueOptions()
    workers: WorkerOptions = WorkerOptions()
    series: SeriesOptions = SeriesOptions()
    buckets: Buckets = Field(
        default_factory=dict, description='Histogram bounds by metric, as JSON: {"celery_task_wait_seconds": [1, 60]}.'
    )
    tasks: TasksByName = Field(default_factory=dict, description=TASKS_HELP)
    redbeat: RedBeatOptions = RedBeatOptions()
    redis: RedisOptions = RedisOptions()
    tracking: TrackingOptions = TrackingOptions()
    scrape: ScrapeOptions = ScrapeOptions()
    names: NamesOptions = NamesOptions()
    metrics: MetricOptions = MetricOptions()
    web: WebOptions = WebOptions()
    status: StatusOptions = StatusOptions()
    log: LogOptions = LogOptions()
    config: ConfigOptions = ConfigOptions()
    _notes: tuple[str, ...] = PrivateAttr(default=())
    _foreign: Mapping[str, Any] = PrivateAttr(default_factory=dict)
    _password_files: dict[str, PasswordFile] = PrivateAttr(default_factory=dict)
    _url_files: Mapping[str, UrlFile] = PrivateAttr(default_factory=dict)
    _web_config: WebConfig = PrivateAttr(default_factory=WebConfig)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 -- the signature is pydantic-settings' own
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from the constructor alone: ``load`` reads flags, environment and file, and names errors."""
        return (init_settings,)

    @property
    def notes(self) -> tuple[str, ...]:
        """Facts to log at the start, one sentence each, free of secrets."""
        return self._notes

    def noted(self, notes: tuple[str, ...]) -> Self:
        """Return the same settings with these notes."""
        copy = self.model_copy()
        copy._notes = notes  # noqa: SLF001 -- its own copy
        return copy

    @property
    def web_config(self) -> WebConfig:
        """What secures the HTTP side; nothing without ``web.config.file``."""
        return self._web_config

    def secured(self, web_config: WebConfig) -> Self:
        """Return the same settings with this web configuration."""
        copy = self.model_copy()
        copy._web_config = web_config  # noqa: SLF001 -- its own copy
        return copy

    @property
    def url_files(self) -> Mapping[str, UrlFile]:
        """Files that the URLs were read from, by setting."""
        return self._url_files

    def password_file(self, written: str, path: str | None) -> PasswordFile | None:
        """Give the file of a password, the same each time, so that what it held is known; None without a path."""
        return self._password_files.setdefault(written, PasswordFile(path, written)) if path else None

    def with_url_files(self, files: Mapping[str, UrlFile]) -> Self:
        """Return the same settings, whose users and passwords are read from these files again."""
        copy = self.model_copy()
        copy._url_files = files  # noqa: SLF001 -- its own copy
        return copy

    def with_foreign(self, options: Mapping[str, Any]) -> Self:
        """Return the same settings with transport options that only kombu itself may need."""
        copy = self.model_copy()
        copy._foreign = options  # noqa: SLF001 -- its own copy
        return copy

    @property
    def broker(self) -> RedisTarget | KombuTarget:
        """The broker."""
        target = parse_broker_url(self.broker_url.get_secret_value())
        return replace(target, options=self._foreign) if isinstance(target, KombuTarget) else target

    @property
    def redis_targets(self) -> tuple[RedisTarget, ...]:
        """The Redis servers, each once: ``broker``, if it is one, ``results`` and those of ``redis.servers``."""
        return find_redis_targets(self)

    @property
    def targets(self) -> tuple[RedisTarget | KombuTarget, ...]:
        """Every server, the broker first."""
        broker = self.broker
        return (broker, *(target for target in self.redis_targets if target.name != broker.name))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every text that must never be shown, for the log's filter; grows when a file's content changes."""
        hashes = set(self._web_config.users.values())
        return tuple(sorted(find_secrets(self) | find_option_secrets(self._foreign) | hashes))
