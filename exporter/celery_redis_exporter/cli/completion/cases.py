"""What the scripts of bash and zsh have in common: the branches of their ``case`` statements.

Takes the vocabulary and a shell's way to write a branch, gives text.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from celery_redis_exporter.cli.completion.words import CommandWords, Flag, Vocabulary


class Dialect(NamedTuple):
    """How a shell writes a branch: ``bar`` between patterns, ``branch`` from ``{patterns}`` and ``{body}``.

    ``choices`` takes words, ``files`` is what completes a path, ``words`` gives the body that completes a command.
    """

    bar: str
    branch: str
    choices: str
    files: str
    words: Callable[[CommandWords, tuple[Flag, ...]], str]

    def write(self, patterns: Iterable[str], body: str) -> str:
        """Write a branch."""
        return self.branch.format(patterns=self.bar.join(patterns), body=body)


def fill_script(script: str, vocabulary: Vocabulary, dialect: Dialect) -> str:
    """Fill the places ``@NESTED@``, ``@VALUES@``, ``@FLAGS@`` and ``@COMMANDS@`` of a script."""
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
