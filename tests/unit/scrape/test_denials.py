# SPDX-License-Identifier: Apache-2.0
"""What servers refuse is shown as long as they do, and said once."""

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
    """A server of which only the name and the refusals are known."""

    def __init__(self, name: str, *refused: str) -> None:
        self.server = cast("object", SimpleNamespace(name=name, session=SimpleNamespace(refused=refused)))  # type: ignore[assignment]


def reads(targets: list[Target]) -> ServerReads:
    """Reads of these servers."""
    return cast("ServerReads", SimpleNamespace(targets=targets))


def test_each_refusal_is_shown_and_said_once() -> None:
    """Every scrape shows what is refused; the log has a line for each, with the right to grant, when it is new."""
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
    """A right that was granted is gone at once, and said again if it is taken away again."""
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
    """The refusals of a broker other than Redis are reported, with its own way to grant."""
    rabbit = SimpleNamespace(name="broker", denied=[Denial("queue.declare", "rabbitmqctl ...", ("celery", "other"))])
    targets = [cast("Target", rabbit)]
    with capture_logs() as lines:
        assert [Sample(internals.COMMAND_DENIED, ("broker", "queue.declare"), 1)] == Denials(reads(targets)).samples()
    assert [("queue.declare", "rabbitmqctl ...")] == [(line["command"], line["cure"]) for line in lines]
