# SPDX-License-Identifier: Apache-2.0
"""Define the settings as frozen models: every name, type, default and description, once.

Input: validated values. Output: read-only attributes. Environment, files and flags are read by ``load``, not here.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from celery_redis_exporter.catalog import CATALOG, Kind
from celery_redis_exporter.errors import suggest
from celery_redis_exporter.settings.schema import values as v
from celery_redis_exporter.settings.schema.celery import (
    CeleryOptions,
    EventOptions,
    QueueOptions,
    SeriesOptions,
    TrackingOptions,
    WorkerOptions,
)
from celery_redis_exporter.settings.schema.names import MetricOptions, NamesOptions
from celery_redis_exporter.settings.schema.redis import RedisOptions
from celery_redis_exporter.settings.schema.tasks import TASKS_HELP, RedBeatOptions, TasksByName
from celery_redis_exporter.settings.schema.transport import ResultTransportOptions, TransportOptions
from celery_redis_exporter.settings.schema.values import SettingsGroup

HISTOGRAMS = tuple(metric.name for metric in CATALOG.values() if metric.kind is Kind.HISTOGRAM and metric.buckets)


def _check_buckets(buckets: Mapping[str, tuple[float, ...]]) -> Mapping[str, tuple[float, ...]]:
    for name, bounds in buckets.items():
        if name not in HISTOGRAMS:
            raise ValueError(f"has no histogram {name!r}{suggest(name, HISTOGRAMS)}")
        if not v.are_rising(bounds):
            raise ValueError(f"needs for {name} upper bounds above 0 in rising order, without +Inf")
    return buckets


Bounds = Annotated[tuple[float, ...], BeforeValidator(v.parse_list)]
BucketsByMetric = Annotated[dict[str, Bounds], BeforeValidator(v.parse_object), AfterValidator(_check_buckets)]


class ScrapeOptions(SettingsGroup):
    """Reads that a scrape causes."""

    deadline: v.PositiveSeconds = Field(
        2, description="Time within which a scrape is answered, even if a server hangs."
    )
    freshness: v.Seconds = Field(1, description="Age up to which Redis values are served again.")


class WebConfigOptions(SettingsGroup):
    """Where the security of the HTTP side comes from."""

    file: str | None = Field(None, description="YAML file with TLS and users, as for every Prometheus exporter.")


class WebOptions(SettingsGroup):
    """The HTTP side."""

    listen_address: v.ListenAddress = Field(":9808", description="Address to listen on, HOST:PORT or unix:PATH.")
    systemd_socket: bool = Field(default=False, description="Listen on the sockets of systemd's socket activation.")
    telemetry_path: v.TelemetryPath = Field("/metrics", description="Path of the metrics.")
    open_health: bool = Field(default=False, description="Require no password at /-/healthy.")
    config: WebConfigOptions = WebConfigOptions()


class StateOptions(SettingsGroup):
    """What is kept over a restart."""

    file: str | None = Field(
        None,
        description="File that keeps counters over a clean restart, and workers, queues and time stamps over any; "
        "its directory must exist.",
    )
    interval: v.Interval = Field(60, description="Time between writes of that file; 0 writes it at a clean stop only.")


class StatusOptions(SettingsGroup):
    """The status page, ``top`` and /api/v1/status."""

    failures: v.FailureCount = Field(
        0, description="Last failures to show: task, exception class, worker, time, task id; 0 keeps none."
    )


class LogOptions(SettingsGroup):
    """Logs on standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(v.lower)] = Field(
        "info", description="Lowest level logged: debug, info, warning or error."
    )
    format: Annotated[Literal["auto", "json", "console"], BeforeValidator(v.lower)] = Field(
        "auto", description="json, console, or auto: console on a terminal, else json."
    )


class ConfigOptions(SettingsGroup):
    """Where the settings come from."""

    file: str | None = Field(None, description="YAML file with settings.")


class Declared(BaseSettings):
    """Everything that can be set."""

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
    buckets: BucketsByMetric = Field(
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
    state: StateOptions = StateOptions()
    status: StatusOptions = StatusOptions()
    log: LogOptions = LogOptions()
    config: ConfigOptions = ConfigOptions()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 -- the signature is pydantic-settings' own
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from the constructor only. ``load`` reads flags, environment and file, and explains errors."""
        return (init_settings,)
