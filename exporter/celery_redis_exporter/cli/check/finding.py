"""What a check says: findings, and the rows that they are made of.

Data only. A row is a kind of finding and stands once, in ``rows``; a finding is one of it on this system.
"""

from typing import NamedTuple

LEVELS = ("ok", "note", "warn", "fail")
"""From best to worst: as it should be; good to know; at risk, or partly unseen; the exporter or Celery can't work."""


def celery_setting(name: str, value: str) -> str:
    """Return the line for Celery's configuration, with its form for Django, whose settings begin with CELERY_."""
    return f"{name} = {value}  # in Django's settings: CELERY_{name.upper()} = {value}"


class Finding(NamedTuple):
    """One thing that was found.

    ``level`` is one of LEVELS, ``code`` its row's, ``subject`` what it is about, ``text`` what was found, ``cause`` why
    that matters or how it comes about, ``lines`` what mends it: each can be pasted into a shell or Celery's settings.
    """

    level: str
    code: str
    subject: str
    text: str
    cause: str = ""
    lines: tuple[str, ...] = ()


class FindingRow(NamedTuple):
    """A kind of finding: its stable ``code``, its level, what it means, and its cause (empty where all is well)."""

    code: str
    level: str
    meaning: str
    cause: str = ""

    def found(self, subject: str, text: str, *lines: str) -> Finding:
        """Make a finding of this kind."""
        return Finding(self.level, self.code, subject, text, self.cause, lines)
