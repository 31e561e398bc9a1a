# SPDX-License-Identifier: Apache-2.0
"""What every fault test holds: counters never fall, what is healthy stays, and all is well soon after the fault's end.

Takes an exporter, gives a watch on it that scrapes all the time.
"""

import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from celery_redis_exporter.catalog import CATALOG
from tests.integration.conftest import Programs
from tests.integration.exporters import LISTEN, Exporter, Samples
from tests.integration.processes import ROOT, source_path
from tests.integration.redis_servers import RedisServer
from tests.support.waiting import eventually

BACK_SECONDS = 5.0
"""Within which all is well after a fault's end."""
NOTICE_SECONDS = 10.0
"""Within which a fault is noticed; the idle timeouts and deadlines of the tests are much shorter."""
STOP_SECONDS = 5.0
"""Within which the exporter ends, whatever happens around it."""
PAUSE = 0.1


class Watch:
    """Scrapes over and over; ``fallen`` are counters that fell, ``failed`` scrapes that got no answer.

    ``last`` is what an earlier process served whose counters go on.
    """

    def __init__(self, exporter: Exporter, last: Samples | None = None) -> None:
        self.fallen: list[str] = []
        self.failed: list[str] = []
        self.scrapes = 0
        self.last: Samples = dict(last or {})
        self._exporter = exporter
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, with a last scrape."""
        self._done.set()
        self._thread.join(30)

    def _run(self) -> None:
        while True:
            try:
                self._look(self._exporter.metrics())
            except (AssertionError, OSError) as error:
                self.failed.append(repr(error)[:200])
            if self._done.wait(PAUSE):
                return

    def _look(self, samples: Samples) -> None:
        self.scrapes += 1
        for (name, labels), value in self.last.items():
            if _is_counted(name):
                now = samples.get((name, labels))
                if now is None or now < value:
                    self.fallen.append(f"{name} {dict(labels)}: {value} -> {now}")
        self.last = samples


def _is_counted(name: str) -> bool:
    """Whether a sample is a count of the exporter's own; those of servers and workers begin anew with them."""
    metric = CATALOG.get(name) or CATALOG.get(name.removesuffix("_count").removesuffix("_bucket"))
    return metric is not None and metric.starts_at_zero and not name.startswith("redis_")


@contextmanager
def watched(exporter: Exporter) -> Iterator[Watch]:
    """Watch an exporter through a fault, which the with block is; see at its end that nothing fell or failed."""
    watch = Watch(exporter)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()
    assert watch.fallen == [], watch.fallen
    assert watch.failed == [], watch.failed
    assert watch.scrapes


def is_well(exporter: Exporter) -> bool:
    """Whether the broker is read and heard."""
    return exporter.hears() and exporter.value("redis_up", redis="broker") == 1


def recovers(exporter: Exporter) -> None:
    """Wait until the exporter is well again, no longer than it may take, without a bug met on the way."""
    eventually(lambda: is_well(exporter), BACK_SECONDS)
    assert exporter.metrics("celery_exporter_unexpected_errors_total") == {}


def ends_politely(exporter: Exporter) -> None:
    """Send SIGTERM; the exporter must end in time, with exit code 0, and know of nothing that it left behind."""
    exporter.process.signal(signal.SIGTERM)
    ended_politely(exporter)


def ended_politely(exporter: Exporter) -> None:
    """See the same of an exporter that got its signal before; a second one would end it at once."""
    assert exporter.process.ended(STOP_SECONDS) == 0
    last = exporter.lines()[-1]
    assert (last["event"], last["left_behind"]) == ("app.stopped", [])


def stop_saving(server: RedisServer) -> None:
    """Let a server find that it can't save; it takes no writes from then on. Needs protected configs enabled."""
    server.command("CONFIG", "SET", "save", "3600 1")
    gone = server.folder / "gone"
    gone.mkdir()
    server.command("CONFIG", "SET", "dir", str(gone))
    shutil.rmtree(gone)
    server.command("SET", "dirty", "1")
    server.command("BGSAVE")


def shifted(folder: Path) -> tuple[dict[str, str], Path]:
    """Give the environment of a process whose clock can be set, and the file that sets it."""
    file = folder / "shift"
    file.write_text("0", encoding="utf-8")
    path = os.pathsep.join([str(ROOT / "tests" / "integration" / "shifted_time"), source_path(ROOT)])
    return {"PYTHONPATH": path, "SHIFT_FILE": str(file)}, file


def with_few_descriptors(programs: Programs, server: RedisServer) -> Exporter:
    """Start an exporter that listens and has no more than 64 descriptors."""
    limited = 'ulimit -n 64; exec "$0" -m celery_redis_exporter "$@"'
    flags = ("--broker-url", server.url(), "--celery.inspect-interval", "0", *LISTEN)
    environment = {"EXPORTER_SERIES__ZERO_FIRST": "0"}
    process = programs.run("bash", "-c", limited, sys.executable, *flags, environment=environment)
    process.wait_for('"app.started"')
    exporter = Exporter.of(process)
    eventually(exporter.hears)
    return exporter
