# SPDX-License-Identifier: Apache-2.0
"""Tuning of the process for short pauses and little memory."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from celery_redis_exporter.daemon import tuning

Limits = tuple[int, int]
NONE = resource.RLIM_INFINITY

PROGRAM = """
import gc, sys
from celery_redis_exporter.daemon.tuning import keep_little_memory, keep_pauses_short
keep_little_memory()
keep_pauses_short()
print(gc.get_threshold()[0] > 700, gc.get_freeze_count() > 0, gc.isenabled(), sys.getswitchinterval() < 0.005)
"""


def test_tuning() -> None:
    """The garbage collector stays on and ignores objects of the start, and threads switch more often."""
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert "True True True True\n" == found.stdout


def test_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the C library has no mallopt, tuning has no effect and no error."""
    monkeypatch.setattr(tuning, "_LIBC", object())
    tuning.keep_little_memory()
    tuning.return_memory(0)


RETURNS = """
import gc
from celery_redis_exporter.daemon import tuning
tuning.keep_little_memory()
least = tuning.resident_bytes()
pieces = [bytes(10_000) for _ in range(6_000)]
kept = pieces[::50]
del pieces
before = tuning.resident_bytes()
tuning.return_memory(before)
as_before = tuning.resident_bytes()
tuning.return_memory(least)
print(before - least > 50_000_000, before - as_before < 1_000_000, tuning.resident_bytes() - least < 20_000_000)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_freed_memory_is_returned() -> None:
    """Freed memory between live objects is returned if the process has much more memory than at the start."""
    found = subprocess.run([sys.executable, "-c", RETURNS], capture_output=True, text=True, check=True, timeout=60)
    assert "True True True\n" == found.stdout


LISTS = """
import hiredis
from celery_redis_exporter.daemon.tuning import MOST_GROWTH, limit_memory
limit_memory()
for size in (MOST_GROWTH // 7, MOST_GROWTH // 16):
    reader = hiredis.Reader()
    reader.feed(b"*%d\\r\\n" % size)
    try:
        print(reader.gets())
    except MemoryError:
        print("refused")
del reader
print(len(bytearray(50_000_000)) > 0)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_memory_is_limited() -> None:
    """A reply with more elements than the memory limit allows is refused, and the process continues."""
    found = subprocess.run([sys.executable, "-c", LISTS], capture_output=True, text=True, check=True, timeout=60)
    assert "refused\nFalse\nTrue\n" == found.stdout


@pytest.mark.parametrize("usual", [(1000, NONE), (NONE, 2000), (3000, 3000)])
def test_a_lower_limit_remains(monkeypatch: pytest.MonkeyPatch, usual: Limits) -> None:
    """A lower limit that was set outside the process is never raised."""
    set_to: list[Limits] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: usual)
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    tuning.limit_memory()
    assert [(min(limit for limit in usual if limit != NONE), usual[1])] == set_to


def test_the_limit_is_what_the_process_has_and_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The process may grow by MOST_GROWTH from the size that the system reports."""
    set_to: list[Limits] = []
    sizes = tmp_path / "statm"
    sizes.write_text("1000 1 1")
    monkeypatch.setattr(tuning, "_SIZES", sizes)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (NONE, NONE))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    tuning.limit_memory()
    assert [(1000 * resource.getpagesize() + tuning.MOST_GROWTH, NONE)] == set_to


def test_without_a_limit_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the system reports no sizes or a sandbox refuses limits, no limit is set and no error is raised."""
    usual = resource.getrlimit(resource.RLIMIT_AS)

    def refuse(_: int, __: Limits) -> None:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(resource, "setrlimit", refuse)
        tuning.limit_memory()
    monkeypatch.setattr(tuning, "_SIZES", Path("/nowhere"))
    tuning.limit_memory()
    assert usual == resource.getrlimit(resource.RLIMIT_AS)
