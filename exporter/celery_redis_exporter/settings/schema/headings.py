# SPDX-License-Identifier: Apache-2.0
"""Headings for the settings, in the order in which people need them.

Output: the settings by heading, for ``run --help``, the configuration page and the example file.
"""

from typing import NamedTuple

from celery_redis_exporter.settings.schema.rows import SettingRow, by_path, describe

MAIN = (
    ("broker_url",),
    ("broker_password_file",),
    ("result_backend_url",),
    ("broker_transport_options", "global_keyprefix"),
    ("web", "listen_address"),
    ("web", "config", "file"),
    ("workers", "lost_after"),
    ("scrape", "deadline"),
    ("log", "level"),
    ("config", "file"),
)
"""The ten settings that matter, by path."""
OTHER = "Other settings"
_TOPS = {
    "Broker and result backend": (
        "broker_url", "broker_password_file", "result_backend_url", "result_backend_password_file",
    ),
    "Web server": ("web",),
    "Settings file and log": ("config", "log"),
    "Workers and events": ("workers", "celery", "events", "event_exchange", "control_exchange"),
    "Queues": ("queues",),
    "Tasks and periodic tasks": ("tasks", "buckets", "redbeat", "tracking"),
    "Names, labels and series": ("names", "metrics", "series"),
    "Scrapes and status page": ("scrape", "status"),
    "State over restarts": ("state",),
    "Redis servers": ("redis",),
    "Celery's transport options": ("broker_transport_options", "result_backend_transport_options"),
}  # fmt: skip
"""Names at the top of the settings file, by heading."""


class HeadedRows(NamedTuple):
    """A heading, and the settings under it."""

    heading: str
    rows: tuple[SettingRow, ...]


def by_heading() -> list[HeadedRows]:
    """Return every setting once; those without a heading come last, under OTHER."""
    found = {heading: tuple(row for top in tops for row in _below(top)) for heading, tops in _TOPS.items()}
    headed = {row.path for rows in found.values() for row in rows}
    others = tuple(row for row in describe() if row.path not in headed)
    return [HeadedRows(heading, rows) for heading, rows in (*found.items(), (OTHER, others)) if rows]


def main_rows() -> list[SettingRow]:
    """Return the settings that matter."""
    return [by_path()[path] for path in MAIN]


def _below(top: str) -> list[SettingRow]:
    return [row for row in describe() if row.path[0] == top]
