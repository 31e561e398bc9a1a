# SPDX-License-Identifier: Apache-2.0
"""Refusals of a server: the name of the permission, their duration, and the keys that they concern."""

import pytest

from celery_redis_exporter.sources.refusals import RETRY_SECONDS, Refusal, Refusals, right
from celery_redis_exporter.sources.wire import Command
from tests.support.fakes import FakeClock

NO_COMMAND = Refusal("NOPERM User x has no permissions to run the 'llen' command")
NO_KEY = Refusal("NOPERM No permissions to access a key")
NO_KEY_6 = Refusal("NOPERM this user has no permissions to access one of the keys used as arguments")


@pytest.mark.parametrize(
    ("command", "expected"),
    [(("LLEN", "q"), "llen"), (("SLOWLOG", "GET", 1), "slowlog|get"), (("CLIENT", "LIST", "ID", 7), "client|list"),
     (("INFO", "server", "memory"), "info"), (("MEMORY", "USAGE", b"k"), "memory|usage")],
)  # fmt: skip
def test_right(command: Command, expected: str) -> None:
    """A permission is the command, with its subcommand if Redis has one."""
    assert expected == right(command)


def test_a_refused_command_is_not_sent_again_for_a_while() -> None:
    """A command without permission is left out for any key, and is tried again later."""
    clock = FakeClock()
    refusals = Refusals(clock)
    refusals.enter(("LLEN", "a"), NO_COMMAND)
    assert {1: NO_COMMAND} == refusals.among([("HLEN", "a"), ("LLEN", "b")])
    assert ["llen"] == list(refusals.rights)
    clock.advance(RETRY_SECONDS + 1)
    assert {} == refusals.among([("LLEN", "b")])
    assert [] == list(refusals.rights)


@pytest.mark.parametrize("refusal", [NO_KEY, NO_KEY_6])
def test_a_refused_key_costs_that_key_alone(refusal: Refusal) -> None:
    """If only a key is not granted, the command is still sent for other keys."""
    refusals = Refusals(FakeClock())
    refusals.enter(("LLEN", "a"), refusal)
    refusals.enter(("MEMORY", "USAGE", "a"), refusal)
    commands: list[Command] = [
        ("LLEN", "a"), ("LLEN", "b"), ("MEMORY", "USAGE", "b"), ("MEMORY", "USAGE", "a"), ("HLEN", "a"),
    ]  # fmt: skip
    assert {0: refusal, 3: refusal} == refusals.among(commands)
    assert ("llen", "memory|usage") == refusals.rights


def test_refusals_belong_to_a_process_of_the_server() -> None:
    """Refusals outlast a connection, and are dropped with the server's process."""
    refusals = Refusals(FakeClock())
    refusals.enter(("LLEN", "a"), NO_COMMAND)
    refusals.reconnected()
    assert not refusals, "nobody told whether it is the same server"
    refusals.belong_to("run-1")
    refusals.enter(("LLEN", "a"), NO_COMMAND)
    refusals.reconnected()
    refusals.belong_to("run-1")
    assert refusals
    refusals.belong_to("run-2")
    assert not refusals


@pytest.mark.parametrize(
    ("text", "lasts"),
    [("NOPERM x", True), ("ERR unknown command 'x'", True), ("ERR unknown subcommand 'x'", True), ("OOM x", False),
     ("WRONGTYPE x", False)],
)  # fmt: skip
def test_only_lasting_refusals_are_remembered(text: str, lasts: bool) -> None:  # noqa: FBT001 -- a case's value
    """A wrong type or a full memory may be temporary; a missing permission or command is lasting."""
    assert lasts is Refusal(text).lasts


@pytest.mark.parametrize(
    ("text", "lasts"),
    [
        ("NOPERM this user has no permissions", True),
        ("ERR unknown command 'LATENCY'", True),
        ("ERR Unknown subcommand or wrong number of arguments for 'LATEST'. Try LATENCY HELP.", True),
        ("ERR syntax error", False),
        ("WRONGTYPE Operation against a key", False),
    ],
)
def test_what_a_server_does_not_know_it_will_not_know(text: str, *, lasts: bool) -> None:
    """An unknown command is not sent at each scrape, whatever the case of the server's message."""
    assert lasts == Refusal(text).lasts
