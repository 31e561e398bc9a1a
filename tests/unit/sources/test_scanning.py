# SPDX-License-Identifier: Apache-2.0
"""Decoding of replies to SCAN, whatever a server sends."""

import pytest

from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources.refusals import Refusal
from celery_redis_exporter.sources.scanning import read_scan


def test_a_cursor_and_names() -> None:
    """A reply has the next cursor and names; elements that are no names are left out."""
    assert (b"7", [b"a", b"b"]) == read_scan([b"7", [b"a", 3, None, b"b"]])


@pytest.mark.parametrize(
    "reply",
    [[b"9" * 5000, []], [b"", []], [b"-1", []], [b"1"], [b"1", b"a"], [1, []], b"OK", None, 7, []],
)
def test_other_shapes_are_refused(reply: object) -> None:
    """Any other reply is a protocol error, and numbers of thousands of digits are not parsed."""
    with pytest.raises(SourceError) as raised:
        read_scan(reply)
    assert "protocol" == raised.value.reason


def test_a_refusal_keeps_its_reason() -> None:
    """A server that does not allow SCAN raises an error with its reason."""
    with pytest.raises(SourceError) as raised:
        read_scan(Refusal("NOPERM no permissions to run the 'scan' command"))
    assert "noperm" == raised.value.reason
