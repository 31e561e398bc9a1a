# SPDX-License-Identifier: Apache-2.0
"""Define every expected failure of the exporter. Any other exception is a bug. Uses the standard library only."""

import difflib
import re
from collections.abc import Iterable

PUBLISHED = False
"""Whether package index and registry have this distribution. Building a release sets it (``tests/release``)."""

_FLAG = re.compile(r"--[A-Za-z0-9._-]+")


class ExporterError(Exception):
    """An expected failure."""


class ConfigError(ExporterError):
    """The configuration is wrong. The message is one line that names the setting and how to fix it.

    Characters that can't be printed, which names from files may contain, become spaces.
    """

    def __init__(self, message: str) -> None:
        super().__init__("".join([character if character.isprintable() else " " for character in message]))


class SourceError(ExporterError):
    """A server could not be reached, or refused a request.

    ``reason`` is one of a closed set of words, usable as a label: refused, timeout, dns, tls, auth, noperm, nomaster,
    loading, masterdown, moved, clusterdown, busy, maxclients, denied, address, closed, protocol, bug.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def bare(self) -> "SourceError":
        """Return the same error without its traceback and its causes, to be stored or raised again.

        A traceback refers to the frames of all callers and their local variables, which may include a body of
        megabytes.
        """
        return SourceError(self.reason, str(self))


class ReplyTooLargeError(SourceError):
    """A server answers with more bytes than are kept (``protocol``), or than arrive in time (``timeout``)."""


class UnknownApplicationError(ExporterError):
    """A request names an application that the exporter does not have. The message repeats no name but a similar one."""


class FileError(ExporterError):
    """A file of the exporter could not be written or read. The message is the cause."""


class DecodeError(ExporterError):
    """A message or a reply could not be decoded.

    ``reason`` is one of a closed set of words, usable as a label: envelope, serializer, body, schema, binding, or of a
    state file: foreign, newer, old, damaged.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean X?`` for a message about an unknown name, or an empty string if no known name is near."""
    near = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f"; did you mean {near[0]}?" if near else ""


def unknown_argument(argument: str, known: Iterable[str]) -> str:
    """Return the message about an argument that no command takes.

    It repeats the name of a flag and never a value, which may be a secret.
    """
    name = argument.partition("=")[0]
    if not name.startswith("-"):
        return "unexpected argument"
    return f"unknown flag {name}{suggest(name, known)}" if _FLAG.fullmatch(name) else "unknown flag"


def install_command(extra: str, *, published: bool = PUBLISHED) -> str:
    """Return how to install the exporter with an extra: by name, or from a checkout before the first release."""
    return (
        f"pip install 'celery-redis-exporter[{extra}]'" if published else f"in the checkout, pip install '.[{extra}]'"
    )
