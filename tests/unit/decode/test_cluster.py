# SPDX-License-Identifier: Apache-2.0
"""Decoding of CLUSTER NODES as servers send it."""

import pytest

from celery_redis_exporter.decode.cluster import decode_cluster_masters, decode_cluster_nodes
from celery_redis_exporter.errors import DecodeError
from celery_redis_exporter.records.replies import Address

SEED = Address("seed", 7000)
TAIL = "- 0 1426238316232 2 connected 0-5460"


def line(address: str, flags: str = "master") -> str:
    """Return the line of one node."""
    return f"07c37dfeb235213a872192d90877d0cd55635b91 {address} {flags} {TAIL}\n"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:7001", Address("127.0.0.1", 7001)),
        ("127.0.0.1:7001@17001", Address("127.0.0.1", 7001)),
        ("127.0.0.1:7001@17001,host-1", Address("127.0.0.1", 7001)),
        ("127.0.0.1:7001@17001,,tls-port=0,shard-id=abc", Address("127.0.0.1", 7001)),
        ("::1:7001@17001", Address("::1", 7001)),
        (":7001@17001", SEED),
    ],
)
def test_addresses(address: str, expected: Address) -> None:
    """Addresses of all versions are read; a node that does not know its address gets the one that was queried."""
    assert [expected] == decode_cluster_nodes(line(address, "myself,master").encode(), SEED)


def test_nodes_that_can_not_be_reached_are_left_out() -> None:
    """Nodes without an address and nodes in handshake are left out; failing nodes are kept."""
    text = line("10.0.0.2:1@2", "slave") + line("10.0.0.1:1@2", "master,fail") + line(":0@0", "master,noaddr")
    text += line("10.0.0.3:1@2", "handshake") + line(":1@2")
    assert [Address("10.0.0.1", 1), Address("10.0.0.2", 1)] == decode_cluster_nodes(text.encode(), SEED)


@pytest.mark.parametrize("text", ["nonsense", line("10.0.0.1"), line("10.0.0.1:x"), line("h:70000"), line("h:0")])
def test_what_is_no_node(text: str) -> None:
    """A line that describes no node raises an error with its reason."""
    with pytest.raises(DecodeError) as caught:
        decode_cluster_nodes(text.encode(), SEED)
    assert caught.value.reason == "schema"


def test_addresses_are_shown_as_in_urls() -> None:
    """An IPv6 address is put in brackets."""
    assert ("[::1]:7", "h:7") == (str(Address("::1", 7)), str(Address("h", 7)))


def test_masters_with_slots_have_every_key() -> None:
    """Replicas, masters without slots and unreachable nodes are not among the masters to read."""
    text = (
        b"a 10.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-100 200\n"
        b"b 10.0.0.2:7000@17000,host slave a 0 0 1 connected\n"
        b"c 10.0.0.3:7000@17000 master - 0 0 2 connected\n"
        b"d 10.0.0.4:7000@17000 master,fail - 0 0 3 disconnected 300-400\n"
        b"e :0@0 master,noaddr - 0 0 4 disconnected 500\n"
    )
    assert [Address("10.0.0.1", 7000), Address("10.0.0.4", 7000)] == decode_cluster_masters(text, Address("h", 1))
