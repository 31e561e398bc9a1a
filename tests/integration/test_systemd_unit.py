# SPDX-License-Identifier: Apache-2.0
"""Restrictions of the systemd unit, as far as they can be tested without systemd."""

import subprocess
import sys

import pytest

from tests.deployment.lockdown import UNIT
from tests.integration.conftest import Programs
from tests.integration.exporters import LISTEN, Exporter
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers
# The prctl of MemoryDenyWriteExecute=: PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN; exec keeps it.
DENIED = """
import ctypes, os, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):
    sys.exit(3)
os.execv(sys.argv[1], sys.argv[1:])
"""
TAKES_SUCH_MEMORY = "import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)"


def test_it_works_without_memory_that_becomes_executable(programs: Programs) -> None:
    """With the unit's ban on executable memory the exporter reads Redis and receives events."""
    assert "yes" == UNIT["MemoryDenyWriteExecute"]
    denied = [sys.executable, "-c", DENIED, sys.executable]
    tried = subprocess.run([*denied, "-c", TAKES_SUCH_MEMORY], capture_output=True, check=False)
    if tried.returncode == 3:
        pytest.skip("needs Linux 6.3")
    assert b"PermissionError" in tried.stderr
    process = programs.run(*denied, "-m", "celery_redis_exporter", "--broker-url", programs.redis().url(), *LISTEN)
    process.wait_for('"app.started"')
    exporter = Exporter.of(process)
    eventually(exporter.hears)
    assert 1 == exporter.value("redis_up", redis="broker")
    assert 0 == process.end()
