"""A text file that a setting names.

Takes a path, gives its text. Never shows any of it.
"""

from pathlib import Path

from exporter.errors import ConfigError


def read_text(name: str, written: str) -> str:
    """Read the text of the file that the setting ``written`` names; raise ConfigError when that fails."""
    try:
        return Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{written}: can't read {name}: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"{written}: {name} is not UTF-8 text") from None
