# SPDX-License-Identifier: Apache-2.0
"""Build the monitor of one Celery application: the application, the servers that only it uses, and its report.

Input: settings of the application. Output: families, samples and the report. An exporter has one monitor, or one for
each of several applications.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple

from structlog.contextvars import bound_contextvars

from celery_redis_exporter import __version__
from celery_redis_exporter.brokers.endpoints import Endpoints
from celery_redis_exporter.catalog import internals
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.collectors.saved_state import StateKeeper
from celery_redis_exporter.daemon.application import Application, new_store
from celery_redis_exporter.daemon.checks import background_checks, server_checks
from celery_redis_exporter.daemon.options import application_label, state_owner
from celery_redis_exporter.daemon.redis_servers import RedisServers
from celery_redis_exporter.daemon.supervisor import Supervisor
from celery_redis_exporter.records.report import Check, Report, ServerStatus
from celery_redis_exporter.records.samples import Family, Sample
from celery_redis_exporter.scrape.scrape import Background, Scrape
from celery_redis_exporter.scrape.server_reads import PendingReads
from celery_redis_exporter.settings import Settings, SharedServer
from celery_redis_exporter.sources.saved_state import StateFile
from celery_redis_exporter.state.series import Store
from celery_redis_exporter.status import MARKED, Snapshot, Status
from celery_redis_exporter.status.numbers import Numbers

BROKER = "broker"
Found = Mapping[str, Sequence[Sample]]
"""Samples by server."""


class Pending(NamedTuple):
    """Reads under way: of the application's own servers, and of all that several applications use, if it uses any."""

    own: PendingReads
    shared: PendingReads | None


class Monitor:
    """One application with its servers, built and not started. It is a ``MetricsSource``.

    ``store`` receives its series, by default a new one. ``more`` returns further samples. ``shared`` are the
    servers that several applications use, or None if there is only one application. With ``keeps_state`` it has the
    state file for itself. Raises ConfigError if that or its broker can't be used.
    """

    def __init__(  # noqa: PLR0913 -- the composition root builds it
        self,
        settings: Settings,
        clock: Clock,
        store: Store | None = None,
        *,
        more: Iterable[Background] = (),
        shared: RedisServers | None = None,
        keeps_state: bool = False,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.stop = threading.Event()
        self.store = store or new_store(settings, clock)
        self._more = tuple(more)
        self._shared = shared
        self.endpoints = Endpoints(settings, clock)
        self.application = Application(settings, self.endpoints, clock, self.store)
        self.supervisor = Supervisor(clock, self.stop, self._count_bug, application_label(settings))
        self.status = Status(__version__, clock, self._describe_servers)
        self.servers = self._build_servers()
        self._reporting = threading.Lock()  # A large report costs memory, so one is made at a time.
        self._keeper = self._build_keeper() if keeps_state and settings.state.file else None

    @property
    def scrape(self) -> Scrape:
        """Return what reads the servers that only this application uses."""
        return self.servers.scrape

    def families(self) -> list[Family]:
        """Return the current families of what is counted in memory."""
        return self.application.families()

    def text_bytes(self) -> float:
        """Return the approximate length of the text of these families."""
        return self.store.text_bytes()

    def restore(self) -> None:
        """Restore the state, before anything is served. Raises ConfigError for a state file that can't be used."""
        if self._keeper is not None:
            with bound_contextvars(**application_label(self.settings)):
                self._keeper.restore()
            self.status.restore(self._marked())

    def start(self) -> None:
        """Start every thread."""
        start, stop = self.supervisor.start, self.stop
        self.servers.start()
        self.application.start(self.supervisor, stop)
        for name, finder in self.endpoints.finders.items():
            start(f"sentinel_{name}", partial(finder.watch, stop))
        if self._keeper is not None:
            start("state_file", partial(self._keeper.run, stop, self.settings.state.interval))
        start("status", partial(self.status.run, self._marked, stop))

    def share(self, names: Mapping[str, SharedServer], shared: RedisServers) -> None:
        """Read other servers from now on, because other applications use them too, or no longer. Thread-safe.

        ``names`` are this application's servers among the ``shared`` ones, by their name here.
        """
        self._shared = shared
        if names != self.settings.shared:
            self.settings = self.settings.model_copy(update={"shared": MappingProxyType(dict(names))})
            before, self.servers = self.servers, self._build_servers()
            self.servers.start()
            before.close()

    def close(self) -> None:
        """Let every thread end, and close every connection. Does not wait for the threads."""
        self.stop.set()
        self.servers.close()
        self.application.close()

    def save(self) -> None:
        """Write the state and close its file, after the last scrape."""
        if self._keeper is not None:
            with bound_contextvars(**application_label(self.settings)):
                self._keeper.close()

    @property
    def supervisors(self) -> list[Supervisor]:
        """Return the supervisors of all threads."""
        return [self.supervisor, self.servers.supervisor]

    def request(self, deadline: float) -> Pending:
        """Request a read of every server of the application within ``deadline`` seconds. Returns at once."""
        shared = self._shared if self.settings.shared else None
        return Pending(self.scrape.request(deadline), shared.scrape.request(deadline) if shared else None)

    def checks(self, pending: Pending | None = None) -> list[Check]:
        """Return the state of the event stream, of the background loops and of each server. Waits for the servers."""
        return self._checks(self._wait(pending))

    def report(self, pending: Pending | None = None) -> Report:
        """Return the current report, for people. Waits for the servers."""
        found = self._wait(pending)
        checks, application = self._checks(found), self.application
        with self._reporting:
            families, failures = application.families(whole=True), application.failures()
            background = [*self.scrape.background(), *(self._shared.scrape.background() if self._shared else ())]
            return self.status.report(Snapshot(families, found, background, checks, failures, application.activity()))

    def numbers(self) -> Numbers:
        """Return all current values, for look-ups by metric and labels. Waits for the servers."""
        samples = [*chain.from_iterable(self._wait(None).values()), *self.scrape.background()]
        return Numbers(self.application.families(whole=True), samples)

    def _wait(self, pending: Pending | None) -> Found:
        """Return the samples of the application's servers, and of those that it shares with others."""
        own, shared = pending or self.request(self.settings.scrape.deadline)
        found = own.wait()
        self.servers.history.note(found)
        self.status.note(found)
        if shared is None or self._shared is None:
            return found
        all_shared = shared.wait()
        self._shared.history.note(all_shared)
        return {**found, **{name: samples for name, samples in all_shared.items() if self._is_shared(name)}}

    def _checks(self, found: Found) -> list[Check]:
        return [*background_checks(self.application, self.supervisor), *server_checks(self.settings, found)]

    def _describe_servers(self, found: Found, numbers: Numbers) -> list[ServerStatus]:
        shared = {name: samples for name, samples in found.items() if self._is_shared(name)}
        own = {name: samples for name, samples in found.items() if name not in shared}
        described = self.servers.history.describe(own, numbers)
        return [*described, *(self._shared.history.describe(shared, numbers) if self._shared else ())]

    def _is_shared(self, name: str) -> bool:
        """Return whether this is a server that the application shares, or a node or sentinel of such a server."""
        names = [shared.name for shared in self.settings.shared.values()]
        return any(name == shared or name.startswith(f"{shared}/") for shared in names)

    def _build_servers(self) -> RedisServers:
        settings, application = self.settings, self.application
        return RedisServers(
            settings,
            self.endpoints,
            self.store,
            self.clock,
            broker=application.broker.scrape(shared=BROKER in settings.shared),
            queues=application.queues,
            transport=application.transport,
            more=self._more,
            on_bug=self._count_bug,
            observe=self.status.note,
        )

    def _marked(self) -> list[Family]:
        return self.application.families(whole=True, only=MARKED)

    def _build_keeper(self) -> StateKeeper:
        name = self.settings.application
        file = StateFile(f"{self.settings.state.file}.{name}" if name else str(self.settings.state.file))
        application = self.application
        return StateKeeper(file, application.lasting, application.events, state_owner(self.settings), self.clock)

    def _count_bug(self, name: str) -> None:
        with self.store.lock:
            self.store.scalar(internals.UNEXPECTED_ERRORS, name).value += 1
