# SPDX-License-Identifier: Apache-2.0
"""Define the findings of a check, and the rows from which they are made.

Data only. A row is a kind of finding and is defined once, in ``rows``. A finding is an instance of a row on this
system.
"""

from typing import NamedTuple

LEVELS = ("ok", "note", "warn", "fail")
"""From best to worst: as it should be; worth knowing; at risk, or partly unseen; the exporter or Celery can't work."""


def celery_setting(name: str, value: str) -> str:
    """Return the line for Celery's configuration, also in its form for Django, where settings begin with CELERY_."""
    return f"{name} = {value}  # in Django's settings: CELERY_{name.upper()} = {value}"


class Finding(NamedTuple):
    """One finding.

    ``level`` is one of LEVELS, and ``code`` is that of the row. ``subject`` is what the finding is about, ``text`` what
    was found, ``cause`` why it matters or how it happens. ``lines`` fix it: each can be pasted into a shell or into
    Celery's settings.
    """

    level: str
    code: str
    subject: str
    text: str
    cause: str = ""
    lines: tuple[str, ...] = ()


class FindingRow(NamedTuple):
    """A kind of finding: its stable ``code``, its level, its meaning, and its cause (empty if all is well)."""

    code: str
    level: str
    meaning: str
    cause: str = ""

    def found(self, subject: str, text: str, *lines: str) -> Finding:
        """Return a finding of this kind."""
        return Finding(self.level, self.code, subject, text, self.cause, lines)
