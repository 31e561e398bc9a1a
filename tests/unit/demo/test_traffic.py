# SPDX-License-Identifier: Apache-2.0
"""The plan of the demo's traffic."""

from celery_redis_exporter.demo.traffic import BURST_EVERY, FIRST_BURST, Message, messages_at

ROUND = [message for tick in range(BURST_EVERY) for message in messages_at(tick)]


def test_every_task_is_one_of_the_application() -> None:
    """The plan publishes only tasks of the application."""
    from celery_redis_exporter.demo.application import app

    assert {message.task for message in ROUND} - set(app.tasks) == set()


def test_all_queues_priorities_and_schedules_are_used() -> None:
    """The plan uses all queues and priorities, countdowns and expiry times, so that their panels have data."""
    from celery_redis_exporter.demo.application import QUEUES, SETTINGS

    routed = {SETTINGS["task_routes"].get(message.task, {}).get("queue", "default") for message in ROUND}
    assert set(QUEUES) == routed
    assert {3, 6, 9} == {message.options["priority"] for message in ROUND if "priority" in message.options}
    assert any("countdown" in message.options for message in ROUND)
    assert any("expires" in message.options for message in ROUND)


def test_a_burst_comes_now_and_then() -> None:
    """Most ticks publish a few messages, and one tick per round publishes enough to fill the queues."""
    sizes = [len(messages_at(tick)) for tick in range(BURST_EVERY)]
    assert [FIRST_BURST] == [tick for tick, size in enumerate(sizes) if size > 10]
    assert sizes[FIRST_BURST] > 50


def test_the_plan_is_the_same_every_time() -> None:
    """Two runs of the demo publish the same messages."""
    assert (
        [
            Message("shop.charge_card", 0, {"priority": 3}),
            Message("shop.send_receipt", 0),
        ]
        == messages_at(0)
        == messages_at(0)
    )
