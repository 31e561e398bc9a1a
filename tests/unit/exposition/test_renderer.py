"""Whole bodies."""

import gzip
import importlib.util
import sys
import zlib

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from exporter.catalog import labels as lb
from exporter.catalog.metric import counter, gauge, histogram
from exporter.exposition import ProcessMetrics, Renderer, negotiate
from exporter.exposition.families import SampleSeries, group_samples
from exporter.exposition.negotiate import encode
from exporter.records import Distribution, Family, Sample

UP = gauge("test_up", "Up.")
LEVEL = gauge("test_level", "Level.", (lb.TASK,))
WAIT = histogram("test_wait_seconds", "Wait.", (lb.TASK,), buckets=(1.0,))
DONE = counter("test_done_total", "Done.", (lb.TASK,))


@pytest.fixture
def renderer() -> Renderer:
    """Give a renderer of its own."""
    return Renderer(ProcessMetrics())


@pytest.fixture
def families() -> list[Family]:
    """Give one family with one value."""
    return group_samples([Sample(UP, (), 1)])


def render(renderer: Renderer, families: list[Family], accept: str = "", accept_encoding: str = "") -> bytes:
    """Render a whole body of one part."""
    reply_format = negotiate(accept, accept_encoding)
    openmetrics = reply_format.openmetrics
    process = renderer.render_process(openmetrics=openmetrics)
    return renderer.finish(renderer.render(families, openmetrics=openmetrics), process, reply_format)


def test_openmetrics(renderer: Renderer, families: list[Family]) -> None:
    """An OpenMetrics body has the families, then the process, then one ``# EOF``, and is valid."""
    body = render(renderer, families, "application/openmetrics-text").decode()
    names = [metric.name for metric in text_string_to_metric_families(body)]  # type: ignore[no-untyped-call]
    assert "test_up" == names[0]
    assert "python_info" in names
    assert 1 == body.count("# EOF")


def test_text(renderer: Renderer, families: list[Family]) -> None:
    """A text body has both parts and no ``# EOF``."""
    body = render(renderer, families)
    assert body.startswith(b"# HELP test_up Up.\n# TYPE test_up gauge\ntest_up 1.0\n# HELP ")
    assert b"\npython_info{" in body
    assert b"# EOF" not in body


def test_gzip(renderer: Renderer, families: list[Family]) -> None:
    """The body is compressed when the format says so."""
    assert b"test_up 1.0\n" in gzip.decompress(render(renderer, families, accept_encoding="gzip"))


def test_gzip_without_isal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no isal, the standard library compresses."""
    for name in ("isal", "isal.isal_zlib"):
        monkeypatch.setitem(sys.modules, name, None)
    spec = importlib.util.find_spec("exporter.exposition.negotiate")
    assert spec is not None
    assert spec.loader is not None
    again = importlib.util.module_from_spec(spec)  # a copy: the module itself stays as it is
    monkeypatch.setitem(sys.modules, spec.name, again)
    spec.loader.exec_module(again)
    assert zlib.compressobj is again.compressobj
    assert b"test_up 1.0\n" == gzip.decompress(again.encode([b"test_up 1.0\n"], again.negotiate("", "gzip")))


def test_large_bodies_are_compressed_piece_by_piece() -> None:
    """However many pieces there are, what comes out is their text, and the same for the same text."""
    texts = [f"{number}\n".encode() * 300 for number in range(3000)]
    bodies = {encode(iter(texts), negotiate("", "gzip")) for _ in range(2)}
    assert 1 == len(bodies)
    assert b"".join(texts) == gzip.decompress(bodies.pop())


@pytest.mark.parametrize("pieces", [3, 3000])
def test_a_list_is_compressed_like_its_pieces(pieces: int) -> None:
    """Small bodies come as a list and are compressed at once; their text is the same, and a large one loses none."""
    texts = [f"{number}\n".encode() * 300 for number in range(pieces)]
    assert b"".join(texts) == gzip.decompress(encode(texts, negotiate("", "gzip")))
    assert b"".join(texts) == encode(texts, negotiate("", ""))


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text"])
def test_kept_text_follows_its_family(renderer: Renderer, accept: str) -> None:
    """A small family's text is given again only while neither a value nor a series has changed."""
    one, other = SampleSeries(("a",)), SampleSeries(("b",))
    stories: list[tuple[list[SampleSeries], list[float | None]]] = [
        ([one], [1.0]),
        ([one], [1.0]),
        ([one], [2.0]),
        ([other], [2.0]),
        ([one, other], [2.0, None]),
        ([], []),
    ]
    for series, values in stories:
        families = [Family(LEVEL, series, values)]
        fresh = render(Renderer(ProcessMetrics()), families, accept)
        kept = render(renderer, families, accept)
        pick = [line for line in kept.splitlines() if b"test_level" in line]
        assert [line for line in fresh.splitlines() if b"test_level" in line] == pick


def test_a_new_exemplar_shows(renderer: Renderer) -> None:
    """A new exemplar shows although no value of its counter, no count of its histogram has changed."""
    counter_series, spread = SampleSeries(("a",)), SampleSeries(("a",))
    spread.bounds = (1.0,)
    for task_id in ("first", "second", "second", "third"):
        exemplar = (task_id, 1.0, 1.0)
        counter_series.exemplar = exemplar
        families = [
            Family(DONE, [counter_series], [1.0]),
            Family(WAIT, [spread], [Distribution([1, 0], 0.5, [exemplar, None])]),
        ]
        body = render(renderer, families, "application/openmetrics-text")
        assert 2 == body.count(f'task_id="{task_id}"'.encode())
        assert 2 == body.count(b"task_id=")
