# SPDX-License-Identifier: Apache-2.0
"""``analyze``: report what fills a Redis server, and what should be done about it.

Input: a URL or the settings. Output: a report or JSON. Returns 1 if a server could not be analyzed. Only reads.
"""

import argparse
import json
import os
import shutil
import sys
import threading
from collections.abc import Mapping, Sequence

from celery_redis_exporter.analysis.advice import Advice, advise
from celery_redis_exporter.analysis.facts import ServerFacts
from celery_redis_exporter.analysis.report import describe_report, render_report
from celery_redis_exporter.analysis.survey import Progress, Survey, SurveyOptions
from celery_redis_exporter.cli.arguments import SETTINGS_TOO, Parser
from celery_redis_exporter.cli.interrupt import stop_on_interrupt
from celery_redis_exporter.clock import Clock, SystemClock
from celery_redis_exporter.daemon import logs
from celery_redis_exporter.errors import ConfigError, SourceError
from celery_redis_exporter.settings import RedisTarget, Settings, UsageRequested, choose_application, load

PROGRAM = "celery-redis-exporter analyze"
HELP = f"""\
usage: {PROGRAM} [URL] [flags]

Report which keys take the memory of a Redis server and what to do about it.
Without a URL report it for all servers of the settings. Of a cluster every
master is read, whichever node the URL names. It only reads.

  URL            as in redis://user@host:6379/0
  --application=NAME
                 which of several applications of the settings file
  --db=0,1       databases to read; by default all that contain keys
  --max-keys=N   read N keys of each database, and estimate the rest
  --duty=0.25    share of the server's time that this may take
  --groups=30    groups to show of each database
  --largest=10   largest keys to show
  --json         print JSON
  --no-progress  show neither the expected time nor a progress bar

Give the password with --broker-password-file, to keep it out of the URL.
{SETTINGS_TOO}"""
BAR = 30
FIRST_KEYS = 2000
"""Number of keys that are timed to estimate the time of all keys."""
NARROWEST, WIDEST = 60, 160


def run(argv: list[str]) -> int:
    """Print the reports. Return 0, or 1 if a server could not be analyzed. Raises ConfigError."""
    if any(argument in {"-h", "--help"} for argument in argv):
        sys.stdout.write(HELP)
        return 0
    parser = _build_parser()
    flags, rest = parser.parse_known_args(argv)
    settings, targets = _settings(rest, os.environ, parser.flags, flags.application)
    logs.configure("error", settings.log.format, secrets=lambda: settings.secrets)
    stop = threading.Event()
    stop_on_interrupt(stop)
    survey = Survey(settings, SystemClock(), _options(flags), stop)
    progress = _progress(flags, SystemClock())
    reports, failed = list[tuple[ServerFacts, list[Advice]]](), False
    for target in targets:
        try:
            # Results that were found before an error are reported too.
            reports.extend((facts, advise(facts)) for facts in survey.read(target, progress))
        except SourceError as error:
            failed = True
            sys.stderr.write(f"{PROGRAM}: {target.redacted}: {error.reason}: {error}\n")
    if stop.is_set():
        sys.stderr.write(f"{PROGRAM}: interrupted; the figures are of what was looked at until then\n")
    if flags.json:
        sys.stdout.write(json.dumps([describe_report(*report) for report in reports], indent=2) + "\n")
    else:
        width = min(max(shutil.get_terminal_size((100, 24)).columns, NARROWEST), WIDEST)
        sys.stdout.write("\n".join(render_report(*report, width=width, shown=flags.largest) for report in reports))
    return 1 if failed else 0


def _build_parser() -> Parser:
    parser = Parser("analyze")
    parser.add_argument("--application")
    parser.add_argument("--db", type=_databases, default=())
    parser.add_argument("--max-keys", type=_count, default=0)
    parser.add_argument("--duty", type=_share, default=0.25)
    parser.add_argument("--groups", type=_count, default=30)
    parser.add_argument("--largest", type=_count, default=10)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--no-progress", action="store_true")
    return parser


def _settings(
    rest: Sequence[str], environ: Mapping[str, str], own: Sequence[str], application: str | None
) -> tuple[Settings, tuple[RedisTarget, ...]]:
    """Return the settings and the servers to analyze: with a URL, only the server that it names.

    ``own`` are the flags of this command, for the suggestion of a flag. ``application`` is one of several.
    """
    arguments = list(rest)
    url = arguments.pop(0) if arguments and not arguments[0].startswith("-") else None
    try:
        read = load([*arguments, *(["--broker-url", url] if url else [])], environ, PROGRAM, own)
    except UsageRequested as usage:  # pragma: no cover -- run has handled --help
        raise ConfigError(str(usage)) from None
    settings = choose_application(read, application)
    targets = settings.redis_targets[: 1 if url else None]
    if not targets or (url and targets[0].name != "broker"):
        raise ConfigError("analyze: there is no Redis server to look at; give a URL such as redis://localhost:6379/0")
    return settings, targets


def _options(flags: argparse.Namespace) -> SurveyOptions:
    return SurveyOptions(flags.max_keys, flags.duty, flags.groups, flags.largest, flags.db)


def _progress(flags: argparse.Namespace, clock: Clock) -> Progress:
    is_terminal = sys.stderr.isatty()
    if flags.no_progress or (flags.json and not is_terminal):
        return lambda *_: None
    expected = _Expectation(flags, clock)

    def show(db: int, looked_at: int, total: int) -> None:
        line = expected.line(db, looked_at, total)
        if line:
            sys.stderr.write(line + "\n")
        if is_terminal:
            filled = BAR * looked_at // total if total else BAR
            end = "\r\033[K" if looked_at >= total else ""
            bar = f"db{db} [{'#' * filled}{'.' * (BAR - filled)}] {looked_at:,} of {total:,} keys"
            sys.stderr.write(f"\r\033[K{bar}{end}")
        sys.stderr.flush()

    return show


class _Expectation:
    """Estimates the time that a database takes, from the time that some of its first keys took."""

    def __init__(self, flags: argparse.Namespace, clock: Clock) -> None:
        self._flags = flags
        self._clock = clock
        self._db: int | None = None
        self._began: tuple[float, int] | None = None
        """When the first FIRST_KEYS had been read, and how many these were. They take longer, so they are not timed."""
        self._is_stated = False

    def line(self, db: int, looked_at: int, total: int) -> str:
        """Return a line with the estimate, once per database, otherwise an empty string. Small databases have none."""
        if db != self._db:
            self._db, self._began, self._is_stated = db, None, False
        if self._is_stated or looked_at < FIRST_KEYS:
            return ""
        now = self._clock.monotonic()
        if self._began is None:
            self._began = now, looked_at
        began, before = self._began
        if looked_at - before < FIRST_KEYS:
            return ""
        self._is_stated = True
        total = min(total, self._flags.max_keys or total)
        seconds = (now - began) * total / (looked_at - before)
        faster = "" if self._flags.duty == 1 else "; --duty=1 is the fastest, and keeps the server busy"
        return f"db{db}: {total:,} keys to look at, about {seconds:.0f} s with --duty={self._flags.duty:g}{faster}"


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text!r}")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 1, not {text!r}")
    return share


def _databases(text: str) -> tuple[int, ...]:
    if not all(part.isdecimal() for part in text.split(",")):
        raise argparse.ArgumentTypeError(f"must be numbers with commas between, not {text!r}")
    return tuple(sorted({int(part) for part in text.split(",")}))
