# SPDX-License-Identifier: Apache-2.0
"""The queue that a message is routed to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.transport.virtual.exchange import TopicExchange

from celery_redis_exporter.catalog import UNKNOWN
from celery_redis_exporter.catalog import queues as rows
from celery_redis_exporter.catalog import tasks as task_rows
from celery_redis_exporter.records.events import TaskSent
from celery_redis_exporter.records.replies import DIRECT, FANOUT, TOPIC, QueueCount, Route
from celery_redis_exporter.state.queues import Queues
from celery_redis_exporter.state.routes import ANSWERS_KEPT, LEVELS, MOST_ROUTES, PREFIXES_KEPT, Routes, matches
from tests.support.lab import Lab

BITS = "0." * 22 + "1.1.0.0.1.0."
"""A delay of 50 s as kombu writes it: 28 bits."""


def sent(queue: str | None, exchange: str | None, routing_key: str | None) -> TaskSent:
    """Return a task-sent event."""
    return TaskSent("u", 1.0, "t", queue, exchange=exchange, routing_key=routing_key)


def routes(*held: Route) -> Routes:
    """Return routes with these bindings."""
    found = Routes()
    found.hold(held)
    return found


CELERY = Route("celery", "celery", "celery", DIRECT)
VIDEO = Route("media", "media.video", "vids", DIRECT)
ANY_MEDIA = Route("media", "media.#", "vids", TOPIC)
NEWS = Route("news", "", "mail", FANOUT)


@pytest.mark.parametrize(
    ("bound", "event", "expected"),
    [
        # Without an exchange, or on the default one, the queue is certain.
        ([CELERY], ("celery", "", "celery"), "celery"),
        ([CELERY], ("celery", None, None), "celery"),
        ([], (None, "", "mail"), "mail"),
        ([], (None, None, None), UNKNOWN),
        ([], (None, None, "mail"), UNKNOWN),
        # An explicit exchange: the queue field of Celery's event contains the default queue.
        ([CELERY, VIDEO], ("celery", "media", "media.video"), "vids"),
        ([CELERY, ANY_MEDIA], ("celery", "media", "media.video.short"), "vids"),
        ([CELERY, NEWS], ("celery", "news", "anything"), "mail"),
        ([CELERY, VIDEO], ("celery", "media", "media.audio"), UNKNOWN),
        ([CELERY], ("celery", "media", "media.video"), UNKNOWN),
        # Celery's queue field is used if no binding contradicts it.
        ([], ("vids", "media", "media.video"), "vids"),
        ([CELERY], ("vids", "media", "media.video"), "vids"),
        ([CELERY, ANY_MEDIA], ("new", "media", "new"), "new"),
        ([CELERY, ANY_MEDIA], ("vids", "media", "media.#"), "vids"),
        # Several queues: the one in Celery's queue field, or none.
        ([ANY_MEDIA, Route("media", "media.*", "all", TOPIC)], ("all", "media", "media.x"), "all"),
        ([ANY_MEDIA, Route("media", "media.*", "all", TOPIC)], ("celery", "media", "media.x"), UNKNOWN),
        # Native delayed delivery.
        ([], (None, "celery_delayed_27", f"{BITS}jobs"), "jobs"),
        ([], (None, "shop_celery_delayed_27", f"{BITS}jobs"), "jobs"),
        ([ANY_MEDIA], (None, "celery_delayed_27", f"{BITS}media.video"), "vids"),
        ([Route("jobs", "jobs", "jobs", TOPIC), ANY_MEDIA], (None, "celery_delayed_5", f"{BITS}jobs"), "jobs"),
        ([], (None, "celery_delayed_27", f"{BITS}"), UNKNOWN),
        ([], (None, "celery_delayed_27x", f"{BITS}jobs"), UNKNOWN),
        # Broadcast: each worker has a separate queue, and all are shown under the name of the exchange.
        ([], ("bcast.0f", "news", ""), "news"),
        ([Route("news", "", "bcast.1", FANOUT), Route("news", "", "bcast.2", FANOUT)], ("news", "news", ""), "news"),
    ],
)
def test_the_destination_of_a_task(
    bound: list[Route], event: tuple[str | None, str | None, str | None], expected: str
) -> None:
    """A task counts under the queue that its message is routed to, and under none if that is not certain."""
    assert expected == routes(*bound).destination(sent(*event))


@pytest.mark.parametrize(
    ("kind", "bound", "key", "virtual", "expected"),
    [
        (DIRECT, "a.b", "a.b", False, True), (DIRECT, "a.#", "a.b", False, False), (FANOUT, "", "a", False, True),
        (TOPIC, "a.*", "a.b", False, True), (TOPIC, "a.*", "a.b.c", False, False), (TOPIC, "a.*", "a", False, False),
        (TOPIC, "#", "", False, True), (TOPIC, "#", "a.b", True, True), (TOPIC, "a.#", "a", False, True),
        (TOPIC, "a.#", "a", True, False), (TOPIC, "#.b", "b", False, True), (TOPIC, "a.#.b", "a.x.y.b", False, True),
        (TOPIC, "a.#.b", "a.b", False, True), (TOPIC, "a.#.b", "a.b", True, False), (TOPIC, "*.b", ".b", True, False),
        (TOPIC, "#.#.#", "a", False, True), (TOPIC, "a", "a.b", False, False), (TOPIC, "a+", "aa", False, False),
    ],
)  # fmt: skip
def test_routing_keys(kind: str, bound: str, key: str, virtual: bool, expected: bool) -> None:  # noqa: FBT001 -- a table
    """Direct exchanges compare whole keys, topic exchanges match word by word, and fanout ignores keys."""
    assert expected == matches(Route("e", bound, "q", kind, virtual), key)


WORDS = st.lists(st.sampled_from(["a", "b", "*", "#", ""]), min_size=1, max_size=5).map(".".join)
KEYS = st.lists(st.sampled_from(["a", "b", ""]), min_size=1, max_size=5).map(".".join)


@given(WORDS, KEYS)
def test_topics_match_as_in_kombu(bound: str, key: str) -> None:
    """Topics of kombu's virtual transports match exactly as kombu matches them."""
    topic = TopicExchange(None)  # type: ignore[no-untyped-call]  # kombu has no types
    pattern = topic.key_to_pattern(bound)  # type: ignore[no-untyped-call]  # as above
    expected = bool(topic._match(pattern, key)) or bound == key  # type: ignore[no-untyped-call]  # as above
    assert expected == matches(Route("e", bound, "q", TOPIC, virtual=True), key)


def test_a_long_pattern_costs_little() -> None:
    """Matching a pattern of hundreds of wildcards takes at most its length times the length of the key."""
    assert not matches(Route("e", "#.*." * 200 + "x", "q", TOPIC), ".".join("a" * 500))


def test_bindings_of_both_sources() -> None:
    """Bindings of a search are replaced by the next search; bindings that workers reported are kept."""
    found = routes(VIDEO)
    found.learn([Route("media", "media.audio", "sound", DIRECT)])
    assert ("vids", "sound") == (found.queue_of("media", "media.video"), found.queue_of("media", "media.audio"))
    found.hold([])
    assert (None, "sound") == (found.queue_of("media", "media.video"), found.queue_of("media", "media.audio"))
    assert "mail" == found.queue_of("", "mail")


def test_routes_are_bounded() -> None:
    """The numbers of bindings and of cached answers are bounded."""
    found = Routes()
    found.hold(Route("e", str(number), "q", DIRECT) for number in range(MOST_ROUTES + 5))
    found.learn(Route("f", str(number), "q", DIRECT) for number in range(MOST_ROUTES + 5))
    assert (None, "q") == (found.queue_of("f", "0"), found.queue_of("f", str(MOST_ROUTES)))
    for number in range(ANSWERS_KEPT + 5):
        found.queue_of("e", f"n{number}")
    assert len(found._answers) <= ANSWERS_KEPT
    assert MOST_ROUTES == len(found._held) == len(found._learned)


def test_queues_of_delays_are_known_by_their_use() -> None:
    """The 28 delay queues of a prefix are counted once a task was sent to one, for a bounded number of prefixes."""
    found = Routes()
    assert [] == found.delayed_queues()
    found.destination(sent(None, "celery_delayed_27", f"{BITS}jobs"))
    found.destination(sent(None, "shop_celery_delayed_27", f"{BITS}jobs"))
    queues = found.delayed_queues()
    assert (56, "celery_delayed_27", "shop_celery_delayed_0") == (len(queues), queues[0], queues[-1])
    for number in range(PREFIXES_KEPT + 1):
        found.note_delayed(f"{number}_celery_delayed_3")
    assert PREFIXES_KEPT * LEVELS == len(found.delayed_queues())


def test_delayed_messages_are_scheduled_messages() -> None:
    """Delay queues have scheduled messages instead of a length, and do not count towards the limit of queues."""
    lab = Lab()
    queues = Queues(lab.tasks, ["celery_delayed_27"], 2)
    lab.tasks.fold_sent(sent(None, "celery_delayed_27", f"{BITS}jobs"))
    names = queues.names_to_count()
    assert {"jobs", *(f"celery_delayed_{level}" for level in range(28))} == set(names)
    counts = [QueueCount("celery_delayed_5", 4, 0), QueueCount("celery_delayed_27", 0, 0), QueueCount("jobs", 1, 1)]
    found = {(sample.metric, sample.labels): sample.value for sample in queues.fold_counts(counts)}
    assert (4, 0) == tuple(found[rows.QUEUE_SCHEDULED, (f"celery_delayed_{level}",)] for level in (5, 27))
    assert (1, None) == tuple(found.get((rows.QUEUE_LENGTH, (queue,))) for queue in ("jobs", "celery_delayed_5"))
    assert 1 == lab.value(task_rows.TASKS_SENT, "t", "jobs")
