# SPDX-License-Identifier: Apache-2.0
"""The transport options that apply."""

import pytest

from celery_redis_exporter.records.inspection import AppSettings
from celery_redis_exporter.state.transport import KombuOptions, Transport

OWN = KombuOptions(3600, "\x06\x16", (0, 3, 6, 9))
STEPS = AppSettings(priority_steps=(0, 5))
AIRFLOW = AppSettings(86400, "\x06\x16", (0, 3, 6, 9))


@pytest.mark.parametrize(
    ("given", "reported", "expected"),
    [
        ((), (), OWN),
        ((), (AIRFLOW,), OWN._replace(visibility_timeout=86400)),
        (("visibility_timeout",), (AIRFLOW,), OWN),
        ((), (AIRFLOW, AIRFLOW._replace(visibility_timeout=60)), OWN._replace(visibility_timeout=60)),
        ((), (STEPS, STEPS._replace(priority_steps=(0, 9))), OWN._replace(priority_steps=(0, 5, 9))),
        ((), (AppSettings(sep=":"), AppSettings(sep="|"), AppSettings(sep="|")), OWN._replace(sep="|")),
        (("sep",), (AppSettings(10, ":"),), OWN._replace(visibility_timeout=10)),
        ((), (AppSettings(),), OWN),
    ],
    ids=["no answer", "one", "set here", "shortest", "all steps", "most", "one set here", "nothing readable"],
)
def test_in_force(given: tuple[str, ...], reported: tuple[AppSettings, ...], expected: KombuOptions) -> None:
    """The exporter's settings override workers' reports: shortest timeout, all steps, most frequent separator."""
    transport = Transport(OWN, frozenset(given))
    transport.learn(reported)
    assert expected == transport.current


def test_what_was_reported_stays() -> None:
    """While every worker restarts the options that were reported last still apply."""
    transport = Transport(OWN)
    transport.learn([AIRFLOW])
    transport.learn([])
    assert 86400 == transport.current.visibility_timeout
