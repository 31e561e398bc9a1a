# SPDX-License-Identifier: Apache-2.0
"""The commands of the exporter that look up a key, and whether they found it."""

from typing import Any

import pytest

from celery_redis_exporter.sources.lookups import Lookups
from celery_redis_exporter.sources.refusals import Refusal
from celery_redis_exporter.sources.wire import Command


def counted(*batch: tuple[Command, Any]) -> tuple[int, int]:
    """Return the hits and misses of one batch of commands and replies."""
    lookups = Lookups()
    lookups.note([command for command, _ in batch], [reply for _, reply in batch])
    return lookups.hits, lookups.misses


@pytest.mark.parametrize(
    ("command", "found", "gone"),
    [
        (("PTTL", "k"), -1, -2), (("TYPE", "k"), b"list", b"none"), (("STRLEN", "k"), 3, 0), (("LLEN", "k"), 3, 0),
        (("GETRANGE", "k", 0, 64), b"1", b""), (("ZRANGE", "k", 0, 9), [b"a"], []), (("HGET", "k", "f"), b"v", None),
    ],
)  # fmt: skip
def test_a_command_on_a_key_is_a_look_up(command: Command, found: object, gone: object) -> None:
    """The reply shows whether the key exists."""
    assert (1, 0) == counted((command, found))
    assert (0, 1) == counted((command, gone))


def test_other_commands_are_none() -> None:
    """INFO, SCAN, MEMORY USAGE and SELECT look up no key."""
    assert (0, 0) == counted(
        (("INFO", "ALL"), b""), (("SCAN", b"0", "COUNT", 10), [b"0", []]), (("MEMORY", "USAGE", "k"), None),
        (("SELECT", 3), b"OK"),
    )  # fmt: skip


def test_an_empty_string_is_a_hit() -> None:
    """An empty string has the same length as a missing key, so its type, which is read first, decides."""
    reads: list[Command] = [("TYPE", "k"), ("STRLEN", "k"), ("GETRANGE", "k", 0, 64)]
    assert (3, 0) == counted(*zip(reads, [b"string", 0, b""], strict=True))
    assert (0, 3) == counted(*zip(reads, [b"none", 0, b""], strict=True))


def test_a_refused_command_looks_nothing_up() -> None:
    """A missing permission is checked before the server looks up the key, a wrong type after it."""
    wrong = Refusal("WRONGTYPE Operation against a key holding the wrong kind of value")
    assert (1, 0) == counted((("LLEN", "k"), wrong), (("PTTL", "k"), Refusal("NOPERM no permission")))
