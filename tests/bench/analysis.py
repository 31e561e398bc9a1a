# SPDX-License-Identifier: Apache-2.0
"""The time of a complete analysis of a server, compared with ``redis-cli --memkeys``, which reads the same sizes."""

import subprocess

import redis

from celery_redis_exporter.clock import SystemClock
from tests.bench.subjects import OWN
from tests.bench.table import Effort, Report, Row, spread
from tests.bench.workbench import open_workbench
from tests.integration.processes import system_program

MOST_RATIO = 3.0
PER_PIPELINE = 5_000


def against_memkeys(effort: Effort) -> Report:
    """Run both in turn on the same keys; the ratio is computed per round."""
    keys = effort.times(200_000, 2_000)
    times: dict[str, list[float]] = {"ours": [], "redis-cli": []}
    with open_workbench() as bench:
        _fill(bench.server.port, keys)
        commands = {
            "ours": [*OWN, "analyze", f"redis://127.0.0.1:{bench.server.port}/0", "--duty=1", "--no-progress"],
            "redis-cli": [system_program("redis-cli"), "-p", str(bench.server.port), "--memkeys"],
        }
        for number in range(effort.times(5, 1)):
            for name in sorted(commands, reverse=number % 2 == 1):
                times[name].append(_seconds(commands[name]))
    ratios = spread([ours / theirs for ours, theirs in zip(times["ours"], times["redis-cli"], strict=True)])
    ours, theirs = (f"{spread(found).text('.2f')} s" for found in times.values())
    what = f"analyze --duty=1 of {keys:,} keys, against redis-cli --memkeys"
    return Report([Row(what, ours, theirs, ratios.text(".2f"), f"<= {MOST_RATIO:g}", ratios.median <= MOST_RATIO)])


def _fill(port: int, keys: int) -> None:
    with redis.Redis(port=port, protocol=2) as client:
        for start in range(0, keys, PER_PIPELINE):
            pipeline = client.pipeline(transaction=False)
            for number in range(start, min(start + PER_PIPELINE, keys)):
                pipeline.set(f"celery-task-meta-{number:032x}", "x" * (number % 700), ex=86_400)
            pipeline.execute()


def _seconds(command: list[str]) -> float:
    clock = SystemClock()
    began = clock.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=300)
    return clock.monotonic() - began
