# SPDX-License-Identifier: Apache-2.0
"""The sample application: a web shop's background tasks on Celery, with the settings that the exporter needs.

The outcome of an order follows from its number, so that failures and retries are steady and of several kinds. Tasks
only wait, and nothing is sent to another machine. Broker and result backend come from Celery's own environment
variables.
"""

import threading
from typing import Any

from celery import Celery, Task

NAME = "celery_redis_exporter.demo.application"
QUEUES = ("default", "payments", "reports")


class CardDeclinedError(Exception):
    """The bank declined the card."""


class GatewayTimeoutError(Exception):
    """The payment gateway did not answer. A retry may succeed."""


class MailboxBusyError(Exception):
    """The mail server asks to send the receipt later."""


def seconds_of(order: int, low: float, high: float) -> float:
    """Return the duration of an order in seconds, between ``low`` and ``high``."""
    return low + order * 37 % 100 / 100 * (high - low)


def work(order: int, low: float, high: float) -> None:
    """Wait for the duration of an order."""
    threading.Event().wait(seconds_of(order, low, high))


def charge_card(task: Task, order: int) -> str:
    """Charge a card. For one order in six the gateway times out, and one in nine is declined."""
    work(order, 0.2, 0.7)
    if order % 9 == 4:
        raise CardDeclinedError(f"order {order}")
    if order % 6 == 2 and not task.request.retries:
        raise task.retry(exc=GatewayTimeoutError(f"order {order}"), countdown=2)
    return f"charged order {order}"


def refund_card(order: int) -> str:
    """Refund a payment."""
    work(order, 0.1, 0.4)
    return f"refunded order {order}"


def send_receipt(task: Task, order: int) -> str:
    """Mail a receipt. One mailbox in eleven stays busy until no retries are left."""
    work(order, 0.02, 0.15)
    if order % 11 == 7:
        raise task.retry(exc=MailboxBusyError(f"order {order}"), countdown=1, max_retries=2)
    return f"mailed order {order}"


def resize_image(order: int) -> str:
    """Resize a picture. One file in fourteen is not a picture."""
    work(order, 0.2, 0.9)
    if order % 14 == 3:
        raise ValueError(f"order {order}: not an image")
    return f"resized image of order {order}"


def send_newsletter(customer: int) -> str:
    """Mail a newsletter. Many are published at a time, and late ones expire."""
    work(customer, 0.2, 0.5)
    return f"mailed customer {customer}"


def send_reminder(order: int) -> str:
    """Send a reminder about a review. It is scheduled for later."""
    work(order, 0.02, 0.1)
    return f"reminded customer of order {order}"


def sync_stock() -> str:
    """Synchronize the stock. Periodic."""
    work(1, 0.1, 0.3)
    return "synced"


def export_orders(order: int) -> str:
    """Export orders. Slow, and some exports exceed their soft time limit."""
    work(order, 2, 6)
    return f"exported orders up to {order}"


def nightly_report() -> str:
    """Write the report. Slow and periodic."""
    work(0, 5, 5)
    return "reported"


SETTINGS: dict[str, Any] = {
    # The exporter needs the events of tasks, and task-sent, which names the queue.
    "worker_send_task_events": True,
    "task_send_sent_event": True,
    # Messages stay in Redis until a process is free, so that one can see a queue grow.
    "worker_prefetch_multiplier": 1,
    "broker_transport_options": {"priority_steps": [0, 3, 6, 9]},
    "broker_connection_retry_on_startup": True,
    "result_expires": 60,
    "task_default_queue": "default",
    "task_serializer": "json",
    "accept_content": ["json"],
    "task_routes": {
        "shop.charge_card": {"queue": "payments"},
        "shop.refund_card": {"queue": "payments"},
        "shop.export_orders": {"queue": "reports"},
        "shop.nightly_report": {"queue": "reports"},
    },
    "beat_schedule": {
        "sync-stock": {"task": "shop.sync_stock", "schedule": 5.0},
        "nightly-report": {"task": "shop.nightly_report", "schedule": 20.0},
    },
}


def build_application() -> Celery:
    """Build the shop's Celery application."""
    shop = Celery("shop")
    shop.conf.update(SETTINGS)
    shop.task(charge_card, name="shop.charge_card", bind=True, acks_late=True)
    shop.task(refund_card, name="shop.refund_card")
    shop.task(send_receipt, name="shop.send_receipt", bind=True)
    shop.task(resize_image, name="shop.resize_image")
    shop.task(send_newsletter, name="shop.send_newsletter")
    shop.task(send_reminder, name="shop.send_reminder")
    shop.task(sync_stock, name="shop.sync_stock")
    shop.task(export_orders, name="shop.export_orders", soft_time_limit=4.5)
    shop.task(nightly_report, name="shop.nightly_report")
    return shop


app = build_application()
