# SPDX-License-Identifier: Apache-2.0
"""The demo's processes are started in separate groups, watched, and ended with their children."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from celery_redis_exporter.demo.guard import watch
from celery_redis_exporter.demo.processes import Processes
from celery_redis_exporter.errors import ExporterError
from tests.support.waiting import eventually

STUBBORN_PARENT = """
import os, signal, sys, threading
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
print(os.getpid(), flush=True)
threading.Event().wait()
"""


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    """Yield processes whose temporary folder is in ``tmp_path``."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    started = Processes()
    yield started
    started.close()


def lives(pid: int) -> bool:
    """Return whether a process exists and has not ended."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_processes_that_refuse_to_end_are_killed_with_their_children(
    processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing kills processes that ignore SIGTERM and their children, and removes all files."""
    monkeypatch.setattr("celery_redis_exporter.demo.groups.PATIENCE", 0.2)
    process = processes.start("stubborn", [sys.executable, "-c", STUBBORN_PARENT])
    eventually(lambda: len(process.log.read_text().split()) == 2)
    pids = [int(pid) for pid in process.log.read_text().split()]
    processes.close()
    assert [pid for pid in pids if lives(pid)] == []
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_ends_by_itself_is_found_with_its_last_words(processes: Processes) -> None:
    """The demo finds a process that ended by itself and the last lines of its log."""
    process = processes.start("brief", [sys.executable, "-c", "print('last words')"])
    eventually(lambda: processes.ended() is process)
    assert process.tail() == "last words"


def test_the_users_application_does_not_reach_the_sample(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of Celery and the exporter are not inherited, so that no other broker is ever contacted."""
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://production")
    monkeypatch.setenv("EXPORTER_BROKER_URL", "redis://production")
    code = "import os; print([name for name in os.environ if name.startswith(('CELERY', 'EXPORTER'))])"
    process = processes.start("environment", [sys.executable, "-c", code], {"CELERY_RESULT_BACKEND": "ours"})
    eventually(lambda: processes.ended() is process)
    assert process.tail() == "['CELERY_RESULT_BACKEND']"


def test_a_program_that_is_missing_is_named(processes: Processes) -> None:
    """A missing program raises an ExporterError that contains the program's name."""
    with pytest.raises(ExporterError, match="server can't be started: no-such-program: No such file"):
        processes.start("server", ["no-such-program"])


def test_the_guard_cleans_up_when_the_demo_is_gone(
    processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the demo ends without reporting its end, the guard ends the process groups and removes the folder."""
    folder = tmp_path / "left"
    folder.mkdir()
    process = processes.start("left", [sys.executable, "-c", "input()"])
    monkeypatch.setattr("celery_redis_exporter.demo.groups.PATIENCE", 0.2)
    monkeypatch.setattr("celery_redis_exporter.demo.groups.LAST_PATIENCE", 0.2)
    assert watch([f"{process.popen.pid}\n"], folder)
    assert not folder.exists()
    assert process.popen.wait(5) < 0


def test_the_guard_leaves_a_demo_alone_that_said_goodbye(tmp_path: Path) -> None:
    """After an orderly end the guard kills nothing, because the process ids may belong to other processes."""
    assert not watch(["99999999\n", "done\n"], tmp_path)
    assert tmp_path.exists()
