# SPDX-License-Identifier: Apache-2.0
"""``top``: show the status report in a terminal, live.

Input: the URL of a running exporter, or settings, with which it receives events and reads servers itself. Output: a
screen that is refreshed, one screen, or JSON. Returns 1 if there is nothing to show. The content is that of the status
page.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from msgspec.json import encode

from celery_redis_exporter.cli.arguments import SETTINGS_TOO, Parser
from celery_redis_exporter.cli.remote import RemoteSource, access_of, add_access_flags, refuse_access_flags
from celery_redis_exporter.cli.top.look import Look
from celery_redis_exporter.cli.top.source import LocalSource, Source
from celery_redis_exporter.errors import ConfigError, ExporterError, install_command
from celery_redis_exporter.records.report import Overview, Report
from celery_redis_exporter.settings import choose_application, load
from celery_redis_exporter.status.tables import TABLES

PROGRAM = "celery-redis-exporter top"
HELP = f"""\
usage: {PROGRAM} [URL] [flags]

Show workers, queues, tasks, Redis servers and what is wrong, live in the
terminal. With a URL show what that exporter reports. Without one read the
broker, with the settings of the exporter.

  URL                of an exporter, as in http://localhost:9808
  --application=NAME one of several applications; with a URL all without it
  --interval=2       seconds between two updates
  --once             print one screen and end; the default in a pipe
  --json             print the report as JSON (deploy/status.schema.json)
  --listen=5         seconds to listen to events first; without a URL, with
                     --once or --json
  --filter=TEXT      show only names that contain TEXT
  --sort=TABLE=KEY   sort a table, as in tasks=-p95; can be repeated
  --no-color         use no colour, as with NO_COLOR
  --user=NAME        user of the exporter's port
  --password-file=FILE
                     file with the password of this user
  --ca-file=FILE     certificate authority of the exporter's port

Keys: q quit, p pause, tab or 1-6 choose a table, < > choose the column to sort
by, r reverse, / filter, arrows and page keys scroll, ? help.

{SETTINGS_TOO}"""


def run(argv: list[str]) -> int:
    """Show the report and return 0, or 1 if it could not be read.

    Raises ConfigError, and SourceError if there is nothing to show.
    """
    if any(argument in {"-h", "--help"} for argument in argv):
        sys.stdout.write(HELP)
        return 0
    parser = build_parser()
    flags, rest = parser.parse_known_args(argv)
    sorts = _read_sorts(flags.sort)
    once = flags.once or flags.json or not sys.stdout.isatty()
    source = _open_source(flags, rest, parser.flags, once=once)
    # Ctrl-C is a normal way to leave a live screen.
    signal.signal(signal.SIGINT, _leave)
    signal.signal(signal.SIGTERM, _leave)
    try:
        if flags.json:
            report = source.read()
            sys.stdout.write(encode(report).decode() + "\n")
            return _code_of(report)
        # Importing rich takes a tenth of a second, and JSON does not need it.
        from celery_redis_exporter.cli.top.live import show_live, show_once  # noqa: PLC0415 -- as above

        look = Look(wanted=flags.filter, sorts=sorts)
        if once:
            return _code_of(show_once(source, look, colour=not flags.no_color))
        show_live(source, look, flags.interval, colour=not flags.no_color)
    except _LeavingError:
        return 0
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "rich":
            raise
        raise ConfigError(f"top: needs rich; install it with: {install_command('tui')}") from None
    finally:
        source.close()
    return 0


def _code_of(report: Report | Overview) -> int:
    """Return 1 if no server answers and no event is received: then a report without problems means nothing."""
    if isinstance(report, Overview):
        return 0
    receives = any(check.check == "Event stream" and check.state == "ok" for check in report.checks)
    return 0 if receives or any(server.up for server in report.redis) else 1


class _LeavingError(ExporterError):
    """The user wants to leave."""


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)
    raise _LeavingError


def build_parser() -> Parser:
    """Return the parser of top's own flags."""
    parser = Parser("top")
    parser.add_argument("--application")
    parser.add_argument("--interval", type=_seconds, default=2.0)
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--listen", type=_seconds, default=5.0)
    parser.add_argument("--filter", default="")
    parser.add_argument("--sort", action="append", default=[])
    parser.add_argument("--no-color", action="store_true")
    add_access_flags(parser)
    return parser


def _open_source(flags: argparse.Namespace, rest: Sequence[str], own: Sequence[str], *, once: bool) -> Source:
    arguments = list(rest)
    if arguments and not arguments[0].startswith("-"):
        url = arguments.pop(0)
        if arguments:
            raise ConfigError(f"top: with a URL there are no further settings: {arguments[0].partition('=')[0]}")
        return RemoteSource("top", url, access_of(flags), flags.application)
    refuse_access_flags("top", flags)
    settings = choose_application(load(arguments, os.environ, PROGRAM, own), flags.application)
    return LocalSource(settings, flags.listen if once else 0.0)


def _read_sorts(given: Sequence[str]) -> dict[str, str]:
    sorts = {}
    columns = {table.name: [column.key for column in table.columns] for table in TABLES}
    for text in given:
        table, _, key = text.partition("=")
        if table not in columns:
            raise ConfigError(f"top: --sort={text}: has no table {table!r}; there are {', '.join(columns)}")
        if key.removeprefix("-") not in columns[table]:
            raise ConfigError(f"top: --sort={text}: {table} can be sorted by {', '.join(columns[table])}")
        sorts[table] = key
    return sorts


def _seconds(text: str) -> float:
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        seconds = 0.0
    if not 0.2 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"must be seconds from 0.2 to 3600, not {text!r}")
    return seconds
