# SPDX-License-Identifier: Apache-2.0
"""What workers answer, and who is asked what."""

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
    """A lab in which workers are asked."""

    def __init__(self, tasks: TaskLimits | None = None) -> None:
        super().__init__(tasks)
        self.inspection = Inspection(self.workers, self.tasks, self.clock)
        self.inspection.expect(answers=True)

    def answers(self, worker: str = W1, **given: object) -> None:
        """Fold a worker's answers to all commands; an unnamed one is as of an idle worker."""
        idle: dict[str, object] = {
            "stats": STATS, "active_queues": [MAIL], "scheduled": [], "reserved": [], "active": [], "registered": [],
            "conf": AppSettings(),
        }  # fmt: skip
        if isinstance(names := given.get("registered"), list):
            given["registered"] = [RegisteredTask(name) for name in names]
        self.inspection.fold(InspectionTarget(worker, COMMANDS), Answers(**{**idle, **given}))  # type: ignore[arg-type]

    def shown(self, metrics: tuple[Metric, ...] = GAUGES, worker: str = W1) -> list[float | None]:
        """The values of a worker's gauges."""
        return [self.value(metric, worker) for metric in metrics]


@pytest.fixture
def lab() -> Asking:
    """Give a lab in which W1 is online and was not asked yet."""
    lab = Asking()
    lab.beat()
    return lab


def held(uuid: str, name: str = "t", started_at: float | None = None, queue: str = "mail") -> HeldTask:
    """A task that came by the default exchange."""
    return HeldTask(uuid, name, "", queue, started_at)


def test_answers_become_gauges(lab: Asking) -> None:
    """What a worker answers is shown in base units, its pool and queues as infos."""
    lab.answers(reserved=[held("a")], scheduled=[held("b"), held("c")])
    assert [2, 8, 7, 1000 * 1024, 1, 2] == lab.shown()
    assert 1 == lab.value(rows.WORKER_POOL_INFO, W1, "prefork")
    assert 1 == lab.value(rows.WORKER_QUEUE_INFO, W1, "mail")


def test_what_is_not_answered_is_absent(lab: Asking) -> None:
    """A value that is missing in the next answers is taken off, not kept and not 0."""
    lab.answers()
    lab.answers(stats=STATS._replace(prefetch_count=0, max_rss=None), reserved=None)
    assert [2, 0, 7, None, None, 0] == lab.shown()
    lab.inspection.fold(InspectionTarget(W1, ROUTINE), Answers())
    assert [None] * len(GAUGES) == lab.shown()
    assert lab.value(rows.WORKER_POOL_INFO, W1, "prefork") is None
    assert lab.value(rows.WORKER_QUEUE_INFO, W1, "mail") is None


def test_broadcast_queues_have_the_name_of_their_exchange(lab: Asking) -> None:
    """The queue of a worker's own that a Broadcast exchange reaches is shown by that, not by its random name."""
    lab.answers(active_queues=[MAIL, ConsumedQueue("bcast.5f4dcc3b", "news", "", "fanout")])
    assert 1 == lab.value(rows.WORKER_QUEUE_INFO, W1, "news")
    assert 1 == lab.value(rows.WORKER_QUEUE_INFO, W1, "mail")
    assert lab.value(rows.WORKER_QUEUE_INFO, W1, "bcast.5f4dcc3b") is None


def test_infos_are_replaced(lab: Asking) -> None:
    """Queues that a worker consumes no more, and another pool, leave no old series."""
    lab.answers(active_queues=[MAIL, VIDEO])
    lab.answers(active_queues=[VIDEO], stats=STATS._replace(pool="threads"))
    assert lab.value(rows.WORKER_QUEUE_INFO, W1, "mail") is None
    assert 1 == lab.value(rows.WORKER_QUEUE_INFO, W1, "video")
    assert lab.value(rows.WORKER_POOL_INFO, W1, "prefork") is None


def test_memory_on_macos_is_in_bytes() -> None:
    """A worker whose heartbeats say Darwin counts its memory in bytes."""
    lab = Asking()
    beat = WorkerHeartbeat(W1, lab.clock.epoch, 1, 2.0, 0, 0, None, "py-celery", "5.7.0", "Darwin")
    lab.workers.fold_heartbeat(beat)
    lab.answers()
    assert 1000 == lab.value(rows.WORKER_MAX_RSS, W1)


@pytest.mark.parametrize("end", ["offline", "lost", "new process", "forgotten"])
def test_answers_go_with_who_gave_them(lab: Asking, end: str) -> None:
    """A worker that leaves, is lost or is another process now shows no old answer; nor does any when none can ask."""
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
    """An answer that comes after its worker's goodbye, or from nobody known, changes nothing."""
    lab.offline()
    lab.answers()
    lab.answers("stranger@host")
    assert [None] * len(GAUGES) == lab.shown()
    assert "stranger@host" not in lab.workers.by_name


def test_heartbeats_come_before_answers(lab: Asking) -> None:
    """Queues and concurrency that heartbeats announce are younger than answers, and stay when these are missing."""
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
    """New workers are asked everything once, at once; the others the routine, in the rounds; the absent nothing."""
    assert [InspectionTarget(W1, COMMANDS)] == lab.inspection.targets(everyone=False)
    lab.answers()
    assert [] == lab.inspection.targets(everyone=False)
    lab.beat(worker=W2)
    assert [InspectionTarget(W2, COMMANDS)] == lab.inspection.targets(everyone=False)
    assert [InspectionTarget(W1, ROUTINE), InspectionTarget(W2, COMMANDS)] == lab.inspection.targets(everyone=True)
    lab.offline(W2)
    assert [InspectionTarget(W1, ROUTINE)] == lab.inspection.targets(everyone=True)


def test_a_new_worker_is_asked_again_until_it_answers(lab: Asking) -> None:
    """A worker that does not answer its first questions is asked again after 2, 5 and 10 s, then in the rounds."""
    asked = []
    for second in range(20):
        if lab.inspection.targets(everyone=False):
            asked.append(second)
            lab.inspection.fold(InspectionTarget(W1, COMMANDS), Answers())
        lab.advance(1)
    assert [0, 2, 5, 10] == asked
    assert [InspectionTarget(W1, COMMANDS)] == lab.inspection.targets(everyone=True)


def test_a_worker_that_answers_late_is_not_asked_again(lab: Asking) -> None:
    """The questions to a new worker end with its first complete answer; it can have received some of them only."""
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
    """Without task-sent, tasks of a worker that has not answered yet count under the queue that its answer names."""
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
    """A new process, one that was lost, and all after an interruption are asked everything again."""
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
    """An answer that never arrives, or can't be read, is queried in five rounds, and again of a new process."""
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
    """Rounds without any answer do not count: a worker that was executing a long task is asked everything after it."""
    for _ in range(30):
        [target] = lab.inspection.targets(everyone=True)
        lab.inspection.fold(target, Answers())
        lab.advance(1)
        lab.beat()
    assert [InspectionTarget(W1, COMMANDS)] == lab.inspection.targets(everyone=True)


def test_an_answer_that_arrives_late_ends_the_questions(lab: Asking) -> None:
    """Settings that a worker reports in a later round are taken, and not queried again."""
    lab.answers(conf=None)
    for _ in REPEATS:
        lab.answers(conf=None)
    assert [InspectionTarget(W1, (*ROUTINE, "conf"))] == lab.inspection.targets(everyone=True)
    lab.answers()
    assert [InspectionTarget(W1, ROUTINE)] == lab.inspection.targets(everyone=True)


def ask(lab: Asking, *, answered: bool) -> None:
    """Fold a round of questions to the worker W2."""
    if answered:
        lab.answers(W2)
    else:
        lab.inspection.fold(InspectionTarget(W2, ROUTINE), Answers())


def test_a_worker_without_heartbeats_is_up_while_it_answers(lab: Asking) -> None:
    """A worker that never sent a heartbeat lives by its answers, and is lost after three rounds without any."""
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
    """A worker that sent a heartbeat, that no one queries or that never answered is lost when it is silent."""
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
    """Tasks are asked for against their way: a task goes from scheduled to reserved to active."""
    assert COMMANDS.index("scheduled") < COMMANDS.index("reserved") < COMMANDS.index("active")


def test_held_tasks_are_taken_over(lab: Asking) -> None:
    """Tasks whose first events were before our time are known by name and queue, and run since their start."""
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
    """After its introduction a worker's events tell what it holds: later answers are counted, not taken over."""
    lab.inspection.fold(InspectionTarget(W1, ROUTINE), Answers(reserved=[held("a", "later")]))
    assert 1 == lab.value(rows.WORKER_RESERVED, W1)
    assert "later" not in lab.tasks.names.by_name


def test_an_event_seen_wins(lab: Asking) -> None:
    """What events told of a task is neither repeated nor changed by an answer that is older than they."""
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
    """Events of an unknown task from a worker that was not heard out yet are counted once its answer names them."""
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
    """A task whose task-started waits for the answer is not also taken as running since before."""
    lab.started("a", 1)
    lab.answers(active=[held("a", started_at=lab.start + 1)])
    assert 1 == lab.value(task_rows.TASKS_RUNNING, "t", "mail")
    assert 1 == lab.value(task_rows.TASKS_STARTED, "t", "mail")
    lab.succeeded("a", 3)
    assert {"success": 1} == lab.ends("t", "mail")
    assert 0 == lab.value(task_rows.TASKS_RUNNING, "t", "mail")


def test_events_do_not_wait_for_ever(lab: Asking) -> None:
    """Events of a task that no answer names are unmatched after a while, at once where nobody asks or all was told."""
    lab.succeeded("a", 1)
    lab.advance(SEEDING_SECONDS - 1)
    assert lab.value(internals.TASKS_UNMATCHED, "task-succeeded") is None
    lab.advance(2)
    assert 1 == lab.value(internals.TASKS_UNMATCHED, "task-succeeded")
    lab.succeeded("b", 1)
    assert 2 == lab.value(internals.TASKS_UNMATCHED, "task-succeeded")
    lab.beat(worker="told@host")
    lab.answers("told@host")
    lab.succeeded("c", 1, worker="told@host")
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
    """A task's queue is the one its key is bound to, or the only one; it is not guessed."""
    lab.answers(active_queues=queues, active=[HeldTask("a", "t", exchange, key, lab.start)])
    assert 1 == lab.value(task_rows.TASKS_RUNNING, "t", expected)


def flow(lab: Asking) -> None:
    """Let task events of every worker arrive."""
    for worker in lab.workers.by_name.values():
        lab.workers.note_task_events(worker)


def zeros(lab: Asking, name: str, *queues: str) -> list[float | None]:
    """Return the failures of a task on these queues, once its workers sent task events."""
    flow(lab)
    lab.inspection.foresee()
    return [lab.value(task_rows.TASKS, name, queue, "failure") for queue in queues]


def test_registered_tasks_have_counters(lab: Asking) -> None:
    """A task that all its workers take from one queue has its counters at 0 before it is ever seen."""
    lab.answers(registered=["new", "celery.backend_cleanup"])
    lab.beat(worker=W2)
    lab.answers(W2, registered=["new"])
    assert [0, None] == zeros(lab, "new", "mail", "unknown")
    assert [None] == zeros(lab, "celery.backend_cleanup", "mail")


@pytest.mark.parametrize("enabled", [None, 0])
def test_without_task_events_there_are_no_counters(lab: Asking, enabled: int | None) -> None:
    """Counters of registered tasks are absent while their worker sends no task event: 0 would claim that none runs."""
    lab.answers(registered=["new"])
    if enabled is not None:  # it executed a task without an event
        lab.store.scalar(rows.WORKER_TASK_EVENTS, W1).value = enabled
        lab.workers.by_name[W1].series[rows.WORKER_TASK_EVENTS, ()] = lab.store.scalar(rows.WORKER_TASK_EVENTS, W1)
    lab.inspection.foresee()
    assert lab.value(task_rows.TASKS, "new", "mail", "failure") is None
    assert [0] == zeros(lab, "new", "mail")


def test_counters_are_not_made_under_a_guessed_queue(lab: Asking) -> None:
    """Where a task's workers consume several queues, or do not tell, its counters wait for its first event."""
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
    """A task that was seen on some queue gets no other counters."""
    lab.sent("a", 0, "known", "q")
    lab.answers(registered=["known"])
    assert [0, None] == zeros(lab, "known", "q", "mail")


def test_what_is_foreseen_leaves_room() -> None:
    """Registered tasks take half of the (task, queue) bound at most, so that those that run have theirs."""
    lab = Asking(task_limits(pairs=10))
    lab.beat()
    lab.answers(registered=[f"t{number}" for number in range(20)])
    flow(lab)
    lab.inspection.foresee()
    assert 5 == len(lab.tasks.names.by_name)


def test_idle_counters_are_not_made_again(lab: Asking) -> None:
    """Counters of a registered task that expired stay away until the fleet changes."""
    lab.answers(registered=["new"])
    flow(lab)
    lab.inspection.foresee()
    lab.tasks.sweep(0)
    lab.tasks.sweep(1e9)
    assert [None] == zeros(lab, "new", "mail")


def test_silent_workers_are_found_once_a_minute(lab: Asking) -> None:
    """A worker that processes tasks without task events is named, once a minute; others never."""
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
