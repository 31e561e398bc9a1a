# SPDX-License-Identifier: Apache-2.0
"""Refused commands are shown while they are refused, and logged once."""

from types import SimpleNamespace
from typing import cast

from structlog.testing import capture_logs

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.scrape.denials import Denials
from celery_redis_exporter.scrape.redis_server import ServerScrape
from celery_redis_exporter.scrape.server_reads import ServerReads
from celery_redis_exporter.scrape.shared_read import Target
from celery_redis_exporter.sources.refusals import Denial


class RefusingServer(ServerScrape):
    """A server with only a name and refusals."""

    def __init__(self, name: str, *refused: str) -> None:
        self.server = cast("object", SimpleNamespace(name=name, session=SimpleNamespace(refused=refused)))  # type: ignore[assignment]


def reads(targets: list[Target]) -> ServerReads:
    """Return reads of these servers."""
    return cast("ServerReads", SimpleNamespace(targets=targets))


def test_each_refusal_is_shown_and_said_once() -> None:
    """Every scrape shows each refused command, and the log names the permission to grant once per new refusal."""
    targets: list[Target] = [RefusingServer("broker", "llen", "slowlog|get"), RefusingServer("cache")]
    denials = Denials(reads(targets))
    expected = [Sample(internals.COMMAND_DENIED, ("broker", right), 1) for right in ("llen", "slowlog|get")]
    with capture_logs() as lines:
        for _ in range(3):
            assert expected == denials.samples()
    assert [("broker", "ACL SETUSER <user> +llen"), ("broker", "ACL SETUSER <user> +slowlog|get")] == [
        (line["redis"], line["cure"]) for line in lines
    ]


def test_what_was_granted_is_shown_no_more() -> None:
    """A permission that was granted is not shown any more, and is logged again if it is revoked again."""
    targets: list[Target] = [RefusingServer("broker", "llen")]
    denials = Denials(reads(targets))
    with capture_logs() as lines:
        denials.samples()
        targets[:] = [RefusingServer("broker")]
        assert [] == denials.samples()
        targets[:] = [RefusingServer("broker", "llen")]
        denials.samples()
    assert 2 == len(lines)


def test_another_broker_refuses_too() -> None:
    """Refusals of a broker other than Redis are reported with that broker's command to grant the permission."""
    rabbit = SimpleNamespace(name="broker", denied=[Denial("queue.declare", "rabbitmqctl ...", ("celery", "other"))])
    targets = [cast("Target", rabbit)]
    with capture_logs() as lines:
        assert [Sample(internals.COMMAND_DENIED, ("broker", "queue.declare"), 1)] == Denials(reads(targets)).samples()
    assert [("queue.declare", "rabbitmqctl ...")] == [(line["command"], line["cure"]) for line in lines]
