# SPDX-License-Identifier: Apache-2.0
"""The state file on disk."""

import errno
import os
import stat
from pathlib import Path

import pytest

from celery_redis_exporter.errors import ConfigError, FileError
from celery_redis_exporter.sources import saved_state
from celery_redis_exporter.sources.saved_state import StateFile


def mode_of(path: Path) -> int:
    """Return the permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_content_is_replaced_whole(tmp_path: Path) -> None:
    """The last content is read, and the directory contains nothing else but the lock."""
    file = StateFile(str(tmp_path / "state"))
    assert file.read() is None
    for content in (b"first, which is longer", b"second"):
        file.write(content)
        assert content == file.read()
    assert {"state", "state.lock"} == {path.name for path in tmp_path.iterdir()}


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    """State and lock have mode 0600, whatever the umask and the files that a crash left behind."""
    left_over = tmp_path / "state.new"
    left_over.write_bytes(b"of a process that was killed")
    left_over.chmod(0o644)
    before = os.umask(0)
    try:
        StateFile(str(tmp_path / "state")).write(b"names")
    finally:
        os.umask(before)
    assert [0o600, 0o600] == [mode_of(tmp_path / "state"), mode_of(tmp_path / "state.lock")]


def test_a_second_one_is_refused(tmp_path: Path) -> None:
    """A file in use is refused with the process that uses it, until that process closes it."""
    path = str(tmp_path / "state")
    first = StateFile(path)
    with pytest.raises(ConfigError, match=f"in use by process {os.getpid()}"):
        StateFile(path)
    first.close()
    first.close()
    StateFile(path).close()


@pytest.mark.parametrize("path", ["missing/state", "file/state", "folder"])
def test_a_path_that_can_not_be_used_is_a_wrong_setting(tmp_path: Path, path: str) -> None:
    """A missing directory, a file in its place, and a directory in place of the file are refused by name."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match=f"state.file: .*{path}"):
        StateFile(str(tmp_path / path))


def test_a_file_that_is_none_is_not_read(tmp_path: Path) -> None:
    """A pipe in place of the file is refused without waiting for a writer."""
    os.mkfifo(tmp_path / "state")
    with pytest.raises(FileError):
        StateFile(str(tmp_path / "state")).read()


def test_a_large_file_is_neither_read_nor_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Content above the limit is refused in both directions, and the file stays."""
    file = StateFile(str(tmp_path / "state"))
    file.write(b"12345")
    monkeypatch.setattr(saved_state, "MOST_BYTES", 4)
    for refused in (file.read, lambda: file.write(b"12345")):
        with pytest.raises(FileError):
            refused()
    assert b"12345" == (tmp_path / "state").read_bytes()


@pytest.mark.parametrize("step", ["open", "write", "fsync", "replace"])
def test_a_failed_write_leaves_the_former_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """If any step of a write fails, the cause is stated, the former content stays, and no other file remains."""
    file = StateFile(str(tmp_path / "state"))
    file.write(b"former")

    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path if step == "replace" else os, step, fail)
    with pytest.raises(FileError, match="no space left on device"):
        file.write(b"newer")
    monkeypatch.undo()
    assert b"former" == file.read()
    assert {"state", "state.lock"} == {path.name for path in tmp_path.iterdir()}


def test_files_are_kept_aside_one_of_each_kind(tmp_path: Path) -> None:
    """A file that is set aside only replaces an earlier one with the same reason."""
    file = StateFile(str(tmp_path / "state"))
    for content, reason in ((b"1", "damaged"), (b"2", "foreign"), (b"3", "damaged")):
        file.write(content)
        assert tmp_path / f"state.{reason}" == file.set_aside(reason)
        assert file.read() is None
    assert (b"3", b"2") == ((tmp_path / "state.damaged").read_bytes(), (tmp_path / "state.foreign").read_bytes())
