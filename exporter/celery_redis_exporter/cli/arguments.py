# SPDX-License-Identifier: Apache-2.0
"""Parse the flags of one command. Errors look like those of the whole command line."""

import argparse
from collections.abc import Sequence
from typing import NoReturn

from celery_redis_exporter.errors import ConfigError, unknown_argument

SETTINGS_TOO = """\
All settings of the exporter are flags here too, such as --broker-url.
celery-redis-exporter run --help lists them.
"""
"""The end of the help of a command that takes the settings."""


class Parser(argparse.ArgumentParser):
    """Parses the flags of one command, and leaves the others to the settings. Raises ConfigError.

    Flags can't be abbreviated, because an abbreviation may be the name of a setting.
    """

    def __init__(self, command: str) -> None:
        super().__init__(prog=command, add_help=False, allow_abbrev=False)

    def parse_all(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Return the parsed arguments. Raises ConfigError if one is unknown."""
        found, left_over = self.parse_known_args(arguments)
        if left_over:
            self.error(unknown_argument(left_over[0], self.flags))
        return found

    @property
    def flags(self) -> list[str]:
        """Return the flags that this command has besides the settings."""
        return [flag for action in self._actions for flag in action.option_strings]

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError with the command's name."""
        raise ConfigError(f"{self.prog}: {message}; see {self.prog} --help")
