# SPDX-License-Identifier: Apache-2.0
"""The installation: wheel and source distribution, built, installed and run outside the checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from celery_redis_exporter import __version__
from celery_redis_exporter.cli import COMMANDS
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.installations import Installation, build, unpack
from tests.integration.processes import ROOT
from tests.support.dashboards import boards
from tests.support.waiting import eventually

USER = """\
from prometheus_client import CollectorRegistry

from celery_redis_exporter import Collector, __version__


def names(url: str) -> list[str]:
    registry = CollectorRegistry()
    with Collector(broker_url=url, queues={"names": ["mail"]}) as collector:
        registry.register(collector)
        return [metric.name for metric in collector.describe()] + [__version__]
"""
PROJECT = """\
from celery import Celery

app = Celery("shop", broker="redis://127.0.0.1:1/0")
app.conf.beat_schedule = {"report": {"task": "exporter.report", "schedule": 600.0}}
"""
WRONG = USER + '\n\nnumber: int = names("")\nCollector().strat()\n'


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, without access to a package index."""
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Install the wheel into a new environment."""
    return Installation(tmp_path_factory.mktemp("installed"), wheel)


def contents(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_has_the_dashboards_and_the_types(wheel: Path) -> None:
    """The package contains every dashboard and the marker of type hints, and no generator or drawing code."""
    files = contents(wheel)
    for uid in boards():
        committed = (ROOT / "grafana" / f"{uid}.json").read_bytes()
        assert committed == files[f"celery_redis_exporter/dashboards/{uid}.json"]
    assert "celery_redis_exporter/py.typed" in files
    assert {"celery_redis_exporter"} == {name.partition("/")[0] for name in files if ".dist-info/" not in name}


def test_the_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """A build from the source distribution has the same files, byte by byte."""
    sdist = build(ROOT, "sdist", tmp_path / "sdist")
    tree = unpack(sdist, tmp_path / "tree")
    assert contents(wheel) == contents(build(tree, "wheel", tmp_path / "wheel"))


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_of_an_installation_have_a_help(installed: Installation, name: str) -> None:
    """Each command prints its flags."""
    done = installed.run(name, "--help")
    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith(f"usage: celery-redis-exporter {name}")


def test_an_installation_has_its_version(installed: Installation) -> None:
    """The console script prints the version, and runs the installed package."""
    assert f"celery-redis-exporter {__version__}\n" == installed.run("--version").stdout
    where = subprocess.run(
        [installed.python, "-c", "import celery_redis_exporter as package; print(package.__file__)"],
        cwd=installed.folder, env=installed.environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(installed.packages))


def test_an_installation_renders_and_completes(installed: Installation, tmp_path: Path) -> None:
    """The files that commands need are found in the package."""
    assert 0 == installed.run("render", "dashboards", "--output", str(tmp_path / "written")).returncode
    assert sorted(boards()) == sorted(path.stem for path in (tmp_path / "written").glob("*.yaml"))
    for arguments in (("render", "alerts"), ("metrics", "--format=json"), ("completion", "bash")):
        done = installed.run(*arguments)
        assert done.returncode == 0, done.stderr
        assert done.stdout


@pytest.mark.servers
def test_an_installation_is_scraped(installed: Installation, programs: Programs) -> None:
    """The installed exporter, without the checkout, serves the metrics of a Redis server."""
    server = programs.redis()
    flags = ("--broker-url", server.url(), "--web.listen-address", "127.0.0.1:0")
    process = programs.run(
        str(installed.program), "run", *flags, environment={"PYTHONPATH": "", "EXPORTER_LOG__FORMAT": "json"}
    )
    process.wait_for('"app.started"')
    exporter = Exporter.of(process)
    eventually(exporter.hears)
    assert exporter.value("redis_up", redis="broker") == 1
    assert exporter.labels("celery_exporter_build_info")[0]["version"] == __version__


def test_a_project_with_a_package_called_exporter(installed: Installation, tmp_path: Path) -> None:
    """Script, ``schedule --app`` and library work in a project that has its own package ``exporter``."""
    package = tmp_path / "exporter"
    package.mkdir()
    (package / "__init__.py").write_text("OWN = 'own'\n", encoding="utf-8")
    (package / "celery.py").write_text(PROJECT, encoding="utf-8")

    def run(*command: str | Path) -> str:
        environment = installed.environment | {"PYTHONPATH": str(tmp_path)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert f"celery-redis-exporter {__version__}\n" == run(installed.program, "--version")
    schedule = run(installed.program, "schedule", "--app=exporter.celery")
    assert 'tasks:\n  "exporter.report":\n    expected_interval: 10m\n' == schedule
    library = "import exporter; from celery_redis_exporter import Collector; print(exporter.OWN, Collector.__name__)"
    assert "own Collector\n" == run(installed.python, "-c", library)
    assert "usage: celery-redis-exporter" in run(installed.python, "-m", "celery_redis_exporter", "--help")


def test_a_user_of_the_library_is_type_checked(installed: Installation, tmp_path: Path) -> None:
    """Under mypy --strict correct use of the installed wheel passes, and wrong use is reported."""
    files = {"right.py": USER, "wrong.py": WRONG}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(installed.python)]
    done = subprocess.run(
        [*command, "--cache-dir", str(tmp_path / "cache"), *files],
        cwd=tmp_path, env=installed.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    *errors, summary = done.stdout.splitlines()
    assert summary.startswith("Found ")
    assert summary.endswith(" in 1 file (checked 2 source files)")
    assert [] == [error for error in errors if not error.startswith("wrong.py:")]
    assert 'has type "list[str]", variable has type "int"' in done.stdout
    assert '"Collector" has no attribute "strat"' in done.stdout
