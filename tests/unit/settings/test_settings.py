# SPDX-License-Identifier: Apache-2.0
"""Settings in the form that the exporter uses: frozen, compared by value, and without secrets in their repr."""

import json

import pytest
from pydantic import ValidationError

from celery_redis_exporter.settings import load
from celery_redis_exporter.settings.schema.model import Declared

SECRET = "PLANTED"


def test_only_declared_settings_can_be_set() -> None:
    """Values derived from the settings (notes, files of URLs, the web configuration) are no settings."""
    settings = load([], {})
    assert set(Declared.model_fields) < set(type(settings).model_fields)
    with pytest.raises(ValidationError, match="notes"):
        Declared(notes=())  # type: ignore[call-arg]


def test_settings_are_frozen() -> None:
    """A setting can't be changed after the start."""
    with pytest.raises(ValidationError, match="frozen"):
        load([], {}).queues.max = 3  # type: ignore[misc]


def test_settings_of_the_same_values_are_equal() -> None:
    """Groups are compared by their values, secrets too."""
    url = "--broker-url=redis://:x@h"
    assert load([url], {}) == load([url], {})
    assert load([url], {}) != load(["--broker-url=redis://:y@h"], {})
    assert load(["--queues.max=7"], {}).queues != load([], {}).queues


def test_no_group_shows_a_secret() -> None:
    """The repr of settings contains no secrets and no unknown options."""
    servers = json.dumps({"a": {"url": f"redis://{SECRET}@a"}})
    settings = load([f"--broker-url=redis://:{SECRET}@h", "--redis.servers", servers], {})
    settings = settings.model_copy(update={"kombu_options": {"token": SECRET}})
    assert SECRET in settings.broker_url.get_secret_value()
    assert SECRET not in repr(settings) + repr(settings.broker_url)
