# SPDX-License-Identifier: Apache-2.0
"""Which names are shown, and how they are rewritten."""

import re

from celery_redis_exporter.catalog import OVERFLOW, UNKNOWN
from celery_redis_exporter.state.rules import REMEMBERED, NameRules, Naming, Rewrite

POD = Rewrite(re.compile(r"celery@(.+)-[0-9a-f]{8,10}-[a-z0-9]{5}"), r"celery@\g<1>")


def test_no_rules() -> None:
    """Without rules every name is shown unchanged."""
    rules = NameRules()
    assert not rules.needed
    assert ["a", "", "é\n"] == [rules.apply(name) for name in ("a", "", "é\n")]


def test_filters_judge_whole_names() -> None:
    """A name is shown if an include pattern matches all of it and no exclude pattern does."""
    rules = NameRules([re.compile(r"proj\..*"), re.compile("other")], [re.compile(r".*\.debug")])
    names = ("proj.tasks.add", "proj.tasks.debug", "other", "another", "my.proj.tasks.add", "proj")
    assert ["proj.tasks.add", None, "other", None, None, None] == [rules.apply(name) for name in names]


def test_the_first_rewrite_that_matches_holds() -> None:
    """A name is rewritten once, by the first pattern that matches all of it; filters apply to the original name."""
    later = Rewrite(re.compile(r"celery@(.*)"), r"\g<1>")
    rules = NameRules([], [re.compile("celery@web")], [POD, later])
    names = ("celery@web-7d9f8c6b54-x2x9z", "celery@mail", "celery@web", "flower")
    assert ["celery@web", "mail", None, "flower"] == [rules.apply(name) for name in names]


def test_what_is_remembered_is_bounded() -> None:
    """The cache of names is bounded, and names beyond its size are rewritten correctly."""
    rules = NameRules([], [], [POD])
    for number in range(REMEMBERED + 10):
        assert f"celery@w{number}" == rules.apply(f"celery@w{number}-0123456789-abcde")
    assert len(rules._known) <= REMEMBERED


def test_stand_ins_are_no_names() -> None:
    """The labels for unknown and overflow queues are always shown, and a hidden worker is shown as unknown."""
    none = NameRules([re.compile("only")])
    naming = Naming(queue=none, worker=none)
    assert [UNKNOWN, OVERFLOW, None, "only"] == [naming.queue_shown(q) for q in (UNKNOWN, OVERFLOW, "q", "only")]
    assert [UNKNOWN, "only"] == [naming.worker_shown(worker) for worker in ("w", "only")]
