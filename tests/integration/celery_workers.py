# SPDX-License-Identifier: Apache-2.0
"""Run real Celery workers as processes, by default prefork with two children.

Input: a broker URL, queues and settings. Output: a worker that is online. No worker shares a process group with the
tests.
"""

import json
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from celery import Celery

from tests.integration.application import READY
from tests.integration.processes import Process

QUICK = ("--without-mingle", "--without-gossip")
BEATING = (*QUICK, "--heartbeat-interval", "1")


@dataclass(frozen=True)
class WorkerOptions:
    """How to start a worker.

    ``arguments`` are additional ones of ``celery worker``. ``python`` has the Celery to use. ``app`` is the module that
    contains the application, and ``environment`` has additional variables for it.
    """

    queues: str = "celery"
    events: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)
    arguments: Sequence[str] = QUICK
    python: str = sys.executable
    app: str = "tests.integration.worker_app"
    environment: Mapping[str, str] = field(default_factory=dict)


class Worker:
    """One worker, online. ``name`` is its node name."""

    def __init__(self, name: str, broker_url: str, log: Path, options: WorkerOptions) -> None:
        self.name = f"{name}@{socket.gethostname()}"
        command = [options.python, "-m", "celery", "-A", options.app, "worker", "-c", "2"]
        command += ["-n", f"{name}@%h", "-Q", options.queues, "-l", "WARNING", *options.arguments]
        command += ["-E"] if options.events else []
        environment = {"APPLICATION_BROKER": broker_url, "APPLICATION_SETTINGS": json.dumps(dict(options.settings))}
        self.process = Process(command, log, environment | dict(options.environment))
        with self.process.starting():
            self.process.wait_for(READY)


def deliver_again(app: Celery) -> None:
    """Put unacknowledged messages back into their queues, as a worker does after the visibility timeout."""
    with app.connection_for_write(transport_options={"visibility_timeout": 0}) as connection:
        connection.default_channel.qos.restore_visible()
