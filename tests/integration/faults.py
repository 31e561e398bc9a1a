# SPDX-License-Identifier: Apache-2.0
"""Check what holds in every fault test: counters never decrease, unaffected parts stay up, and all parts recover soon.

Input: an exporter. Output: a watch that scrapes it continuously.
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
"""The maximum time of recovery after the end of a fault."""
NOTICE_SECONDS = 10.0
"""The maximum time until a fault is noticed. The idle timeouts and deadlines of the tests are much shorter."""
STOP_SECONDS = 5.0
"""The maximum time in which the exporter stops during any fault."""
PAUSE = 0.1


class Watch:
    """Scrapes continuously. ``fallen`` are counters that decreased, ``failed`` scrapes without a response.

    ``last`` are the samples of an earlier process whose counters continue.
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
        """Start scraping."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after a last scrape."""
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
    """Return whether a sample is a counter of this exporter. Counters of servers and workers restart with them."""
    metric = CATALOG.get(name) or CATALOG.get(name.removesuffix("_count").removesuffix("_bucket"))
    return metric is not None and metric.starts_at_zero and not name.startswith("redis_")


@contextmanager
def watched(exporter: Exporter) -> Iterator[Watch]:
    """Watch an exporter during the fault in the with block. Check that no counter fell and no scrape failed."""
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
    """Return whether the broker is read and its events are received."""
    return exporter.hears() and exporter.value("redis_up", redis="broker") == 1


def recovers(exporter: Exporter) -> None:
    """Wait until the exporter has recovered within the maximum time. Check that no unexpected error was counted."""
    eventually(lambda: is_well(exporter), BACK_SECONDS)
    assert exporter.metrics("celery_exporter_unexpected_errors_total") == {}


def ends_politely(exporter: Exporter) -> None:
    """Send SIGTERM. Check that the exporter stops in time, with exit code 0, and that it leaves nothing behind."""
    exporter.process.signal(signal.SIGTERM)
    ended_politely(exporter)


def ended_politely(exporter: Exporter) -> None:
    """Check the end of an exporter that has already received its signal. A second signal would kill it at once."""
    assert exporter.process.ended(STOP_SECONDS) == 0
    last = exporter.lines()[-1]
    assert (last["event"], last["left_behind"]) == ("app.stopped", [])


def stop_saving(server: RedisServer) -> None:
    """Make a server's saves fail, so that it refuses writes. Protected configs must be enabled."""
    server.command("CONFIG", "SET", "save", "3600 1")
    gone = server.folder / "gone"
    gone.mkdir()
    server.command("CONFIG", "SET", "dir", str(gone))
    shutil.rmtree(gone)
    server.command("SET", "dirty", "1")
    server.command("BGSAVE")


def shifted(folder: Path) -> tuple[dict[str, str], Path]:
    """Return the environment of a process whose clock can be set, and the file that sets it."""
    file = folder / "shift"
    file.write_text("0", encoding="utf-8")
    path = os.pathsep.join([str(ROOT / "tests" / "integration" / "shifted_time"), source_path(ROOT)])
    return {"PYTHONPATH": path, "SHIFT_FILE": str(file)}, file


def with_few_descriptors(programs: Programs, server: RedisServer) -> Exporter:
    """Start an exporter that receives events and has at most 64 descriptors."""
    limited = 'ulimit -n 64; exec "$0" -m celery_redis_exporter "$@"'
    flags = ("--broker-url", server.url(), "--celery.inspect-interval", "0", *LISTEN)
    environment = {"EXPORTER_SERIES__ZERO_FIRST": "0"}
    process = programs.run("bash", "-c", limited, sys.executable, *flags, environment=environment)
    process.wait_for('"app.started"')
    exporter = Exporter.of(process)
    eventually(exporter.hears)
    return exporter
