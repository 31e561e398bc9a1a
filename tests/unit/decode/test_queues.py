# SPDX-License-Identifier: Apache-2.0
"""Decoding of replies about queues."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_redis_exporter.decode.queues import decode_binding, decode_oldest_delivery, decode_queued, guess_separator
from celery_redis_exporter.errors import DecodeError
from celery_redis_exporter.records.replies import Binding, QueuedMessage

SAMPLE = json.loads(
    (Path(__file__).parents[2] / "fixtures/events/celery-5.7/queue-message.json").read_text(encoding="utf-8")
)


def test_captured_message_and_binding() -> None:
    """A captured message contains its task id and publish time, a captured binding its queue."""
    assert QueuedMessage("dcf2af51-0915-476a-b138-9116517f4eca", 1.0) == decode_queued(SAMPLE["raw"].encode())
    found = [decode_binding(member.encode(), "celeryev") for member in SAMPLE["binding_members"]]
    assert [Binding("sampleq", "", "sampleq", "\x06\x16")] == found


@pytest.mark.parametrize(
    ("queue", "expected"),
    [
        ("emails", "emails"),
        ("w1@host.celery.pidbox", None),
        ("b5cbb765-c966-375d-9b8a-9048c02108a4.reply.celery.pidbox", None),
        ("celeryev.6f1c", None),
        ("celeryevents", "celeryevents"),
    ],
)
def test_own_traffic_of_celery_is_no_queue(queue: str, expected: str | None) -> None:
    """Queues of remote control, its replies and events are left out."""
    found = decode_binding(f"\x06\x16\x06\x16{queue}".encode(), "celeryev")
    assert expected == (found and found.queue)


@pytest.mark.parametrize("member", [b"", b"queue", b"\x06\x16\x06\x16", b"a\x06\x16b", b"\x06\x16\x06\x16\xff"])
def test_strange_bindings(member: bytes) -> None:
    """A member that is not a binding is refused with its reason."""
    with pytest.raises(DecodeError) as caught:
        decode_binding(member, "celeryev")
    assert "binding" == caught.value.reason


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        (b"celery::celery", ":"), (b"a.b--a.b", "-"), (b"mail||||mail", "||"), (b"a:b::a:b", ":"),
        (b"media.video::vids", None), (b"junk", None), (b"", None), (b"\xff", None), (b"x" * 5000 + b"::", None),
    ],
)  # fmt: skip
def test_the_separator_of_a_binding_is_guessed(member: bytes, expected: str | None) -> None:
    """The separator of an unreadable binding is the text around its empty pattern, if both names are the same."""
    assert expected == guess_separator(member)


def test_id_of_old_messages() -> None:
    """A message without headers (protocol 1) contains its correlation id, which is the task id."""
    assert QueuedMessage("x") == decode_queued(b'{"body": "", "properties": {"correlation_id": "x"}}')


@pytest.mark.parametrize(
    ("header", "expected"),
    [("1800000000.5", 1_800_000_000.5), ("1800000000", 1_800_000_000), ("-1", None), ('"2027-01-01"', None),
     ("null", None), ("{}", None), ("1e300", None)],
)  # fmt: skip
def test_publish_time(header: str, expected: float | None) -> None:
    """A publish time among the headers is returned; other values of that header are ignored, and the id as well."""
    message = f'{{"body": "", "headers": {{"id": "x", "published_at": {header}}}}}'
    assert QueuedMessage("x", expected) == decode_queued(message.encode())


@given(st.binary(max_size=100))
def test_any_message(message: bytes) -> None:
    """Any bytes in a queue return an id or raise DecodeError."""
    with contextlib.suppress(DecodeError):
        assert decode_queued(message).task_id


def test_oldest_delivery() -> None:
    """The oldest delivery is the score of the first entry, or None if there is none."""
    assert 1_800_000_000.5 == decode_oldest_delivery([b"tag", b"1800000000.5"])
    assert decode_oldest_delivery([]) is None
    assert decode_oldest_delivery([b"tag", b"?"]) is None
