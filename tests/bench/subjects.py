# SPDX-License-Identifier: Apache-2.0
"""The subjects: this exporter, its peers, and the bare loop, each as a process that reads one Redis.

Input: a Redis port and a folder. Output: a started process and a way to read its counts. Peers are installed from PyPI
into separate environments (``.peers/``), in the versions named here.
"""

import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.scraper import scrape_once
from tests.integration.processes import Process, free_port, system_program

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".peers"
REQUIREMENTS = {
    "celery-exporter": ("prometheus-exporter-celery==0.11.2", "celery[redis]>=5.5,<5.6"),
    "flower": ("flower==2.2.0", "celery[redis]"),
}
# The PyPI release has no console script; its container image runs this.
CELERY_EXPORTER = "from src.cli import cli; cli()"
OWN = (sys.executable, "-m", "celery_redis_exporter")
OBSERVED = (sys.executable, "-m", "tests.bench.observed_exporter")
REDIS_EXPORTER = "prometheus-redis-exporter"


@dataclass(frozen=True, slots=True)
class Subject:
    """A running subject: the ``port`` of its /metrics (0: none), and ``ended``, the number of counted ended tasks."""

    process: Process
    port: int
    ended: Callable[[], int]

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self.process.pid


def install(peer: str) -> Path:
    """Return the Python of a peer's environment, created if necessary."""
    return _environment(peer, REQUIREMENTS[peer])


def install_alone() -> Path:
    """Return the Python of an environment as users have it: structlog imports packages that only tests install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return _environment(project["name"], project["dependencies"])


def _environment(name: str, requirements: Sequence[str]) -> Path:
    python, installed = PEERS / name / "bin/python", PEERS / name / "installed"
    wanted = "\n".join([f"Python {sys.version} in {sys.base_prefix}", *requirements])
    if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(PEERS / name)], check=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
        subprocess.run(command, check=True)
        installed.write_text(wanted, encoding="utf-8")
    return python


def start_exporter(redis_port: int, folder: Path, *flags: str, program: Sequence[str] = OWN) -> Subject:
    """Start this exporter with all features, with its default settings except for ``flags``.

    Counts are shown immediately, because they are checked immediately.
    """
    port = free_port()
    command = [*program, "--broker-url", f"redis://127.0.0.1:{redis_port}/0", "--series.zero-first", "0"]
    process = Process([*command, "--web.listen-address", f"127.0.0.1:{port}", *flags], folder / "exporter.log")
    return Subject(process, port, _sum(port, r'celery_tasks_total\{[^}]*state="(?:success|failure)"'))


def start_celery_exporter(redis_port: int, folder: Path) -> Subject:
    """Start danihodovic/celery-exporter as released on PyPI."""
    port = free_port()
    command = [str(install("celery-exporter")), "-c", CELERY_EXPORTER, "--host", "127.0.0.1", "--retry-interval", "1"]
    command += ["--broker-url", f"redis://127.0.0.1:{redis_port}/0", "--port", str(port)]
    process = Process(command, folder / "celery-exporter.log")
    return Subject(process, port, _sum(port, r"celery_task_(?:succeeded|failed)_total\{"))


def start_flower(redis_port: int, folder: Path) -> Subject:
    """Start Flower."""
    port = free_port()
    broker = f"redis://127.0.0.1:{redis_port}/0"
    command = [str(install("flower")), "-m", "celery", "--broker", broker, "flower", "--address=127.0.0.1"]
    process = Process([*command, f"--port={port}", "--logging=warning"], folder / "flower.log")
    return Subject(process, port, _sum(port, r'flower_events_total\{[^}]*type="task-(?:succeeded|failed)"'))


def start_bare_loop(redis_port: int, folder: Path) -> Subject:
    """Start the bare loop."""
    process = Process([sys.executable, "-m", "tests.bench.bare_loop", str(redis_port)], folder / "bare.log")

    def ended() -> int:
        process.signal(signal.SIGUSR1)
        found = re.findall(r'"succeeded": (\d+), "failed": (\d+)', process.output())
        return sum(map(int, found[-1])) if found else 0

    return Subject(process, 0, ended)


def start_redis_exporter(redis_port: int, folder: Path) -> Subject:
    """Start Debian's redis_exporter; it counts no tasks."""
    port = free_port()
    command = [system_program(REDIS_EXPORTER), "-redis.addr", f"redis://127.0.0.1:{redis_port}"]
    process = Process([*command, "-web.listen-address", f"127.0.0.1:{port}"], folder / "redis-exporter.log")
    return Subject(process, port, lambda: 0)


STARTERS: dict[str, Callable[[int, Path], Subject]] = {
    "exporter": start_exporter,
    "bare loop": start_bare_loop,
    "celery-exporter": start_celery_exporter,
    "flower": start_flower,
}


def _sum(port: int, pattern: str) -> Callable[[], int]:
    return lambda: int(scrape_once(port).total(pattern))
