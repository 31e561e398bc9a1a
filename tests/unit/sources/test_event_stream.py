"""Where events are published."""

import pytest

from exporter.sources.event_stream import Topic


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        (Topic(), ("PSUBSCRIBE", "/0.celeryev/*")),
        (Topic(db=3), ("PSUBSCRIBE", "/3.celeryev/*")),
        (Topic(global_keyprefix="proj1:"), ("PSUBSCRIBE", "proj1:/0.celeryev/*")),
        (Topic(global_keyprefix="a*[b]?\\"), ("PSUBSCRIBE", "a\\*\\[b\\]\\?\\\\/0.celeryev/*")),
        (Topic(fanout_prefix=False), ("PSUBSCRIBE", "celeryev/*")),
        (Topic(fanout_prefix="/mine."), ("PSUBSCRIBE", "/mine.celeryev/*")),
        (Topic(fanout_patterns=False), ("SUBSCRIBE", "/0.celeryev")),
        (Topic(event_exchange="ev2", db=1), ("PSUBSCRIBE", "/1.ev2/*")),
    ],
)
def test_channel(topic: Topic, expected: tuple[str, str]) -> None:
    """The subscription follows Celery's settings, letter by letter, and takes no name for a pattern."""
    assert expected == topic.subscribe_command
