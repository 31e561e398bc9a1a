# SPDX-License-Identifier: Apache-2.0
"""Settings of the key space sampler."""

import pytest

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings import load


@pytest.mark.parametrize(("text", "groups"), [
    ("market:*, user:*", {"market:*": ("market:*",), "user:*": ("user:*",)}),
    ('["a,b*"]', {"a,b*": ("a,b*",)}),
    ('{"market": ["market:*", "mkt:*"], "user": "user:*"}', {"market": ("market:*", "mkt:*"), "user": ("user:*",)}),
])  # fmt: skip
def test_groups_are_globs_with_or_without_names(text: str, groups: dict[str, tuple[str, ...]]) -> None:
    """A glob is a group under its own text, or one of several globs under a name."""
    assert groups == load(["--redis.key-space.groups", text], {}).redis.key_space.groups


@pytest.mark.parametrize(("name", "text", "cause"), [
    ("groups", "*", "fits every key"),
    ("groups", '{"a": []}', "without a glob, 'a'; give it one, as in a:*"),
    ("groups", '{"": "x"}', "name is not 1 to 100 printable"),
    ("groups", '{"a": 3}', "must be a list"),
    ("groups", "x" * 101, "100"),
    ("groups", ",".join(f"a{number}*" for number in range(101)), "more than 100 globs"),
    ("databases", "0,x", "whole number"),
    ("databases", "-1", "0 or more"),
    ("duty", "2", "1 or less"),
    ("interval", "100ms", "1s or more, or 0"),
    ("max-groups", "1001", "1000 or less"),
])  # fmt: skip
def test_what_cannot_be_used_is_refused(name: str, text: str, cause: str) -> None:
    """The message names the flag and the cause."""
    with pytest.raises(ConfigError, match=f"--redis.key-space.{name}.*{cause}"):
        load([f"--redis.key-space.{name}", text], {})


def test_databases_are_numbers_each_once() -> None:
    """Further databases are set as a list."""
    assert (1, 3) == load(["--redis.key-space.databases", "3,1,3"], {}).redis.key_space.databases


def test_prefix_of_results_is_celerys_option() -> None:
    """The prefix of the result backend can be set as in Celery."""
    settings = load(["--result-backend-transport-options", '{"global_keyprefix": "app"}'], {})
    assert "app" == settings.result_backend_transport_options.global_keyprefix
