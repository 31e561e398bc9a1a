# SPDX-License-Identifier: Apache-2.0
"""Render the script for fish, 3.0 and later. It shows descriptions of commands and settings.

Input: the vocabulary. Output: text.
"""

from collections.abc import Iterator

from celery_redis_exporter.cli.completion.words import Flag, Vocabulary

_HEAD = """\
# Completes celery-redis-exporter in fish; made by: celery-redis-exporter completion fish
function __celery_redis_exporter_command
    set -l given (commandline -opc)
    set -e given[1]
    if test (count $given) -eq 0; or string match -q -- '-*' $given[1]
        echo run
        return
    end
    if test (count $given) -gt 1; and contains -- "$given[1] $given[2]" @NESTED@
        echo "$given[1] $given[2]"
        return
    end
    echo $given[1]
end
function __celery_redis_exporter_is
    contains -- (__celery_redis_exporter_command) $argv
end
complete -c celery-redis-exporter -e
complete -c celery-redis-exporter -f
"""
_COMPLETE = "complete -c celery-redis-exporter"
_FIRST = "test (count (commandline -opc)) -eq 1"


def render_fish(vocabulary: Vocabulary) -> str:
    """Return the script."""
    head = _HEAD.replace("@NESTED@", " ".join(f"'{name}'" for name in vocabulary.nested))
    return head + "\n".join(_lines(vocabulary)) + "\n"


def _lines(vocabulary: Vocabulary) -> Iterator[str]:
    for name in vocabulary.first:
        yield f"{_COMPLETE} -n {_quote(_FIRST)} -a {name} -d {_quote(vocabulary.commands[name].help)}"
    yield f"{_COMPLETE} -n {_quote(_FIRST)} -l version -d {_quote('show the version')}"
    takers = [name for name, command in vocabulary.commands.items() if command.takes_settings]
    for flag in vocabulary.settings:
        yield _flag(takers, flag)
    for name, command in vocabulary.commands.items():
        if command.words:
            yield f"{_COMPLETE} -n {_is([name])} -a {_quote(' '.join(command.words))}"
        for flag in command.flags:
            yield _flag([name], flag)


def _flag(commands: list[str], flag: Flag) -> str:
    value = " -r -F" if flag.files else f" -x -a {_quote(' '.join(flag.choices))}" if flag.choices else ""
    free = " -x" if flag.is_free else ""
    description = f" -d {_quote(flag.help)}" if flag.help else ""
    return f"{_COMPLETE} -n {_is(commands)} -l {flag.name.removeprefix('--')}{value}{free}{description}"


def _is(commands: list[str]) -> str:
    names = " ".join(f'"{name}"' for name in commands)
    return _quote(f"__celery_redis_exporter_is {names}")


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
