"""A process set up for short pauses and little memory."""

import subprocess
import sys
from pathlib import Path

import pytest

from celery_redis_exporter.daemon import tuning

PROGRAM = """
import gc, sys
from celery_redis_exporter.daemon.tuning import keep_little_memory, keep_pauses_short
keep_little_memory()
keep_pauses_short()
print(gc.get_threshold()[0] > 700, gc.get_freeze_count() > 0, gc.isenabled(), sys.getswitchinterval() < 0.005)
"""


def test_tuning() -> None:
    """Objects of the start are left alone by the collector, which stays on, and threads take turns quickly."""
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert "True True True True\n" == found.stdout


HOLES = """
from pathlib import Path
from celery_redis_exporter.daemon.tuning import give_back_memory, keep_little_memory
keep_little_memory()
read = lambda: int(Path("/proc/self/statm").read_text().split()[1])
kept = [bytes(100_000) for _ in range(400)]
kept[:-1] = []
before = read()
give_back_memory()
print(read() < before / 2)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_what_is_free_between_things_in_use_is_given_back() -> None:
    """Buffers that were dropped leave the process although a younger one is kept."""
    found = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True, timeout=60)
    assert "True\n" == found.stdout


def test_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the C library has neither mallopt nor malloc_trim, nothing happens."""
    monkeypatch.setattr(tuning, "_LIBC", object())
    tuning.keep_little_memory()
    tuning.give_back_memory()
