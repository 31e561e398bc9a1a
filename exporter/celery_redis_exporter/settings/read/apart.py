"""Reads the settings in a process that ends with that: pydantic, which it takes, would fill 13 MB for ever after.

Takes what ``load`` takes, gives what it gives. Where a process can't be copied, or the copy ends without an answer, the
settings are read here.
"""

import contextlib
import os
import pickle
import threading
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings import Settings, asks_for_help, load


class _Reader(NamedTuple):
    """A copy of this process that reads the settings, and the descriptor from which its answer comes."""

    process: int
    answer: int


class Reading:
    """Settings that are being read, while this process does something else; raises UsageRequested at once."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str], program: str) -> None:
        if asks_for_help(argv):
            load(argv, environ, program)
        self._argv, self._environ = argv, environ
        # A copy has one thread, but the locks that others held.
        can_copy = hasattr(os, "fork") and threading.active_count() == 1
        self._reader = self._begin() if can_copy else None

    def result(self) -> Settings:
        """Wait for the settings; raise ConfigError (one line, free of secrets). To be called once."""
        answer = None if self._reader is None else _receive(self._reader)
        if isinstance(answer, ConfigError):
            raise answer
        return answer if isinstance(answer, Settings) else load(self._argv, self._environ)

    def _begin(self) -> _Reader | None:
        reader, writer = os.pipe()
        try:
            process = os.fork()
        except OSError:  # as many processes as there may be
            os.close(reader)
            os.close(writer)
            return None
        if not process:
            self._answer(writer)
        os.close(writer)
        return _Reader(process, reader)

    def _answer(self, writer: int) -> NoReturn:
        """Write the settings, or what is wrong with them; whatever else happens is left for ``result`` to find."""
        answer: Settings | ConfigError
        try:
            try:
                answer = load(self._argv, self._environ)
            except ConfigError as error:
                answer = error
            with os.fdopen(writer, "wb") as stream:
                pickle.dump(answer, stream)
        finally:
            os._exit(0)


def _receive(reader: _Reader) -> object:
    """Give the answer, None if there is none."""
    with os.fdopen(reader.answer, "rb") as stream:
        found = stream.read()
    with contextlib.suppress(ChildProcessError):  # whoever started us ignores SIGCHLD: the system has taken it away
        os.waitpid(reader.process, 0)
    try:
        return pickle.loads(found)  # noqa: S301 -- of our own copy
    except (pickle.UnpicklingError, EOFError):
        return None
