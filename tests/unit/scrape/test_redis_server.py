# SPDX-License-Identifier: Apache-2.0
"""The scrape of one server: its samples, and those of the parts that are read in the same exchange."""

from collections.abc import Sequence
from typing import Any, cast

from celery_redis_exporter.catalog import queues as queue_rows
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.records.samples import Reading, Sample
from celery_redis_exporter.scrape.bounds import Refuse, SampleBounds
from celery_redis_exporter.scrape.redis_server import ServerScrape
from celery_redis_exporter.sources.redis_server import RedisServer, Wanted
from celery_redis_exporter.sources.refusals import Refusal
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Command
from tests.support.fakes import FakeClock

INFO = (
    b"redis_version:7.0.15\r\nredis_mode:standalone\r\nmaxclients:9\r\n# Keyspace\r\ndb3:keys=2,expires=1,avg_ttl=0\r\n"
)


class ScriptedSession:
    """A session that answers by the first word of a command, and refuses commands without an answer."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.opened = 1
        self.lookups = None

    def talks_to(self, run_id: str) -> None:
        """Ignore the run id."""

    def exchange(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """Return the answers."""
        assert deadline
        return [self.answers.get(str(command[0]), Refusal("NOPERM no")) for command in commands]

    ask = exchange


class QueuePart:
    """A part that reads a queue's length."""

    def commands(self) -> list[Command]:
        """Return one LLEN."""
        return [("LLEN", "q")]

    def samples(self, replies: list[Any]) -> list[Sample]:
        """Return the length."""
        return [Sample(queue_rows.QUEUE_LENGTH, ("q",), reply) for reply in replies]


LIMIT = 1000


def scrape(
    answers: dict[str, Any], wanted: Wanted | None = None, db: int | None = 3, refuse: Refuse | None = None
) -> ServerScrape:
    """Return the scrape of a server with these answers."""
    clock = FakeClock()
    server = RedisServer("r", cast("Session", ScriptedSession(answers)), clock, wanted or Wanted())
    return ServerScrape(server, db, [QueuePart()], clock, SampleBounds(LIMIT, refuse or (lambda *_: None)))


def by_name(samples: list[Sample]) -> dict[tuple[str, ...], Reading]:
    """Return sample values by metric name and labels."""
    return {(sample.metric.name, *sample.labels): sample.value for sample in samples}


def test_refusals_cost_their_own_metrics() -> None:
    """A server that refuses everything but INFO is up and shows the values of INFO and its parts."""
    found = by_name(scrape({"INFO": INFO, "LLEN": 7}).read(1))
    assert 1 == found["redis_up", "r"]
    assert 0 == found["redis_exporter_last_scrape_error", "r", ""]
    assert 9 == found["redis_config_maxclients", "r"]
    assert 7 == found["celery_queue_length", "q"]
    assert {"db3": 2} == {labels[1]: value for (name, *labels), value in found.items() if name == "redis_db_keys"}
    assert not {name[0] for name in found} & {"redis_slowlog_length", "redis_config_io_threads"}


def test_refused_info_leaves_the_parts() -> None:
    """If INFO is refused, the server is down for a missing permission, and the parts are still shown."""
    server = scrape({"LLEN": 7})
    for reads in (1, 2):
        expected = {
            ("redis_up", "r"): 0, ("redis_exporter_last_scrape_error", "r", "noperm"): 1,
            ("redis_exporter_scrapes_total", "r"): reads, ("celery_queue_length", "q"): 7,
            ("celery_exporter_redis_values_refused_total", "r"): 0,
        }  # fmt: skip
        assert expected == by_name(server.read(1))


def test_without_info() -> None:
    """The server's state is read for the checks even if none of its metrics is enabled."""
    found = by_name(scrape({"INFO": INFO, "LLEN": 7, "PING": b"PONG"}, Wanted("off")).read(1))
    assert 0 == found["redis_exporter_last_scrape_error", "r", ""]
    assert 7 == found["celery_queue_length", "q"]
    assert "redis_config_maxclients" not in {name[0] for name in found}


def test_settings_stay_between_two_looks_at_them() -> None:
    """Values of CONFIG, and all databases with them, are shown until CONFIG is read again."""
    server = scrape({"INFO": INFO, "LLEN": 7, "CONFIG": [b"databases", b"2", b"io-threads", b"4"]})
    for _ in range(2):
        found = by_name(server.read(1))
        assert 4 == found["redis_config_io_threads", "r"]
        assert {"db0", "db1", "db3"} == {labels[1] for (name, *labels) in found if name == "redis_db_keys"}


def test_a_server_without_databases() -> None:
    """A server without databases, such as a sentinel, shows only the databases in its INFO."""
    assert "db3" in str(by_name(scrape({"INFO": INFO, "LLEN": 7}, db=None).read(1)))
    bare = INFO.partition(b"# Keyspace")[0]
    assert "redis_db_keys" not in str(by_name(scrape({"INFO": bare, "LLEN": 7}, db=None).read(1)))


def test_failure() -> None:
    """A server that could not be read is down with the reason, and the read counts as a scrape."""
    server = scrape({"INFO": INFO, "LLEN": 7})
    server.read(1)
    assert {
        ("redis_up", "r"): 0, ("redis_exporter_last_scrape_error", "r", "timeout"): 1,
        ("redis_exporter_scrapes_total", "r"): 1, ("celery_exporter_redis_values_refused_total", "r"): 0,
    } == by_name(server.failure(SourceError("timeout", "late")))  # fmt: skip


def test_refused_values_add_up() -> None:
    """Values of INFO that are not valid numbers are counted over all reads."""
    server = scrape({"INFO": INFO + b"evicted_keys:-3\r\nused_memory:nan\r\n", "LLEN": 7})
    found = [by_name(server.read(1))["celery_exporter_redis_values_refused_total", "r"] for _ in range(2)]
    assert [2, 4] == found


def test_series_of_a_server_are_bounded() -> None:
    """A server with unbounded error names has as many series as the limit allows, and one for the rest."""
    refused: list[tuple[str, int]] = []
    lines = b"".join(b"errorstat_E%d:count=1\r\n" % number for number in range(3 * LIMIT))
    server = scrape({"INFO": INFO + lines}, refuse=lambda metric, count: refused.append((metric.name, count)))
    found = {
        labels[-1]: value for (name, *labels), value in by_name(server.read(1)).items() if name == "redis_errors_total"
    }
    assert (LIMIT + 1, 2 * LIMIT) == (len(found), found["__overflow__"])
    assert [("redis_errors_total", 2 * LIMIT)] == refused
