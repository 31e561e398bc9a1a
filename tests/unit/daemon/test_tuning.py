"""A process set up for short pauses and little memory."""

import subprocess
import sys

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


def test_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the C library has no mallopt, nothing happens."""
    monkeypatch.setattr(tuning, "_LIBC", object())
    tuning.keep_little_memory()
