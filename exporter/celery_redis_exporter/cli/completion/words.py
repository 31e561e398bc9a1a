# SPDX-License-Identifier: Apache-2.0
"""List every word of the command line: commands, their flags, and the values of flags with few values.

Output: a vocabulary. The flags of settings are those of ``settings.schema.rows``. The other flags of a command are read
from its ``--help``, because that is the only description that all commands have.
"""

import io
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from importlib import import_module
from typing import NamedTuple

from celery_redis_exporter.cli import COMMANDS
from celery_redis_exporter.settings.schema.rows import SettingRow, describe

_FLAG = re.compile(r"(?<![\w.-])(--[a-z][a-z-]*)(?![\w.-])(?:=([^\s,\]]+))?")
_WORDS = re.compile(r"^usage: [\w-]+(?: [\w-]+)+ ([a-z]+(?:\|[a-z]+)+)\b")
_CHOICES = re.compile(r"[a-z]+(?:\|[a-z]+)+")
_FILES = ("FILE", "DIR")


class Flag(NamedTuple):
    """A flag. ``choices`` are its possible values, if they are few. ``files`` is true if its value is a path."""

    name: str
    takes_value: bool
    choices: tuple[str, ...] = ()
    files: bool = False
    help: str = ""

    @property
    def is_free(self) -> bool:
        """Return whether its value can be any text."""
        return self.takes_value and not self.choices and not self.files


class CommandWords(NamedTuple):
    """The words that can follow a command, its own flags, and whether it also accepts the flags of settings."""

    help: str
    words: tuple[str, ...]
    flags: tuple[Flag, ...]
    takes_settings: bool


class Vocabulary(NamedTuple):
    """All commands, including those of two words (``render alerts``), and the flags of settings."""

    commands: dict[str, CommandWords]
    settings: tuple[Flag, ...]

    def flags_of(self, command: CommandWords) -> tuple[Flag, ...]:
        """Return every flag that a command accepts."""
        return (*command.flags, *(self.settings if command.takes_settings else ()))

    @property
    def first(self) -> list[str]:
        """Return the commands of one word."""
        return [name for name in self.commands if " " not in name]

    @property
    def nested(self) -> list[str]:
        """Return the commands of two words."""
        return [name for name in self.commands if " " in name]


def read_vocabulary() -> Vocabulary:
    """Return all words."""
    settings = tuple(flag for row in describe() for flag in _setting_flags(row))
    known, commands = {flag.name for flag in settings}, {}
    for name, command in COMMANDS.items():
        takes = command.takes_settings or command.adds_settings
        text = "" if command.takes_settings else _help(command.module)
        words = _words(text)
        commands[name] = CommandWords(command.help, words, tuple(_own_flags(text, known)), takes)
        for word in words:
            more = _help(command.module, word)
            if more != text:
                commands[f"{name} {word}"] = CommandWords("", (), tuple(_own_flags(more, known)), takes_settings=False)
    return Vocabulary(commands, settings)


def _setting_flags(row: SettingRow) -> Iterator[Flag]:
    if row.kind == "boolean":
        yield Flag(row.flag, takes_value=False, help=row.help)
        yield Flag(f"--no-{row.flag.removeprefix('--')}", takes_value=False, help=row.help)
    else:
        files = row.path[-1] == "file" or row.path[-1].endswith("_file")
        yield Flag(row.flag, takes_value=True, choices=row.choices, files=files, help=row.help)


def _own_flags(text: str, settings: set[str]) -> Iterator[Flag]:
    found: dict[str, str] = {}
    for name, value in _FLAG.findall(text):
        found[name] = found.get(name) or value
    for name, value in (found | {"--help": ""}).items():
        if name not in settings:
            choices = tuple(value.split("|")) if _CHOICES.fullmatch(value) else ()
            yield Flag(name, bool(value), choices, value in _FILES)


def _words(text: str) -> tuple[str, ...]:
    found = _WORDS.match(text)
    return tuple(found[1].split("|")) if found else ()


def _help(module: str, *words: str) -> str:
    with redirect_stdout(io.StringIO()) as written:
        import_module(module).run([*words, "--help"])
    return written.getvalue()
