# SPDX-License-Identifier: Apache-2.0
"""Listening addresses: those that are accepted, and the errors for the others."""

import socket
from pathlib import Path

import pytest

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.web.listeners import address_of, adopt_systemd_sockets, bind


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:0", "0.0.0.0:0", ":0", "[::]:0"])
def test_bind(address: str) -> None:
    """Each way to write an address yields a listening socket that IPv4 can reach."""
    with bind(address) as listener:
        assert 1 == listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        with socket.create_connection(("127.0.0.1", listener.getsockname()[1]), timeout=5):
            pass


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("address", [":0", "[::1]:0", "[::]:0"])
def test_bind_ipv6(address: str) -> None:
    """Without a host IPv6 is accepted as well, and it may be named in brackets."""
    with bind(address) as listener, socket.create_connection(("::1", listener.getsockname()[1]), timeout=5):
        pass


def test_without_ipv6_ipv4_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without IPv6 still serves ``:PORT``."""
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with bind(":0") as listener:
        assert socket.AF_INET == listener.family


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", ""])
def test_a_port_in_use(host: str) -> None:
    """A port in use is a configuration error of one line that states address, cause and solution."""
    with bind(f"{host}:0") as listener:
        address = f"{host}:{listener.getsockname()[1]}"
        with pytest.raises(ConfigError) as caught:
            bind(address)
    expected = f"web.listen-address {address}: address already in use; choose another with --web.listen-address"
    assert expected == str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["", "9808", "localhost", "localhost:", ":x", ":-1", ":65536", ":9808x", "::1:9808", ":1\u00b2", "http://a:1"],
)
def test_no_address(address: str) -> None:
    """An address that is not HOST:PORT is a configuration error that shows how to write one."""
    with pytest.raises(ConfigError, match=r"^web.listen-address .*: not HOST:PORT; write for example :9808, [^\n]*$"):
        bind(address)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_an_ipv6_address_has_brackets() -> None:
    """The address in the log is valid for --web.listen-address."""
    with bind("[::1]:0") as listener:
        assert f"[::1]:{listener.getsockname()[1]}" == address_of(listener)


def test_an_address_of_another_machine() -> None:
    """An address that this machine does not have is a configuration error with the system's reason."""
    with pytest.raises(ConfigError, match=r"^web.listen-address 192.0.2.1:0: [^\n]*assign[^\n]*; choose another"):
        bind("192.0.2.1:0")


@pytest.mark.parametrize("form", ["unix:{}", "unix://{}"])
def test_a_unix_socket(tmp_path: Path, form: str) -> None:
    """A path is listened on; a socket that a killed process left there is replaced, one in use is not."""
    path = tmp_path / "http.sock"
    for _ in range(2):
        with bind(form.format(path)) as listener, socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            assert f"unix:{path}" == address_of(listener)
            with pytest.raises(ConfigError, match=r"^web.listen-address unix:[^\n]*: address already in use; choose"):
                bind(form.format(path))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [("missing/http.sock", None, "no such file or directory"), ("file", "x", "address already in use")],
)
def test_a_path_that_cannot_be_a_socket(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    """A missing folder and a file that is not a socket are refused; the file stays."""
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        bind(f"unix:{tmp_path / name}")
    assert text is None or text == (tmp_path / name).read_text()


@pytest.mark.parametrize("variables", [{}, {"LISTEN_FDS": "1"}, {"LISTEN_FDS": "1", "LISTEN_PID": "1"}])
def test_nothing_from_systemd(variables: dict[str, str]) -> None:
    """Without sockets for this process the message states what is missing."""
    with pytest.raises(ConfigError, match=r"^web.systemd_socket: systemd handed no socket over; add a unit"):
        adopt_systemd_sockets(dict(variables))
