"""The limit of the process while a server's bytes are parsed."""

import mmap
import resource
from pathlib import Path

import pytest

from celery_redis_exporter.sources import headroom
from celery_redis_exporter.sources.headroom import MOST_BYTES, Headroom
from tests.fakes import FakeClock

USUAL = resource.getrlimit(resource.RLIMIT_AS)
NONE = resource.RLIM_INFINITY
Limits = tuple[int, int]


def limits() -> Limits:
    """Give the limits that stand now."""
    return resource.getrlimit(resource.RLIMIT_AS)


@pytest.fixture
def measured() -> Headroom:
    """Give a headroom that knows what this process has."""
    room = Headroom()
    room.enable()
    return room


def test_memory_is_limited_while_bytes_are_parsed(measured: Headroom) -> None:
    """Between begin and end nobody gets more than MOST_BYTES, afterwards everybody gets what he got before."""
    measured.begin()
    try:
        with pytest.raises(OSError, match="Cannot allocate memory"):
            mmap.mmap(-1, 2 * MOST_BYTES)
        mmap.mmap(-1, MOST_BYTES // 4).close()
    finally:
        measured.end()
    assert USUAL == limits()
    mmap.mmap(-1, 2 * MOST_BYTES).close()


def test_the_last_one_to_parse_lifts_the_limit(measured: Headroom) -> None:
    """Where several threads parse, the limit stands until all are done."""
    measured.begin()
    measured.begin()
    measured.end()
    assert USUAL != limits()
    measured.measure()  # a connection that opens meanwhile must not take this limit for the usual one
    measured.end()
    assert USUAL == limits()


def test_a_limit_that_stands_is_never_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that somebody else set stay, where they are the lower ones."""
    set_to: list[Limits] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    for usual in ((1000, NONE), (NONE, 2000), (3000, 3000)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, usual=usual: usual)
        room = Headroom()
        room.enable()
        set_to.clear()
        room.begin()
        room.end()
        assert [(min(limit for limit in usual if limit != NONE), usual[1]), usual] == set_to


def test_without_such_limits_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system tells no sizes, or a sandbox refuses limits, parsing goes on without."""
    with monkeypatch.context() as patch:
        patch.setattr(headroom, "_PAGES", Path("/nowhere"))
        untold = Headroom()
        untold.enable()

    def refuse(_: int, __: Limits) -> None:
        raise PermissionError

    monkeypatch.setattr(resource, "setrlimit", refuse)
    refused = Headroom()
    refused.enable()
    for room in (untold, refused):
        room.begin()
        room.end()
    assert USUAL == limits()


def test_nothing_is_limited_in_a_foreign_process() -> None:
    """A program that uses the exporter as a library keeps its limits while bytes are parsed."""
    room = Headroom()
    room.measure()
    room.begin()
    assert USUAL == limits()
    room.end()


def test_a_process_that_grows_is_measured_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The limit follows what the process has, so that a year's growth is no lie of the server's."""
    clock, set_to = FakeClock(), list[Limits]()
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    room = Headroom(clock)
    room.enable()
    for pages in (1000, 2000):
        file = tmp_path / "statm"
        file.write_text(f"{pages} 1 1")
        monkeypatch.setattr(headroom, "_PAGES", file)
        clock.advance(headroom.MEASURED_SECONDS + 1)
        room.begin()
        room.end()
    sizes = [soft for soft, _ in set_to if soft != USUAL[0]]
    assert [1000 * resource.getpagesize() + MOST_BYTES, 2000 * resource.getpagesize() + MOST_BYTES] == sizes
