# SPDX-License-Identifier: Apache-2.0
"""Run ``check`` on real servers and return its findings.

Input: arguments. Output: findings as in the JSON document. Lines that fix something are run by a shell, as a reader
would.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from tests.integration.celery_workers import BEATING, WorkerOptions
from tests.integration.conftest import Programs
from tests.integration.processes import Process, clean_environment

LISTENING = "; listening for"
ANY_PORT = ("--web.listen-address", "127.0.0.1:0")
SOUND = ("--maxmemory", "100mb", "--appendonly", "yes")
"""Options of a redis-server that cause no finding worse than OK."""
LIVELY = WorkerOptions(arguments=BEATING)


def start_check(programs: Programs, url: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Process:
    """Start the check of a broker."""
    command = (sys.executable, "-m", "celery_redis_exporter", "check", "--broker-url", url, *ANY_PORT, *arguments)
    return programs.run(*command, environment=dict(environment or {}))


def findings_of(process: Process, within: float = 30) -> dict[str, dict[str, Any]]:
    """Wait for a check with --json to end. Return its findings by code, the last one of each code."""
    process.ended(within)
    document = json.loads(process.output())
    assert process.exit_code == document["exit_code"], process.output()
    return {finding["code"]: finding for finding in document["findings"]}


def check_quickly(programs: Programs, url: str, *arguments: str) -> dict[str, dict[str, Any]]:
    """Check a broker without receiving events."""
    return findings_of(start_check(programs, url, "--json", "--listen=0", *arguments))


def levels(process: Process) -> list[tuple[str, str]]:
    """Return level and subject of each finding of the text output."""
    lines = [line for line in process.output().splitlines() if line[:5].strip() in {"OK", "NOTE", "WARN", "FAIL"}]
    return [(line[:5].strip(), line[6:25].strip()) for line in lines]


def apply_remedy(finding: Mapping[str, Any]) -> None:
    """Run the first line of a finding's remedy."""
    done = subprocess.run(
        ["bash", "-c", finding["remedy"][0]], env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "OK", (finding["remedy"], done.stdout)
