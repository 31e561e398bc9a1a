# SPDX-License-Identifier: Apache-2.0
"""The completed words are those that the commands accept."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import pytest

from celery_redis_exporter.cli import COMMANDS
from celery_redis_exporter.cli.completion.words import Flag, read_vocabulary
from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings.schema.rows import describe

VOCABULARY = read_vocabulary()


def flags_of_parser(name: str, monkeypatch: pytest.MonkeyPatch) -> set[str] | None:
    """Return the flags of the first parser that a command builds; None if it builds none."""
    seen: list[set[str]] = []

    def capture(self: argparse.ArgumentParser, *_: Any, **__: Any) -> Any:  # noqa: ANN401 -- the arguments of argparse
        seen.append({word for word in self._option_string_actions if word.startswith("--")})
        raise ConfigError("captured")

    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", capture)
    command, *words = name.split()
    with pytest.raises(ConfigError):
        import_module(COMMANDS[command].module).run([*words, "--wrong=x"])
    return seen[0] if seen else None


@pytest.mark.parametrize("name", [name for name, words in VOCABULARY.commands.items() if name != "run"])
def test_a_commands_own_flags_are_its_parsers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command accepts exactly the flags that its --help lists."""
    parsed = flags_of_parser(name, monkeypatch)
    known = {flag.name for flag in VOCABULARY.commands[name].flags} - {"--help"}
    if parsed is not None:
        assert parsed - {"--help"} == known
    assert (parsed is None) == (name in {"metrics", "render", "schedule", "completion"})


def test_every_setting_is_a_flag_of_those_that_take_settings() -> None:
    """Commands that read the settings accept every setting, with negations of booleans; other commands accept none."""
    flags = {row.flag for row in describe()}
    negations = {f"--no-{row.flag[2:]}" for row in describe() if row.kind == "boolean"}
    for name, words in VOCABULARY.commands.items():
        found = {flag.name for flag in VOCABULARY.flags_of(words)}
        command = COMMANDS[name.partition(" ")[0]]
        assert (command.takes_settings or command.adds_settings) == (flags | negations <= found)
        assert words.takes_settings or not found & flags


@pytest.mark.parametrize(
    ("command", "flag"),
    [
        ("run", Flag("--log.level", takes_value=True, choices=("debug", "info", "warning", "error"))),
        ("run", Flag("--web.config.file", takes_value=True, files=True)),
        ("run", Flag("--broker-password-file", takes_value=True, files=True)),
        ("run", Flag("--no-events.exemplars", takes_value=False)),
        ("check", Flag("--strict", takes_value=False)),
        ("metrics", Flag("--format", takes_value=True, choices=("text", "markdown", "json"))),
        ("render alerts", Flag("--config", takes_value=True, files=True)),
        ("render dashboards", Flag("--output", takes_value=True, files=True)),
        ("demo", Flag("--port", takes_value=True)),
    ],
    ids=str,
)
def test_values_are_known(command: str, flag: Flag) -> None:
    """A closed choice completes to its values, a file to file names, and a switch to nothing."""
    found = {known.name: known for known in VOCABULARY.flags_of(VOCABULARY.commands[command])}
    assert flag == found[flag.name]._replace(help="")


def test_closed_choices_are_those_that_settings_take() -> None:
    """Every setting with a closed set of values lists them."""
    closed = {row.key: row.choices for row in describe() if row.choices}
    assert {"log.level", "log.format", "redis.metrics"} <= set(closed)
    assert ("full", "core", "off") == closed["redis.metrics"]


def test_words_behind_a_command() -> None:
    """The arguments of render and the names of the shells can be completed as well."""
    assert ("alerts", "dashboards") == VOCABULARY.commands["render"].words
    assert ("bash", "zsh", "fish") == VOCABULARY.commands["completion"].words
    assert ["render alerts", "render dashboards"] == VOCABULARY.nested
    assert list(COMMANDS) == VOCABULARY.first


@pytest.mark.parametrize("argv", [[], ["csh"], ["bash", "zsh"]])
def test_another_shell_is_refused(argv: Sequence[str]) -> None:
    """Without the name of one of the three shells nothing is printed."""
    with pytest.raises(ConfigError, match="bash, zsh, fish"):
        import_module("celery_redis_exporter.cli.completion").run(list(argv))


def test_the_script_starts_no_program() -> None:
    """The scripts run no program when a key is pressed, so completing is as fast as the shell."""
    modules = {name: import_module(f"celery_redis_exporter.cli.completion.{name}") for name in ("bash", "zsh", "fish")}
    for name, module in modules.items():
        text = getattr(module, f"render_{name}")(VOCABULARY)
        calls = [line for line in text.splitlines() if "python" in line or "$(celery" in line or "(celery-r" in line]
        assert [] == calls
    assert "celery_redis_exporter.cli.completion.bash" in sys.modules
