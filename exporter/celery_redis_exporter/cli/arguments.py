"""Flags that are a command's own: their parser, whose errors are those of the whole command line."""

import argparse
from collections.abc import Sequence
from typing import NoReturn

from celery_redis_exporter.errors import ConfigError, unknown_argument


class Parser(argparse.ArgumentParser):
    """Parses the flags of one command, and leaves the rest to the settings; raises ConfigError.

    No flag may be shortened: it might be one of the settings.
    """

    def __init__(self, command: str) -> None:
        super().__init__(prog=command, add_help=False, allow_abbrev=False)

    def parse_all(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse every argument; none may be left over."""
        found, left_over = self.parse_known_args(arguments)
        if left_over:
            self.error(unknown_argument(left_over[0], self.flags))
        return found

    @property
    def flags(self) -> list[str]:
        """The flags that this command has besides the settings."""
        return [flag for action in self._actions for flag in action.option_strings]

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError with the command's name."""
        raise ConfigError(f"{self.prog}: {message}; see {self.prog} --help")
