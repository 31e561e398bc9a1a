"""Settings that another program gives as keyword arguments."""

import pytest

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings import load, load_tree


def test_a_tree_is_what_flags_are() -> None:
    """The same settings, given as mappings and as flags, are equal."""
    tree = {
        "broker_url": "redis://:SECRET@h/3",
        "queues": {"names": ["a", "b"], "max": 7},
        "scrape": {"deadline": "500ms"},
        "events": {"exemplars": False},
        "broker_transport_options": {"global_keyprefix": "p.", "socket_keepalive": True},
    }
    flags = ["--broker-url=redis://:SECRET@h/3", "--queues.names=a,b", "--queues.max=7", "--scrape.deadline=500ms"]
    options = '{"global_keyprefix": "p.", "socket_keepalive": true}'
    told = load([*flags, "--no-events.exemplars", "--broker-transport-options", options], {})
    without_notes = {"notes": ()}
    assert told.model_copy(update=without_notes) == load_tree(tree).model_copy(update=without_notes)
    assert ["broker_transport_options.socket_keepalive concerns Celery's own connections and has no effect here."] == [
        *load_tree(tree).notes
    ]
    assert "SECRET" in load_tree(tree).secrets
    assert load([], {}) == load_tree({})


@pytest.mark.parametrize("tree", [{"queues": 3}, {"queues": {"maxx": 1}}, {"scrape": {"deadline": "soon"}}])
def test_a_wrong_tree_is_refused_by_its_key(tree: dict[str, object]) -> None:
    """The message names the setting with its path."""
    with pytest.raises(ConfigError, match=r"^(queues|scrape)"):
        load_tree(tree)
