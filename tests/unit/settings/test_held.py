"""Settings as they are held: plain objects that nobody changes, and that show no secret."""

import json
import pickle

import pytest

from celery_redis_exporter.settings import changed, load
from celery_redis_exporter.settings.schema.model import Declared

SECRET = "PLANTED"


def test_every_declared_setting_is_held() -> None:
    """What the models declare is there under the same names, group by group, and nothing of pydantic's."""
    settings = load(["--redis.servers", '{"a": {"url": "redis://a"}}', "--tasks", '{"t": {"buckets": [1]}}'], {})
    assert [] == [name for name in Declared.model_fields if name not in vars(settings)]
    assert list(settings.tasks["t"].buckets or ()) == [1]
    groups = [settings, *vars(settings).values(), settings.redis.memory_guard, *settings.redis.servers.values()]
    assert {"celery_redis_exporter.settings.held"} == {
        type(group).__module__ for group in groups if hasattr(group, "__dict__")
    }
    assert "pydantic" not in str(pickle.dumps(settings))


def test_settings_are_frozen() -> None:
    """Nothing changes a setting after the start."""
    with pytest.raises(AttributeError, match="max: settings are frozen"):
        load([], {}).queues.max = 3  # type: ignore[misc]


def test_settings_of_the_same_values_are_equal() -> None:
    """Groups are compared by their values, secrets too."""
    url = "--broker-url=redis://:x@h"
    assert load([url], {}) == load([url], {})
    assert load([url], {}) != load(["--broker-url=redis://:y@h"], {})
    assert load(["--queues.max=7"], {}).queues != load([], {}).queues


def test_changed_settings_leave_the_others_alone() -> None:
    """A change gives other settings; those it was made from stay as they were."""
    settings = load(["--queues.max=7"], {})
    other = changed(settings, queues=changed(settings.queues, max=3))
    assert (7, 3) == (settings.queues.max, other.queues.max)
    assert other == load(["--queues.max=3"], {})


def test_no_group_shows_a_secret() -> None:
    """Secrets and options that nobody knows are not in what is printed of settings."""
    servers = json.dumps({"a": {"url": f"redis://{SECRET}@a"}})
    settings = load([f"--broker-url=redis://:{SECRET}@h", "--redis.servers", servers], {})
    settings = changed(settings, _foreign={"token": SECRET})
    assert SECRET in settings.broker_url.get_secret_value()
    assert SECRET not in repr(settings) + repr(vars(settings)["broker_url"])
