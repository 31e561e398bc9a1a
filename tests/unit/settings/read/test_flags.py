# SPDX-License-Identifier: Apache-2.0
"""Flags: their syntax, and the errors for wrong ones."""

import pytest

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings import load
from celery_redis_exporter.settings.read.flags import read_flags
from celery_redis_exporter.settings.schema.rows import describe


def test_equals_sign_and_space_are_the_same() -> None:
    """--flag=value and --flag value yield the same setting."""
    assert load(["--web.listen-address=:1"], {}) == load(["--web.listen-address", ":1"], {})


def test_the_last_of_two_equal_flags_wins() -> None:
    """A flag in a wrapper script can be overridden by appending one."""
    assert load(["--queues.max=1", "--queues.max=2"], {}).queues.max == 2


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--queues.mx=1"], "unknown flag --queues.mx; did you mean --queues.max?"),
        (["--queues.ma=1"], "unknown flag --queues.ma; did you mean --queues.max?"),
        (["--queues={}"], "unknown flag --queues"),
        (["--zzz"], "unknown flag --zzz; see --help"),
        (["-x"], "unknown flag; see --help"),
        (["stray"], "unexpected argument; every setting is a flag, see --help"),
        (["--queues.max"], "--queues.max: needs a value, as in --queues.max=VALUE"),
        (["--queues.max", "--queues.names=a"], "--queues.max: needs a value"),
        (["--events.exemplars=no"], "--events.exemplars: takes no value; write --events.exemplars or --no-events"),
        (["--queues.max", "x"], "--queues.max: must be a whole number, not 'x'"),
    ],
)
def test_a_wrong_flag_is_named(argv: list[str], message: str) -> None:
    """One line states what is wrong with a flag, and names the most similar flag if there is one."""
    with pytest.raises(ConfigError) as caught:
        load(argv, {})
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["null", "None", '"q"', "[x", "{x", "a,b", "a=b", " ", "\x06\x16", "-1"])
def test_text_arrives_as_it_was_written(text: str) -> None:
    """Quotes, brackets and the word null in a value are not interpreted."""
    assert text == read_flags([f"--event-exchange={text}"])[("event_exchange",)].value


def test_every_row_is_a_flag() -> None:
    """The parser reads every setting from its flag in the help, and a group of settings from its JSON object."""
    for row in describe():
        argument, path = f"{row.flag}=word", row.path
        value: object = "word"
        if row.kind == "boolean":
            argument, value = row.flag, True
        elif row.kind == "JSON":
            argument, path = f'{row.flag}={{"global_keyprefix": "word"}}', (*row.path, "global_keyprefix")
        assert {path: value} == {read: given.value for read, given in read_flags([argument]).items()}
