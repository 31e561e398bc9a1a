# SPDX-License-Identifier: Apache-2.0
"""The format and the Content-Type of a response."""

import pytest

from celery_redis_exporter.exposition.negotiate import Format, Syntax, negotiate

TEXT = "text/plain; version=0.0.4; charset=utf-8"
TEXT_1 = "text/plain; version=1.0.0; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
"""The Accept header of Prometheus 2.42; below, those of 3.5 by default and configured for one protocol."""
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
UNDERSCORES, DOTS = (PROMETHEUS_3.replace("allow-utf-8", name) for name in ("underscores", "dots"))
ONLY_OPENMETRICS = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.5"
ONLY_OLD_OPENMETRICS = "application/openmetrics-text;version=0.0.1;q=0.6,*/*;q=0.5"
ONLY_TEXT_1 = "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.5"
ONLY_TEXT = "text/plain;version=0.0.4;q=0.6,*/*;q=0.5"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/html,application/xhtml+xml", TEXT),
        (PROMETHEUS_2, f"{OPENMETRICS}; escaping=underscores"),
        (PROMETHEUS_3, f"{OPENMETRICS}; escaping=allow-utf-8"),
        (UNDERSCORES, f"{OPENMETRICS}; escaping=underscores"),
        (DOTS, f"{OPENMETRICS}; escaping=underscores"),
        (ONLY_OPENMETRICS, f"{OPENMETRICS}; escaping=allow-utf-8"),
        (ONLY_OLD_OPENMETRICS, TEXT),
        (ONLY_TEXT_1, f"{TEXT_1}; escaping=allow-utf-8"),
        (ONLY_TEXT, TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text; version=0.0.1", TEXT),
        ("application/openmetrics-text; version=2.0.0", f"{OPENMETRICS}; escaping=underscores"),
        ("application/openmetrics-text; version=1.0.0; escaping=dots", f"{OPENMETRICS}; escaping=underscores"),
        ("application/openmetrics-text; version=1.0.0; escaping=values", f"{OPENMETRICS}; escaping=underscores"),
        ("text/plain; version=0.0.4", TEXT),
        ("text/plain; version=1.0.0; escaping=allow-utf-8", f"{TEXT_1}; escaping=allow-utf-8"),
        ("text/plain; version=1.0.0", f"{TEXT_1}; escaping=underscores"),
    ],
)
def test_accept(accept: str, content_type: str) -> None:
    """Content-Type names a supported version and escaping, in the form that prometheus_client uses."""
    chosen = negotiate(accept, "")
    syntax = Syntax.OPENMETRICS if content_type.startswith("application/") else Syntax.TEXT
    assert Format(syntax, content_type, gzip=False) == chosen


@pytest.mark.parametrize("version", ["x", "1.x", "", "1.0.0.0.x", '"1.0.0"', "9" * 5000, "-1", "1..0", "\xb2"])
@pytest.mark.parametrize("kind", ["application/openmetrics-text", "text/plain"])
def test_odd_versions_never_raise(kind: str, version: str) -> None:
    """A request with a malformed version is answered in a supported format, without the malformed text."""
    assert negotiate(f"{kind};version={version}", "").content_type.partition("; escaping")[0] in {
        TEXT,
        TEXT_1,
        OPENMETRICS,
    }


def test_a_word_for_a_version_gets_text() -> None:
    """A request with a version that prometheus_client can't compare is answered in the oldest format."""
    assert TEXT == negotiate("application/openmetrics-text;version=x", "").content_type


@pytest.mark.parametrize(
    ("accept_encoding", "compressed"),
    [
        ("", False), ("gzip", True), ("GZIP", True), ("deflate, gzip;q=0.5", True), ("gzip;q=0", False),
        ("gzip; q=0.0", False), ("gzip;q=x", False), ("*", True), ("*;q=0", False), ("gzip;q=0, *", False),
        ("*;q=0, gzip", True), ("identity", False), ("br", False), ("gzipped", False), (",;,", False),
        ("gzip ; Q=1", True), ("gzip;q=nan", False),
    ],
)  # fmt: skip
def test_accept_encoding(accept_encoding: str, compressed: bool) -> None:  # noqa: FBT001 -- a table
    """Gzip is used if the client offers it by name or by a star with a weight above 0."""
    assert compressed == negotiate("", accept_encoding).gzip


PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
PROMETHEUS_2 = (
    f"{PROTOBUF},application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    f"{PROTOBUF};q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROMETHEUS_3_TEXT_FIRST = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3,"
    f"{PROTOBUF};q=0.2,*/*;q=0.1"
)


@pytest.mark.parametrize(
    ("accept", "syntax"),
    [
        (PROMETHEUS_2, Syntax.PROTOBUF),
        (PROMETHEUS_3, Syntax.PROTOBUF),
        (PROMETHEUS_3_TEXT_FIRST, Syntax.OPENMETRICS),
        (PROTOBUF, Syntax.PROTOBUF),
        (PROTOBUF.replace(";", " ; ").replace("=delimited", '="delimited"').upper(), Syntax.PROTOBUF),
        (f"{PROTOBUF};q=0", Syntax.TEXT),
        (f"{PROTOBUF};q=x", Syntax.TEXT),
        (f"{PROTOBUF};q=nan", Syntax.TEXT),
        (f"text/plain,{PROTOBUF}", Syntax.TEXT),
        (f"text/plain;q=0.9,{PROTOBUF}", Syntax.PROTOBUF),
        (f"text/html,{PROTOBUF};q=0.9", Syntax.PROTOBUF),
        (f"*/*,{PROTOBUF};q=0.9", Syntax.TEXT),
        ("*/*", Syntax.TEXT),
        ("application/vnd.google.protobuf", Syntax.TEXT),
        (f"{PROTOBUF};q=1,text/plain;version=0.0.4", Syntax.PROTOBUF),  # Without q the weight is 1.
        (PROTOBUF.replace("delimited", "text"), Syntax.TEXT),
        (PROTOBUF.replace("MetricFamily", "Metric"), Syntax.TEXT),
        ("", Syntax.TEXT),
    ],
)
def test_protobuf(accept: str, syntax: Syntax) -> None:
    """Protobuf is chosen if the exporter offers it and the client prefers it to every text format."""
    chosen = negotiate(accept, "gzip", protobuf=True)
    assert syntax is chosen.syntax
    is_named = chosen.content_type == (
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
    )
    assert is_named == (syntax is Syntax.PROTOBUF)
    assert chosen.gzip
    assert negotiate(accept, "").syntax is not Syntax.PROTOBUF
