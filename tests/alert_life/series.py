# SPDX-License-Identifier: Apache-2.0
"""The series that Prometheus stores of a simulated installation, in the notation of promtool's tests.

Input: the samples of each scrape. Output: series with values in promtool's notation. A series that is missing in a
scrape is marked as stale, as by Prometheus; while Prometheus does not run there are neither samples nor marks.
"""

from collections.abc import Iterator, Mapping

Labels = tuple[tuple[str, str], ...]
OF_SERIES = frozenset({"application"})
"""Labels that the exporter adds to its series, instead of Prometheus to the target."""
GAP, STALE = "_", "stale"


class Recording:
    """The series of an installation, with a sample per scrape; ``wanted`` are the names that are recorded."""

    def __init__(self, wanted: frozenset[str]) -> None:
        self.scrapes = 0
        self._wanted = wanted
        self._values: dict[str, list[str]] = {}
        self._names: dict[tuple[Labels, str, Labels], str] = {}
        self._current: set[str] = set()
        self._before: set[str] = set()

    def begin(self) -> None:
        """Begin a scrape."""
        self._before, self._current = self._current, set()

    def add(
        self, where: Mapping[str, str], samples: Mapping[tuple[str, Labels], float], *, is_own: bool = True
    ) -> None:
        """Add the samples of a target; ``is_own``: the exporter exposes them itself."""
        target = tuple((name, value) for name, value in where.items() if is_own or name not in OF_SERIES)
        for (name, labels), value in samples.items():
            if name in self._wanted:
                row = (target, name, labels)
                series = self._names.get(row)
                if series is None:
                    series = self._names[row] = _selector(*row)
                self._append(series, repr(value))

    def end(self) -> None:
        """End a scrape; mark the series that are missing in it as stale."""
        for series in self._before - self._current:
            self._fill(series)
            self._values[series].append(STALE)
        self.scrapes += 1

    def skip(self) -> None:
        """Skip a scrape."""
        self.scrapes += 1

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield each series and its values."""
        for series, values in self._values.items():
            yield series, shorten(values)

    def _append(self, series: str, value: str) -> None:
        self._fill(series)
        self._values[series].append(value)
        self._current.add(series)

    def _fill(self, series: str) -> None:
        values = self._values.setdefault(series, [])
        values.extend([GAP] * (self.scrapes - len(values)))


def shorten(values: list[str]) -> str:
    """Return the values with repetitions shortened, as ``1x3`` for four ones."""
    parts, place = [], 0
    while place < len(values):
        value, end = values[place], place + 1
        while end < len(values) and values[end] == value:
            end += 1
        repeated = end - place
        if value == GAP:
            parts.append(f"_x{repeated}")
        elif value == STALE or repeated == 1:
            parts.append(value)
        else:
            parts.append(f"{value}x{repeated - 1}")
        place = end
    return " ".join(parts)


def _selector(target: Labels, name: str, labels: Labels) -> str:
    inner = ", ".join(f'{label}="{value}"' for label, value in (*target, *labels))
    return f"{name}{{{inner}}}"
