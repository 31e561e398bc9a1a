"""The shop's customers: which tasks they cause, and a process that publishes them.

``messages_at`` is pure. The process (``python -m celery_redis_exporter.demo.traffic``) publishes through the sample
application until SIGTERM; Celery's own environment variables tell it where.
"""

import itertools
import signal
import threading
from dataclasses import dataclass, field
from typing import Any

TICK_SECONDS = 0.5
BURST_EVERY = 80
"""Ticks between two bursts: the queues are empty again well before the next one."""
FIRST_BURST = 16


@dataclass(frozen=True, slots=True)
class Message:
    """A task to publish: its only argument, and options of Celery's ``apply_async``."""

    task: str
    number: int
    options: dict[str, Any] = field(default_factory=dict)


def messages_at(tick: int) -> list[Message]:
    """Give what is published at a tick: a steady stream, and now and then a campaign that fills the queues."""
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
    """Publish tick by tick until ``stop``; a Redis that is gone for long raises kombu's OperationalError."""
    from celery_redis_exporter.demo.application import app  # noqa: PLC0415 -- the plan above is read without Celery

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
