# SPDX-License-Identifier: Apache-2.0
"""Find out which protocol a port uses: Redis without TLS, TLS, or neither.

Input: host and port. Output: a ``Spoken``. Sends a PING without user or password. Certificates are not verified,
because nothing is sent over that connection.
"""

import socket
import ssl
from enum import StrEnum
from typing import Final


class Spoken(StrEnum):
    """The protocol of a port."""

    PLAIN = "plain"
    TLS = "tls"
    NOTHING = "nothing"


PATIENCE: Final = 1.0
"""Seconds for each of two attempts."""


def listen_to(host: str, port: int) -> Spoken:
    """Connect and return the protocol. Never raises for a network error."""
    if _answers_ping(host, port):
        return Spoken.PLAIN
    return Spoken.TLS if _shakes_hands(host, port) else Spoken.NOTHING


def _answers_ping(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), PATIENCE) as plain:
            plain.sendall(b"PING\r\n")
            return plain.recv(1) in {b"+", b"-"}
    except OSError:
        return False


def _shakes_hands(host: str, port: int) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), PATIENCE) as plain, context.wrap_socket(plain):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")  # it requires a client certificate, so it is TLS
    except OSError:
        return False
