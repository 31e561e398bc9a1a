# SPDX-License-Identifier: Apache-2.0
"""Change the code of a layer in small steps, and list the changes that its unit tests do not detect.

Usage: python -m tests.quality.mutation --layer decode [--minutes 5] [--seed 1]. Copies the tree to an empty folder.
There cosmic-ray makes a random sample of all changes, one by one, and runs the unit tests of the layer. Contract tests
are left out: they read the source, so that they detect changes without testing behaviour. Prints the surviving changes
with their place, and counts. cosmic-ray is installed once into ``.peers/mutation``.
"""

import argparse
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path

import psutil

from tests.quality.branches import LAYERS, PACKAGE, ROOT
from tests.support.project_files import project_files

WANTED = "cosmic-ray==8.7.0"
TOOLS = ROOT / ".peers" / "mutation"
COPIED = ("exporter", "tests", "grafana", "pyproject.toml")
MUTANT_SECONDS = 120
FOUND = """
    SELECT specs.module_path, specs.start_pos_row, specs.operator_name, specs.definition_name, results.test_outcome,
           results.diff
    FROM work_results AS results JOIN mutation_specs AS specs ON specs.job_id = results.job_id
    ORDER BY specs.module_path, specs.start_pos_row
"""


def install() -> Path:
    """Install cosmic-ray if it is missing; return the folder of its programs."""
    stamp = TOOLS / "installed"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != WANTED:
        venv.create(TOOLS, with_pip=True)
        pip = [str(TOOLS / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", WANTED]
        subprocess.run(pip, check=True)
        stamp.write_text(WANTED, encoding="utf-8")
    return TOOLS / "bin"


def copy_tree(folder: Path) -> Path:
    """Copy the files that the unit tests need."""
    for path in project_files():
        inside = path.relative_to(ROOT)
        if inside.parts[0] in COPIED:
            target = folder / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
    return folder


def configuration(tree: Path, layer: str) -> str:
    """Return the settings of cosmic-ray: the files to change, and the tests to run."""
    options = "--thorough -x -q -p no:cacheprovider -m 'not alone and not slow'"
    test = f"{sys.executable} -m pytest {options} tests/unit/{layer}"
    return "\n".join([
        "[cosmic-ray]",
        f"module-path = {json.dumps(str(tree / PACKAGE / layer))}",
        f"timeout = {MUTANT_SECONDS}.0",
        "excluded-modules = []",
        f"test-command = {json.dumps(test)}",
        "[cosmic-ray.distributor]",
        'name = "local"',
        "",
    ])  # fmt: skip


def shuffle(session: Path, seed: int) -> int:
    """Put the changes of a session into random order; return their number."""
    with closing(sqlite3.connect(session)) as database, database:
        jobs = [job for (job,) in database.execute("SELECT job_id FROM work_items ORDER BY job_id")]
        jobs_in_order = random.Random(seed).sample(jobs, len(jobs))  # noqa: S311 -- a sample, no secret
        database.execute("DELETE FROM work_items")
        database.executemany("INSERT INTO work_items VALUES (?)", [(job,) for job in jobs_in_order])
    return len(jobs)


def results(session: Path) -> list[tuple[str, int, str, str, str, str]]:
    """Return file, line, kind, function, outcome and diff of each change that was made."""
    with closing(sqlite3.connect(session)) as database:
        return list(database.execute(FOUND))


def report(rows: Iterable[tuple[str, int, str, str, str, str]], tree: Path, total: int) -> str:
    """Return the surviving changes, and how many of the changes made the tests detected."""
    made = list(rows)
    lines = []
    for file, line, kind, function, outcome, difference in made:
        if outcome.lower() != "survived":
            continue
        lines.append(f"{Path(file).relative_to(tree / PACKAGE)}:{line} {function or ''} {kind.removeprefix('core/')}")
        lines += [
            f"    {text}" for text in difference.splitlines() if text[:1] in "+-" and text[:3] not in {"+++", "---"}
        ]
    survived = sum(outcome.lower() == "survived" for *_, outcome, _ in made)
    share = f"{100 * (len(made) - survived) / len(made):.0f} %" if made else "none"
    return "\n".join([*lines, f"{len(made)} of {total} changes made, {share} noticed, {survived} survived"]) + "\n"


def end(process: psutil.Process) -> None:
    """Kill a process and all its children: cosmic-ray starts the tests in a separate session."""
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()  # The system's first process reaps the others, and may take a second for it.


def run_for(seconds: float, command: list[str], folder: Path) -> None:
    """Run a command, and kill it with all its children after some seconds."""
    process = psutil.Popen(command, cwd=folder)
    try:
        process.wait(seconds)
    except psutil.TimeoutExpired:
        end(process)
        sys.stderr.write(f"stopped after {seconds / 60:g} minutes\n")


def main(arguments: list[str]) -> int:
    """Run the changes of a layer for some minutes, print the report, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.quality.mutation")
    parser.add_argument("--layer", choices=LAYERS, required=True)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    programs = install()
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        tree = copy_tree(Path(folder, "tree"))
        settings, session = Path(folder, "cosmic-ray.toml"), Path(folder, "session.sqlite")
        settings.write_text(configuration(tree, given.layer), encoding="utf-8")
        cosmic_ray = [str(programs / "cosmic-ray")]
        subprocess.run([*cosmic_ray, "baseline", str(settings)], cwd=tree, check=True)
        subprocess.run([*cosmic_ray, "init", str(settings), str(session)], cwd=tree, check=True)
        total = shuffle(session, given.seed)
        run_for(60 * given.minutes, [*cosmic_ray, "exec", str(settings), str(session)], tree)
        sys.stdout.write(report(results(session), tree, total))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
