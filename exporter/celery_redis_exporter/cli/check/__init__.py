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
from celery_redis_exporter.cli.check.events import event_findings
from celery_redis_exporter.cli.check.finding import Finding
from celery_redis_exporter.cli.check.local import local_findings
from celery_redis_exporter.cli.check.report import describe_check, style_of
from celery_redis_exporter.cli.check.servers import server_findings
from celery_redis_exporter.cli.interrupt import stop_on_interrupt
from celery_redis_exporter.clock import Clock, SystemClock
from celery_redis_exporter.daemon import logs
from celery_redis_exporter.daemon.monitor import Monitor
from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings import Settings, UsageRequested, choose_application, load
from celery_redis_exporter.settings.schema.values import parse_seconds
from celery_redis_exporter.web.security import open_tls

PROGRAM = "celery-redis-exporter check"
LISTEN_SECONDS = 6.0
"""Long enough for three heartbeats at Celery's default interval."""
FINE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
HELP = f"""\
usage: {PROGRAM} [URL] [flags]

Test the settings, the servers and what Celery sends. Report what is wrong and
how to fix it.

  URL            URL of the broker, the same as --broker-url
  --application=NAME
                 which of several applications of the settings file
  --listen=6s    time to listen to events; 0 leaves events and workers out
  --strict       end with 1 for a warning, too
  --json         print one JSON document and nothing else

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
    return parser


def run(argv: list[str]) -> int:
    """Print the findings and return the exit code. Raises ConfigError, except with JSON output."""
    clock, stop = SystemClock(), threading.Event()
    stop_on_interrupt(stop)
    try:
        parser = build_parser()
        flags, rest = parser.parse_known_args(argv)
        settings = choose_application(load(_with_url(rest), os.environ, PROGRAM, parser.flags), flags.application)
        logs.configure("error", settings.log.format, secrets=lambda: settings.secrets)
        open_tls(settings.web_config, clock)
        checkup = Checkup(Monitor(settings, clock), flags.listen, stop)
    except UsageRequested:
        sys.stdout.write(HELP)
        return FINE
    except ConfigError as error:
        if "--json" not in argv:
            raise
        found = [rows.SETTINGS_WRONG.found("settings", " ".join(str(error).split()), f"{PROGRAM} --help")]
        _print_json(found, clock, WRONG, interrupted=False)
        return WRONG
    return _show(checkup, flags)


def _with_url(arguments: Sequence[str]) -> list[str]:
    """Treat a URL without a flag as the broker's."""
    if not arguments or arguments[0].startswith("-"):
        return list(arguments)
    if arguments[0].startswith(("http://", "https://")):
        raise ConfigError("check tests servers, as in redis://localhost:6379/0; for an exporter's state use top URL")
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


def _show(checkup: Checkup, flags: argparse.Namespace) -> int:
    style, found = style_of(sys.stdout, os.environ), list[Finding]()
    for finding in findings(checkup):
        found.append(finding)
        if not flags.json:
            sys.stdout.write(style.render(finding))
            sys.stdout.flush()
    interrupted = checkup.stop.is_set()
    bad = {"fail", "warn"} if flags.strict else {"fail"}
    code = INTERRUPTED if interrupted else FAILED if any(finding.level in bad for finding in found) else FINE
    if flags.json:
        _print_json(found, checkup.clock, code, interrupted=interrupted)
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
