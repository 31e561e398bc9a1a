# SPDX-License-Identifier: Apache-2.0
"""The screen."""

import pytest
from rich.cells import cell_len

from celery_redis_exporter.cli.top.look import Look
from celery_redis_exporter.cli.top.screen import Frame, draw, draw_bar, plain, shorten
from celery_redis_exporter.records.report import (
    ExporterStatus,
    Health,
    KeyGroup,
    LastHour,
    Memory,
    QueueStatus,
    Recent,
    Report,
    RunningTask,
    WorkerStatus,
)
from tests.support.reports import make_report, make_server, make_task

SIZES = [(80, 24), (40, 12), (200, 60), (20, 5), (1, 1)]
EVIL = "\x1b[2J\x1b]0;owned\x07\u202e\u200b\n\r\t名前" + "x" * 300


def full() -> Report:
    """Return a report with many rows."""
    memory = Memory(
        used_bytes=48 * 2**20, limit_bytes=64 * 2**20, limit_source="maxmemory", used_ratio=0.75, state="ok"
    )
    groups = [KeyGroup(db="db0", name="celery-task-meta", keys=9, memory_bytes=3e6),
              KeyGroup(db="db0", name="market:*", keys=2, memory_bytes=1e6)]  # fmt: skip
    return make_report(
        health=[
            Health("Event stream", "ok"), Health("Queues", "warning", "long: mail 51"), Health("Tasks", "critical"),
        ],
        tasks=[make_task(f"proj.task_{number:02}", float(number)) for number in range(30)],
        queues=[QueueStatus(name=f"queue_{number}", length=number) for number in range(8)],
        workers=[WorkerStatus(name=f"w{number}@host", state="online", active=1, concurrency=2) for number in range(9)],
        redis=[make_server("broker", memory=memory, key_groups=groups, hit_ratio=0.5, operations_per_second=12.0)],
        exporter=ExporterStatus(events_per_second=3.5),
    )  # fmt: skip


LONG = "shop.orders.tasks.send_reminders"


def texts(report: Report | None, look: Look = Look(), frame: Frame = Frame(80, 24)) -> list[str]:  # noqa: B008 -- frozen
    """Return the lines without their styles."""
    return [line.plain.rstrip() for line in draw(report, look, frame)]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("chosen", range(6))
def test_it_fills_the_terminal_and_no_more(width: int, height: int, chosen: int) -> None:
    """At any size of the terminal, there are as many lines as it has, none of them wider."""
    for report in (full(), make_report(), None):
        lines = draw(report, Look(chosen), Frame(width, height, source="redis://localhost"))
        assert height == len(lines)
        assert max(cell_len(line.plain) for line in lines) <= width


def test_everything_is_there_in_80x24() -> None:
    """An 80x24 terminal shows verdicts, memory, keys by group, and rows of tasks, queues and workers."""
    text = "\n".join(texts(full()))
    for part in ("Event stream OK", "Tasks CRITICAL", "Queues: long: mail 51", "75 % 48 MiB of 64 MiB", "hits 50 %",
                 "celery-task-meta 75 %", ">1 Tasks 30", "proj.task_29", " 2 Queues 8", "queue_7", " 3 Workers 9",
                 "w0@host", "1 / 2", "q quit"):  # fmt: skip
        assert part in text


@pytest.mark.parametrize(("chosen", "height", "shown"), [(0, 24, False), (3, 24, True), (0, 45, True), (0, None, True)])
def test_running_tasks(chosen: int, height: int | None, shown: bool) -> None:  # noqa: FBT001 -- a parameter of the test
    """Running tasks are listed if that table is chosen and there is room, the longest first."""
    running = [RunningTask("mail.send", f"id-{age}", "w1@host", 1795356000.0 - age) for age in (60, 7200)]
    report = make_report(running=running, tasks=full().tasks)
    lines = texts(report, Look(chosen), Frame(80, height))
    assert shown == any("4 Running now 2" in line for line in lines)
    rows = [line.split() for line in lines if "mail.send" in line]
    assert ([["mail.send", "2", "h", "w1@host", "id-7200"], ["mail.send", "1", "min", "w1@host", "id-60"]]
            if shown else []) == rows  # fmt: skip


def test_the_chosen_table_has_the_room() -> None:
    """The chosen table shows the most rows; the others keep a few."""
    for chosen, word, least in ((0, "proj.task", 4), (1, "queue_", 4), (2, "@host", 4)):
        lines = texts(full(), Look(chosen))
        assert least <= sum(line.startswith(word) or word in line[:12] for line in lines)


def test_order_filter_and_moving() -> None:
    """Rows are sorted and filtered as requested, and start at the requested row."""

    def first_task(look: Look) -> str:
        lines = texts(full(), look)
        head = next(number for number, line in enumerate(lines) if "Task" in line and "Rate" in line)
        return lines[head + 1].split()[0]

    assert "proj.task_29" == first_task(Look())
    assert "proj.task_00" == first_task(Look(sorts={"tasks": "rate"}))
    assert "proj.task_26" == first_task(Look(first=3))
    assert "proj.task_0" in first_task(Look(sorts={"tasks": "rate"}, first=5))
    assert "proj.task_07" == first_task(Look(wanted="TASK_07"))
    assert "   None has this in its name." in texts(full(), Look(wanted="nothing"))


def test_moving_past_the_end_shows_the_end() -> None:
    """However far the user scrolls, the last rows are shown."""
    assert any("proj.task_00" in line for line in texts(full(), Look(first=10_000)))


def test_columns_of_least_weight_go_first() -> None:
    """A narrow terminal drops columns, but never the important ones."""
    wide, narrow = ("\n".join(texts(full(), frame=Frame(width, 40))) for width in (200, 50))
    assert ("Last success" in wide, "Last success" in narrow) == (True, False)
    assert ("Rate" in narrow, "Failing" in narrow) == (True, True)


@pytest.mark.parametrize("width", [100, 80, 60, 40, 30])
def test_names_before_columns(width: int) -> None:
    """With little room, optional columns are dropped before a name of up to 32 characters is cut."""
    lines = texts(make_report(tasks=[make_task(LONG, 1.0)]), frame=Frame(width, None))
    row = next(line for line in lines if line.startswith("sho"))
    assert (LONG in row) == (width >= 60)
    assert row.split()[0].endswith("minders")
    assert any("Rate" in line and "Failing" in line for line in lines)


@pytest.mark.parametrize(
    ("name", "width", "short"),
    [
        (LONG, 32, LONG), (LONG, 31, "shop.order~tasks.send_reminders"), (LONG, 12, "shop~minders"),
        (LONG, 4, "s~rs"), (LONG, 2, "s~"), (LONG, 1, "~"), (LONG, 0, ""), ("名前の長いタスク", 13, "名前~いタスク"),
    ],
)  # fmt: skip
def test_names_are_cut_in_the_middle(name: str, width: int, short: str) -> None:
    """A name that is too long keeps both ends, more of the last one, and is never wider than its column."""
    assert short == shorten(name, width)
    assert cell_len(short) <= width


def test_names_command_no_terminal() -> None:
    """No name can move the cursor, set a title, change the direction of writing or break a line."""
    report = make_report(
        version=EVIL, health=[Health("Redis", "critical", EVIL)], tasks=[make_task(EVIL, queues=[EVIL])],
        queues=[QueueStatus(name=EVIL)], workers=[WorkerStatus(name=EVIL, state="lost", pool=EVIL, queues=[EVIL])],
        redis=[make_server(EVIL, error=EVIL, up=False), make_server(EVIL, key_groups=[
            KeyGroup(db=EVIL, name=EVIL, keys=1, memory_bytes=1.0)])],
    )  # fmt: skip
    for chosen in range(4):
        for height in (24, None):
            look, frame = Look(chosen, wanted="\x1b"), Frame(300, height, source=EVIL, trouble=EVIL)
            text = "".join(line.plain for line in draw(report, look, frame))
            assert not set(text) & set("\x1b\x07\u202e\u200b\n\r\t")
    assert "?[2J?]0;owned???" == plain(EVIL)[:16]


def test_a_screen_without_height_has_everything() -> None:
    """Output to a pipe contains every row and no list of keys."""
    lines = texts(full(), frame=Frame(120, None))
    assert 30 == sum("proj.task_" in line for line in lines)
    assert not any("q quit" in line for line in lines)


def test_trouble_is_reported() -> None:
    """A failed read is shown beside the old numbers, if there are any; a pause is shown as well."""
    assert "refused" in texts(None, frame=Frame(80, 24, trouble="refused"))
    assert "OLD: refused" in texts(full(), frame=Frame(80, 24, trouble="refused"))[0]
    assert "PAUSED" in texts(full(), Look(paused=True))[0]
    assert any("quit" in line for line in texts(None, Look(helping=True)))


@pytest.mark.parametrize(
    ("share", "bar"), [(None, "...."), (0.0, "...."), (0.01, "#..."), (0.5, "##.."), (1.0, "####"), (7.0, "####")]
)
def test_bars(share: float | None, bar: str) -> None:
    """A bar shows any value above 0, and is never longer than its room; it can be drawn in ASCII."""
    assert bar == draw_bar(share, 4, Frame(80, 24, ascii=True))


def test_wide_characters_keep_their_columns() -> None:
    """A name in characters of double width does not shift the next columns."""
    recent = Recent(ended=1, failure_ratio=0.5)
    report = make_report(tasks=[make_task("名前", 1.0, recent=recent), make_task("name", 2.0, recent=recent)])
    rows = [line for line in draw(report, Look(), Frame(80, 24)) if "50 %" in line.plain]
    assert 1 == len({cell_len(line.plain[: line.plain.index("50 %")]) for line in rows})
    assert 2 == len(rows)


def test_the_last_hour() -> None:
    """A line shows the totals of the last hour, and rows show their trends; both can be drawn in ASCII."""
    hour = LastHour(
        seconds=3600, published=5000, started=41, success=39, failure=1, retry=1, revoked=0, rejected=0,
        success_ratio=0.975,
    )  # fmt: skip
    report = make_report(last_hour=hour, tasks=[make_task("t", 1.0, trend=[0.0, 7.0])])
    lines = texts(report, frame=Frame(120, 24))
    assert "Last 1 h: 97.5 % succeeded, 1 failed, 1 retried, 5,000 published, 41 started" in lines
    assert any("▁█" in line for line in lines)
    lines = texts(report, frame=Frame(120, 24, ascii=True))
    assert any("1/s" in line and ".#" in line for line in lines)
    assert all(line.isascii() for line in lines)


def test_periodic_tasks() -> None:
    """Periodic tasks are a table with overdue ones first."""
    tasks = [
        make_task("late", 0.0, expected_interval_seconds=60.0, last_success=1.0),
        make_task("new", 0.0, expected_interval_seconds=60.0),
    ]
    lines = texts(make_report(tasks=tasks), Look(4))
    (title,) = (number for number, line in enumerate(lines) if ">5 Periodic tasks 2" in line)
    assert ["late", "overdue"] == lines[title + 2].split()[:2]
