# SPDX-License-Identifier: Apache-2.0
"""The permission that a queue needs if RabbitMQ refuses to count it."""

from types import SimpleNamespace
from typing import cast

import pytest

from celery_redis_exporter.brokers.kombu_broker import KombuBroker, QueuesScrape
from celery_redis_exporter.settings import KombuTarget, load
from celery_redis_exporter.state.queues import Queues
from tests.support.lab import Lab

OURS = r"rabbitmqctl set_permissions <user> '^celery-redis-exporter\.' '^(celery-redis-exporter\.|celery\.pidbox$)' "


@pytest.mark.parametrize(
    ("refused", "cures"),
    [
        ((), []),
        (("a.b", "it's"), [OURS + r"""'^(celery-redis-exporter\.|celeryev$|a\.b$|it'"'"'s$)'"""]),
    ],
)
def test_the_permission_of_refused_queues(refused: tuple[str, ...], cures: list[str]) -> None:
    """The command includes the exporter's usual permissions, and quotes names for RabbitMQ and the shell."""
    lab = Lab()
    settings = load(["--broker-url", "amqp://rabbit//"], {})
    queues = Queues(lab.tasks, [], 10)
    broker = KombuBroker(settings, cast("KombuTarget", settings.broker), queues, lab.store, lab.clock)
    scrape = cast("QueuesScrape", broker.scrape(shared=False))
    scrape._counter = SimpleNamespace(refused=refused)  # type: ignore[assignment]  # the broker's own one connects
    assert cures == [denial.cure for denial in scrape.denied]
    assert [refused] * len(cures) == [denial.queues for denial in scrape.denied]
