# SPDX-License-Identifier: Apache-2.0
"""Help texts about the settings, for a terminal: all of them by heading, or the ten that matter.

Input: the rows and the width of the terminal. Output: text. Reads no value that a user set.
"""

import shutil
import textwrap
from collections.abc import Iterable

from celery_redis_exporter.settings.schema.headings import by_heading, main_rows
from celery_redis_exporter.settings.schema.rows import SettingRow

NARROWEST, WIDEST = 60, 120
PAGE = "deploy/docs/configuration.md"
_RULES = """\
A flag takes precedence over its environment variable, that over the file of --config.file, and that over the default.
The environment variable of --web.listen-address is EXPORTER_WEB__LISTEN_ADDRESS: capitals, two underscores for a dot, \
one for a dash. The key in the file is web.listen_address.
--no- before its name switches a boolean off: --no-events.exemplars.
EXPORTER_BROKER_URL_FILE and EXPORTER_RESULT_BACKEND_URL_FILE name files that contain these URLs.
CELERY_BROKER_URL and CELERY_RESULT_BACKEND are used if nothing else sets these URLs.
Several applications are listed in the file, under applications: deploy/docs/applications.md.
"""


def render_help(program: str) -> str:
    """Return the help of ``run``: every setting under its heading."""
    width = _width()
    lines = [f"usage: {program} [flags]", "", "Serve the metrics."]
    for heading, rows in by_heading():
        lines += ["", f"{heading}:", *_entries(rows, width)]
    lines += ["", "  -h, --help", "      Show this help.", ""]
    for rule in _RULES.splitlines():
        lines += textwrap.wrap(rule, width)
    return "\n".join([*lines, "", f"Explanations and an example file: {PAGE}"])


def render_main_settings() -> str:
    """Return the ten settings that matter, for the help of the whole program."""
    return "\n".join(_entries(main_rows(), _width()))


def _width() -> int:
    return max(NARROWEST, min(shutil.get_terminal_size((80, 24)).columns, WIDEST))


def _entries(rows: Iterable[SettingRow], width: int) -> Iterable[str]:
    for row in rows:
        default = f" (default: {row.default})" if row.default else ""
        yield f"  {row.flag}" if row.kind == "boolean" else f"  {row.flag}={row.kind.upper()}"
        yield from textwrap.wrap(
            row.help + default, width, initial_indent=" " * 6, subsequent_indent=" " * 6,
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
