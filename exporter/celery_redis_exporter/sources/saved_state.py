# SPDX-License-Identifier: Apache-2.0
"""The state file on disk: read whole, replaced whole, and kept by one process at a time.

Input: a path, bytes. Output: bytes, ConfigError where the path can't be used, FileError for what fails later. A new
content is written to ``PATH.new``, made durable, and renamed, so that the path has a complete content at any time.
``PATH.lock`` belongs to the process that uses the file. A file that can't be used is kept as ``PATH.REASON``.
"""

import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

from celery_redis_exporter.errors import ConfigError, FileError

MOST_BYTES = 128 * 1024 * 1024
"""A larger file is neither read nor written. By default series have 8 MiB of text, and the file has less."""
OWNER_ONLY = 0o600
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW


class StateFile:
    """The file at ``path``, locked for this process until ``close``; raises ConfigError where that is impossible."""

    def __init__(self, path: str) -> None:
        self.path = Path(path).absolute()
        self._new = self._beside("new")
        if self.path.is_dir():
            raise ConfigError(f"state.file: {path} is a directory. Name a file in it.")
        try:
            self._lock: int | None = self._take_lock()
        except OSError as error:
            cure = f"Create {self.path.parent} and let the exporter's user write there"
            raise ConfigError(
                f"state.file: {path} can't be used: {_cause(error)}. {cure}, or set no state.file."
            ) from None

    def read(self) -> bytes | None:
        """Return the content, None if there is no file; raise ConfigError, or FileError if it is too large."""
        try:
            with open(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123 -- a pipe must not block
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
                    raise FileError(f"it is not a file of at most {MOST_BYTES} bytes")
                return file.read(MOST_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            cure = "Let the exporter's user read it, or remove it."
            raise ConfigError(f"state.file: {self.path} can't be read: {_cause(error)}. {cure}") from None

    def write(self, content: bytes) -> None:
        """Replace the content; raise FileError, which leaves the former content in place."""
        if len(content) > MOST_BYTES:
            raise FileError(f"{len(content)} bytes are more than the {MOST_BYTES} that a state file may have")
        try:
            self._write_new(content)
            self._new.replace(self.path)
            self._sync_folder()
        except OSError as error:
            with suppress(OSError):
                self._new.unlink()
            raise FileError(_cause(error)) from None

    def set_aside(self, reason: str) -> Path:
        """Rename the file to ``PATH.reason``, in place of an earlier one; return that path, or raise ConfigError."""
        kept = self._beside(reason)
        try:
            self.path.replace(kept)
            self._sync_folder()
        except OSError as error:
            cure = "Remove it, or let the exporter's user write to its directory."
            raise ConfigError(f"state.file: {self.path} can't be renamed: {_cause(error)}. {cure}") from None
        return kept

    def close(self) -> None:
        """Let other processes use the file; again does no harm."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{ending}")

    def _take_lock(self) -> int:
        path = self._beside("lock")
        lock = os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, OWNER_ONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(lock, 0)
            os.write(lock, b"%d\n" % os.getpid())
        except BlockingIOError:
            owner = os.read(lock, 20).strip()
            os.close(lock)
            by = f"process {int(owner)}" if owner.isdigit() else "another process"
            cure = "Stop it, or give each exporter a state.file of its own."
            raise ConfigError(f"state.file: {self.path} is in use by {by}. {cure}") from None
        except OSError:
            os.close(lock)
            raise
        return lock

    def _write_new(self, content: bytes) -> None:
        file = os.open(self._new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _FLAGS, OWNER_ONLY)
        try:
            os.fchmod(file, OWNER_ONLY)
            left = memoryview(content)
            while left:
                left = left[os.write(file, left) :]
            os.fsync(file)
        finally:
            os.close(file)

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _cause(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
