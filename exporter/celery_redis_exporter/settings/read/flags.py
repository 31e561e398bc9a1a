# SPDX-License-Identifier: Apache-2.0
"""Read flags with the command line parser of pydantic-settings.

Input: the arguments after the name of the command. Output: values by path. No message contains a value.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from pydantic_settings import CliSettingsSource

from celery_redis_exporter.errors import ConfigError, unknown_argument
from celery_redis_exporter.settings.read.given import Given, Path, split_group
from celery_redis_exporter.settings.schema.model import Declared
from celery_redis_exporter.settings.schema.rows import JSON_GROUPS, by_path, describe


class _Parser(argparse.ArgumentParser):
    """Raises ConfigError where argparse would print and exit."""

    def __init__(self, others: Sequence[str]) -> None:
        self._others = others
        super().__init__(add_help=False, allow_abbrev=False, exit_on_error=False, argument_default=argparse.SUPPRESS)

    def read(self, args: Sequence[str]) -> argparse.Namespace:
        try:
            known, rest = self.parse_known_args(args)
        except argparse.ArgumentError as error:
            flag = (error.argument_name or "").partition("/")[0]
            raise ConfigError(_wrong_use(flag)) from None
        if rest:
            raise ConfigError(_unknown(rest[0], self._others))
        _refuse_both(vars(known))
        return known

    def error(self, message: str) -> NoReturn:  # noqa: ARG002 -- see the docstring
        """Raise ConfigError. The message of argparse is dropped, because it could contain a value."""
        raise ConfigError("the flags can't be read; see --help")


def read_flags(argv: Sequence[str], others: Sequence[str] = ()) -> dict[Path, Given]:
    """Return the values of flags. Raises ConfigError for an unknown flag, a missing value or an unexpected argument.

    ``others`` are flags that the command has besides the settings. They are used to suggest a flag for an unknown one.
    """
    return _collect(command_line(tuple(others))(args=list(argv))())


def command_line(others: tuple[str, ...]) -> CliSettingsSource[Any]:
    """Return the parser of all settings. Making it takes 20 ms. It is not kept, because it has 0.5 MB."""
    return CliSettingsSource(
        Declared,
        root_parser=_Parser(others),
        parse_args_method=_Parser.read,
        cli_exit_on_error=False,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        # pydantic-settings needs a word that means None. This one contains a character that no argument can contain.
        cli_parse_none_str="\0",
    )


def _collect(tree: Mapping[str, Any], above: Path = ()) -> dict[Path, Given]:
    flat: dict[Path, Given] = {}
    for name, value in tree.items():
        path = (*above, name)
        row = by_path().get(path)
        if path in JSON_GROUPS and row is not None and not isinstance(value, Mapping):
            flat |= split_group(str(value), row.flag, path)
        elif row is not None and path not in JSON_GROUPS:
            flat[path] = Given(value, row.flag)
        elif isinstance(value, Mapping):
            flat |= _collect(value, path)
        else:
            raise ConfigError(_unknown("--" + ".".join(path).replace("_", "-")))
    return flat


def _refuse_both(given: Mapping[str, object]) -> None:
    # pydantic-settings would ignore the single flags without a message.
    for group in JSON_GROUPS:
        single = [name for name in given if name.startswith(f"{group[0]}.") and given[name] is not None]
        if given.get(group[0]) is not None and single:
            flag = "--" + single[0].replace("_", "-")
            raise ConfigError(f"{by_path()[group].flag}: {flag} is given too; put it into the JSON")


def _wrong_use(flag: str) -> str:
    row = next((row for row in describe() if row.flag == flag), None)
    if row is not None and row.kind == "boolean":
        return f"{flag}: takes no value; write {flag} or --no-{flag.removeprefix('--')}"
    return f"{flag}: needs a value, as in {flag}=VALUE"


def _unknown(argument: str, others: Sequence[str] = ()) -> str:
    text = unknown_argument(argument, [*(row.flag for row in describe()), *others])
    return f"{text}; see --help" if argument.startswith("-") else f"{text}; every setting is a flag, see --help"
