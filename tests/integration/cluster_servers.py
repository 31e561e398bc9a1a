# SPDX-License-Identifier: Apache-2.0
"""Run a real Redis Cluster on free loopback ports: masters that share the slots.

Input: a function that starts servers. Output: the nodes. Only servers that were started here are changed.
"""

from collections.abc import Callable, Sequence

from tests.integration.redis_servers import RedisServer
from tests.support.waiting import eventually

SLOTS = 16_384
OPTIONS = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000")


class RedisCluster:
    """A cluster of ``count`` masters. ``start`` returns a server with the options that it receives."""

    def __init__(self, start: Callable[[Sequence[str]], RedisServer], count: int) -> None:
        self.nodes = [start(OPTIONS) for _ in range(count)]
        share = -(-SLOTS // count)
        for number, node in enumerate(self.nodes):
            first, last = number * share, min((number + 1) * share, SLOTS) - 1
            node.command("CLUSTER", "ADDSLOTSRANGE", first, last)
        self.join(*self.nodes[1:])

    def join(self, *nodes: RedisServer) -> None:
        """Introduce nodes to the first, and wait until all have each other's addresses and the cluster is healthy."""
        for node in nodes:
            self.nodes[0].command("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus_port)
        for node in nodes:
            if node not in self.nodes:
                self.nodes.append(node)
        eventually(lambda: all(self._sees(node, len(self.nodes)) for node in self.nodes))

    def forget(self, gone: RedisServer) -> None:
        """Remove a stopped node from the cluster."""
        self.nodes.remove(gone)
        for node in self.nodes:
            for line in node.command("CLUSTER", "NODES").decode().splitlines():
                if f":{gone.port}@" in line:
                    node.command("CLUSTER", "FORGET", line.split()[0])

    def _sees(self, node: RedisServer, count: int) -> bool:
        info = node.command("CLUSTER", "INFO").decode()
        return "cluster_state:ok" in info and f"cluster_known_nodes:{count}\r" in info
