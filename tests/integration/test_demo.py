# SPDX-License-Identifier: Apache-2.0
"""The command ``demo`` with real processes, real signals and the metrics page."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest
from msgspec.json import decode

from celery_redis_exporter.catalog import UNKNOWN
from celery_redis_exporter.records.report import Report
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

ADDRESS = re.compile(r"metrics +http://(\S+)/metrics")
Demo = Callable[..., "Running"]


class Running:
    """A started demo, with its output so far."""

    def __init__(self, folder: Path, flags: tuple[str, ...]) -> None:
        self.folder = folder / "temporary"
        self.folder.mkdir()
        self._output = folder / "output.txt"
        with self._output.open("wb") as output:
            self.process = psutil.Popen(
                [sys.executable, "-m", "celery_redis_exporter", "demo", *flags],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "TMPDIR": str(self.folder), "CELERY_BROKER_URL": "redis://127.0.0.1:1/0"},
                start_new_session=True,
            )
        self.children: list[psutil.Process] = []

    def text(self) -> str:
        """Return the output so far."""
        return self._output.read_text(encoding="utf-8")

    def address(self) -> str:
        """Return HOST:PORT of the metrics page as soon as the output contains it."""
        found = eventually(lambda: ADDRESS.findall(self.text()))
        return str(found[0])

    def report(self) -> Report:
        """Request the report."""
        with closing(http.client.HTTPConnection(self.address(), timeout=5)) as connection:
            connection.request("GET", "/api/v1/status")
            return decode(connection.getresponse().read(), type=Report)

    def online(self) -> int:
        """Return the number of workers that are online."""
        return sum(worker.state == "online" for worker in self.report().workers)

    def record_children(self) -> list[str]:
        """Remember every process below the demo. Return their command lines."""
        self.children = self.process.children(recursive=True)
        return [" ".join(child.cmdline()) for child in self.children]

    def left(self) -> list[str]:
        """Return the names of the remembered processes and of the files that still exist."""
        found = [entry.name for entry in self.folder.iterdir()]
        for child in self.children:
            with suppress(psutil.NoSuchProcess):
                if child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
                    found.append(child.name())
        return found


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Demo]:
    """Yield a function that starts demos, and stop all of them after the test."""
    started: list[Running] = []

    def start(*flags: str) -> Running:
        started.append(Running(tmp_path, flags))
        return started[-1]

    yield start
    for demo in started:
        with suppress(psutil.NoSuchProcess):
            demo.process.terminate()
        demo.process.wait(15)


def shows_everything(demo: Running) -> bool:
    """Return whether the report contains two workers, every outcome and all queues."""
    report = demo.report()
    counts = [sum(getattr(task, state) for task in report.tasks) for state in ("success", "failure", "retry")]
    lengths = {queue.name for queue in report.queues if queue.length is not None}
    return demo.online() == 2 and all(counts) and {"default", "payments", "reports"} == lengths


def test_demo_shows_live_figures_and_leaves_nothing(start: Demo) -> None:
    """A demo shows two workers, every outcome and all queues, and one SIGINT ends it without leftovers."""
    demo = start("--port=0", "--seconds=90")
    eventually(lambda: shows_everything(demo), within=40)
    assert UNKNOWN not in {queue for task in demo.report().tasks for queue in task.queues}
    assert "workers 2 online" in eventually(lambda: demo.text() if "2 online" in demo.text() else "", within=10)
    commands = demo.record_children()
    names = (
        "redis-server",
        "payments@",
        "shop@",
        " beat ",
        "celery_redis_exporter.demo.traffic",
        "celery_redis_exporter.demo.guard",
    )
    assert [name for name in names if not any(name in command for command in commands)] == []
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(10) == 0
    assert demo.left() == []


def test_a_taken_port_is_left_alone(start: Demo) -> None:
    """If port 9808 is in use, the demo uses another port and prints it, and with --seconds it ends by itself."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # another process uses the port already, which serves as well
            other.bind(("127.0.0.1", 9808))
            other.listen()
        demo = start("--seconds=8")
        assert not demo.address().endswith(":9808")
        assert "(port 9808 is taken)" in demo.text()
        assert eventually(demo.online)
    demo.record_children()
    assert demo.process.wait(20) == 0
    assert demo.left() == []


def test_what_the_tour_ends_starts_again(start: Demo) -> None:
    """If the user kills a worker as the terminal suggests, it is lost, and the demo restarts it after a while."""
    demo = start("--port=0", "--seconds=150")
    eventually(lambda: demo.online() == 2, within=40)
    pid = int(re.findall(r"kill -9 (\d+)", demo.text())[0])
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: "worker-payments ended" in demo.text())
    eventually(lambda: "lost" in {worker.state for worker in demo.report().workers}, within=40)
    eventually(lambda: "worker-payments runs again" in demo.text(), within=60)
    eventually(lambda: demo.online() == 2, within=40)
    demo.record_children()
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(10) == 0
    assert demo.left() == []


def test_a_broken_part_ends_the_demo_with_its_name(start: Demo) -> None:
    """If an essential process of the demo is killed, the demo returns 1 and prints the process's name and log."""
    demo = start("--port=0", "--seconds=90")
    assert eventually(lambda: demo.online() == 2)
    demo.record_children()
    next(child for child in demo.children if "celery_redis_exporter.demo.traffic" in child.cmdline()).kill()
    assert demo.process.wait(15) == 1
    assert "The end of the log of customers:" in demo.text()
    assert "error: customers was killed by signal 9" in demo.text()
    assert demo.left() == []


def test_a_killed_demo_leaves_nothing_either(start: Demo) -> None:
    """After a SIGKILL of the demo the guard ends the processes and removes the files."""
    demo = start("--port=0", "--seconds=90")
    assert eventually(lambda: demo.online() == 2)
    demo.record_children()
    demo.process.kill()
    assert demo.process.wait(5) == -signal.SIGKILL
    eventually(lambda: demo.left() == [], within=15)
