# SPDX-License-Identifier: Apache-2.0
"""Install programs of other Debian suites: newer servers than the system's, which run beside them.

Input: a name of ``SUITE_PROGRAMS``. Output: the path of a script that starts the program with the loader and the
libraries of its suite. Nothing is installed on the system: apt downloads packages with a separate state folder and the
system's mirror, and they are unpacked into ``.peers`` once. A program that can't be installed raises UnavailableError.

``python -m tests.integration.suite_programs`` installs all of them and prints their versions. It exits with 1 if one
can't be installed, unless it is called with ``--allow-missing``. With ``--path NAME`` it prints the path of one.
"""

import argparse
import fcntl
import gzip
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration.processes import ROOT
from tests.integration.redis_servers import PROGRAM
from tests.support.outcomes import COULD_NOT_RUN

PEERS = ROOT / ".peers"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
RELEASE = Path("/etc/os-release")
APT_SECONDS = 240
LOADERS = ("ld-linux-*.so.*", "ld64.so.*")


class UnavailableError(AssertionError):
    """The program can't be installed on this machine."""


class SuiteProgram(NamedTuple):
    """A program, the packages that contain it, their suite, and the earliest version that is accepted."""

    suite: str
    packages: tuple[str, ...]
    program: str
    version: str


SUITE_PROGRAMS = {
    "redis-8.0": SuiteProgram("trixie", ("redis-server", "redis-tools"), "redis-server", "8.0"),
    "valkey-8.1": SuiteProgram("trixie", ("valkey-server", "valkey-tools"), "valkey-server", "8.1"),
    "valkey-9.1": SuiteProgram("sid", ("valkey-server", "valkey-tools"), "valkey-server", "9.1"),
    "redis_exporter-1.86": SuiteProgram(
        "sid", ("prometheus-redis-exporter",), "prometheus-redis-exporter", "1.86"
    ),
    "prometheus-3": SuiteProgram("sid", ("prometheus",), "prometheus", "3.5"),
    "promtool-3": SuiteProgram("sid", ("promtool",), "promtool", "3.5"),
    "alertmanager-0.33": SuiteProgram(
        "sid", ("prometheus-alertmanager",), "prometheus-alertmanager", "0.33"
    ),
    "kustomize-5.8": SuiteProgram("sid", ("kustomize",), "kustomize", "5.8"),
    "alertmanager-0.28": SuiteProgram(
        "trixie", ("prometheus-alertmanager",), "prometheus-alertmanager", "0.28"
    ),
    "amtool-0.28": SuiteProgram("trixie", ("prometheus-alertmanager",), "amtool", "0.28"),
    "amtool-0.33": SuiteProgram("sid", ("prometheus-alertmanager",), "amtool", "0.33"),
}  # fmt: skip
"""The programs by name. A suite may have a later version than the stated one."""
SERVERS = ("redis", "redis-8.0", "valkey-8.1", "valkey-9.1")
"""The servers that tests run on: the system's Redis, and newer ones."""


def server_program(name: str) -> str:
    """Return the path of a server of SERVERS. Skip the test if it can't be installed."""
    return PROGRAM if name == "redis" else suite_program(name)


def either_program(name: str) -> str:
    """Return the path of a program of SUITE_PROGRAMS. Return any other name unchanged: it is a system program."""
    return suite_program(name) if name in SUITE_PROGRAMS else name


def suite_program(name: str) -> str:
    """Return the path of a program. Skip the test if it can't be installed. The end of the run counts such tests."""
    try:
        return str(install(name))
    except UnavailableError as error:
        pytest.skip(f"{COULD_NOT_RUN}{name}: {error}")


def install(name: str) -> Path:
    """Return the path of a program. Install it into ``.peers`` if it is missing. Raise UnavailableError."""
    wanted, folder = SUITE_PROGRAMS[name], PEERS / name
    started = folder / wanted.program
    PEERS.mkdir(exist_ok=True)
    with _alone(PEERS / f"{name}.lock"):
        if started.is_file():
            return started
        for program in ("apt-get", "apt-cache", "dpkg"):
            if shutil.which(program) is None:
                raise UnavailableError(f"needs {program}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        with _alone(PEERS / f"apt-{wanted.suite}.lock"):
            Apt(_source(wanted.suite), PEERS / f"apt-{wanted.suite}").install(wanted, folder)
        return _write_starter(folder, wanted.program)


def version(name: str) -> str:
    """Return the version of an installed program: the first in its package's changelog, without Debian's revision."""
    documents = PEERS / name / "usr" / "share" / "doc" / SUITE_PROGRAMS[name].packages[0]
    (changelog,) = documents.glob("changelog.Debian*gz")
    with gzip.open(changelog, "rt", encoding="utf-8") as lines:
        found = re.search(r"\((?:\d+:)?([0-9.]+)", next(lines))
    assert found, changelog
    return found[1]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait for other processes of the same run that install the same program."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Apt:
    """apt for one suite, separate from the system's: lists and archives are in ``folder``.

    ``source`` is the line of its sources.list.
    """

    def __init__(self, source: str, folder: Path) -> None:
        self._folder = folder
        for part in ("lists/partial", "archives/partial", "parts"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        sources, status = folder / "sources.list", folder / "status"
        sources.write_text(f"{source}\n", encoding="utf-8")
        status.touch()
        options = {
            "Dir::Etc::sourcelist": sources, "Dir::Etc::sourceparts": folder / "parts",
            "Dir::State::lists": folder / "lists", "Dir::State::status": status,
            "Dir::Cache": folder, "Dir::Cache::archives": folder / "archives",
            "Dir::Cache::pkgcache": "pkgcache.bin", "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
            "APT::Sandbox::User": "root", "APT::Get::List-Cleanup": "0",
        }  # fmt: skip
        self._options = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]

    def install(self, wanted: SuiteProgram, folder: Path) -> None:
        """Unpack a program into ``folder`` with the existing lists, or with new ones if these are out of date."""
        if any(self._folder.glob("lists/*Packages*")):
            try:
                self._install(wanted, folder)
            except UnavailableError:
                for stale in (folder, self._folder / "archives"):
                    shutil.rmtree(stale)
                folder.mkdir()
                (self._folder / "archives" / "partial").mkdir(parents=True)
            else:
                return
        self._run("apt-get", "update")
        self._install(wanted, folder)

    def _install(self, wanted: SuiteProgram, folder: Path) -> None:
        self._require(wanted.packages[0], wanted.version)
        self._unpack(wanted.packages, folder)

    def _require(self, package: str, version: str) -> None:
        """Raise UnavailableError unless the suite has this version of the package, or a later one."""
        found = re.search(r"^Version: (?:\d+:)?([\d.]+)", self._run("apt-cache", "show", package), re.MULTILINE)
        if found is None or _numbers(found[1]) < _numbers(version):
            raise UnavailableError(f"the suite has {package} {found[1] if found else 'not'}, wanted is {version}")

    def _unpack(self, packages: Sequence[str], folder: Path) -> None:
        """Unpack packages and all libraries that they depend on, directly or indirectly, into ``folder``."""
        wanted, left = set(packages), list(packages)
        while left:
            for name in self._depends(left.pop()) - wanted:
                wanted.add(name)
                left.append(name)
        archives = self._folder / "archives"
        self._run("apt-get", "download", *sorted(wanted), cwd=archives)
        for name in sorted(wanted):
            for archive in archives.glob(f"{name}_*.deb"):
                _run(["dpkg", "-x", str(archive), str(folder)])

    def _depends(self, package: str) -> set[str]:
        """Return the libraries that a package depends on. Its other dependencies are needed for installation only."""
        text = self._run("apt-cache", "depends", "--important", package)
        return set(re.findall(r"Depends: (lib[a-z0-9.+-]+)", text))

    def _run(self, program: str, *words: str, cwd: Path | None = None) -> str:
        return _run([program, *self._options, *words], cwd)


def _source(suite: str) -> str:
    """Return the line of sources.list for a suite."""
    signed = f"[signed-by={KEYRING}] " if KEYRING.is_file() else ""
    return f"deb {signed}{_mirror()} {suite} main"


def _mirror() -> str:
    """Return the address of the system's package mirror."""
    if not RELEASE.is_file():
        raise UnavailableError("this is no Debian")
    found = re.search(r"^VERSION_CODENAME=(\S+)", RELEASE.read_text(encoding="utf-8"), re.MULTILINE)
    targets = _run(["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"])
    for line in targets.splitlines():
        suite, _, address = line.partition(" ")
        if found is not None and suite == found[1]:
            return address
    raise UnavailableError("apt names no mirror of Debian")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split(".") if number)


def _run(command: Sequence[str], cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=APT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{command[0]} took more than {APT_SECONDS} s") from None
    if done.returncode != 0:
        raise UnavailableError(f"{command[0]}: {done.stderr.strip().rpartition(chr(10))[2]}")
    return done.stdout


def _write_starter(folder: Path, program: str) -> Path:
    """Write a script that replaces itself by the program, so that both have the same process id."""
    binary = folder / "usr" / "bin" / program  # often a link: the program reads the name by which it is started
    loader = next((path for pattern in LOADERS for path in sorted(folder.rglob(pattern)) if path.is_file()), None)
    if not binary.is_file() or loader is None:
        raise UnavailableError("the packages lack the program or its loader")
    libraries = sorted({str(path.parent) for path in folder.rglob("lib*.so*")})
    script = folder / program
    command = f'exec "{loader}" --library-path "{os.pathsep.join(libraries)}" "{binary}" "$@"'
    script.write_text(f"#!/bin/sh\n{command}\n", encoding="utf-8")
    script.chmod(0o755)
    return script


def main(arguments: Sequence[str] | None = None) -> int:
    """Install every program and print its version or the reason of the failure. Return 1 if one can't be installed.

    With ``--path`` install one program and print its path.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.integration.suite_programs", description=__doc__)
    parser.add_argument("--allow-missing", action="store_true", help="return 0 nevertheless")
    parser.add_argument("--path", choices=SUITE_PROGRAMS, help="print the path of one program")
    options, missing = parser.parse_args(arguments), 0
    if options.path:
        sys.stdout.write(f"{install(options.path)}\n")
        return 0
    for name in SUITE_PROGRAMS:
        try:
            install(name)
        except UnavailableError as error:
            missing += 1
            sys.stdout.write(f"{name}: missing: {error}\n")
        else:
            sys.stdout.write(f"{name}: {version(name)}\n")
    return 0 if options.allow_missing else min(missing, 1)


if __name__ == "__main__":
    raise SystemExit(main())
