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
from exporter.settings.broker_urls import KombuTarget, parse_broker_url, parse_result_url
from exporter.settings.group import Group
from exporter.settings.names import MetricOptions, NamesOptions
from exporter.settings.nearest import suggest
from exporter.settings.tasks import TASKS_HELP, RedBeatOptions, TasksByName
from exporter.settings.transport import ResultTransportOptions, TransportOptions
from exporter.settings.urls import RedisTarget, secrets_of
from exporter.web_config import WebConfig

HISTOGRAMS = tuple(metric.name for metric in CATALOG.values() if metric.kind is Kind.HISTOGRAM)


def _check_buckets(buckets: Mapping[str, tuple[float, ...]]) -> Mapping[str, tuple[float, ...]]:
    for name, bounds in buckets.items():
        if name not in HISTOGRAMS:
            raise ValueError(f"has no histogram {name!r}{suggest(name, HISTOGRAMS)}")
        if not v.are_rising(bounds):
            raise ValueError(f"needs for {name} upper bounds above 0 in rising order, without +Inf")
    return buckets


Bounds = Annotated[tuple[float, ...], BeforeValidator(v.parse_list)]
Buckets = Annotated[dict[str, Bounds], BeforeValidator(v.parse_object), AfterValidator(_check_buckets)]


class EventOptions(Group):
    """The event stream."""

    idle_timeout: v.PositiveSeconds = Field(10, description="Silence after which the connection is tested.")
    exemplars: bool = Field(default=True, description="Attach task ids as exemplars in OpenMetrics.")
    queue_ttl: v.PositiveSeconds = Field(
        60, description="On RabbitMQ: time for which events wait for an exporter that does not keep up."
    )
    queue_max_length: v.Count = Field(
        100_000, description="On RabbitMQ: events that may wait for it; the oldest go beyond that."
    )


class CeleryOptions(Group):
    """What workers are asked and told, the one thing that writes to the broker."""

    inspect_interval: v.Interval = Field(60, description="Time between questions to all workers; 0 asks nobody.")
    inspect_timeout: v.Patience = Field(5, description="Time for their answers; up to 50 workers are asked at once.")
    inspect_max_bytes: v.Count = Field(4_194_304, description="Largest answer that is read; larger ones are skipped.")
    enable_events: bool = Field(
        default=False, description="Tell workers that send no task events to send them, once a minute at most."
    )


class QueueOptions(Group):
    """Queues read from the broker."""

    names: v.Names = Field((), description="Queues to show from the start, besides those found.")
    discovery_interval: v.Seconds = Field(60, description="Time between searches for queues; 0 turns them off.")
    discovery_max_keys: v.Count = Field(200_000, description="Keys that one search looks at.")
    oldest_message: bool = Field(default=True, description="Read the age of each queue's oldest message.")
    max: v.Count = Field(1000, description="Queues shown; further ones are counted as dropped.")


class WorkerOptions(Group):
    """Workers known from their events."""

    lost_after: v.PositiveSeconds = Field(30, description="Silence after which a worker counts as lost.")
    lost_after_by_worker: v.SecondsByPattern = Field(
        default_factory=dict, description="The same by worker name pattern, as in solo@*=10m."
    )
    retention: v.Seconds = Field(3600, description="Time for which a lost or stopped worker is remembered.")
    max: v.Count = Field(10_000, description="Workers held.")


class SeriesOptions(Group):
    """Bounds of the series held in memory."""

    max_per_metric: v.Count = Field(20_000, description="Series per metric; the rest is folded into __overflow__.")
    ttl: v.PositiveSeconds = Field(86_400, description="Time without an event after which a task's series go.")
    exceptions_per_task: v.Count = Field(50, description="Exception classes told apart per task.")
    zero_first: v.Seconds = Field(
        30, description="Time for which a new counter is shown as 0; at least the scrape interval; 0 for none."
    )


class TrackingOptions(Group):
    """Tasks in flight, held to join their events."""

    max_tasks: v.Count = Field(200_000, description="Tasks held.")
    max_age: v.PositiveSeconds = Field(172_800, description="Time after which an unfinished task is forgotten.")


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
    config: WebConfigOptions = WebConfigOptions()

    @property
    def host(self) -> str:
        """The host to listen on, without brackets; empty for all addresses."""
        return self.listen_address.rpartition(":")[0].removeprefix("[").removesuffix("]")

    @property
    def port(self) -> int:
        """The port to listen on; 0 lets the system choose."""
        return int(self.listen_address.rpartition(":")[2])


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
    result_backend_url: v.RedisUrl | None = Field(None, description="Celery's result backend, if it is Redis.")
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
    tracking: TrackingOptions = TrackingOptions()
    scrape: ScrapeOptions = ScrapeOptions()
    names: NamesOptions = NamesOptions()
    metrics: MetricOptions = MetricOptions()
    web: WebOptions = WebOptions()
    log: LogOptions = LogOptions()
    config: ConfigOptions = ConfigOptions()
    _notes: tuple[str, ...] = PrivateAttr(default=())
    _foreign: Mapping[str, Any] = PrivateAttr(default_factory=dict)
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
        """The Redis servers to read: ``broker``, if it is one, and ``results`` where it is another server."""
        broker = self.broker
        brokers = (broker,) if isinstance(broker, RedisTarget) else ()
        if self.result_backend_url is None:
            return brokers
        results = parse_result_url("results", self.result_backend_url.get_secret_value())
        return brokers if self._is_broker(results) else (*brokers, results)

    @property
    def targets(self) -> tuple[RedisTarget | KombuTarget, ...]:
        """Every server, the broker first."""
        broker = self.broker
        return (broker, *(target for target in self.redis_targets if target.name != broker.name))

    def _is_broker(self, results: RedisTarget) -> bool:
        """Whether the result backend is the broker's server; the same sentinels may know several."""
        broker = self.broker
        if not isinstance(broker, RedisTarget) or broker.server_key != results.server_key:
            return False
        names = (self.broker_transport_options.master_name, self.result_backend_transport_options.master_name)
        return not results.sentinels or names[0] == names[1]

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every text that must never be shown, for the log's filter."""
        urls = [self.broker_url, *([self.result_backend_url] if self.result_backend_url else [])]
        found = {secret for url in urls for secret in secrets_of(url.get_secret_value())}
        groups = (self.broker_transport_options, self.result_backend_transport_options)
        found |= {group.sentinel_kwargs.password.get_secret_value() for group in groups} - {""}
        return tuple(sorted(found | set(self._web_config.users.values())))
