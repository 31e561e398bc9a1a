# SPDX-License-Identifier: Apache-2.0
"""What a fresh interpreter imports: for each use of the package no more than it needs, and without effects."""

import socket
import subprocess
import sys

import pytest

import celery_redis_exporter
from celery_redis_exporter import __version__
from celery_redis_exporter.daemon.library import Collector
from tests.contract.test_house_rules import CODE, PACKAGE
from tests.support.project_files import ROOT

HEAVY = "{'pydantic', 'redis', 'celery', 'starlette', 'structlog', 'prometheus_client'}"


def run(code: str) -> str:
    """Run code in a fresh interpreter, from the root of the repository. Return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    return done.stdout


def test_importing_every_module_has_no_effect() -> None:
    """No import starts a thread, opens a file descriptor or fails."""
    modules = [
        ".".join(path.relative_to(ROOT / "exporter" if path in PACKAGE else ROOT).with_suffix("").parts)
        for path in CODE
        if path.name != "__main__.py"
    ]
    run(
        "import importlib, threading, logging, os\n"
        "before = os.listdir('/dev/fd')\n"
        f"for module in {[module.removesuffix('.__init__') for module in modules]!r}:\n"
        "    importlib.import_module(module)\n"
        "assert os.listdir('/dev/fd') == before, os.listdir('/dev/fd')\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
        "assert not logging.getLogger().handlers, logging.getLogger().handlers\n"
    )


def test_importing_the_package_costs_nothing() -> None:
    """Importing the package loads none of its dependencies until ``Collector`` is used."""
    printed = run(
        "import sys, celery_redis_exporter as package\n"
        f"print(sorted({HEAVY} & set(sys.modules)))\n"
        "print(package.Collector.__module__)\n"
    )
    assert "[]\ncelery_redis_exporter.daemon.library\n" == printed
    assert celery_redis_exporter.Collector is Collector


def test_version_loads_none_of_the_libraries() -> None:
    """--version is fast: it imports neither the settings nor any of the larger packages."""
    printed = run(
        "import sys; from celery_redis_exporter.cli import main\n"
        f"main(['--version']); print(sorted({HEAVY} & set(sys.modules)))"
    )
    assert f"celery-redis-exporter {__version__}\n[]\n" == printed


@pytest.mark.parametrize("command", ["metrics", "render alerts"])
def test_commands_without_settings_import_no_pydantic(command: str) -> None:
    """Commands that read no settings don't import pydantic."""
    run(
        "import sys; from celery_redis_exporter.cli import main\n"
        f"assert main({command.split()}) == 0\nassert 'pydantic' not in sys.modules\n"
    )


def test_the_daemon_imports_only_what_it_needs() -> None:
    """The daemon has no rich and no greenlet, which structlog imports if installed, and no YAML without a file."""
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        address = f"127.0.0.1:{occupied.getsockname()[1]}"
        printed = run(
            "import sys; from celery_redis_exporter.cli import main\n"
            f"code = main(['run', '--web.listen-address', {address!r}])\n"
            "print(code, {'structlog', 'rich', 'greenlet', 'yaml'} & set(sys.modules)); import rich, greenlet"
        )
    assert "2 {'structlog'}\n" == printed


def test_kombu_is_imported_only_for_who_needs_it() -> None:
    """An exporter for Redis does not import kombu."""
    run(
        "import sys\nfrom celery_redis_exporter.daemon.exporter import Exporter\n"
        "from celery_redis_exporter.clock import SystemClock\n"
        "from celery_redis_exporter.settings import load\nimport celery_redis_exporter.daemon.service\n"
        "Exporter(load([], {}), SystemClock())\nassert not {'amqp', 'kombu', 'celery'} & set(sys.modules)\n"
        "Exporter(load(['--broker-url=amqp://'], {}), SystemClock())\nassert {'amqp', 'kombu'} <= set(sys.modules)\n"
    )


def test_a_web_configuration_is_imported_only_if_there_is_one() -> None:
    """A start without a web configuration imports neither bcrypt nor the modules for passwords and certificates."""
    run(
        "import sys\n"
        "from celery_redis_exporter.daemon.service import Service\n"
        "from celery_redis_exporter.settings import load\n"
        "Service(load(['--web.listen-address=127.0.0.1:0'], {}))\n"
        "found = {'bcrypt', 'celery_redis_exporter.web.auth', 'celery_redis_exporter.web.tls'} & set(sys.modules)\n"
        "assert not found, found\n"
    )
