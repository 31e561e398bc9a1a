# SPDX-License-Identifier: Apache-2.0
"""Logs: format, masking of secrets, limit of repeated events."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from celery_redis_exporter.daemon.logs import LIMIT, WINDOW, configure


class Terminal(io.StringIO):
    """A stream that reports that it is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


class HandClock:
    """A clock whose time tests set."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        """Return seconds since the epoch."""
        return self.at

    def monotonic(self) -> float:
        """Return seconds since the start."""
        return self.at


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Restore the process's logging after a test."""
    root = logging.getLogger()
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    hooks = sys.excepthook, threading.excepthook
    yield
    sys.excepthook, threading.excepthook = hooks
    root.handlers[:], logging.raiseExceptions = handlers, raising
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    logging.getLogger("push_response").disabled = False
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return the logged lines, parsed as JSON."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object() -> None:
    """A line has time in UTC, level, event and logger first, and the values after them."""
    stream = io.StringIO()
    configure("info", "json", stream)
    structlog.get_logger("celery_redis_exporter.sources").info("stream.connected", url="redis://h", tries=2)
    (line,) = lines(stream)
    assert list(line) == ["timestamp", "level", "event", "logger", "url", "tries"]
    assert line["timestamp"].endswith("Z")
    del line["timestamp"]
    assert line == {
        "level": "info",
        "event": "stream.connected",
        "logger": "celery_redis_exporter.sources",
        "url": "redis://h",
        "tries": 2,
    }


def test_libraries_log_in_the_same_form() -> None:
    """A line of a standard library logger has the same keys, and its arguments are formatted."""
    stream = io.StringIO()
    configure("info", "json", stream)
    logging.getLogger("redis.client").warning("lost %s", "h")
    (line,) = lines(stream)
    assert ("warning", "lost h", "redis.client") == (line["level"], line["event"], line["logger"])
    assert "timestamp" in line


def test_lines_below_the_level_are_left_out() -> None:
    """The level applies to the exporter's loggers and to libraries."""
    stream = io.StringIO()
    configure("warning", "json", stream)
    structlog.get_logger("exporter").info("room.quiet")
    logging.getLogger("redis").info("quiet")
    structlog.get_logger("exporter").error("room.loud")
    assert [line["event"] for line in lines(stream)] == ["room.loud"]


@pytest.mark.parametrize(
    ("format", "terminal", "json_expected"),
    [
        ("auto", True, False),
        ("auto", False, True),
        ("json", True, True),
        ("console", False, False),
    ],
)
def test_auto_is_console_on_a_terminal_only(format: str, terminal: bool, json_expected: bool) -> None:  # noqa: A002, FBT001 -- cases
    """The format auto is console on a terminal and JSON elsewhere; other formats apply everywhere."""
    stream = Terminal() if terminal else io.StringIO()
    configure("info", format, stream)
    structlog.get_logger("exporter").info("x.opened")
    assert json_expected == stream.getvalue().startswith("{")


def test_colours_are_for_terminals() -> None:
    """Console lines have colours on a terminal and no escape codes in a file."""
    for stream, coloured in ((Terminal(), True), (io.StringIO(), False)):
        configure("info", "console", stream)
        structlog.get_logger("exporter").info("x.opened")
        assert coloured == ("\x1b[" in stream.getvalue())


@pytest.mark.parametrize("format", ["json", "console"])
def test_secrets_are_masked_wherever_they_stand(format: str) -> None:  # noqa: A002 -- the word of the setting
    """Secrets are masked in events, values, keys, nested values, objects, library arguments and tracebacks."""
    stream = io.StringIO()
    configure("info", format, stream, secrets=lambda: ["hunter2", "redis://:hunter2@h", ""])
    log = structlog.get_logger("exporter")
    log.info("room.hunter2", url="redis://:hunter2@h", deep={"hunter2": [("hunter2", {"x": b"hunter2"})]})
    log.info("room.object", error=ValueError("hunter2"))
    logging.getLogger("redis").warning("to %s", "hunter2")
    try:
        raise ValueError("hunter2")
    except ValueError:
        log.exception("room.broke")
        logging.getLogger("uvicorn.error").exception("broke")
    assert "hunter2" not in stream.getvalue()
    assert "***" in stream.getvalue()


@pytest.mark.parametrize("format", ["json", "console"])
def test_secrets_are_masked_in_the_forms_of_repr(format: str) -> None:  # noqa: A002 -- the word of the setting
    """A secret with quotes, backslashes and non-ASCII letters is also masked in a repr of text or bytes."""
    stream, secret = io.StringIO(), "q'\"\\\u00e9-MARK"
    configure("info", format, stream, secrets=lambda: [secret])
    log = structlog.get_logger("exporter")
    log.info("x.opened", error=ValueError(secret), sent=[secret.encode()], text=f"AUTH {secret!r} {secret.encode()!r}")
    assert "MARK" not in stream.getvalue()


@pytest.mark.parametrize("format", ["json", "console"])
def test_what_ends_a_thread_or_the_process_is_masked(format: str) -> None:  # noqa: A002 -- the word of the setting
    """An uncaught exception is logged with its traceback, in which secrets are masked."""
    stream = io.StringIO()
    configure("info", format, stream, secrets=lambda: ["hunter2"])
    thread = threading.Thread(target=int, args=("hunter2",))
    thread.start()
    thread.join()
    try:
        raise ValueError("hunter2")
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    assert 2 == stream.getvalue().count("process.crashed")
    assert 2 <= stream.getvalue().count("Traceback")
    assert "hunter2" not in stream.getvalue()


@pytest.mark.parametrize("format", ["json", "console"])
def test_tracebacks_show_no_variables(format: str) -> None:  # noqa: A002 -- the word of the setting
    """Tracebacks never contain local variables, which can contain secrets."""
    stream = io.StringIO()
    configure("info", format, stream)
    local = str(6 * 1234567)
    try:
        raise ValueError(f"{len(local)} digits")
    except ValueError:
        structlog.get_logger("exporter").exception("room.broke")
    assert "7 digits" in stream.getvalue()
    assert "7407402" not in stream.getvalue()


@pytest.mark.parametrize("name", ["exporter", "redis"])
def test_a_repeated_event_is_suppressed_and_counted(name: str) -> None:
    """Repeated lines beyond the limit are dropped, and the next one that is written contains their number."""
    stream, clock = io.StringIO(), HandClock()
    configure("info", "json", stream, clock=clock)
    log = structlog.get_logger(name) if name == "exporter" else logging.getLogger(name)
    for _ in range(LIMIT + 5):
        log.warning("stream.lost")
    log.error("stream.lost")
    clock.at += WINDOW
    log.warning("stream.lost")
    log.warning("stream.lost")
    seen = lines(stream)
    assert [None] * (LIMIT + 1) + [5, None] == [line.get("suppressed") for line in seen]


def test_push_response_is_silent() -> None:
    """redis-py's logger of pushed messages, which would print payloads, is disabled."""
    stream = io.StringIO()
    configure("debug", "json", stream)
    logging.getLogger("push_response").critical("payload")
    assert stream.getvalue() == ""


def test_warnings_become_log_lines() -> None:
    """A library's warning is logged as one JSON object."""
    stream = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure("info", "json", stream)
        warnings.warn("old", UserWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    assert [line["logger"] for line in lines(stream)] == ["py.warnings"]


def test_configuring_twice_logs_once() -> None:
    """A second call of configure replaces the first."""
    first, second = io.StringIO(), io.StringIO()
    configure("info", "json", first)
    configure("info", "json", second)
    logging.getLogger("redis").warning("once")
    assert [0, 1] == [len(lines(first)), len(lines(second))]


def test_numbers_that_json_lacks_are_text() -> None:
    """NaN and infinity, which JSON does not have, are logged as text."""
    stream = io.StringIO()
    configure("info", "json", stream)
    structlog.get_logger("exporter").info("room.measured", value=float("inf"))
    assert "Infinity" not in stream.getvalue()
