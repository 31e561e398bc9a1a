# SPDX-License-Identifier: Apache-2.0
"""The keeper of the state file: restoring, setting aside, and writing."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.catalog import tasks as rows
from celery_redis_exporter.collectors.saved_state import StateKeeper, StateOwner
from celery_redis_exporter.decode.saved_state import decode_state
from celery_redis_exporter.errors import ConfigError, FileError
from celery_redis_exporter.records.events import TaskReceived
from celery_redis_exporter.sources.saved_state import StateFile
from tests.support.fakes import FakeClock
from tests.unit.state.test_saved_state import Process

OWNER = StateOwner("broker", "naming", 86_400)
NO_ZERO = "--series.zero-first=0"


class FullDisk(StateFile):
    """A file that can't be written while ``full``."""

    full = False

    def write(self, content: bytes) -> None:
        """Raise an error while the disk is full."""
        if self.full:
            raise FileError("no space left on device")
        super().write(content)


class Life:
    """Several processes, one after another, with the same file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "state"
        self.clock = FakeClock()

    def begin(self, owner: StateOwner = OWNER, file: Callable[[str], StateFile] = StateFile) -> "Running":
        """Start a process."""
        return Running(self, owner, file(str(self.path)))


class Running:
    """A process that restored the file, if there was one."""

    def __init__(self, life: Life, owner: StateOwner, file: StateFile) -> None:
        self.process = Process(life.clock, NO_ZERO)
        application = self.process.application
        self.file = file
        self.keeper = StateKeeper(file, application.lasting, application.events, owner, life.clock)
        try:
            self.keeper.restore()
        except ConfigError:
            file.close()
            raise

    def execute(self, count: int) -> None:
        """Execute tasks."""
        for _ in range(count):
            self.process.execute("t", "q", "w1@host")

    def write(self) -> None:
        """Write once, as at the interval."""
        stop = threading.Event()
        self.keeper.run(stop, 60, stop.set)

    def kill(self) -> None:
        """End without a clean stop."""
        self.file.close()

    @property
    def started(self) -> object:
        """Return the counter of started tasks."""
        return self.process.value(rows.TASKS_STARTED, "t", "q")


@pytest.fixture
def life(tmp_path: Path) -> Life:
    """Return a file and its processes."""
    return Life(tmp_path)


def test_counters_go_on_after_a_clean_stop(life: Life) -> None:
    """Counters continue after each of several clean stops."""
    for total in (2, 4, 6):
        running = life.begin()
        running.execute(2)
        assert total == running.started
        running.keeper.close()


def test_counters_begin_at_0_after_a_kill(life: Life) -> None:
    """A file that was written by a running process restores no counters; its tasks are known, with 0."""
    running = life.begin()
    running.execute(2)
    running.write()
    running.kill()
    assert 0 == life.begin().started


def test_the_file_of_a_clean_stop_is_used_once(life: Life) -> None:
    """A process that is killed before its first write does not pass on the counters that it restored."""
    first = life.begin()
    first.execute(2)
    first.keeper.close()
    second = life.begin()
    assert 2 == second.started
    second.kill()
    assert 0 == life.begin().started


def test_a_kill_before_the_mark_leaves_the_file_of_a_clean_stop(life: Life) -> None:
    """A process that is killed before it removes the mark served no metrics, so the next one restores the file."""
    first = life.begin()
    first.execute(2)
    first.keeper.close()
    content = life.path.read_bytes()
    killed = StateFile(str(life.path))
    assert content == killed.read()
    killed.close()
    assert 2 == life.begin().started


def test_a_file_that_can_not_be_marked_restores_no_counters(life: Life) -> None:
    """If the mark can't be removed, counters begin at 0, and the file never counts as that of a clean stop again."""
    first = life.begin()
    first.execute(2)
    first.keeper.close()
    full = type("Full", (FullDisk,), {"full": True})
    with structlog.testing.capture_logs() as lines:
        second = life.begin(file=full)
    assert 0 == second.started
    assert "unmarked" == next(line["reason"] for line in lines if line["event"] == "state.set_aside")
    second.kill()
    assert life.begin().started is None


def broken(content: bytes) -> bytes:
    """Return a file with one byte changed."""
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(("change", "owner", "later", "reason"), [
    (broken, OWNER, 0, "damaged"),
    (lambda content: content[:-1], OWNER, 0, "damaged"),
    (lambda _: b"", OWNER, 0, "damaged"),
    (lambda _: b"{}", OWNER, 0, "foreign"),
    (lambda content: content.replace(b" 1 ", b" 2 ", 1), OWNER, 0, "newer"),
    (lambda content: content, OWNER, 86_401, "old"),
    (lambda content: content, OWNER._replace(broker="another"), 0, "foreign"),
    (lambda content: content, OWNER._replace(naming="another"), 0, "foreign"),
])  # fmt: skip
def test_files_that_can_not_be_used_are_kept_aside(
    life: Life, change: Callable[[bytes], bytes], owner: StateOwner, later: float, reason: str
) -> None:
    """An unusable file is renamed, one line states file, reason and effect, and the process begins without a state."""
    first = life.begin()
    first.execute(2)
    first.keeper.close()
    content = change(life.path.read_bytes())
    life.path.write_bytes(content)
    life.clock.advance(later)
    with structlog.testing.capture_logs() as lines:
        second = life.begin(owner)
    kept = life.path.with_name(f"state.{reason}")
    assert content == kept.read_bytes()
    assert not life.path.exists()
    (line,) = lines
    assert ("state.set_aside", reason, str(kept)) == (line["event"], line["reason"], line["kept_as"])
    assert "counters begin at 0" in line["effect"]
    assert second.started is None


def test_a_file_that_can_not_be_read_ends_the_start(life: Life) -> None:
    """A file that can't be read because of its permissions is a configuration error."""

    class Unreadable(StateFile):
        """A file of another user."""

        def read(self) -> bytes | None:
            """Raise an error."""
            raise ConfigError("state.file: can't be read")

    with pytest.raises(ConfigError):
        life.begin(file=Unreadable)


def test_a_clock_that_was_set_back_does_not_matter(life: Life) -> None:
    """A file from the future is used: its timestamps are unchanged, and no duration is negative."""
    first = life.begin()
    first.execute(2)
    first.keeper.close()
    life.clock.epoch -= 7200
    assert 2 == life.begin().started


def test_failed_writes_are_stated_once(life: Life) -> None:
    """A full disk causes one log line until a write works again, and each failure is counted."""
    running = life.begin(file=FullDisk)
    assert isinstance(running.file, FullDisk)
    with structlog.testing.capture_logs() as lines:
        running.file.full = True
        running.write()
        running.write()
        running.file.full = False
        running.write()
        running.write()
    assert ["state.write_failed", "state.write_works"] == [line["event"] for line in lines]
    assert 2 == running.process.value(internals.STATE_FILE_FAILURES)
    assert life.path.stat().st_size == running.process.value(internals.STATE_FILE_SIZE)
    assert life.clock.epoch == running.process.value(internals.STATE_FILE_LAST_WRITE)
    assert 1 == running.process.value(internals.COLLECTOR_SUCCESS, "state_file")


def test_interval_0_writes_at_a_clean_stop_only(life: Life) -> None:
    """With an interval of 0 nothing is written before the stop, which writes everything."""
    running = life.begin()
    running.execute(2)
    stop = threading.Event()
    running.keeper.run(stop, 0, stop.set)
    assert not life.path.exists()
    running.keeper.close()
    assert 2 == life.begin().started


def test_a_process_that_never_started_writes_nothing(life: Life) -> None:
    """An exporter that ends before it restored the file leaves it unchanged."""
    first = life.begin()
    first.execute(2)
    first.keeper.close()
    process = Process(life.clock, NO_ZERO)
    application = process.application
    file = StateFile(str(life.path))
    StateKeeper(file, application.lasting, application.events, OWNER, life.clock).close()
    assert 2 == life.begin().started


def test_nothing_is_written_after_the_last_write(life: Life) -> None:
    """A thread that continues after the stop does not overwrite the file of the clean stop."""
    running = life.begin()
    running.execute(2)
    running.keeper.close()
    running.write()
    assert decode_state(life.path.read_bytes()).is_clean


def test_what_waits_is_counted_before_the_stop(life: Life) -> None:
    """At a stop, events that are deferred for their task-sent are first counted under an unknown queue."""
    running = life.begin()
    running.execute(1)
    tasks = running.process.application.tasks
    tasks.fold_received(TaskReceived("waits", life.clock.epoch, "w1@host", "t"))
    assert running.process.value(rows.TASKS_RECEIVED, "t", "unknown") is None
    running.keeper.close()
    assert 1 == life.begin().process.value(rows.TASKS_RECEIVED, "t", "unknown")
