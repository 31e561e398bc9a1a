# SPDX-License-Identifier: Apache-2.0
"""Install earlier versions of Celery, each with the kombu of its time, in a dedicated virtual environment.

Input: minor versions. Output: the Python of each. Installed versions are kept in ``.peers``, which git ignores. Pip's
own settings state where packages come from.
"""

import subprocess
import sys
import venv
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from tests.integration.processes import ROOT

VERSIONS = {
    "5.3": ("celery[redis]==5.3.6", "kombu==5.3.7"),
    "5.4": ("celery[redis]==5.4.0", "kombu==5.4.2"),
    "5.5": ("celery[redis]==5.5.3", "kombu==5.5.4"),
    "5.6": ("celery[redis]==5.6.3", "kombu==5.6.2"),
    "5.7": ("celery[redis]==5.7.0", "kombu==5.7.0"),
}
"""The requirements of each minor version."""
INSTALLATION_SECONDS = 120
PEERS = ROOT / ".peers"


def full_version(minor: str) -> str:
    """Return the full version of Celery that represents a minor version."""
    return VERSIONS[minor][0].partition("==")[2]


def python_of(minor: str) -> Path:
    """Return the Python that has a version, after its installation."""
    return PEERS / f"celery-{minor}" / "bin" / "python"


def install(minors: Iterable[str]) -> None:
    """Install all versions at once. Raise AssertionError with pip's output for one that can't be installed."""
    with ExitStack() as ending:
        running = [(minor, ending.enter_context(_start_pip(minor))) for minor in minors if not _stamp(minor).is_file()]
        for minor, pip in running:
            said, _ = pip.communicate(timeout=INSTALLATION_SECONDS)
            assert pip.returncode == 0, f"Celery {minor}: {said}"
            _stamp(minor).touch()


def _stamp(minor: str) -> Path:
    """Return the file whose name contains the installed versions."""
    wanted = "-".join([*VERSIONS[minor], f"py{sys.version_info.major}.{sys.version_info.minor}"])
    return PEERS / f"celery-{minor}" / f"has-{wanted}"


def _start_pip(minor: str) -> subprocess.Popen[str]:
    folder = PEERS / f"celery-{minor}"
    venv.create(folder, clear=True, with_pip=False)
    command = [sys.executable, "-m", "pip", "--python", str(python_of(minor)), "install", "--quiet", *VERSIONS[minor]]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
