# SPDX-License-Identifier: Apache-2.0
"""A scrape of a small installation over HTTP, in turn by this exporter and Debian's prometheus-redis-exporter.

One Redis with ten queues and one worker's events. Ours also reads the queues and serves the events' metrics. Freshness
is 0, so that each scrape reads Redis. Both are requested as by Prometheus, with gzip and without.
"""

from tests.bench.load import publish
from tests.bench.scraper import Answer, Scraper, scrape_once
from tests.bench.streams import Shape
from tests.bench.subjects import REDIS_EXPORTER, Subject, start_redis_exporter
from tests.bench.table import Effort, Report, Row, percentile, render_table, spread
from tests.bench.workbench import Workbench, open_workbench
from tests.integration.redis_servers import RedisServer
from tests.support.waiting import eventually

QUEUES = 10
FRESH = ("--scrape.freshness", "0")
MOST = 1.0
WARM_UP = 5
"""Scrapes before the first measured one."""


def fill_small(server: RedisServer, tasks: int = 1_000) -> None:
    """Add ten queues with a message each to the broker, and publish the events of one worker."""
    with server.client() as client:
        for number in range(QUEUES):
            client.sadd(f"_kombu.binding.queue{number}", f"\x06\x16\x06\x16queue{number}")
            client.lpush(f"queue{number}", '{"body": "", "headers": {"id": "a"}}')
    publish(server.port, Shape(tasks=tasks, workers=1, queues=QUEUES), beat=True)


def start_small(bench: Workbench) -> Subject:
    """Start this exporter on a small installation; wait until it shows the worker and all queues."""
    subject = bench.exporter(*FRESH)
    fill_small(bench.server)
    eventually(lambda: scrape_once(subject.port).total(r"celery_queue_length\{") == QUEUES)
    eventually(lambda: scrape_once(subject.port).total(r"celery_worker_up\{") == 1)
    return subject


def against_redis_exporter(effort: Effort) -> Report:
    """Scrape both in turn; the ratio is computed per pair."""
    rounds = effort.times(300, 5)
    report = Report()
    lines = []
    with open_workbench() as bench:
        subjects = {"ours": start_small(bench), REDIS_EXPORTER: _start_other(bench)}
        for encoding in ("gzip", "identity"):
            scrapers = {name: bench.scraper(subject, encoding) for name, subject in subjects.items()}
            answers = _scrape_in_turn(scrapers, rounds)
            ratios = [
                ours.seconds / alone.seconds
                for ours, alone in zip(answers["ours"], answers[REDIS_EXPORTER], strict=True)
            ]
            report.rows.append(_judge(encoding, answers, ratios))
            lines += [_describe(name, encoding, found) for name, found in answers.items()]
    report.text = render_table(("", "encoding", "lines", "median", "p99"), lines)
    return report


def _start_other(bench: Workbench) -> Subject:
    """Start the other exporter; it does not subscribe, so only its first response is awaited."""
    subject = start_redis_exporter(bench.server.port, bench.folder)
    bench.keep(subject.process)
    eventually(lambda: is_up(subject.port), within=20)
    return subject


def is_up(port: int) -> bool:
    """Return whether a scrape succeeds and shows a Redis that is up."""
    try:
        return scrape_once(port).total(r"redis_up[ {]") == 1
    except OSError:
        return False


def _scrape_in_turn(scrapers: dict[str, Scraper], rounds: int) -> dict[str, list[Answer]]:
    answers: dict[str, list[Answer]] = {name: [] for name in scrapers}
    for _ in range(rounds + WARM_UP):
        for name, scraper in scrapers.items():
            answers[name].append(scraper.scrape())
    return {name: found[WARM_UP:] for name, found in answers.items()}


def _judge(encoding: str, answers: dict[str, list[Answer]], ratios: list[float]) -> Row:
    medians = {name: spread([answer.seconds for answer in found]).median for name, found in answers.items()}
    ratio = spread(ratios)
    ours, theirs = (f"{seconds * 1e3:.2f} ms" for seconds in medians.values())
    what = f"scrape of a small installation, {encoding}, median, against {REDIS_EXPORTER}"
    return Row(what, ours, theirs, ratio.text(".2f"), f"<= {MOST}", ratio.median <= MOST)


def _describe(name: str, encoding: str, answers: list[Answer]) -> tuple[str, ...]:
    times = [answer.seconds * 1e3 for answer in answers]
    median, p99 = spread(times).median, percentile(times, 99)
    return name, encoding, f"{answers[-1].lines:,}", f"{median:.2f} ms", f"{p99:.2f} ms"
