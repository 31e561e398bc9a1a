# SPDX-License-Identifier: Apache-2.0
"""Read the text file that a setting names.

Input: a path. Output: the text. No part of it is shown.
"""

from pathlib import Path

from celery_redis_exporter.errors import ConfigError


def read_text(name: str, written: str, *, secret: bool = False) -> str:
    """Return the text of the file that the setting ``written`` names. Raises ConfigError if it can't be read.

    If the file is ``secret``, a name that is not a path is not repeated: it may be the secret itself.
    """
    shown = name if not secret or (name.startswith(("/", ".", "~")) and "://" not in name) else "the file"
    try:
        return Path(name).read_text(encoding="utf-8")
    except OSError as error:
        cure = "; it must be the path of a file" if shown != name else ""
        raise ConfigError(f"{written}: can't read {shown}: {error.strerror}{cure}") from None
    except ValueError:
        raise ConfigError(f"{written}: {shown} is not UTF-8 text") from None
