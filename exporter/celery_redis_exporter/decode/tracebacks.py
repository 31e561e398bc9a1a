# SPDX-License-Identifier: Apache-2.0
"""Read the class of the exception that a traceback of Python reports.

Input: the traceback field of an event, still in JSON or msgpack. Output: the class as the traceback names it.

``traceback.format_exception`` writes the frames, which are indented, then the line ``module.Class: text``. The text may
have more lines, and they may look like that one. So the class is read from the first line after the frames.
"""

import json
import re

from msgspec import Raw

LONGEST_LOOK = 65_536
"""The number of bytes at the end of a traceback that are read."""
RETRY = "celery.exceptions.Retry"

_CHAINED = re.compile(
    r"\n(?:During handling of the above exception, another exception occurred"
    r"|The above exception was the direct cause of the following exception):\n\n"
    r"(?=(?:  \+ Exception Group )?Traceback \(most recent call last\):\n)"
)
_BEGINNING = re.compile(r'^(?:(?:  \+ Exception Group )?Traceback \(most recent call last\):$|  File ")', re.MULTILINE)
_REST_OF_LINE = re.compile(r"[^\n]*\n")
_INDENTED = re.compile(r"(?>(?:[ \t][^\n]*)?\n)*")
_CLASS = re.compile(r"([^\W\d][\w.<>]{0,200})(?::|\n|\Z)")
_GROUP_MARGIN = re.compile(r"^  \| ", re.MULTILINE)


def class_in_traceback(traceback: Raw | bytes) -> str:
    """Return the class of the exception, with its module, or an empty string if there is none.

    - Of a Retry, the class of its cause is returned.
    - Of exceptions that were raised while others were handled, the last one counts.
    - Of an exception group, the group counts.

    Only the last LONGEST_LOOK bytes are read. If the text is longer, or itself contains a whole chain of tracebacks,
    the class is not found.
    """
    *causes, last = _CHAINED.split(_read_end(traceback))
    found = _class_in_block(last)
    if found == RETRY and causes:
        return _class_in_block(causes[-1]) or found
    return found


def _class_in_block(text: str) -> str:
    """Return the class that a traceback without its causes names after its frames, or an empty string."""
    if "\n  | " in text:
        text = _GROUP_MARGIN.sub("", text)
    beginning = _BEGINNING.search(text)
    line = beginning and _REST_OF_LINE.match(text, beginning.start())
    frames = line and _INDENTED.match(text, line.end())
    found = frames and _CLASS.match(text, frames.end())
    return found[1] if found else ""


def _read_end(traceback: Raw | bytes) -> str:
    """Return the last lines of a field in JSON or msgpack as text, or an empty string if it can't be read."""
    view = memoryview(traceback)
    end, is_cut = bytes(view[-LONGEST_LOOK:]), view.nbytes > LONGEST_LOOK
    if is_cut:
        end = end[end.find(b" ") :]  # A space is never part of an escape sequence or of another character.
    text = end.decode("utf-8", "replace")
    if bytes(view[:1]) == b'"':
        text = _unescape(text if not is_cut else f'"{text}')
    return text.partition("\n")[2] if is_cut else text


def _unescape(text: str) -> str:
    try:
        found = json.loads(text, strict=False)
    except ValueError:
        return ""
    return found if isinstance(found, str) else ""
