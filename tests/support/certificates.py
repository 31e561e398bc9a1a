# SPDX-License-Identifier: Apache-2.0
"""Make certificate authorities for tests with the openssl program.

Input: a folder. Output: paths of PEM files. Keys use the P-256 curve, because they are generated quickly.
"""

import subprocess
from pathlib import Path
from typing import NamedTuple

NEW = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
CA = ("-x509", "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # without a key usage Python 3.13 rejects it
EXTENSIONS = """\
subjectAltName=DNS:{host},IP:127.0.0.1
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""


class Pair(NamedTuple):
    """A certificate and its key."""

    certificate: Path
    key: Path

    def move_to(self, other: "Pair") -> None:
        """Replace another pair: first its certificate, then its key."""
        self.certificate.replace(other.certificate)
        self.key.replace(other.key)


class Authority:
    """A certificate authority."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._pair = self._paths(name)
        self.certificate = self._pair.certificate
        _openssl(*NEW, *CA, "-keyout", self._pair.key, "-out", self.certificate, "-subj", f"/CN={name}")

    def issue(self, name: str, host: str = "localhost") -> Pair:
        """Return a certificate for the name ``host``, 127.0.0.1 and the common name ``name``."""
        pair, request, names = self._paths(name), self._folder / f"{name}.csr", self._folder / "names"
        names.write_text(EXTENSIONS.format(host=host), encoding="utf-8")
        _openssl(*NEW, "-keyout", pair.key, "-out", request, "-subj", f"/CN={name}")
        signing = ("-CA", self.certificate, "-CAkey", self._pair.key, "-CAcreateserial", "-extfile", names)
        _openssl("x509", "-req", "-in", request, "-out", pair.certificate, *signing)
        return pair

    def _paths(self, name: str) -> Pair:
        return Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")


def encrypt(key: Path, encrypted: Path) -> None:
    """Write a copy of a key that needs a passphrase."""
    _openssl("ec", "-in", key, "-aes256", "-passout", "pass:SECRET", "-out", encrypted)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=20)
