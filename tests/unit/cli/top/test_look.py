# SPDX-License-Identifier: Apache-2.0
"""The effects of keys."""

import pytest

from celery_redis_exporter.cli.top.keys import Keys
from celery_redis_exporter.cli.top.look import LONGEST, Look


def pressed(*keys: str, look: Look = Look()) -> Look:  # noqa: B008 -- frozen
    """Return the look after these keys."""
    for key in keys:
        look = look.press(key)
    return look


@pytest.mark.parametrize(
    ("keys", "table"),
    [
        ("", "tasks"), (["tab"], "queues"), (["back-tab"], "redis"), (["tab"] * 6, "tasks"), ("3", "workers"),
        ("5", "periodic"), ("6", "redis"), ("7", "tasks"),
        ("4", "running"),
        ("42", "queues"),
    ],
)  # fmt: skip
def test_tables(keys: list[str], table: str) -> None:
    """Tab selects the next table in a circle, a number selects its table."""
    assert table == pressed(*keys).table.name


def test_order() -> None:
    """Arrows choose the sort column, numbers largest first; r reverses the order of the chosen table only."""
    look = pressed(">")
    assert {"tasks": "-trend"} == look.sorts
    assert {"tasks": "trend"} == pressed("r", look=look).sorts
    assert {"tasks": "name"} == pressed("left", "left", look=look).sorts
    assert {"tasks": "queues"} == pressed("<", "<", look=Look()).sorts
    assert {"tasks": "-trend", "queues": "length"} == pressed("2", "r", look=look).sorts
    assert "length" == look.order(pressed("2").table).column.key


def test_filter() -> None:
    """Typed text filters, even letters that are keys elsewhere; enter keeps the filter and escape removes it."""
    look = pressed("/", "q", "p", "ä", "up", "backspace")
    assert (True, "qp", False, False) == (look.typing, look.wanted, look.leaving, look.paused)
    assert (False, "qp") == ((kept := pressed("enter", look=look)).typing, kept.wanted)
    assert (False, "") == ((gone := pressed("esc", look=look)).typing, gone.wanted)
    assert "" == pressed("esc", look=kept).wanted
    assert "x" * LONGEST == pressed("/", *"x" * 500).wanted


def test_moving() -> None:
    """Scrolling never goes above the first row, and restarts with another table, order or filter."""
    assert 0 == pressed("up", "page-up").first
    look = pressed("down", "page-down")
    assert 11 == look.first
    for key in ("tab", "r", ">", "home", "esc"):
        assert 0 == pressed(key, look=look).first, key


def test_pause_help_and_leaving() -> None:
    """Pause is a switch, any key closes the help, and q and Ctrl-C quit."""
    assert [True, False, True] == [pressed("p").paused, pressed("p", " ").paused, pressed(" ").paused]
    assert [True, False, False] == [pressed("?").helping, pressed("?", "x").helping, pressed("?", "q").leaving]
    assert [True, True, False] == [pressed("q").leaving, pressed("ctrl-c").leaving, pressed("x").leaving]
    assert Look() == pressed("x", "f12")


@pytest.mark.parametrize(
    ("pieces", "keys"),
    [
        ([b"q"], ["q"]), ([b"\t\r\x7f"], ["tab", "enter", "backspace"]), ([b"\x1b[A\x1bOB"], ["up", "down"]),
        ([b"\x1b", b"[", b"5~x"], ["page-up", "x"]), ([b"\xc3", b"\xa4"], ["ä"]), ([b"\xff"], ["\ufffd"]),
        ([b"\x1b[1;5Cx"], ["x"]), ([b"\x1b[200~"], []), ([b"\x1bx"], ["esc", "x"]), ([b"\x1b[Z"], ["back-tab"]),
    ],
)  # fmt: skip
def test_keys(pieces: list[bytes], keys: list[str]) -> None:
    """Keys are recognized however their bytes are split; sequences of unknown keys are dropped as a whole."""
    reader = Keys()
    assert keys == [key for piece in pieces for key in reader.feed(piece)]


def test_an_escape_alone() -> None:
    """An escape that is followed by nothing is a key."""
    reader = Keys()
    assert ([], ["esc"], []) == (reader.feed(b"\x1b"), reader.flush(), reader.flush())
