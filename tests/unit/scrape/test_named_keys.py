# SPDX-License-Identifier: Apache-2.0
"""Commands and replies for keys that the settings name."""

import pytest

from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.scrape.named_keys import LONGEST_VALUE, NamedKeysRead
from celery_redis_exporter.sources.refusals import Refusal

NO = Refusal("NOPERM no")


def values(samples: list[Sample]) -> dict[tuple[str, ...], object]:
    """Return samples by metric and labels."""
    return {(sample.metric.name, *sample.labels[1:]): sample.value for sample in samples}


def test_databases_are_selected_and_left() -> None:
    """Other databases are selected, and the connection's own one last; lengths are read once types are known."""
    read = NamedKeysRead("r", {0: ("a",), 5: ("b",)}, 0, lambda: True, values=False)
    first = read.commands()
    assert ["TYPE", "MEMORY", "SELECT", "TYPE", "MEMORY", "SELECT"] == [command[0] for command in first]
    assert [("SELECT", 5), ("SELECT", 0)] == [command for command in first if command[0] == "SELECT"]
    found = values(read.samples([b"list", 100, b"OK", b"none", None, b"OK"]))
    assert {("redis_key_memory_usage_bytes", "db0", "a"): 100, ("redis_key_size", "db5", "b"): 0} == found
    assert ("LLEN", "a") in read.commands()
    found = values(read.samples([b"list", 100, 7, b"OK", b"string", 50, b"OK"]))
    assert (7, 50) == (found["redis_key_size", "db0", "a"], found["redis_key_memory_usage_bytes", "db5", "b"])


def test_nothing_is_told_of_a_database_that_was_not_selected() -> None:
    """If SELECT is refused, replies belong to keys of another database and are dropped."""
    read = NamedKeysRead("r", {5: ("a",), 0: ("b",)}, 0, lambda: True, values=False)
    read.commands()
    found = values(read.samples([NO, b"none", None, b"none", None, NO]))
    assert {("redis_key_size", "db0", "b"): 0} == found


@pytest.mark.parametrize(
    ("reply", "expected"),
    [(b"17", 17.0), (b"-2.5", -2.5), (b"x", None), (b"nan", None), (b"1e999", None), (NO, None), (None, None),
     (b"1" * (LONGEST_VALUE + 1), None)],
)  # fmt: skip
def test_values_are_numbers(reply: object, expected: float | None) -> None:
    """A value is shown if all of it is a finite number within the length limit."""
    read = NamedKeysRead("r", {0: ("a",)}, 0, lambda: True, values=True)
    read.commands()
    read.samples([b"string", 60])
    assert ("GETRANGE", "a", 0, LONGEST_VALUE) in read.commands()
    assert expected == values(read.samples([b"string", 60, 5, reply])).get(("redis_key_value", "db0", "a"))


def test_odd_replies_cost_themselves() -> None:
    """Unexpected replies and refusals yield no samples, and a key that changed its type is read again."""
    read = NamedKeysRead("r", {0: ("a", "b")}, 0, lambda: True, values=False)
    read.commands()
    assert {} == values(read.samples([7, NO, NO, [b"x"]]))
    read.commands()
    read.samples([b"list", 1, b"vectorset", 1])
    assert ["TYPE", "MEMORY", "LLEN", "TYPE", "MEMORY"] == [command[0] for command in read.commands()]
    wrong = Refusal("WRONGTYPE Operation against a key holding the wrong kind of value")
    assert ("redis_key_size", "db0", "a") not in values(read.samples([b"hash", 1, wrong, b"none", None]))
    assert ["TYPE", "MEMORY", "HLEN", "TYPE", "MEMORY"] == [command[0] for command in read.commands()]


def test_a_server_that_can_not_be_asked_is_not() -> None:
    """In a cluster no named keys are read."""
    read = NamedKeysRead("r", {0: ("a",)}, 0, lambda: False, values=False)
    assert ([], []) == (read.commands(), read.samples([]))
