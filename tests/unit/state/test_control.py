# SPDX-License-Identifier: Apache-2.0
"""Answers of workers to inspect commands, and which workers are queried with which commands."""

import pytest

from celery_redis_exporter.catalog import Metric, internals
from celery_redis_exporter.catalog import tasks as task_rows
from celery_redis_exporter.catalog import workers as rows
from celery_redis_exporter.records.events import WorkerHeartbeat
from celery_redis_exporter.records.inspection import (
    Answers,
    AppSettings,
    ConsumedQueue,
    HeldTask,
    RegisteredTask,
    WorkerStats,
)
from celery_redis_exporter.state.control import (
    COMMANDS,
    MOST_INTRODUCTIONS,
    NUDGE_SECONDS,
    REPEATS,
    ROUTINE,
    SEEDING_SECONDS,
    Inspection,
    InspectionTarget,
)
from celery_redis_exporter.state.tracking import TaskLimits
from tests.support.lab import W1, W2, Lab
from tests.support.options import task_limits

STATS = WorkerStats("prefork", 2, 8, 7.0, 1000)
MAIL = ConsumedQueue("mail", "mail", "mail")
VIDEO = ConsumedQueue("video", "media", "video.key")
GAUGES = (
    rows.WORKER_CONCURRENCY, rows.WORKER_PREFETCH_COUNT, rows.WORKER_UPTIME, rows.WORKER_MAX_RSS,
    rows.WORKER_RESERVED, rows.WORKER_SCHEDULED,
)  # fmt: skip


class Asking(Lab):
    """A lab in which workers are queried."""

    def __init__(self, tasks: TaskLimits | None = None) -> None:
        super().__init__(tasks)
        self.inspection = Inspection(self.workers, self.tasks, self.clock)
        self.inspection.expect(answers=True)

    def answers(self, worker: str = W1, **given: object) -> None:
        """Fold a worker's answers to all commands; commands without an argument have the answer of an idle worker."""
        idle: dict[str, object] = {
            "stats": STATS, "active_queues": [MAIL], "scheduled": [], "reserved": [], "active": [], "registered": [],
            "conf": AppSettings(),
        }  # fmt: skip
        if isinstance(names := given.get("registered"), list):
            given["registered"] = [RegisteredTask(name) for name in names]
        self.inspection.fold(InspectionTarget(worker, COMMANDS), Answers(**{**idle, **given}))  # type: ignore[arg-type]

    def shown(self, metrics: tuple[Metric, ...] = GAUGES, worker: str = W1) -> list[float | None]:
        """Return the values of a worker's gauges."""
        return [self.value(metric, worker) for metric in metrics]


@pytest.fixture
def lab() -> Asking:
    """Return a lab in which W1 is online and has not been queried yet."""
    lab = Asking()
    lab.beat()
    return lab


def held(uuid: str, name: str = "t", started_at: float | None = None, queue: str = "mail") -> HeldTask:
    """Return a task as a worker lists it, published to the default exchange."""
    return HeldTask(uuid, name, "", queue, started_at)


def test_answers_become_gauges(lab: Asking) -> None:
    """A worker's answers are shown in base units, and its pool and queues as info metrics."""
    lab.answers(reserved=[held("a")], scheduled=[held("b"), held("c")])
    assert [2, 8, 7, 1000 * 1024, 1, 2] == lab.shown()
    assert 1 == lab.value(rows.WORKER_POOL_INFO, W1, "prefork")
    assert 1 == lab.value(rows.WORKER_QUEUE_INFO, W1, "mail")


def test_what_is_not_answered_is_absent(lab: Asking) -> None:
    """A value that is missing in the next answers is removed; it neither stays nor becomes 0."""
    lab.answers()
    lab.answers(stats=STATS._replace(prefetch_count=0, max_rss=None), reserved=None)
    assert [2, 0, 7, None, None, 0] == lab.shown()
    lab.inspection.fold(InspectionTarget(W1, ROUTINE), Answers())
    assert [None] * len(GAUGES) == lab.shown()
    assert lab.value(rows.WORKER_POOL_INFO, W1, "prefork") is None
    assert lab.value(rows.WORKER_QUEUE_INFO, W1, "mail") is None


def test_broadcast_queues_have_the_name_of_their_exchange(lab: Asking) -> None:
    """The queue that a worker binds to a Broadcast exchange is shown under the exchange's name, not its random name."""
    lab.answers(active_queues=[MAIL, ConsumedQueue("bcast.5f4dcc3b", "news", "", "fanout")])
    assert 1 == lab.value(rows.WORKER_QUEUE_INFO, W1, "news")
    assert 1 == lab.value(rows.WORKER_QUEUE_INFO, W1, "mail")
    assert lab.value(rows.WORKER_QUEUE_INFO, W1, "bcast.5f4dcc3b") is None


def test_infos_are_replaced(lab: Asking) -> None:
    """Queues that a worker stopped consuming and a pool that was replaced leave no old series."""
    lab.answers(active_queues=[MAIL, VIDEO])
    lab.answers(active_queues=[VIDEO], stats=STATS._replace(pool="threads"))
    assert lab.value(rows.WORKER_QUEUE_INFO, W1, "mail") is None
    assert 1 == lab.value(rows.WORKER_QUEUE_INFO, W1, "video")
    assert lab.value(rows.WORKER_POOL_INFO, W1, "prefork") is None


def test_memory_on_macos_is_in_bytes() -> None:
    """A worker whose heartbeats report Darwin reports its memory in bytes."""
    lab = Asking()
    beat = WorkerHeartbeat(W1, lab.clock.epoch, 1, 2.0, 0, 0, None, "py-celery", "5.7.0", "Darwin")
    lab.workers.fold_heartbeat(beat)
    lab.answers()
    assert 1000 == lab.value(rows.WORKER_MAX_RSS, W1)


@pytest.mark.parametrize("end", ["offline", "lost", "new process", "forgotten"])
def test_answers_go_with_who_gave_them(lab: Asking, end: str) -> None:
    """Old answers are removed if a worker stops, is lost or restarts, and for all workers if none can be queried."""
    lab.answers(reserved=[held("a")])
    match end:
        case "offline":
            lab.offline()
        case "lost":
            lab.advance(60)
        case "new process":
            lab.beat(pid=2)
        case _:
            lab.inspection.forget()
    assert [None] * len(GAUGES) == lab.shown()
    assert lab.value(rows.WORKER_QUEUE_INFO, W1, "mail") is None
    assert lab.value(rows.WORKER_POOL_INFO, W1, "prefork") is None


def test_answers_of_who_is_gone_are_not_folded(lab: Asking) -> None:
    """An answer that arrives after its worker reported its stop, or from an unknown worker, changes nothing."""
    lab.offline()
    lab.answers()
    lab.answers("other@host")
    assert [None] * len(GAUGES) == lab.shown()
    assert "other@host" not in lab.workers.by_name


def test_heartbeats_come_before_answers(lab: Asking) -> None:
    """Queues and concurrency from heartbeats take precedence over answers, and stay if answers are missing."""
    lab.answers()
    lab.workers.fold_heartbeat(WorkerHeartbeat(W1, lab.clock.epoch, 1, queues=["a", "b"], concurrency=5))
    lab.answers()
    assert 5 == lab.value(rows.WORKER_CONCURRENCY, W1)
    assert lab.value(rows.WORKER_QUEUE_INFO, W1, "mail") is None
    lab.inspection.forget()
    assert (5, 1) == (lab.value(rows.WORKER_CONCURRENCY, W1), lab.value(rows.WORKER_QUEUE_INFO, W1, "a"))
    lab.workers.fold_heartbeat(WorkerHeartbeat(W1, lab.clock.epoch, 1, queues=["a"], concurrency=4))
    assert (4, None) == (lab.value(rows.WORKER_CONCURRENCY, W1), lab.value(rows.WORKER_QUEUE_INFO, W1, "b"))


def test_who_is_asked_what(lab: Asking) -> None:
    """New workers receive all commands once, at once; others the routine ones in each round; offline ones none."""
    assert [InspectionTarget(W1, COMMANDS)] == lab.inspection.targets(everyone=False)
    lab.answers()
    assert [] == lab.inspection.targets(everyone=False)
    lab.beat(worker=W2)
    assert [InspectionTarget(W2, COMMANDS)] == lab.inspection.targets(everyone=False)
    assert [InspectionTarget(W1, ROUTINE), InspectionTarget(W2, COMMANDS)] == lab.inspection.targets(everyone=True)
    lab.offline(W2)
    assert [InspectionTarget(W1, ROUTINE)] == lab.inspection.targets(everyone=True)


def test_a_new_worker_is_asked_again_until_it_answers(lab: Asking) -> None:
    """A worker that does not answer its first queries is queried again after 2, 5 and 10 s, then in the rounds."""
    asked = []
    for second in range(20):
        if lab.inspection.targets(everyone=False):
            asked.append(second)
            lab.inspection.fold(InspectionTarget(W1, COMMANDS), Answers())
        lab.advance(1)
    assert [0, 2, 5, 10] == asked
    assert [InspectionTarget(W1, COMMANDS)] == lab.inspection.targets(everyone=True)


def test_a_worker_that_answers_late_is_not_asked_again(lab: Asking) -> None:
    """Queries to a new worker end with its first complete answer, even if an earlier answer was incomplete."""
    lab.inspection.targets(everyone=False)
    lab.answers(stats=None, active_queues=None)
    lab.received("a", 0)
    lab.advance(2)
    assert lab.inspection.targets(everyone=False)
    lab.answers()
    lab.advance(1)
    assert 1 == lab.value(task_rows.TASKS_RECEIVED, "t", "mail")
    lab.advance(20)
    assert [] == lab.inspection.targets(everyone=False)


@pytest.mark.parametrize("start", ["met", "restarted", "back"])
def test_events_wait_for_the_queue_of_a_new_worker(lab: Asking, start: str) -> None:
    """Without task-sent, tasks of a worker that has not answered yet count under the queue in its answer."""
    lab.answers()
    if start == "met":
        worker, pid = W2, 1
    else:
        worker, pid = W1, 2
        if start == "back":
            lab.offline()
    lab.beat(worker=worker, pid=pid)
    lab.received("a", 1, worker=worker)
    lab.started("a", 1, worker=worker)
    lab.advance(5)
    assert "t" not in lab.tasks.names.by_name
    lab.answers(worker)
    lab.succeeded("a", 6, worker=worker)
    lab.received("b", 6, worker=worker)
    lab.advance(1)
    assert {"success": 1} == lab.ends("t", "mail")
    assert 2 == lab.value(task_rows.TASKS_RECEIVED, "t", "mail")
    assert lab.value(task_rows.TASKS_RECEIVED, "t", "unknown") is None


def test_events_of_a_worker_that_never_answers_are_counted(lab: Asking) -> None:
    """Tasks of a worker that does not answer count under an unknown queue after a while."""
    lab.received("a", 1)
    lab.advance(SEEDING_SECONDS - 1)
    assert "t" not in lab.tasks.names.by_name
    lab.advance(2)
    assert 1 == lab.value(task_rows.TASKS_RECEIVED, "t", "unknown")


@pytest.mark.parametrize("change", ["process", "gap", "return"])
def test_who_is_asked_anew(lab: Asking, change: str) -> None:
    """All commands are sent again to a restarted worker, to a lost one that is back, and to all after a gap."""
    lab.answers()
    match change:
        case "process":
            lab.beat(pid=2)
        case "gap":
            lab.workers.gap()
        case _:
            lab.advance(60)
            lab.beat()
    assert [InspectionTarget(W1, COMMANDS)] == lab.inspection.targets(everyone=False)


@pytest.mark.parametrize("unread", [{"conf": None}, {"registered": None}, {"conf": None, "registered": None}])
def test_what_is_never_answered_is_not_asked_for_ever(lab: Asking, unread: dict[str, None]) -> None:
    """A command whose answer is missing or unreadable is repeated in five rounds, and again for a new process."""
    asked = []
    for _ in range(12):
        [target] = lab.inspection.targets(everyone=True)
        asked.append(any(command in target.commands for command in unread))
        lab.answers(W1, **unread)
        lab.advance(1)
        lab.beat()
    first_questions = 1 + len(REPEATS)
    assert [True] * (first_questions + MOST_INTRODUCTIONS) == asked[: asked.index(False)]
    assert not any(asked[asked.index(False) :])
    lab.beat(pid=2)
    assert [InspectionTarget(W1, COMMANDS)] == lab.inspection.targets(everyone=True)


def test_a_worker_that_was_busy_is_asked_everything(lab: Asking) -> None:
    """Rounds without any answer do not count: a worker that was busy with a long task is still sent all commands."""
    for _ in range(30):
        [target] = lab.inspection.targets(everyone=True)
        lab.inspection.fold(target, Answers())
        lab.advance(1)
        lab.beat()
    assert [InspectionTarget(W1, COMMANDS)] == lab.inspection.targets(everyone=True)


def test_an_answer_that_arrives_late_ends_the_questions(lab: Asking) -> None:
    """Settings that a worker reports in a later round are used and not queried again."""
    lab.answers(conf=None)
    for _ in REPEATS:
        lab.answers(conf=None)
    assert [InspectionTarget(W1, (*ROUTINE, "conf"))] == lab.inspection.targets(everyone=True)
    lab.answers()
    assert [InspectionTarget(W1, ROUTINE)] == lab.inspection.targets(everyone=True)


def ask(lab: Asking, *, answered: bool) -> None:
    """Fold a round of queries to the worker W2."""
    if answered:
        lab.answers(W2)
    else:
        lab.inspection.fold(InspectionTarget(W2, ROUTINE), Answers())


def test_a_worker_without_heartbeats_is_up_while_it_answers(lab: Asking) -> None:
    """A worker that never sent a heartbeat is up while it answers, and lost after three rounds without an answer."""
    lab.received("a", 0, worker=W2)
    for _ in range(10):
        ask(lab, answered=True)
        lab.advance(60)
        assert 1 == lab.value(rows.WORKER_UP, W2)
    assert 0 == lab.value(rows.WORKER_HEARTBEATS, W2)
    for unanswered in range(1, 4):
        assert 1 == lab.value(rows.WORKER_UP, W2)
        ask(lab, answered=False)
        lab.advance(60 if unanswered < 3 else 1)
    assert 0 == lab.value(rows.WORKER_UP, W2)
    lab.tasks.now = lab.clock.monotonic()
    lab.received("b", 0, worker=W2)
    assert 1 == lab.value(rows.WORKER_UP, W2)


@pytest.mark.parametrize("why", ["heartbeats", "no questions", "no answer"])
def test_a_worker_has_its_deadline_if_it_beats_or_can_not_be_asked(lab: Asking, why: str) -> None:
    """A worker is lost by its silence if it sent heartbeats, is never queried or never answered."""
    lab.workers.meet(W2)
    if why == "heartbeats":
        lab.beat(worker=W2)
    if why == "no questions":
        lab.inspection.expect(answers=False)
    ask(lab, answered=why != "no answer")
    lab.advance(29)
    assert 1 == lab.value(rows.WORKER_UP, W2)
    lab.advance(2)
    assert 0 == lab.value(rows.WORKER_UP, W2)
    assert (1 if why == "heartbeats" else None) == lab.value(rows.WORKER_HEARTBEATS, W2)


def test_a_task_never_slips_between_two_questions() -> None:
    """Scheduled tasks are queried before reserved and reserved before active ones, so that no moving task is missed."""
    assert COMMANDS.index("scheduled") < COMMANDS.index("reserved") < COMMANDS.index("active")


def test_held_tasks_are_taken_over(lab: Asking) -> None:
    """Tasks whose first events came before the exporter's start have name and queue, and run since their start."""
    lab.answers(active=[held("a", "run", lab.start - 5)], reserved=[held("b", "kept")], scheduled=[held("c", "eta")])
    assert 1 == lab.value(task_rows.TASKS_RUNNING, "run", "mail")
    assert lab.start - 5 == lab.value(task_rows.TASK_OLDEST_STARTED, "run")
    assert 0 == lab.value(task_rows.TASKS_RUNNING, "kept", "mail")
    lab.failed("a", 1)
    assert {"failure": 1} == lab.ends("run", "mail")
    assert (1, 6) == lab.observations(task_rows.TASK_RUNTIME, "run", "mail", "failure")
    for uuid, name in (("b", "kept"), ("c", "eta")):
        lab.started(uuid, 2)
        lab.succeeded(uuid, 3)
        assert {"success": 1} == lab.ends(name, "mail")
    assert lab.value(internals.TASKS_UNMATCHED, "task-succeeded") is None


def test_held_tasks_are_taken_over_once(lab: Asking) -> None:
    """Tasks are taken over from a worker's first answers only: later answers set gauges, and events track the tasks."""
    lab.inspection.fold(InspectionTarget(W1, ROUTINE), Answers(reserved=[held("a", "later")]))
    assert 1 == lab.value(rows.WORKER_RESERVED, W1)
    assert "later" not in lab.tasks.names.by_name


def test_an_event_seen_wins(lab: Asking) -> None:
    """An answer neither repeats nor changes what newer events reported about a task."""
    lab.sent("a", 0, queue="q")
    lab.received("a", 1)
    lab.started("a", 2)
    lab.succeeded("a", 3)
    lab.sent("b", 0, queue="q")
    lab.started("b", 2)
    lab.answers(active=[held("a", "t", lab.start), held("b", "t", lab.start)], reserved=[held("a")])
    assert {"success": 1} == lab.ends("t", "q")
    assert 1 == lab.value(task_rows.TASKS_RUNNING, "t", "q")
    assert lab.value(task_rows.TASKS_RUNNING, "t", "mail") is None
    lab.succeeded("b", 4)
    assert {"success": 2} == lab.ends("t", "q")


@pytest.mark.parametrize("already", ["active", "reserved"])
def test_events_that_come_before_the_answer_wait_for_it(lab: Asking, already: str) -> None:
    """Events of an unknown task are deferred until its worker's first answer, and count if it names the task."""
    if already == "reserved":
        lab.started("a", 1)
    lab.succeeded("a", 2)
    assert lab.value(internals.TASKS_UNMATCHED, "task-succeeded") is None
    if already == "active":
        lab.answers(active=[held("a", started_at=lab.start)])
    else:
        lab.answers(reserved=[held("a")])
    assert {"success": 1} == lab.ends("t", "mail")
    assert 0 == lab.value(task_rows.TASKS_RUNNING, "t", "mail")
    assert (already == "reserved") == lab.value(task_rows.TASKS_STARTED, "t", "mail")
    lab.advance(2 * SEEDING_SECONDS)
    assert lab.value(internals.TASKS_UNMATCHED, "task-succeeded") is None


def test_a_start_that_was_seen_is_not_repeated(lab: Asking) -> None:
    """A task whose task-started is deferred until the answer does not count as running a second time."""
    lab.started("a", 1)
    lab.answers(active=[held("a", started_at=lab.start + 1)])
    assert 1 == lab.value(task_rows.TASKS_RUNNING, "t", "mail")
    assert 1 == lab.value(task_rows.TASKS_STARTED, "t", "mail")
    lab.succeeded("a", 3)
    assert {"success": 1} == lab.ends("t", "mail")
    assert 0 == lab.value(task_rows.TASKS_RUNNING, "t", "mail")


def test_events_do_not_wait_for_ever(lab: Asking) -> None:
    """Events of a task in no answer become unmatched after a while, at once if no answer is expected any more."""
    lab.succeeded("a", 1)
    lab.advance(SEEDING_SECONDS - 1)
    assert lab.value(internals.TASKS_UNMATCHED, "task-succeeded") is None
    lab.advance(2)
    assert 1 == lab.value(internals.TASKS_UNMATCHED, "task-succeeded")
    lab.succeeded("b", 1)
    assert 2 == lab.value(internals.TASKS_UNMATCHED, "task-succeeded")
    lab.beat(worker="answering@host")
    lab.answers("answering@host")
    lab.succeeded("c", 1, worker="answering@host")
    assert 3 == lab.value(internals.TASKS_UNMATCHED, "task-succeeded")
    lab.inspection.expect(answers=False)
    lab.beat(worker=W2)
    lab.succeeded("d", 1, worker=W2)
    assert 4 == lab.value(internals.TASKS_UNMATCHED, "task-succeeded")


@pytest.mark.parametrize(
    ("exchange", "key", "queues", "expected"),
    [
        ("", "mail", [MAIL, VIDEO], "mail"),
        ("media", "video.key", [MAIL, VIDEO], "video"),
        ("media", "other.key", [MAIL, VIDEO], "unknown"),
        ("media", "other.key", [VIDEO], "video"),
        ("media", "other.key", None, "unknown"),
        ("", "", [MAIL, VIDEO], "unknown"),
    ],
)
def test_queue_of_a_held_task(
    lab: Asking, exchange: str, key: str, queues: list[ConsumedQueue] | None, expected: str
) -> None:
    """A listed task's queue is the one that its routing key is bound to, or the worker's only one, else unknown."""
    lab.answers(active_queues=queues, active=[HeldTask("a", "t", exchange, key, lab.start)])
    assert 1 == lab.value(task_rows.TASKS_RUNNING, "t", expected)


def flow(lab: Asking) -> None:
    """Receive task events of every worker."""
    for worker in lab.workers.by_name.values():
        lab.workers.note_task_events(worker)


def zeros(lab: Asking, name: str, *queues: str) -> list[float | None]:
    """Return the failures of a task on these queues, once its workers sent task events."""
    flow(lab)
    lab.inspection.foresee()
    return [lab.value(task_rows.TASKS, name, queue, "failure") for queue in queues]


def test_registered_tasks_have_counters(lab: Asking) -> None:
    """If all workers of a task consume the same single queue, the task's counters are 0 before its first event."""
    lab.answers(registered=["new", "celery.backend_cleanup"])
    lab.beat(worker=W2)
    lab.answers(W2, registered=["new"])
    assert [0, None] == zeros(lab, "new", "mail", "unknown")
    assert [None] == zeros(lab, "celery.backend_cleanup", "mail")


@pytest.mark.parametrize("enabled", [None, 0])
def test_without_task_events_there_are_no_counters(lab: Asking, enabled: int | None) -> None:
    """Registered tasks have no counters while their worker sends no task events: 0 would claim that none ran."""
    lab.answers(registered=["new"])
    if enabled is not None:  # it executed a task without an event
        lab.store.scalar(rows.WORKER_TASK_EVENTS, W1).value = enabled
        lab.workers.by_name[W1].series[rows.WORKER_TASK_EVENTS, ()] = lab.store.scalar(rows.WORKER_TASK_EVENTS, W1)
    lab.inspection.foresee()
    assert lab.value(task_rows.TASKS, "new", "mail", "failure") is None
    assert [0] == zeros(lab, "new", "mail")


def test_counters_are_not_made_under_a_guessed_queue(lab: Asking) -> None:
    """If a task's workers consume several queues or did not report them, its counters appear with its first event."""
    lab.answers(registered=["both", "here"])
    lab.beat(worker=W2)
    lab.answers(W2, active_queues=[VIDEO], registered=["both", "there"])
    lab.beat(worker="w3@host")
    lab.answers("w3@host", active_queues=None, registered=["nowhere"])
    lab.beat(worker="w4@host")
    lab.answers("w4@host", active_queues=[MAIL, VIDEO], registered=["several"])
    lab.beat(worker="w5@host")
    lab.answers("w5@host", active_queues=[], registered=["none"])
    assert [0, None] == zeros(lab, "here", "mail", "video")
    assert [None, 0] == zeros(lab, "there", "mail", "video")
    for name in ("both", "nowhere", "several", "none"):
        assert [None, None, None] == zeros(lab, name, "mail", "video", "unknown")


def test_known_tasks_keep_their_counters(lab: Asking) -> None:
    """A task that was observed on one queue gets no counters on another queue."""
    lab.sent("a", 0, "known", "q")
    lab.answers(registered=["known"])
    assert [0, None] == zeros(lab, "known", "q", "mail")


def test_what_is_foreseen_leaves_room() -> None:
    """Registered tasks use at most half of the (task, queue) limit, so that tasks that run have room."""
    lab = Asking(task_limits(pairs=10))
    lab.beat()
    lab.answers(registered=[f"t{number}" for number in range(20)])
    flow(lab)
    lab.inspection.foresee()
    assert 5 == len(lab.tasks.names.by_name)


def test_idle_counters_are_not_made_again(lab: Asking) -> None:
    """Expired counters of a registered task are created again only when the workers change."""
    lab.answers(registered=["new"])
    flow(lab)
    lab.inspection.foresee()
    lab.tasks.sweep(0)
    lab.tasks.sweep(1e9)
    assert [None] == zeros(lab, "new", "mail")


def test_silent_workers_are_found_once_a_minute(lab: Asking) -> None:
    """A worker that processes tasks without task events is logged once a minute; other workers are not."""
    assert [] == lab.inspection.silent()
    for processed in (1, 2, 3):
        lab.beat(processed)
    assert 0 == lab.value(rows.WORKER_TASK_EVENTS, W1)
    assert [W1] == lab.inspection.silent()
    assert [] == lab.inspection.silent()
    for _ in range(4):
        lab.clock.advance(NUDGE_SECONDS / 4)
        lab.beat(3)
    assert [W1] == lab.inspection.silent()
    lab.started("a", 1)
    lab.clock.advance(NUDGE_SECONDS)
    assert [] == lab.inspection.silent()
