# SPDX-License-Identifier: Apache-2.0
"""Parse the demo's flags.

Input: arguments. Output: ``DemoOptions`` or a ConfigError of one line. The environment is never read.
"""

import argparse
from dataclasses import dataclass
from typing import NoReturn

from celery_redis_exporter.errors import ConfigError, unknown_argument

HELP = """\
usage: celery-redis-exporter demo [flags]

Run a sample application with this exporter: a web shop on Celery with its own
Redis, two workers, beat and customers. Show some of the exporter's metrics,
and what you can end to see what happens. Ctrl-C ends everything and leaves no
process and no file.

  --port=N        port of the exporter; 0 for a free one. Default: 9808, or a
                  free one if that is in use
  --redis-port=N  port of the sample's Redis. Default: a free one
  --seconds=N     end after this time
  --help          show this help
"""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The flags of the demo.

    ``port`` is None for the default port or, if that is in use, a free one. Port 0 is a free one. ``seconds`` is the
    time after which the demo ends, None for never.
    """

    port: int | None = None
    redis_port: int = 0
    seconds: float | None = None


class _DemoParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message.removeprefix('argument ')}; see demo --help")


def read_options(argv: list[str]) -> DemoOptions | None:
    """Return the flags, or None if help was requested. Raises ConfigError for an unknown flag or a wrong value."""
    if any(argument in {"-h", "--help"} for argument in argv):
        return None
    parser = _DemoParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--port", type=_port)
    parser.add_argument("--redis-port", type=_port, default=0)
    parser.add_argument("--seconds", type=_seconds)
    found, left_over = parser.parse_known_args(argv)
    if left_over:
        parser.error(unknown_argument(left_over[0], ("--port", "--redis-port", "--seconds")))
    return DemoOptions(**vars(found))


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65_535):
        raise argparse.ArgumentTypeError("must be a port, 0 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    # At most a year: a larger number is a mistake, and it is not possible to wait for infinity.
    if not 0 < seconds <= 31_536_000:
        raise argparse.ArgumentTypeError("must be a number of seconds above 0")
    return seconds
