# SPDX-License-Identifier: Apache-2.0
"""For every test: no connection leaves this machine. For tests that request it: the process has a memory limit.

Tests that use a program of another Debian suite have the mark ``newest`` with its name, set explicitly or because the
name is one of their parameters. The summary states how many passed on each, and an option writes the record.
"""

import datetime as dt
import gc
import ipaddress
import resource
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from celery_redis_exporter.daemon.tuning import limit_memory
from tests.support import record, sizes
from tests.support.outcomes import count_reasons
from tests.support.project_files import ROOT

# Hypothesis would fail an example that takes 0.2 s, which happens on a busy machine.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes the record, and the one for large samples."""
    parser.addoption("--write-record", action="store_true", help="write what passed to tests/README.md")
    parser.addoption("--thorough", action="store_true", help="large random samples and floods (tests/support/sizes.py)")


def pytest_configure(config: pytest.Config) -> None:
    """Set the sizes before tests are imported."""
    sizes.thorough = config.getoption("--thorough")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the programs of other suites that they use, before tests are selected by mark."""
    from tests.integration.suite_programs import SUITE_PROGRAMS  # imports packages that unit tests do not need

    for item in items:
        if item.get_closest_marker("servers") is not None:
            for name in _programs_of(item).intersection(SUITE_PROGRAMS):
                item.add_marker(pytest.mark.newest(name))
                item.user_properties.append(("program", name))


def pytest_collection_finish() -> None:
    """Collect garbage rarely, and never what was imported: otherwise that takes a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _programs_of(item: pytest.Item) -> set[object]:
    """Return values that may be names of programs: arguments of the mark, and parameters or parts of them."""
    callspec = getattr(item, "callspec", None)
    values = () if callspec is None else callspec.params.values()
    parts = [part for value in values for part in (value if isinstance(value, tuple) else (value,))]
    named = [name for mark in item.iter_markers("newest") for name in mark.args]
    return {name for name in (*named, *parts) if isinstance(name, str)}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    """Print the tests that passed on programs of other suites, and the tests that could not run, which did not pass."""
    ended = exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}  # not interrupted
    _print_record(terminalreporter, write=ended and config.getoption("--write-record"))
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = [str(report.longrepr[2]) for report in skipped if isinstance(report.longrepr, tuple)]
    found = count_reasons(reasons)
    if found:
        terminalreporter.section(f"{sum(found.values())} tests could not run")
        for reason, count in found.items():
            terminalreporter.line(f"{count} x {reason}")


def _print_record(terminal: pytest.TerminalReporter, *, write: bool) -> None:
    """Print a row for each used program of another suite; write the record."""
    from tests.integration.suite_programs import version

    outcomes = [
        record.Outcome(report.nodeid, category == "passed", frozenset(_programs(report)))
        for category in ("passed", "failed", "error")
        for report in terminal.stats.get(category, [])
    ]
    day = dt.datetime.now(dt.UTC).date()
    programs = record.program_rows(outcomes, version, day)
    if programs:
        terminal.section("passed on programs of other Debian suites")
        for name, program_version, tests, _ in programs.values():
            terminal.line(f"{name:20} {program_version:10} {tests}")
    if write and outcomes:
        path = ROOT / "tests" / "README.md"
        text = path.read_text(encoding="utf-8")
        rows = record.read_table(text, record.PROGRAMS) | programs
        text = record.write_table(text, record.PROGRAMS, record.PROGRAM_COLUMNS, rows)
        pythons = record.read_table(text, record.PYTHONS)
        row = record.python_row(outcomes, pythons, day)
        text = record.write_table(text, record.PYTHONS, record.PYTHON_COLUMNS, pythons | {row[0]: row})
        path.write_text(text, encoding="utf-8")


def _programs(report: pytest.TestReport | pytest.CollectReport) -> list[str]:
    properties = getattr(report, "user_properties", ())  # A file that can't be collected has none.
    return [str(value) for name, value in properties if name == "program"]


def _is_local(address: object) -> bool:
    if not isinstance(address, tuple):
        return True  # a unix socket
    try:
        return ipaddress.ip_address(str(address[0])).is_loopback
    except ValueError:
        return bool(address[0] == "localhost")


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections to other machines."""

    def guard(original: Callable[..., Any]) -> Callable[..., Any]:
        def connect(self: socket.socket, address: object) -> Any:  # noqa: ANN401 -- as in the original
            if not _is_local(address):
                raise AssertionError(f"a test connects to {address!r}")
            return original(self, address)

        return connect

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, guard(getattr(socket.socket, name)))


@pytest.fixture(scope="module")
def limited_memory() -> Iterator[None]:
    """Limit the memory of this process as the exporter limits its own."""
    usual = resource.getrlimit(resource.RLIMIT_AS)
    limit_memory()
    yield
    resource.setrlimit(resource.RLIMIT_AS, usual)
