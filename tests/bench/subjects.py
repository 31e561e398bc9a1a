"""What is measured: this exporter, its peers, and the bare loop, each as a process that reads one Redis.

Takes a Redis port and a shape, gives a started process and a way to read what it counted. Peers are installed from
PyPI into environments of their own (``.peers/`` by default), in the versions named here.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from tests.bench.streams import Shape
from tests.integration.processes import Process, free_port

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".peers"
REQUIREMENTS = {
    "celery-exporter": ("prometheus-exporter-celery==0.11.2", "celery[redis]>=5.5,<5.6"),
    "flower": ("flower==2.2.0", "celery[redis]"),
}
# The PyPI release has no console script of its own; this is what its container image runs.
CELERY_EXPORTER = "from src.cli import cli; cli()"


@dataclass(slots=True)
class Subject:
    """A running subject: ``counted`` gives the ended tasks that it has counted, ``ready`` whether it is subscribed."""

    name: str
    process: Process
    counted: Callable[[], int]


def install(peer: str) -> Path:
    """Give the Python of a peer's environment, made if need be."""
    python = PEERS / peer / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEERS / peer)], check=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS[peer]]
        subprocess.run(command, check=True)
    return python


def start_exporter(redis_port: int, _shape: Shape, folder: Path) -> Subject:
    """Start this exporter, all features on, with its default settings."""
    port = free_port()
    command = [sys.executable, "-m", "exporter", "--broker-url", f"redis://127.0.0.1:{redis_port}/0"]
    process = Process([*command, "--web.listen-address", f"127.0.0.1:{port}"], folder / "exporter.log")
    pattern = r'^celery_tasks_total\{[^}]*state="(?:success|failure)"'
    return Subject("celery-redis-exporter", process, lambda: _sum(port, pattern))


def start_celery_exporter(redis_port: int, _shape: Shape, folder: Path) -> Subject:
    """Start danihodovic/celery-exporter as released on PyPI."""
    port = free_port()
    command = [str(install("celery-exporter")), "-c", CELERY_EXPORTER, "--broker-url"]
    command += [
        f"redis://127.0.0.1:{redis_port}/0",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--retry-interval",
        "1",
    ]
    process = Process(command, folder / "celery-exporter.log")
    return Subject("celery-exporter 0.11.2", process, lambda: _sum(port, r"^celery_task_(?:succeeded|failed)_total\{"))


def start_flower(redis_port: int, _shape: Shape, folder: Path) -> Subject:
    """Start Flower."""
    port = free_port()
    broker = f"redis://127.0.0.1:{redis_port}/0"
    command = [str(install("flower")), "-m", "celery", "--broker", broker, "flower", "--address=127.0.0.1"]
    process = Process([*command, f"--port={port}", "--logging=warning"], folder / "flower.log")
    pattern = r'^flower_events_total\{[^}]*type="task-(?:succeeded|failed)"'
    return Subject("Flower 2.2.0", process, lambda: _sum(port, pattern))


def start_bare_loop(redis_port: int, shape: Shape, folder: Path) -> Subject:
    """Start the bare loop."""
    log = folder / "bare.log"
    command = [sys.executable, "-m", "tests.bench.bare_loop", str(redis_port), str(shape.events)]
    process = Process(command, log)

    def counted() -> int:
        found = re.search(r'"succeeded": (\d+), "failed": (\d+)', process.output())
        return sum(int(number) for number in found.groups()) if found else 0

    return Subject("bare loop", process, counted)


SUBJECTS = {
    "bare": start_bare_loop,
    "exporter": start_exporter,
    "celery-exporter": start_celery_exporter,
    "flower": start_flower,
}


def _sum(port: int, pattern: str) -> int:
    """Sum the samples whose lines match."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as reply:
        text = reply.read().decode()
    return sum(int(float(line.rpartition(" ")[2])) for line in text.splitlines() if re.match(pattern, line))
