# SPDX-License-Identifier: Apache-2.0
"""Drawing of the live block."""

import io

import pytest

from celery_redis_exporter.demo.screen import Screen


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


class Closed(io.StringIO):
    """A stream whose terminal is closed."""

    def write(self, _: str) -> int:
        """Raise the error of a closed terminal."""
        raise OSError(5, "Input/output error")


def test_a_terminal_is_redrawn_in_place() -> None:
    """On a terminal the second block replaces the first, even if that was longer."""
    stream = Terminal()
    screen = Screen(stream)
    screen.draw(["one", "two"])
    screen.draw(["three"])
    assert stream.getvalue() == "one\ntwo\n\x1b[2F\x1b[Jthree\n"


def test_text_that_stays_is_never_overwritten() -> None:
    """A block after permanent text is drawn below it."""
    stream = Terminal()
    screen = Screen(stream)
    screen.draw(["one"])
    screen.say("stays")
    screen.draw(["two"])
    assert stream.getvalue() == "one\nstays\ntwo\n"


def test_a_small_terminal_gets_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that would wrap or scroll out of a small terminal are cut."""
    monkeypatch.setenv("COLUMNS", "5")
    monkeypatch.setenv("LINES", "4")
    stream = Terminal()
    Screen(stream).draw(["123456789", "b", "c", "d"])
    assert stream.getvalue() == "1234\nb\n"


def test_a_file_gets_plain_lines() -> None:
    """Without a terminal, blocks follow one another without control characters."""
    stream = io.StringIO()
    screen = Screen(stream)
    screen.draw(["one", "two"])
    screen.draw(["three"])
    assert stream.getvalue() == "one\ntwo\n\nthree\n\n"


def test_a_closed_terminal_ends_the_demo_like_a_reader_that_left() -> None:
    """A closed terminal raises BrokenPipeError, on which the command ends without an error message."""
    with pytest.raises(BrokenPipeError):
        Screen(Closed()).say("text")
