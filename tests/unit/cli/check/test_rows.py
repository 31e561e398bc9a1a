# SPDX-License-Identifier: Apache-2.0
"""The kinds of findings, which scripts and readers rely on."""

import re

from celery_redis_exporter.catalog import CATALOG
from celery_redis_exporter.cli.check import rows
from celery_redis_exporter.cli.check.finding import LEVELS, FindingRow
from celery_redis_exporter.cli.check.reasons import _REASONS
from celery_redis_exporter.cli.check.rights import METRICS
from celery_redis_exporter.errors import SourceError


def test_codes_are_unique_words() -> None:
    """Every code is unique and consists of words joined by dashes."""
    codes = [row.code for row in rows.ROWS]
    assert len(codes) == len(set(codes))
    assert [] == [code for code in codes if not re.fullmatch(r"[a-z]+(-[a-z]+)*", code)]
    assert {row.level for row in rows.ROWS} == set(LEVELS)


def test_every_row_is_listed() -> None:
    """Every row that the code uses is in ROWS, from which the documentation is generated."""
    declared = {value for value in vars(rows).values() if isinstance(value, FindingRow)}
    assert set() == declared - set(rows.ROWS)


def test_every_trouble_has_a_cause() -> None:
    """Every row whose level is not ok has a cause."""
    assert [] == [row.code for row in rows.ROWS if row.level != "ok" and not row.cause]


def test_every_reason_of_a_failure_is_explained() -> None:
    """Every reason of SourceError has a row."""
    closed = re.findall(r"[a-z]+", (SourceError.__doc__ or "").partition("label: ")[2])
    assert set(closed) == set(_REASONS)


def test_the_metrics_that_a_right_costs_exist() -> None:
    """Metrics that are named as missing without a permission are in the catalogue."""
    named = " ".join(text for texts in METRICS.values() for text in texts)
    assert set() == set(re.findall(r"\b(?:celery|redis)_\w+", named)) - set(CATALOG)
    texts = " ".join(f"{row.meaning} {row.cause}" for row in rows.ROWS)
    metrics = set(re.findall(r"\b(?:celery_(?:exporter|queue|task|worker)|redis)_\w+_\w+", texts))
    assert set() == metrics - set(CATALOG)
