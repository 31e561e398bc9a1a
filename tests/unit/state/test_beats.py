# SPDX-License-Identifier: Apache-2.0
"""Celery beat schedulers: those that answer pings and those that send heartbeats."""

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.catalog import tasks as task_rows
from celery_redis_exporter.catalog import workers as rows
from celery_redis_exporter.records.events import BeatHeartbeat, BeatOffline
from celery_redis_exporter.state.beats import Beats
from tests.support.lab import Lab

A, B = "celerybeat@a", "celerybeat@b"


def shown(lab: Lab) -> dict[str, float]:
    """Return the value of celery_beat_up by beat."""
    return {beat: series.value for (beat,), series in lab.store._scalars[rows.BEAT_UP].series.items()}


def expected(lab: Lab) -> dict[str, float]:
    """Return the expected interval of each task."""
    series = lab.store._scalars[task_rows.TASK_EXPECTED_INTERVAL].series
    return {task: one.value for (task,), one in series.items()}


def beat(lab: Lab, tasks: dict[str, float] | None = None, name: str = A, freq: float | None = 10.0) -> None:
    """Fold a heartbeat."""
    lab.beats.fold_heartbeat(BeatHeartbeat(name, lab.clock.now(), freq, tasks))


def test_beats_come_and_go() -> None:
    """A beat that answers pings is up; one that stopped answering is down for the retention and then removed."""
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
    """Beats beyond the limit are not shown and count as dropped series."""
    lab = Lab()
    beats = Beats(lab.store, lab.clock, retention=100, limit=2)
    beats.note(["a", "b", "c"])
    assert {"a": 1, "b": 1} == shown(lab)
    lab.store.collect()
    assert 1 == lab.store.scalar(internals.SERIES_DROPPED, rows.BEAT_UP.name).value


def test_three_silent_intervals_are_down() -> None:
    """A beat that sends heartbeats is down after three intervals without one, and up again with the next one."""
    lab = Lab()
    beat(lab)
    beat(lab, name=B, freq=None)
    for seconds, value in ((29, 1), (1, 0), (60, 0)):
        lab.clock.advance(seconds)
        lab.beats.tick(listening=True)
        assert {A: value, B: value} == shown(lab)
    beat(lab)
    assert {A: 1, B: 0} == shown(lab)
    lab.clock.advance(10)
    lab.beats.tick(listening=True)
    assert {A: 1} == shown(lab), "the other one is down for longer than the retention"


def test_silence_while_no_one_listens_is_no_silence() -> None:
    """While the exporter receives no events no beat goes down, and afterwards each has its full time again."""
    lab = Lab()
    beat(lab)
    lab.clock.advance(500)
    lab.beats.tick(listening=False)
    lab.clock.advance(19)
    lab.beats.tick(listening=True)
    assert {A: 1} == shown(lab)
    lab.clock.advance(1)
    lab.beats.tick(listening=True)
    assert {A: 0} == shown(lab)


def test_pings_mean_nothing_for_a_beat_that_sends_events() -> None:
    """Whether a beat that sends heartbeats is up depends on them alone, and no ping waits for its answer."""
    lab = Lab()
    beat(lab)
    lab.beats.note([])
    assert {A: 1} == shown(lab)
    lab.clock.advance(30)
    lab.beats.tick(listening=True)
    lab.beats.note([A])
    assert {A: 0} == shown(lab)
    assert frozenset() == lab.beats.known()


def test_a_beat_that_stops_is_not_shown() -> None:
    """A beat that reported its stop is not shown, and its schedule applies until another beat reports one."""
    lab = Lab()
    beat(lab, {"tick": 30.0})
    lab.beats.fold_offline(BeatOffline(A, lab.clock.now()))
    lab.beats.fold_offline(BeatOffline("unknown", lab.clock.now()))
    assert {} == shown(lab)
    beat(lab, name=B)
    assert {"tick": 30} == expected(lab)
    beat(lab, {"report": 60.0}, name=B)
    assert {"report": 60} == expected(lab)


def test_schedules() -> None:
    """Parts of a schedule are merged, the shortest interval of several beats counts, and a removed task is dropped."""
    lab = Lab()
    beat(lab, {"tick": 30.0})
    beat(lab, {"report": 3600.0})
    beat(lab, {"report": 60.0}, name=B)
    beat(lab)
    assert {"tick": 30, "report": 60} == expected(lab)
    lab.clock.advance(60)
    beat(lab, {"report": 5.0})
    assert {"tick": 30, "report": 5} == expected(lab)
    lab.clock.advance(120)
    beat(lab, {"report": 7.0})
    assert {"report": 7} == expected(lab)
    lab.clock.advance(180)
    beat(lab, {})
    assert {"report": 60} == expected(lab), "the other beat's"
