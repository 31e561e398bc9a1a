# SPDX-License-Identifier: Apache-2.0
"""Publish the tasks that the shop's customers cause.

``messages_at`` is pure. The process (``python -m celery_redis_exporter.demo.traffic``) publishes through the sample
application until SIGTERM. Broker and result backend come from Celery's own environment variables.
"""

import itertools
import signal
import threading
from dataclasses import dataclass, field
from typing import Any

TICK_SECONDS = 0.5
BURST_EVERY = 80
"""Ticks between two bursts. The queues are empty again well before the next one."""
FIRST_BURST = 16


@dataclass(frozen=True, slots=True)
class Message:
    """A task to publish: its only argument, and options of Celery's ``apply_async``."""

    task: str
    number: int
    options: dict[str, Any] = field(default_factory=dict)


def messages_at(tick: int) -> list[Message]:
    """Return the messages of a tick: a steady stream, and from time to time a campaign that fills the queues."""
    found = [Message("shop.charge_card", tick, {"priority": 3}), Message("shop.send_receipt", tick)]
    if tick % 2 == 1:
        found.append(Message("shop.resize_image", tick, {"priority": 6}))
    if tick % 8 == 3:
        found.append(Message("shop.refund_card", tick, {"priority": 9}))
    if tick % 10 == 5:
        found.append(Message("shop.send_reminder", tick, {"countdown": 10}))
    if tick % 24 == 2:
        found.append(Message("shop.export_orders", tick))
    if tick % BURST_EVERY == FIRST_BURST:
        # Late newsletters expire, which Celery reports as revoked.
        letters = {"priority": 9, "expires": 18}
        found += [Message("shop.send_newsletter", customer, letters) for customer in range(tick, tick + 50)]
        found += [Message("shop.charge_card", order, {"priority": 6}) for order in range(1000 + tick, 1030 + tick)]
    return found


def publish(stop: threading.Event) -> None:
    """Publish tick by tick until ``stop`` is set. Raises kombu's OperationalError if Redis is unreachable for long."""
    from celery_redis_exporter.demo.application import app  # noqa: PLC0415 -- messages_at needs no Celery

    for tick in itertools.count():
        for message in messages_at(tick):
            app.send_task(message.task, args=(message.number,), **message.options)
        if stop.wait(TICK_SECONDS):
            return


def main() -> None:
    """Publish until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    publish(stop)


if __name__ == "__main__":
    main()
