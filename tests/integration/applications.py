# SPDX-License-Identifier: Apache-2.0
"""Run several applications on real servers with one exporter.

Input: names of applications. Output: a settings file, the exporter, and events of each application as its workers
and publishers would send them. Published events are counted.
"""

from collections import Counter
from typing import Any

import yaml

from tests.bench.streams import Shape, Stream
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.redis_servers import RedisServer
from tests.support.waiting import NEVER, eventually

STATES = ("success", "failure")
OPTIONS = ("--databases", "64", "--client-output-buffer-limit", "pubsub 0 0 0")
UNSAMPLED = {"key_space": {"interval": 0}}
QUIET = {"inspect_interval": 0}
"""Control commands are disabled, because no worker of a replayed stream would reply."""


class Sender:
    """A broker's URL, in the form that workers and publishers use."""

    def __init__(self, url: str) -> None:
        self._url = url

    def url(self) -> str:
        """Return the URL."""
        return self._url


class Applications:
    """Applications by name, each in a database of ``server``, and the settings file that lists them."""

    def __init__(self, programs: Programs, names: tuple[str, ...], **common: Any) -> None:  # noqa: ANN401 -- settings
        self.programs = programs
        self.server: RedisServer = programs.redis(options=OPTIONS)
        self.common = {"celery": QUIET, "redis": UNSAMPLED, "scrape": {"freshness": 0}} | common
        self.trees: dict[str, dict[str, Any]] = {}
        self.published: Counter[str] = Counter()
        self.ended: Counter[tuple[str, str]] = Counter()
        self._databases: dict[str, int] = {}
        self._servers: dict[str, RedisServer] = {}
        for name in names:
            self.add(name)
        self.path = programs.folder / "applications.yml"
        self.write()

    def add(self, name: str, server: RedisServer | None = None, **tree: Any) -> None:  # noqa: ANN401 -- settings
        """Add an application, in a database of ``server`` that no other application uses."""
        server = self._servers.setdefault(name, server or self.server)
        database = self._databases.setdefault(name, len(self._databases))
        self.trees[name] = {"broker_url": server.url(database)} | tree

    def write(self) -> None:
        """Write the settings file."""
        self.path.write_text(
            yaml.safe_dump({**self.common, "applications": self.trees}, sort_keys=False), encoding="utf-8"
        )

    def exporter(self, *flags: str) -> Exporter:
        """Start an exporter, and wait until it receives the events of every application on the server."""
        exporter = self.programs.exporter("--config.file", str(self.path), *flags)
        self.receives(exporter)
        return exporter

    def receives(self, exporter: Exporter, *names: str) -> None:
        """Wait until the exporter receives the events of these applications, by default of all."""
        wanted = names or tuple(self.trees)
        up = "celery_exporter_event_stream_up"
        eventually(lambda: all(exporter.value(up, application=name) == 1 for name in wanted))

    def publish(self, name: str, shape: Shape) -> None:
        """Publish the events of a load in the database of an application."""
        stream, channel = Stream(shape), f"/{self._databases[name]}.".encode()
        with self._servers[name].client() as client:
            while stream.left:
                with client.pipeline(transaction=False) as pipeline:
                    for message in stream.render(200):
                        pipeline.publish(message.channel.replace(b"/0.", channel, 1).decode(), message.payload)
                    pipeline.execute()
        self.published[name] += stream.sent
        self.ended[name, "failure"] += stream.failed
        self.ended[name, "success"] += (stream.sent if shape.until == "ended" else 0) - stream.failed

    def agree(self, exporter: Exporter, *names: str, within: float = NEVER) -> None:
        """Wait until the counts of these applications, by default of all, equal the published events exactly."""
        wanted = names or tuple(self.trees)
        expected = {(name, state): self.ended[name, state] for name in wanted for state in STATES}
        sent = {name: self.published[name] for name in wanted}

        def agreed() -> bool:
            samples = exporter.metrics("celery_tasks_")
            found: Counter[tuple[str, str]] = Counter()
            seen: Counter[str] = Counter()
            for (metric, pairs), value in samples.items():
                labels = dict(pairs)
                if metric == "celery_tasks_total" and labels.get("application") in wanted and labels["state"] in STATES:
                    found[labels["application"], labels["state"]] += int(value)
                if metric == "celery_tasks_sent_total" and labels.get("application") in wanted:
                    seen[labels["application"]] += int(value)
            return {key: found[key] for key in expected} == expected and {name: seen[name] for name in wanted} == sent

        eventually(agreed, within)
