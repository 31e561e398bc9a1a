# SPDX-License-Identifier: Apache-2.0
"""The project's output is unchanged: metrics, status, help, exit codes, manifests."""

import pytest

from tests.goldens.__main__ import differences
from tests.goldens.captures import capture
from tests.goldens.command_lines import COMMAND_LINES


@pytest.fixture(scope="module")
def captured() -> dict[str, str]:
    """Return the current output by the name of its golden."""
    return capture()


@pytest.mark.pinned
def test_nothing_differs_from_the_goldens(captured: dict[str, str]) -> None:
    """Every golden equals the current output; after an intended change run: python -m tests.goldens --write."""
    assert "" == "\n".join(differences(captured))


def test_goldens_show_all_kinds_of_metrics(captured: dict[str, str]) -> None:
    """The recorded story covers tasks, workers, queues and both servers, and every command has a recorded reply."""
    text = captured["metrics.txt"]
    names = "celery_tasks_total celery_worker_info celery_queue_length celery_unacked_messages redis_up"
    for name in names.split():
        assert f"\n{name}{{" in text, name
    assert 'redis_up{environment="golden",redis="results"} 1.0' in text
    assert "celery_worker_pool_info" in captured["metrics_early.txt"]
    assert "not recorded" not in "".join(captured.values())


def test_forty_command_lines() -> None:
    """At least forty command lines have their exit code and error recorded, each once."""
    assert len(set(COMMAND_LINES)) == len(COMMAND_LINES) >= 40
