"""Schedulers that answer."""

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.catalog import workers as rows
from celery_redis_exporter.state.beats import Beats
from tests.support.lab import Lab


def shown(lab: Lab) -> dict[str, float]:
    """What is shown of each."""
    return {beat: series.value for (beat,), series in lab.store._scalars[rows.BEAT_UP].series.items()}


def test_beats_come_and_go() -> None:
    """One that answers is up, one that does not any more is not, for the retention, and none is shown by itself."""
    lab = Lab()
    beats = Beats(lab.store, lab.clock, retention=100)
    beats.note([])
    assert {} == shown(lab)
    beats.note(["celerybeat@a"])
    assert {"celerybeat@a": 1} == shown(lab)
    lab.clock.advance(60)
    beats.note(["celerybeat@b"])
    assert {"celerybeat@a": 0, "celerybeat@b": 1} == shown(lab)
    assert {"celerybeat@a", "celerybeat@b"} == beats.known()
    lab.clock.advance(60)
    beats.note(["celerybeat@b"])
    assert {"celerybeat@b": 1} == shown(lab)


def test_their_number_is_bounded() -> None:
    """More than so many are not shown, and counted as dropped."""
    lab = Lab()
    beats = Beats(lab.store, lab.clock, retention=100, limit=2)
    beats.note(["a", "b", "c"])
    assert {"a": 1, "b": 1} == shown(lab)
    lab.store.collect()
    assert 1 == lab.store.scalar(internals.SERIES_DROPPED, rows.BEAT_UP.name).value
