# SPDX-License-Identifier: Apache-2.0
"""Exception classes as Celery's events contain them."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_redis_exporter.decode.event_stream import decode_message
from celery_redis_exporter.decode.exceptions import exception_class, unregistered_name
from celery_redis_exporter.records.events import TaskFailed, TaskRetried

SAMPLES = Path(__file__).parents[2] / "fixtures/events/celery-5.7"
LOST = b'"Traceback (most recent call last):\\n  File \\"x.py\\", line 1\\nbilliard.exceptions.WorkerLostError: Worker exited: 9.\\n"'  # noqa: E501 -- as on the wire


@pytest.mark.parametrize(
    ("text", "traceback", "expected"),
    [
        ("KeyError('x')", b"", "KeyError"),
        ("proj.errors.PaymentError('declined', code=7)", b"", "PaymentError"),
        ("ExceptionWithTraceback()", LOST, "WorkerLostError"),
        ("ExceptionWithTraceback()", b"", "unknown"),
        ("reject requeue=False: no reason", LOST, "Reject"),
        ("Retry(Retry(...), KeyError('transient'), 1)", b"", "KeyError"),
        ("Retry('in a minute', OSError('gone'), 60)", b"", "OSError"),
        ("Retry('in a minute', None, 60)", b"", "Retry"),
        ("free text without a class", LOST, "WorkerLostError"),
        ("free text without a class", b'"Traceback:\\n  File\\n   indented"', "unknown"),
        ("", b'"one line only\\n"', "unknown"),
        ("", "\u00fcn\u00efcode".encode(), "unknown"),
        (None, b"null", "unknown"),
        ("<MyError object at 0x7f>", b"", "unknown"),
    ],
)
def test_class(text: str | None, traceback: bytes, expected: str) -> None:
    """The class comes from the repr, otherwise from the last line of the traceback, otherwise it is unknown."""
    assert expected == exception_class(text, traceback)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("task-failed", "ValueError"), ("task-retried", "KeyError"), ("single-gevent-task-retried", "KeyError"),
     ("task-rejected", "Reject")],
)  # fmt: skip
def test_captured(name: str, expected: str) -> None:
    """The captured failures and retries of prefork and gevent workers name the same classes."""
    sample = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    events = decode_message(sample["raw_payload"].encode())
    assert [expected] == [
        exception_class(event.exception, event.traceback)
        for event in events
        if isinstance(event, TaskFailed | TaskRetried)
    ]


def test_unregistered() -> None:
    """Only NotRegistered contains a task's name."""
    assert "proj.nope" == unregistered_name("NotRegistered('proj.nope')")
    assert unregistered_name("KeyError('proj.nope')") is None
    assert unregistered_name(None) is None


@given(st.text(max_size=300), st.binary(max_size=300))
def test_any_text(text: str, traceback: bytes) -> None:
    """Any text yields a word of bounded length that is valid in a label."""
    found = exception_class(text, traceback)
    assert found
    assert 201 >= len(found)
    assert "\n" not in found
