# SPDX-License-Identifier: Apache-2.0
"""Run the demo: start all parts in order, show the figures, end all parts.

Input: arguments. Output: an exit code. The exporter runs in this process, as the command ``run`` would run it. Redis,
workers, beat and customers are separate processes. No process and no file remains, whatever ends the demo: SIGINT,
SIGTERM, SIGHUP, the time limit, a process that ended, a failed start. After SIGKILL the guard cleans up.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.daemon import logs
from celery_redis_exporter.daemon.exporter import Exporter
from celery_redis_exporter.daemon.service import Service
from celery_redis_exporter.demo.figures import render_figures
from celery_redis_exporter.demo.options import HELP, DemoOptions, read_options
from celery_redis_exporter.demo.processes import Process, Processes
from celery_redis_exporter.demo.redis_server import HOST, answers_as, find_redis_server, free_port, redis_command
from celery_redis_exporter.demo.screen import Screen
from celery_redis_exporter.errors import ConfigError, ExporterError
from celery_redis_exporter.settings import load

CLOCK = SystemClock()
PORT = 9808
REDIS_SECONDS = 10.0
"""Seconds in which Redis must answer."""
PAUSE = 0.2
"""Seconds between two checks of the processes."""
TOUR = ("worker-payments", "worker-shop", "beat")
"""Processes that a user may end, to see what the exporter reports then."""
AWAY_SECONDS = 40.0
"""Seconds after which such a process is started again: some more than a worker is silent before it counts as lost."""
LOST_SECONDS = 10
SCHEDULE = '{"shop.sync_stock": {"expected_interval": "5s"}, "shop.nightly_report": {"expected_interval": "20s"}}'


def demonstrate(argv: list[str]) -> int:
    """Run the demo and return the exit code. Raises ConfigError, or ExporterError if a part fails."""
    options = read_options(argv)
    if options is None:
        sys.stdout.write(HELP)
        return 0
    program, redis_port, port = find_redis_server(), _redis_port(options), _exporter_port(options)
    stop = threading.Event()
    _stop_on_signals(stop)
    until = CLOCK.monotonic() + (options.seconds or float("inf"))
    processes = Processes()
    try:
        if _start_redis(processes, redis_command(program, redis_port, processes.folder), redis_port, stop):
            with _exporter(processes.folder, redis_port, port) as service:
                ids = _start_shop(processes, redis_port)
                screen = Screen(sys.stdout)
                screen.say(_welcome(service.address, redis_port, processes.folder, options))
                screen.say(_tour(ids))
                _watch(processes, screen, service.exporter, (stop, until))
                screen.say("\nEnding everything.")
    finally:
        processes.close()
    return 0


def _stop_on_signals(stop: threading.Event) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # An ignored SIGHUP was set by nohup, so it stays ignored. A shell also ignores SIGINT for background jobs, but
        # not on purpose, so SIGINT is handled.
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: stop.set())


def _redis_port(options: DemoOptions) -> int:
    try:
        return free_port(options.redis_port)
    except OSError as error:
        raise ConfigError(_taken("--redis-port", options.redis_port, error)) from error


def _exporter_port(options: DemoOptions) -> int:
    try:
        return free_port(PORT if options.port is None else options.port)
    except OSError as error:
        if options.port is None:
            return free_port()
        raise ConfigError(_taken("--port", options.port, error)) from error


def _taken(flag: str, port: int, error: OSError) -> str:
    return f"{flag} {port}: {os.strerror(error.errno or 0).lower()}; choose another, or 0 for a free one"


def _start_redis(processes: Processes, command: list[str], port: int, stop: threading.Event) -> bool:
    """Start Redis and wait until it answers. Return False if the demo was stopped in the meantime."""
    server = processes.start("redis", command)
    until = CLOCK.monotonic() + REDIS_SECONDS
    while not answers_as(server.popen.pid, port):
        _check(processes)
        if CLOCK.monotonic() >= until:
            raise _failure(server, f"does not answer on port {port}")
        if stop.wait(0.02):
            return False
    return True


@contextmanager
def _exporter(folder: Path, redis_port: int, port: int) -> Iterator[Service]:
    """Run the exporter. Its log goes to a file, so that it is not mixed with the figures."""
    broker, results = _redis_urls(redis_port)
    flags = [f"--broker-url={broker}", f"--result-backend-url={results}", f"--web.listen-address={HOST}:{port}"]
    # The environment is not read, because its variables are for the user's own application. Readers of the figures
    # should not see zeros for the first half minute.
    flags += ["--series.zero-first=0", f"--workers.lost-after={LOST_SECONDS}", f"--tasks={SCHEDULE}"]
    settings = load(flags, {})
    with (folder / "exporter.log").open("w", encoding="utf-8") as stream:
        logs.configure("info", "json", stream)
        service = Service(settings)
        service.start()
        try:
            yield service
        finally:
            service.close()


def _start_shop(processes: Processes, redis_port: int) -> dict[str, int]:
    """Start the sample application: two workers, beat and customers. Return their process ids by name."""
    broker, results = _redis_urls(redis_port)
    variables = {
        "CELERY_BROKER_URL": broker,
        "CELERY_RESULT_BACKEND": results,
        # macOS kills a forked child that uses its frameworks. A worker's children do not need them.
        "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",
    }
    celery = [sys.executable, "-m", "celery", "--app", "celery_redis_exporter.demo.application"]
    for name, queues in (("payments", "payments"), ("shop", "default,reports")):
        # Gossip and mingle only delay the start. The two workers have nothing to exchange.
        worker = ["worker", f"--hostname={name}@%h", f"--queues={queues}", "--concurrency=2", "--loglevel=WARNING"]
        processes.start(f"worker-{name}", [*celery, *worker, "--without-gossip", "--without-mingle"], variables)
    processes.start("customers", [sys.executable, "-m", "celery_redis_exporter.demo.traffic"], variables)
    schedule = processes.folder / "beat-schedule"
    processes.start("beat", [*celery, "beat", f"--schedule={schedule}", "--loglevel=WARNING"], variables)
    return processes.ids()


def _redis_urls(port: int) -> tuple[str, str]:
    """Return the URLs of broker and result backend: two databases of the same server."""
    return f"redis://{HOST}:{port}/0", f"redis://{HOST}:{port}/1"


def _welcome(address: str, redis_port: int, folder: Path, options: DemoOptions) -> str:
    taken = f"   (port {PORT} is taken)" if options.port is None and not address.endswith(f":{PORT}") else ""
    return f"""\
A sample web shop on Celery with its own Redis, two workers and beat; watched by
celery-redis-exporter. The figures below are from its metrics.

  status page  http://{address}/{taken}
  metrics      http://{address}/metrics
  health       http://{address}/-/healthy   http://{address}/-/ready
  redis        redis-cli -p {redis_port}
  logs         {folder}

Ctrl-C ends everything and leaves no process and no file.
"""


def _tour(ids: Mapping[str, int]) -> str:
    return f"""\
End a process, and watch the status page or the figures:

  kill -9 {ids["worker-payments"]:<7}  the worker payments is lost after {LOST_SECONDS} s, and its queue fills
  kill {ids["worker-shop"]:<7}     the worker shop ends its tasks and stops; it is not lost
  kill {ids["beat"]:<7}     beat ends; sync_stock and nightly_report are overdue

A process that you end starts again after {AWAY_SECONDS:.0f} s.
"""


def _watch(processes: Processes, screen: Screen, exporter: Exporter, end: tuple[threading.Event, float]) -> None:
    """Show the figures until the demo is stopped or its time is over. Raises ExporterError if a process ends."""
    stop, until = end
    started = due = CLOCK.monotonic()
    away: dict[float, Process] = {}
    while not stop.wait(PAUSE) and CLOCK.monotonic() < until:
        now = CLOCK.monotonic()
        gone = _check(processes)
        if gone is not None:
            away[now + AWAY_SECONDS] = gone
            screen.say(f"{gone.name} ended; it starts again in {AWAY_SECONDS:.0f} s.")
        for back in [at for at in away if at <= now]:
            process = away.pop(back)
            started_again = processes.start(process.name, process.command, process.variables)
            screen.say(f"{process.name} runs again (process {started_again.popen.pid}).")
        if now >= due:
            due = now + screen.seconds
            screen.draw(render_figures(exporter.numbers(), now - started))


def _check(processes: Processes) -> Process | None:
    """Return a process that the user ended, or None. Raises ExporterError if one ended otherwise."""
    process = processes.ended()
    if process is None:
        return None
    code = process.popen.returncode
    if process.name in TOUR and code <= 0:
        processes.retire(process)
        return process
    raise _failure(process, f"ended with exit code {code}" if code >= 0 else f"was killed by signal {-code}")


def _failure(process: Process, what: str) -> ExporterError:
    sys.stderr.write(f"\nThe end of the log of {process.name}:\n{process.tail() or '(empty)'}\n\n")
    return ExporterError(f"{process.name} {what}")
