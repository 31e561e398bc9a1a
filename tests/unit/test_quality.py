# SPDX-License-Identifier: Apache-2.0
"""The measures of quality: branch coverage by layer, and the report of mutations that no test detected."""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import psutil

from tests.quality.branches import PACKAGE, Branches, by_file, by_layer
from tests.quality.mutation import configuration, end, report, run_for, shuffle
from tests.support.waiting import eventually


def test_branches_are_summed_by_layer() -> None:
    """The branches of a layer are the sum over its files, and a file without branches counts as covered."""
    summaries = {"decode/a.py": (3, 4), "decode/b.py": (0, 0), "state/c.py": (5, 10)}
    measured = {
        "files": {
            f"{PACKAGE}/{name}": {"summary": {"covered_branches": covered, "num_branches": total}}
            for name, (covered, total) in summaries.items()
        }
    }
    files = by_file(measured)
    assert [75.0, 100.0, 50.0] == [file.percent for file in files]
    assert [("decode", 3, 4), ("state", 5, 10), ("exposition", 0, 0)] == [tuple(row) for row in by_layer(files)]
    assert Branches("decode", 3, 4).percent == 75


def test_a_change_that_survives_is_listed() -> None:
    """The report states file, line, function and change of each surviving mutation, and counts the others."""
    tree = Path("/tree")
    difference = "--- mutation diff ---\n--- a\n+++ b\n@@ -1 +1 @@\n-    return a + b\n+    return a - b\n"
    place = (str(tree / PACKAGE / "decode" / "a.py"), 7, "core/ReplaceAdd", "total")
    text = report([(*place, "SURVIVED", difference), (*place, "KILLED", difference)], tree, 10)
    lines = text.splitlines()
    assert ["decode/a.py:7 total ReplaceAdd", "    -    return a + b", "    +    return a - b"] == lines[:3]
    assert lines[3:] == ["2 of 10 changes made, 50 % noticed, 1 survived"]


def test_nothing_made_is_no_score(tmp_path: Path) -> None:
    """Without a mutation the report states no percentage, and the configuration names the tests of the layer."""
    assert report([], Path("/tree"), 10) == "0 of 10 changes made, none noticed, 0 survived\n"
    assert "tests/unit/state" in configuration(tmp_path, "state")
    assert "tests/contract" not in configuration(tmp_path, "state")


def test_the_sample_is_random_and_repeats(tmp_path: Path) -> None:
    """The order of the mutations depends on the seed only, and none is lost."""
    orders = []
    for number, seed in enumerate((1, 1, 2)):
        session = tmp_path / f"{number}.sqlite"
        with closing(sqlite3.connect(session)) as database, database:
            database.execute("CREATE TABLE work_items (job_id VARCHAR NOT NULL, PRIMARY KEY (job_id))")
            database.executemany("INSERT INTO work_items VALUES (?)", [(str(job),) for job in range(20)])
        assert shuffle(session, seed) == 20
        with closing(sqlite3.connect(session)) as database:
            orders.append([job for (job,) in database.execute("SELECT job_id FROM work_items ORDER BY rowid")])
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) == sorted(str(job) for job in range(20))


def test_a_run_ends_with_its_time(tmp_path: Path) -> None:
    """A command is ended after its time limit."""
    run_for(0.1, [sys.executable, "-c", "import threading; threading.Event().wait()"], tmp_path)


def test_everything_that_was_started_ends(tmp_path: Path) -> None:
    """A process that a command started in another session ends with the command."""
    waits = "import threading; threading.Event().wait()"
    starts = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {waits!r}], start_new_session=True)"
    process = psutil.Popen([sys.executable, "-c", starts], cwd=tmp_path)
    eventually(process.children)
    (child,) = process.children()
    end(process)
    assert not process.is_running()
    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
