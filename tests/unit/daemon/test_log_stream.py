# SPDX-License-Identifier: Apache-2.0
"""Logging to a pipe whose reader does not read."""

import os
import sys
import threading
from collections.abc import Iterator

import pytest

from celery_redis_exporter.daemon.log_stream import LINES, LogStream
from tests.support.waiting import eventually


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Yield the two ends of a pipe."""
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def test_lines_are_written_in_order(pipe: tuple[int, int]) -> None:
    """Accepted lines are written whole and in order, and drain returns when all are written."""
    reader, writer = pipe
    stream = LogStream(writer)
    for number in range(50):
        stream.write(f"line {number}\n")
    stream.drain(5)
    assert [f"line {number}" for number in range(50)] == os.read(reader, 65_536).decode().splitlines()
    assert (0, False) == (stream.dropped, stream.isatty())


def test_a_full_pipe_holds_nobody_up(pipe: tuple[int, int]) -> None:
    """If the pipe is full, lines over the limit are dropped and counted, and buffered lines are written later."""
    reader, writer = pipe
    stream = LogStream(writer)
    line = "x" * 65_535 + "\n"
    for _ in range(LINES + 50):
        stream.write(line)
    stream.drain(0)
    assert 48 <= stream.dropped <= 50, "one in the pipe, one in hand"
    taken = LINES + 50 - stream.dropped
    read = bytearray()
    while len(read) < taken * len(line):
        read += os.read(reader, 1_000_000)
    assert taken == read.decode().count("\n")
    stream.drain(5)
    stream.write("after\n")
    assert b"after\n" == os.read(reader, 100)


def test_a_line_may_come_in_the_middle_of_another(pipe: tuple[int, int]) -> None:
    """A finalizer that logs while another line is being logged does not block, wherever it is called."""
    reader, writer = pipe
    stream = LogStream(writer)
    inner: list[int] = []

    def interrupt(*_: object) -> None:
        if len(inner) < 20 and threading.current_thread() is thread:
            inner.append(1)
            stream.write("inner\n")

    def log() -> None:
        sys.setprofile(interrupt)  # called on each call of a function and on each return
        stream.write("outer\n")
        sys.setprofile(None)

    thread = threading.Thread(target=log, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    assert inner
    stream.drain(5)
    assert sorted(["outer", *["inner"] * len(inner)]) == sorted(os.read(reader, 65_536).decode().splitlines())


def test_a_closed_pipe_is_no_error() -> None:
    """When the reader is closed, lines are discarded without an error."""
    reader, writer = os.pipe()
    os.close(reader)
    stream = LogStream(writer)
    for _ in range(3 * LINES):
        stream.write("x\n")
    eventually(stream._waiting.empty)
    os.close(writer)
