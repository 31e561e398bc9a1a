# SPDX-License-Identifier: Apache-2.0
"""How the findings are printed."""

import io
import shlex
from pathlib import Path

from celery_redis_exporter import __version__
from celery_redis_exporter.cli.check.finding import Finding
from celery_redis_exporter.cli.check.report import Style, describe_check, style_of, verdict_of

LONG = "redis-cli -h long.host.name.example -p 6379 ACL SETUSER celery-exporter '+slowlog|get' '%R~*' '&/0.celeryev/*'"
TROUBLE = Finding("fail", "events-denied", "events", "no subscription to it " * 6, "lacks it " * 9, (LONG, "x = 1"))
GOOD = Finding("ok", "web-port-free", "web", "free")


def test_a_pipe_gets_a_line_for_each_text() -> None:
    """Without a terminal nothing is wrapped or coloured, and each finding that is not ok is followed by its code."""
    lines = Style().render(TROUBLE).splitlines()
    assert lines[0].startswith("FAIL  events              no subscription")
    assert lines[0].endswith("[events-denied]")
    assert [f"-> {LONG}", "-> x = 1"] == [line.strip() for line in lines[2:]]
    assert "OK    web                 free\n" == Style().render(GOOD)


def test_a_terminal_is_kept_to() -> None:
    """With 80 columns no line is longer, and a shell reads a wrapped command as the same one."""
    lines = Style(80).render(TROUBLE).splitlines()
    assert max(map(len, lines)) <= 80
    start = next(place for place, line in enumerate(lines) if "->" in line)
    pasted = "\n".join(lines[start:-1]).replace("->", "", 1)
    assert shlex.split(LONG) == shlex.split(pasted.replace("\\\n", " "))


def test_colour_is_for_the_level_alone() -> None:
    """Only the first word is coloured, in a colour for each level."""
    text = Style(80, colored=True).render(GOOD)
    assert text.startswith("\033[32mOK\033[0m    web")
    assert text.count("\033") == 2


def test_a_stream_that_is_no_terminal_is_plain(tmp_path: Path) -> None:
    """Files and pipes get neither colour nor a width."""
    for stream in (io.StringIO(), (tmp_path / "out").open("w")):
        with stream:
            style = style_of(stream, {"TERM": "xterm"})
        assert (None, False) == (style.width, style.colored)


def test_the_last_line_counts() -> None:
    """Failures, warnings and notes are counted, with singular or plural words."""
    warn, note = TROUBLE._replace(level="warn"), TROUBLE._replace(level="note")
    said = Style().conclude([TROUBLE, warn, warn, note, GOOD], 1, interrupted=False)
    assert "\n1 failure, 2 warnings, 1 note; exit code 1\n" == said
    assert "\ninterrupted; nothing to fix; exit code 130\n" == Style().conclude([GOOD], 130, interrupted=True)


def test_the_document() -> None:
    """The JSON document contains the verdict and each finding with all its fields."""
    document = describe_check([GOOD, TROUBLE], 5.0, 1, interrupted=False)
    assert {"version": __version__, "time": 5.0, "verdict": "fail", "exit_code": 1, "interrupted": False} == {
        key: value for key, value in document.items() if key != "findings"
    }
    assert {
        "level": "fail", "code": "events-denied", "subject": "events", "found": TROUBLE.text, "cause": TROUBLE.cause,
        "remedy": [LONG, "x = 1"],
    } == document["findings"][1]  # fmt: skip


def test_the_verdict_is_the_worst_level() -> None:
    """One failure decides the verdict, and a report without findings is good."""
    levels = ("ok", "note", "warn", "fail")
    for worst in range(4):
        assert levels[worst] == verdict_of([GOOD._replace(level=level) for level in reversed(levels[: worst + 1])])
    assert "ok" == verdict_of([])
