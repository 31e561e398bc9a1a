# SPDX-License-Identifier: Apache-2.0
"""``check``: report line by line whether the exporter receives all data, why not, and how to fix it.

Input: flags and settings. Output: findings or one JSON document. The exit code is 0, or 1 if something failed, 2 if the
settings are wrong, 130 after an interrupt. The check sends the same commands as the exporter, and listens to events for
a few seconds.
"""

import argparse
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from celery_redis_exporter.cli.arguments import SETTINGS_TOO, Parser
from celery_redis_exporter.cli.check import rows
from celery_redis_exporter.cli.check.checkup import Checkup
from celery_redis_exporter.cli.check.daily import daily_findings
from celery_redis_exporter.cli.check.events import event_findings
from celery_redis_exporter.cli.check.finding import Finding
from celery_redis_exporter.cli.check.local import local_findings
from celery_redis_exporter.cli.check.report import describe_check, style_of
from celery_redis_exporter.cli.check.servers import server_findings
from celery_redis_exporter.cli.interrupt import stop_on_interrupt
from celery_redis_exporter.cli.remote import RemoteSource, access_of, add_access_flags, refuse_access_flags
from celery_redis_exporter.clock import Clock, SystemClock
from celery_redis_exporter.daemon import logs
from celery_redis_exporter.daemon.monitor import Monitor
from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.records.report import Report
from celery_redis_exporter.settings import Settings, UsageRequested, choose_application, load
from celery_redis_exporter.settings.schema.values import parse_seconds
from celery_redis_exporter.web.security import open_tls

PROGRAM = "celery-redis-exporter check"
LISTEN_SECONDS = 12.0
"""Long enough for a task that runs every 10 seconds, and for six heartbeats at Celery's default interval."""
FINE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
HELP = f"""\
usage: {PROGRAM} [URL] [flags]

Test the settings, the servers and what Celery sends. Report what is wrong and
how to fix it. With the URL of a running exporter answer the daily checklist
instead: workers, queues, success, memory, errors.

  URL            URL of the broker, the same as --broker-url, or of an
                 exporter, as in http://localhost:9808
  --application=NAME
                 which of several applications of the settings file
  --listen=12s   time to listen to events; 0 leaves events and workers out
  --strict       end with 1 for a warning, too
  --json         print one JSON document and nothing else
  --user=NAME    user of the exporter's port
  --password-file=FILE
                 file with the password of this user
  --ca-file=FILE certificate authority of the exporter's port

Exit codes: 0 nothing failed, 1 something failed, 2 a setting is wrong,
130 interrupted.
The findings: exporter/celery_redis_exporter/cli/check/README.md

{SETTINGS_TOO}"""


def build_parser() -> Parser:
    """Return the parser of the flags that are not settings."""
    parser = Parser("check")
    parser.add_argument("--application")
    parser.add_argument("--listen", type=_duration, default=LISTEN_SECONDS)
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--json", action="store_true")
    add_access_flags(parser)
    return parser


def run(argv: list[str]) -> int:
    """Print the findings and return the exit code. Raises ConfigError, except with JSON output."""
    clock, stop = SystemClock(), threading.Event()
    stop_on_interrupt(stop)
    try:
        parser = build_parser()
        flags, rest = parser.parse_known_args(argv)
        if rest[:1] and rest[0].startswith(("http://", "https://")):
            return _show(_daily_findings(rest, flags), flags, clock, stop)
        refuse_access_flags("check", flags)
        settings = choose_application(load(_with_url(rest), os.environ, PROGRAM, parser.flags), flags.application)
        logs.configure("error", settings.log.format, secrets=lambda: settings.secrets)
        open_tls(settings.web_config, clock)
        checkup = Checkup(Monitor(settings, clock), flags.listen, stop, progress=_progress(flags))
    except UsageRequested:
        sys.stdout.write(HELP)
        return FINE
    except ConfigError as error:
        if "--json" not in argv:
            raise
        found = [rows.SETTINGS_WRONG.found("settings", " ".join(str(error).split()), f"{PROGRAM} --help")]
        _print_json(found, clock, WRONG, interrupted=False)
        return WRONG
    return _show(findings(checkup), flags, clock, stop)


def _with_url(arguments: Sequence[str]) -> list[str]:
    """Treat a URL without a flag as the broker's."""
    if not arguments or arguments[0].startswith("-"):
        return list(arguments)
    return ["--broker-url", *arguments]


def findings(checkup: Checkup) -> Iterator[Finding]:
    """Yield the findings in the order of the data flow, free of secrets, until the check is stopped."""
    hide = _masked(checkup.settings)
    parts: tuple[Callable[[], Iterator[Finding]], ...] = (
        partial(local_findings, checkup.settings, checkup.clock),
        partial(server_findings, checkup),
        partial(event_findings, checkup),
    )
    try:
        for part in parts:
            if checkup.stop.is_set():
                return
            yield from map(hide, part())
    finally:
        checkup.monitor.close()


def _progress(flags: argparse.Namespace) -> Callable[[str], None]:
    """Return a function that shows a line on a terminal in place of the last one. An empty line removes it."""

    def show(line: str) -> None:
        if sys.stderr.isatty() and not flags.json:
            sys.stderr.write(f"\r\033[K{line}")
            sys.stderr.flush()

    return show


def _daily_findings(arguments: Sequence[str], flags: argparse.Namespace) -> Iterator[Finding]:
    """Return the findings of the checklist, of each application if there are several. Raises SourceError."""
    url, *rest = arguments
    if rest:
        raise ConfigError(f"check: with the URL of an exporter there are no settings: {rest[0].partition('=')[0]}")
    access = access_of(flags)
    report = RemoteSource("check", url, access, flags.application).read()
    if isinstance(report, Report):
        return daily_findings(report)
    names = [application.name for application in report.applications]
    reports = ((name, RemoteSource("check", url, access, name).read()) for name in names)
    return (found for name, one in reports if isinstance(one, Report) for found in daily_findings(one, name))


def _show(found_now: Iterator[Finding], flags: argparse.Namespace, clock: Clock, stop: threading.Event) -> int:
    style, found = style_of(sys.stdout, os.environ), list[Finding]()
    for finding in found_now:
        found.append(finding)
        if not flags.json:
            sys.stdout.write(style.render(finding))
            sys.stdout.flush()
    interrupted = stop.is_set()
    bad = {"fail", "warn"} if flags.strict else {"fail"}
    code = INTERRUPTED if interrupted else FAILED if any(finding.level in bad for finding in found) else FINE
    if flags.json:
        _print_json(found, clock, code, interrupted=interrupted)
    else:
        sys.stdout.write(style.conclude(found, code, interrupted=interrupted))
    return code


def _print_json(found: Sequence[Finding], clock: Clock, code: int, *, interrupted: bool) -> None:
    document = describe_check(found, clock.now(), code, interrupted=interrupted)
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def _masked(settings: Settings) -> Callable[[Finding], Finding]:
    """Return a function that masks secrets in a finding: servers and libraries repeat what they received."""

    def hide(finding: Finding) -> Finding:
        mask = logs.SecretMask(lambda: settings.secrets)
        shown = mask(None, "", {"text": finding.text, "lines": list(finding.lines)})
        return finding._replace(text=shown["text"], lines=tuple(shown["lines"]))

    return hide


def _duration(text: str) -> float:
    try:
        seconds = parse_seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not isinstance(seconds, int | float) or not 0 <= seconds <= 3600:
        raise argparse.ArgumentTypeError("must be at most 1h, and not below 0")
    return float(seconds)
