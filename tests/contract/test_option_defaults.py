# SPDX-License-Identifier: Apache-2.0
"""Defaults are declared once, in settings/schema, and classes that are built from the settings repeat none of them."""

import dataclasses
import inspect
import math
import typing
from pkgutil import walk_packages

import pytest

import celery_redis_exporter
from celery_redis_exporter.daemon import options

NEUTRAL: tuple[object, ...] = (0, False, None, "", (), frozenset(), math.inf)
"""Defaults that switch nothing on and limit nothing."""
BUILT = {
    typing.get_type_hints(function)["return"]
    for _, function in inspect.getmembers(options, inspect.isfunction)
    if function.__module__ == options.__name__
}
NAMES = ("Topic", "QueueKeys", "CeleryNames", "Subscription")
"""Classes with names that Celery and kombu use, configurable by settings of theirs that the exporter has, too."""
NAMED = {
    kind
    for module in walk_packages(celery_redis_exporter.__path__, "celery_redis_exporter.")
    if module.name.split(".")[1] in {"brokers", "collectors", "daemon", "decode", "scrape", "sources", "state"}
    for _, kind in inspect.getmembers(typing.cast("object", __import__(module.name, fromlist=["_"])), inspect.isclass)
    if kind.__name__.endswith(("Options", "Limits", "Budget", *NAMES))
    and kind.__module__.startswith("celery_redis_exporter.")
}
OPTIONS = sorted(filter(dataclasses.is_dataclass, BUILT | NAMED), key=lambda kind: str(kind.__name__))


def test_the_option_classes_are_found() -> None:
    """The search finds the classes that are built from the settings."""
    assert {"ControlOptions", "KeyBudget", "KeySamplingOptions", "NewSeries", "TaskLimits", "WorkerLimits"} <= {
        kind.__name__ for kind in OPTIONS
    }


@pytest.mark.parametrize("kind", OPTIONS, ids=lambda kind: kind.__name__)
def test_no_option_has_a_default_of_its_own(kind: type) -> None:
    """A field is required, or its default is neutral."""
    fields = dataclasses.fields(kind)
    defaults = {field.name: field.default for field in fields if field.default is not dataclasses.MISSING}
    assert {} == {name: default for name, default in defaults.items() if default not in NEUTRAL}
