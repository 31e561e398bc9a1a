# SPDX-License-Identifier: Apache-2.0
"""Run the command line: choose the command, read the settings, turn failures into exit codes.

Input: arguments. Output: 0 (done), 1 (failed while running) or 2 (wrong usage or configuration). The commands are in
separate modules, each of which is imported only if it is used.
"""

import os
import re
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import NamedTuple

from celery_redis_exporter import __version__
from celery_redis_exporter.errors import ConfigError, ExporterError, suggest

PROGRAM = "celery-redis-exporter"
DONE, FAILED, WRONG = 0, 1, 2
URL_USER = re.compile(r"://\S*@")
"""User and password of a URL, which is in a message if a user wrote a URL in the place of another argument."""


class Subcommand(NamedTuple):
    """A command: the module whose ``run`` executes it, and its line in the help.

    With ``takes_settings``, ``run`` receives the settings and a function that reads them again. Otherwise it receives
    the arguments; with ``adds_settings`` it reads the settings from them. ``unused`` names packages that a library
    imports if they are installed, although it does not need them.
    """

    module: str
    help: str
    takes_settings: bool
    adds_settings: bool = False
    unused: tuple[str, ...] = ()


COMMANDS = MappingProxyType({
    "run": Subcommand(
        "celery_redis_exporter.daemon.service", "serve the metrics (the default)",
        takes_settings=True, unused=("rich", "greenlet"),  # structlog imports them, 5 MB
    ),
    "check": Subcommand(
        f"{__name__}.check", "report what is wrong with settings, servers, Celery",
        takes_settings=False, adds_settings=True,
    ),
    "top": Subcommand(
        f"{__name__}.top", "show workers, queues, tasks and Redis live", takes_settings=False, adds_settings=True
    ),
    "analyze": Subcommand(
        f"{__name__}.analyze", "report what fills Redis, and what to do about it",
        takes_settings=False, adds_settings=True,
    ),
    "metrics": Subcommand(f"{__name__}.metrics", "print every metric with its meaning", takes_settings=False),
    "render": Subcommand(
        f"{__name__}.render", "print alert rules and dashboards", takes_settings=False
    ),
    "schedule": Subcommand(
        f"{__name__}.schedule", "print settings for the intervals of periodic tasks", takes_settings=False
    ),
    "demo": Subcommand(
        "celery_redis_exporter.demo", "run a sample application with this exporter", takes_settings=False
    ),
    "completion": Subcommand(f"{__name__}.completion", "print a completion script for a shell", takes_settings=False),
})  # fmt: skip

HELP = f"""\
usage: {PROGRAM} [command] [flags]

Prometheus exporter for Celery applications and the Redis servers they use.

Commands:
{chr(10).join(f"  {name:<12}{command.help}" for name, command in COMMANDS.items())}

Settings that matter, as flags:
%s

More:
  {PROGRAM} run --help      all settings
  {PROGRAM} COMMAND --help  flags of a command (or: help COMMAND)
  {PROGRAM} --version       the version
  deploy/docs/configuration.md          all settings, and an example file

Start with:
  {PROGRAM} check redis://localhost:6379/0
  {PROGRAM} --broker-url redis://localhost:6379/0
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command that ``argv`` names (default: the arguments of the process) and return the exit code."""
    _open_standard_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["--version"]:
        sys.stdout.write(f"{PROGRAM} {__version__}\n")
        return DONE
    if arguments in (["--help"], ["-h"], ["help"]):
        sys.stdout.write(_render_help())
        return DONE
    try:
        return _command(arguments)
    except ConfigError as error:
        return _fail(error, WRONG)
    except ExporterError as error:
        return _fail(error, FAILED)
    except BrokenPipeError:
        # The reader of the output has ended (`| head`). The interpreter's last flush must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def _render_help() -> str:
    # The settings bring pydantic, which the other commands need not wait for.
    from celery_redis_exporter.settings.usage import render_main_settings  # noqa: PLC0415 -- as above

    return HELP % render_main_settings()


def _open_standard_streams() -> None:
    """Open the standard streams that are closed (``2>&-``). Otherwise a socket would get their number."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # returns the lowest free descriptor
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "r" if name == "stdin" else "w", encoding="utf-8", closefd=False))


def _command(arguments: list[str]) -> int:
    name, rest = "run", arguments
    if arguments and not arguments[0].startswith("-"):
        name, rest = arguments[0], arguments[1:]
    if name == "help" and rest:
        name, rest = rest[0], ["--help"]
    if name not in COMMANDS:
        raise ConfigError(f"unknown command{_repeat(name)}{suggest(name, COMMANDS) or _list_commands()}")
    command = COMMANDS[name]
    if not command.takes_settings:
        return _runner(command)(rest)
    # The settings import pydantic. Other commands start faster without it.
    from celery_redis_exporter.settings import UsageRequested, load  # noqa: PLC0415 -- as above

    read = partial(load, rest, os.environ, f"{PROGRAM} {name}")
    try:
        settings = read()
    except UsageRequested as usage:
        sys.stdout.write(f"{usage}\n")
        return DONE
    return _runner(command)(settings, read)


def _runner(command: Subcommand) -> Callable[..., int]:
    """Import the command and return its ``run``. A package with None in ``sys.modules`` counts as not installed."""
    hidden = [name for name in command.unused if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is documented, but not typed
    try:
        runner: Callable[..., int] = import_module(command.module).run
    finally:
        for name in hidden:
            del sys.modules[name]
    return runner


def _list_commands() -> str:
    return f"; the commands are {', '.join(COMMANDS)}"


def _repeat(name: str) -> str:
    # The argument may be a URL with a password.
    return f" {name}" if name.isidentifier() and len(name) <= 20 else ""


def _fail(error: ExporterError, code: int) -> int:
    line = URL_USER.sub("://***@", " ".join(str(error).split()))
    sys.stderr.write(f"{PROGRAM}: error: {line}\n")
    return code
