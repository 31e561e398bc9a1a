# SPDX-License-Identifier: Apache-2.0
"""Render what the scripts of bash and zsh share: the branches of their ``case`` statements.

Input: the vocabulary and a shell's syntax of a branch. Output: text.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from celery_redis_exporter.cli.completion.words import CommandWords, Flag, Vocabulary


class Dialect(NamedTuple):
    """The syntax of a shell's branch: ``bar`` between patterns, ``branch`` with ``{patterns}`` and ``{body}``.

    ``choices`` is a template for the body that completes words, ``files`` the body that completes a path. ``words``
    returns the body that completes a command.
    """

    bar: str
    branch: str
    choices: str
    files: str
    words: Callable[[CommandWords, tuple[Flag, ...]], str]

    def write(self, patterns: Iterable[str], body: str) -> str:
        """Return a branch."""
        return self.branch.format(patterns=self.bar.join(patterns), body=body)


def fill_script(script: str, vocabulary: Vocabulary, dialect: Dialect) -> str:
    """Replace ``@NESTED@``, ``@VALUES@``, ``@FLAGS@`` and ``@COMMANDS@`` in a script."""
    values = [*_values("*", vocabulary.settings, dialect)]
    for name, command in vocabulary.commands.items():
        values += _values(name, command.flags, dialect)
    flags = [
        dialect.write([f'"{name}"'], dialect.words(command, vocabulary.flags_of(command)))
        for name, command in vocabulary.commands.items()
    ]
    return (
        script.replace("@NESTED@", dialect.bar.join(f'"{name}"' for name in vocabulary.nested))
        .replace("@VALUES@", "\n".join(values))
        .replace("@FLAGS@", "\n".join(flags))
        .replace("@COMMANDS@", " ".join([*vocabulary.first, "--help", "--version"]))
    )


def _values(command: str, flags: Iterable[Flag], dialect: Dialect) -> Iterator[str]:
    pattern = '*" {}"' if command == "*" else f'"{command} {{}}"'
    for flag in flags:
        if flag.choices:
            yield dialect.write([pattern.format(flag.name)], dialect.choices.format(" ".join(flag.choices)))
    named = [pattern.format(flag.name) for flag in flags if flag.files]
    free = [pattern.format(flag.name) for flag in flags if flag.is_free]
    if named:
        yield dialect.write(named, dialect.files)
    if free:
        yield dialect.write(free, "return")
