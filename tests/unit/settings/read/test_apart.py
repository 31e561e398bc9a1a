"""Settings that are read in a process of their own."""

import json
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings import Settings, UsageRequested, load
from celery_redis_exporter.settings.read import apart

ARGUMENTS = ("--queues.max=3", "--tasks", '{"proj.*": {"expected_interval": "1h"}}')


def environment(folder: Path) -> dict[str, str]:
    """Settings of many kinds: secrets, files, servers, options of kombu's."""
    password = folder / "password"
    password.write_text("PLANTED\n", encoding="utf-8")
    web = folder / "web.yml"
    web.write_text(json.dumps({"http_server_config": {"headers": {"X-Frame-Options": "deny"}}}), encoding="utf-8")
    return {
        "EXPORTER_BROKER_URL": "redis://user:word@h:1/2",
        "EXPORTER_BROKER_PASSWORD_FILE": str(password),
        "EXPORTER_BROKER_TRANSPORT_OPTIONS": json.dumps({"confirm_publish": True}),
        "EXPORTER_REDIS__SERVERS": json.dumps({"cache": {"url": "redis://c"}}),
        "EXPORTER_WEB__CONFIG__FILE": str(web),
    }


def lowest_free_descriptor() -> int:
    """Give the descriptor that the next file gets."""
    with Path(os.devnull).open("rb") as file:
        return file.fileno()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the test's process count as one without threads, whatever pytest runs besides."""
    monkeypatch.setattr(threading, "active_count", lambda: 1)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give what is read in the test's own process, by the first argument."""
    seen: list[str] = []
    process = os.getpid()

    def noting(argv: tuple[str, ...], environ: dict[str, str], program: str = "") -> Settings:
        if os.getpid() == process:
            seen.append(argv[0])
        return load(argv, environ, program)

    monkeypatch.setattr(apart, "load", noting)
    return seen


@pytest.mark.usefixtures("alone")
def test_the_settings_are_the_same_as_those_read_here(tmp_path: Path, here: list[str]) -> None:
    """Whatever is set arrives: targets, notes, secrets that files hold, the web configuration."""
    environ = environment(tmp_path)
    found, expected = apart.Reading(ARGUMENTS, environ, "p").result(), load(ARGUMENTS, environ)
    assert here == []
    assert found == expected
    assert found.secrets == expected.secrets
    assert "PLANTED" in found.secrets
    assert found.notes == expected.notes != ()
    assert found.web_config.headers == {"X-Frame-Options": "deny"}
    assert [target.redacted for target in found.targets] == [target.redacted for target in expected.targets]
    assert found.tasks["proj.*"].expected_interval == 3600


@pytest.mark.usefixtures("alone")
def test_what_is_wrong_is_told_as_if_it_were_read_here(here: list[str]) -> None:
    """A wrong setting is a ConfigError with the same line; nobody reads a second time."""
    with pytest.raises(ConfigError, match="must be 1 or more"):
        apart.Reading(["--queues.max=0"], {}, "p").result()
    assert here == []


def test_help_is_given_at_once() -> None:
    """Nothing is read for it."""
    with pytest.raises(UsageRequested, match="usage: program"):
        apart.Reading(["--help", "--queues.max=0"], {}, "program")


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("written", [b"", b"\x80"], ids=["nothing", "half"])
def test_settings_are_read_here_if_the_reader_dies(
    written: bytes, here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that ends before its answer, or in the midst of it, costs the time that it took, and nothing else."""

    def die(_: object, stream: object) -> None:
        os.write(stream.fileno(), written)  # type: ignore[attr-defined]
        os._exit(1)

    monkeypatch.setattr(pickle, "dump", die)
    assert apart.Reading(ARGUMENTS, {}, "p").result() == load(ARGUMENTS, {})
    assert here == [ARGUMENTS[0]]


@pytest.mark.usefixtures("alone")
def test_settings_are_read_here_if_there_may_be_no_more_processes(
    here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit on processes does not keep the exporter from starting, and costs no descriptor."""

    def refuse() -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "fork", refuse)
    lowest = lowest_free_descriptor()
    assert apart.Reading(ARGUMENTS, {}, "p").result() == load(ARGUMENTS, {})
    assert here == [ARGUMENTS[0]]
    assert lowest == lowest_free_descriptor()


def test_who_ignores_the_end_of_children_is_no_obstacle() -> None:
    """A launcher that ignores SIGCHLD hands that on: nobody is left to wait for, and the settings are there."""
    code = (
        "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "from celery_redis_exporter.settings.read.apart import Reading\n"
        "print(Reading(['--queues.max=3'], {}, 'p').result().queues.max)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "3\n"


def test_a_process_with_threads_is_not_copied(here: list[str]) -> None:
    """A copy would have one thread, and the locks that the others held."""
    wait = threading.Event()
    thread = threading.Thread(target=wait.wait)
    thread.start()
    try:
        assert apart.Reading(ARGUMENTS, {}, "p").result() == load(ARGUMENTS, {})
    finally:
        wait.set()
        thread.join()
    assert here == [ARGUMENTS[0]]


def test_the_daemon_imports_nothing_that_reading_takes() -> None:
    """What serves the metrics imports neither pydantic nor YAML, and settings that are held bring neither."""
    code = (
        "import sys, threading; import celery_redis_exporter.daemon.service\n"
        "from celery_redis_exporter.settings.read.apart import Reading\n"
        "assert threading.active_count() == 1; settings = Reading(['--queues.max=3'], {}, 'p').result()\n"
        "print(settings.queues.max, sorted({'pydantic', 'pydantic_core', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "3 []\n"
