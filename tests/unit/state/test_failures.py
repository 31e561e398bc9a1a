# SPDX-License-Identifier: Apache-2.0
"""The last failures that the report lists."""

import re

import pytest

from celery_redis_exporter.records.report import Failure
from celery_redis_exporter.state.rules import NameRules, Naming, Rewrite
from tests.support.lab import W1, W2, Lab
from tests.support.options import task_limits

RULES = Naming(
    task=NameRules(exclude=[re.compile("secret")]),
    worker=NameRules(rewrites=[Rewrite(re.compile(r"w\d@(.*)"), r"any@\1")]),
)


def fail(lab: Lab, *uuids: str, name: str = "t", worker: str = W1) -> None:
    """Fail tasks, each a second after the previous one."""
    for uuid in uuids:
        at = lab.clock.monotonic()
        lab.sent(uuid, at, name)
        lab.started(uuid, at, worker)
        lab.failed(uuid, at + 1, worker=worker)
        lab.advance(1)


@pytest.mark.parametrize(("limit", "kept"), [(0, None), (2, ["c", "b"]), (9, ["c", "b", "a"])])
def test_the_newest_are_kept(limit: int, kept: list[str] | None) -> None:
    """As many failures as the settings allow are kept, newest first, and none if the limit is 0."""
    lab = Lab(task_limits(failures=limit))
    fail(lab, "a", "b", "c")
    found = lab.tasks.failures.newest()
    assert kept == (None if found is None else [failure.task_id for failure in found])


def test_names_are_those_of_the_metrics() -> None:
    """Failures of hidden tasks are not kept, and workers have their shown names."""
    lab = Lab(task_limits(failures=5, naming=RULES))
    fail(lab, "a", name="secret")
    fail(lab, "b", worker=W2)
    (failure,) = lab.tasks.failures.newest() or []
    assert ("t", "ValueError", "any@host", "b") == (
        failure.task, failure.exception, failure.worker, failure.task_id,
    )  # fmt: skip
    assert isinstance(failure, Failure)
