# SPDX-License-Identifier: Apache-2.0
"""Sort names of keys into groups of keys that belong together, to show which groups fill a database.

Input: a name as Redis returns it, any bytes. Output: the label of its group. The rules apply in this order:

- Celery's own keys: queues by their name, with all priorities, and everything else by its kind.
- Patterns of the user.
- A normal form. The parts that differ from key to key (uuids, hex numbers of 8 digits or more, digits, long tokens)
  become ``*``, and at most three literal parts are kept, so that ``user:17:profile`` becomes ``user:*:profile``.

The functions are pure and made for millions of names. A key whose name is known costs one look-up in a dict. Others
cost one regular expression, or two, the results of the second being cached. A label is printable and has a maximum
length, whatever the name contains.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

LONGEST_NAME = 512
"""The number of bytes of a name that are read: the first and the last half of that if the name is longer."""
LONGEST_LABEL = 100
LITERAL_PARTS = 3
REMEMBERED = 10_000
"""The number of normal forms whose labels are cached. When it is reached, the cache is cleared."""

TASK_META, TASKSET_META, CHORD_UNLOCK = "celery-task-meta", "celery-taskset-meta", "chord-unlock"
BINDING, UNACKED, UNACKED_INDEX = "_kombu.binding", "unacked", "unacked_index"
PIDBOX_REPLIES, RPC_RESULTS, CELERY_ONCE = "*.reply.celery.pidbox", "rpc-result", "qo_*"

_UUID = rb"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_VARIABLE = re.compile(
    rb"(?<![0-9A-Za-z])(?:"
    + _UUID
    + rb"(?![0-9A-Za-z])"
    + rb"|[0-9a-fA-F]{8,}(?![0-9A-Za-z])"
    + rb"|(?=[A-Za-z]*[0-9])[0-9A-Za-z]{16,}"  # A token: people do not choose such names.
    + rb")|[0-9]+"
)
_PARTS = re.compile(r"([:._\-/]+)")
_WILD = re.compile(r"\*+")


@dataclass(frozen=True, slots=True)
class CeleryNames:
    """How the application names its keys.

    ``prefix`` is the broker's global_keyprefix, and ``result_prefix`` that of the result backend. ``queues`` maps the
    names of known queues to those they are shown by. ``separator`` is between a queue's name and its priority step.
    """

    prefix: str
    result_prefix: str
    separator: str
    priority_steps: tuple[int, ...]
    unacked_key: str
    unacked_index_key: str
    redbeat_prefix: str
    queues: Mapping[str, str] = field(default_factory=dict)

    @property
    def result_pattern(self) -> bytes:
        """Return the pattern of the prefix of the result backend's keys.

        Celery appends ``_`` to it (celery/backends/base.py), from 5.5 on only if it does not end with one of ``:_-.``.
        """
        prefix = self.result_prefix
        end = b"" if not prefix else b"_?" if prefix[-1] in ":_-." else b"_"
        return re.escape(prefix.encode()) + end


def single_keys(groups: Mapping[str, Sequence[bytes]], patterns: Collection[str]) -> set[str]:
    """Return the groups that consist of one key with its whole name. ``patterns``, the user's groups, never do."""
    return {
        group
        for group, names in groups.items()
        if names[0] == group.encode() and group not in patterns and all(name == names[0] for name in names)
    }


class KeyClassifier:
    """Return the group of a key. ``patterns`` are the user's: group -> globs as Redis writes them."""

    def __init__(self, names: CeleryNames, patterns: Mapping[str, Iterable[str]] | None = None) -> None:
        self._exact = _exact_names(names)
        broker, sep = (re.escape(text.encode()) for text in (names.prefix, names.separator))
        results = names.result_pattern
        kinds = [
            (results + rb"celery-task-meta-", TASK_META),
            (results + rb"celery-taskset-meta-", TASKSET_META),
            (results + rb"chord-unlock-", CHORD_UNLOCK),
            (broker + rb"_kombu\.binding", BINDING),
            (re.escape(names.redbeat_prefix.encode()), f"{show(names.redbeat_prefix.encode())}*"),
            (rb"qo_", CELERY_ONCE),
            (broker + rb".*\.reply\.celery\.pidbox\Z", PIDBOX_REPLIES),
            (broker + _UUID + rb"\Z", RPC_RESULTS),
            *((_glob(glob), group) for group, globs in (patterns or {}).items() for glob in globs),
        ]
        self._groups = ("", *(group for _, group in kinds))
        self._known = re.compile(b"|".join(b"(" + pattern + b")" for pattern, _ in kinds), re.DOTALL).match
        # An unknown queue is recognized by the separator, which no other key contains.
        steps = b"|".join(str(step).encode() for step in names.priority_steps if step) or rb"(?!)"
        self._queue = re.compile(broker + rb"(.+)" + sep + rb"(?:" + steps + rb")\Z", re.DOTALL).match
        self._separator = names.separator.encode()
        self._labels: dict[bytes, str] = {}

    def classify(self, name: bytes) -> str:
        """Return the label of a key's group."""
        group = self._exact.get(name)
        if group is not None:
            return group
        if len(name) > LONGEST_NAME:
            name = name[: LONGEST_NAME // 2] + name[-LONGEST_NAME // 2 :]
        found = self._known(name)
        if found is not None:
            return self._groups[found.lastindex or 0]
        if self._separator in name and (queue := self._queue(name)):
            return show(queue[1])
        form = _VARIABLE.sub(b"*", name)
        label = self._labels.get(form)
        if label is None:
            if len(self._labels) >= REMEMBERED:
                self._labels.clear()
            label = self._labels[form] = _normal(form)
        return label


def show(name: bytes) -> str:
    """Return a name as printable text of at most LONGEST_LABEL characters. Other characters are escaped."""
    text = name[: LONGEST_LABEL + 1].decode("utf-8", "backslashreplace") or "(empty)"
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 3]}..."


def _exact_names(names: CeleryNames) -> dict[bytes, str]:
    prefix, sep = names.prefix, names.separator
    exact = {
        f"{prefix}{names.unacked_key}".encode(): UNACKED,
        f"{prefix}{names.unacked_index_key}".encode(): UNACKED_INDEX,
    }
    for queue, shown in names.queues.items():
        for step in names.priority_steps:
            exact[f"{prefix}{queue}{sep}{step}".encode() if step else f"{prefix}{queue}".encode()] = shown
    return exact


def _normal(form: bytes) -> str:
    """Shorten a name with stars to its first literal parts. One more star replaces the others."""
    pieces = _PARTS.split(show(form))
    kept: list[str] = []
    literal = 0
    for place, piece in enumerate(pieces):
        is_part = place % 2 == 0
        if is_part and piece.strip("*"):
            literal += 1
            if literal > LITERAL_PARTS:
                kept.append("*")
                break
        kept.append(piece)
    return _WILD.sub("*", "".join(kept))


def _glob(glob: str) -> bytes:
    """Translate a glob of Redis into a regular expression that never backtracks over a star."""
    pieces, place = [], 0
    literal = [b""]
    while place < len(glob):
        char = glob[place]
        place += 1
        if char == "*":
            pieces.append(b"".join(literal))
            literal = []
        elif char == "?":
            literal.append(b".")
        elif char == "[" and "]" in glob[place + 1 :]:
            end = glob.index("]", place + 1)
            literal.append(_one_of(glob[place:end].encode()))
            place = end + 1
        else:
            if char == "\\" and place < len(glob):
                char = glob[place]
                place += 1
            literal.append(re.escape(char.encode()))
    last = b"".join(literal)
    if not pieces:
        return last + rb"\Z"
    first, *middle = pieces
    found = b"".join(b"(?>.*?" + piece + b")" for piece in middle if piece)
    return first + found + (rb".*" + last + rb"\Z" if last else b"")


def _one_of(chars: bytes) -> bytes:
    """Translate the characters in a glob's brackets. As in Redis, the ends of a range may be in any order."""
    negated = chars.startswith(b"^")
    chars = chars[negated:]
    wanted: set[int] = set()
    place = 0
    while place < len(chars):
        if place + 2 < len(chars) and chars[place + 1 : place + 2] == b"-":
            low, high = sorted((chars[place], chars[place + 2]))
            wanted |= set(range(low, high + 1))
            place += 3
        else:
            wanted.add(chars[place])
            place += 1
    listed = b"".join(b"\\x%02x" % char for char in sorted(wanted))
    return b"[" + (b"^" if negated else b"") + listed + b"]"
