# SPDX-License-Identifier: Apache-2.0
"""The key spaces of a cluster's masters, which change."""

import threading
from typing import cast

import pytest

from celery_redis_exporter.catalog import key_space as rows
from celery_redis_exporter.collectors.key_space import KeySpace
from celery_redis_exporter.collectors.node_key_spaces import NodeKeySpaces
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.records.replies import Address
from celery_redis_exporter.records.samples import Sample
from tests.support.fakes import FakeClock


class FakeSpace:
    """A sampler that counts its cycles."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cycles = 0
        self.closed = False
        self.failure: SourceError | None = None

    def cycle(self, _stop: threading.Event) -> str:
        """Count, or fail."""
        self.cycles += 1
        if self.failure is not None:
            raise self.failure
        return "complete"

    def samples(self) -> list[Sample]:
        """Return one sample of the server's name."""
        return [Sample(rows.KEYS_SCANNED, (self.name,), self.cycles)]

    def close(self) -> None:
        """Record the call."""
        self.closed = True


class Trial:
    """The samplers of a server with the name ``cache``, and of its cluster."""

    def __init__(self) -> None:
        self.masters: dict[str, Address] = {}
        self.built: dict[str, FakeSpace] = {"cache": FakeSpace("cache")}
        seed = cast("KeySpace", self.built["cache"])
        self.spaces = NodeKeySpaces(seed, lambda: self.masters, self._make, 60.0, FakeClock())
        self.stop = threading.Event()

    def _make(self, name: str, _address: Address) -> KeySpace:
        self.built[name] = FakeSpace(name)
        return cast("KeySpace", self.built[name])

    def shown(self) -> dict[str, object]:
        """Return the values by server."""
        return {sample.labels[0]: sample.value for sample in self.spaces.samples()}


def test_masters_take_the_place_of_their_seed() -> None:
    """A single server is sampled itself; in a cluster each current master is sampled under its own name."""
    trial = Trial()
    trial.spaces.cycle(trial.stop)
    assert {"cache": 1} == trial.shown()
    trial.masters = {"cache/a:1": Address("a", 1), "cache/b:1": Address("b", 1)}
    for _ in range(2):
        trial.spaces.cycle(trial.stop)
    assert {"cache/a:1": 2, "cache/b:1": 2} == trial.shown()
    trial.masters = {"cache/b:1": Address("b", 1)}
    trial.spaces.cycle(trial.stop)
    assert {"cache/b:1": 3} == trial.shown()
    assert trial.built["cache/a:1"].closed
    trial.spaces.close()
    assert trial.built["cache/b:1"].closed
    assert trial.built["cache"].closed


def test_a_master_that_fails_costs_itself() -> None:
    """A failure of one master does not stop the others, and is raised afterwards."""
    trial = Trial()
    trial.masters = {"cache/a:1": Address("a", 1), "cache/b:1": Address("b", 1)}
    trial.spaces.cycle(trial.stop)
    trial.built["cache/a:1"].failure = SourceError("refused", "no")
    with pytest.raises(SourceError, match="no"):
        trial.spaces.cycle(trial.stop)
    assert {"cache/a:1": 2, "cache/b:1": 2} == trial.shown()
