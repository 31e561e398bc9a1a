# SPDX-License-Identifier: Apache-2.0
"""Print the facts and the events of task ids by time: ``python -m tests.truth.trace FOLDER ID...``.

``FOLDER`` is one that ``python -m tests.truth --keep FOLDER`` wrote. Events have the number of their arrival.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.truth.facts import FactReader


def main(folder: Path, ids: Sequence[str]) -> None:
    """Print the facts and the events of each task id."""
    facts = FactReader(folder / "facts").read()
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    for task_id in ids:
        rows = [
            (fact.at, f"fact  {fact.kind} {fact.node} {fact.task} {fact.queue} {fact.publication[:6]} {fact.detail}")
            for fact in facts
            if fact.id == task_id
        ]
        rows += [
            (event["timestamp"], f"event {event['type']} {event['hostname']} {describe(event)} #{number}")
            for number, event in enumerate(events)
            if event.get("uuid") == task_id
        ]
        sys.stdout.write("".join(f"{at:.4f} {text}\n" for at, text in sorted(rows)) + "\n")


def describe(event: dict[str, object]) -> str:
    """Return the fields of an event that distinguish publications and ends."""
    return " ".join(_fields(event))


def _fields(event: dict[str, object]) -> Iterator[str]:
    for name in ("name", "queue", "retries", "eta", "exception", "requeue", "terminated", "expired"):
        if event.get(name) not in (None, ""):
            yield f"{name}={event[name]}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
