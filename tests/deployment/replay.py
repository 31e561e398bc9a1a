# SPDX-License-Identifier: Apache-2.0
"""A Dockerfile carried out in a folder that stands for the image: no engine, no root, no base image.

Takes the stages, gives the folder with what RUN and COPY made of it. The Python is that of the tests; paths of the
image are those below the folder. ``locked_down`` gives what starts a program as the image's user, without capabilities,
on a file system that is read-only.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.deployment.dockerfile import ROOT, Stage, context_files

IMAGE_FOLDERS = ("/opt", "/src")
LOCK_DOWN = """
set -e
mount --make-rprivate /
if [ -n "$hidden" ]; then  # the interpreter lies in a folder that only root may enter
  mount --bind "$python" "$shelf"
  mount -t tmpfs -o mode=755 tmpfs "$hidden"
  mkdir -p "$python"
  mount --bind "$shelf" "$python"
fi
for place in $(cut -d' ' -f5 /proc/self/mountinfo); do
  case $place in / | /tmp | /tmp/* | /var/tmp | /home | /run | /dev/shm) mount -o remount,ro,bind "$place" ;; esac
done
exec setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""


class Replay:
    """An image that was built in ``root``; programs of it are run with ``environment`` in ``folder``."""

    def __init__(self, root: Path, stages: Sequence[Stage]) -> None:
        self.root = root
        self._context = context_files()
        python = root / "usr/local/bin/python"
        python.parent.mkdir(parents=True)
        python.symlink_to(os.path.realpath(sys.executable))
        for stage in stages:
            self._begin(stage)
            for row in stage.instructions:
                action = {"RUN": self._run, "COPY": self._copy, "WORKDIR": self._enter}.get(row.keyword)
                if action:
                    action(row.text)

    def inside(self, text: str) -> str:
        """Give a text with the image's paths as they are here."""
        for folder in IMAGE_FOLDERS:
            text = text.replace(folder + "/", f"{self.root}{folder}/")
        return text

    def _begin(self, stage: Stage) -> None:
        self.folder = self.root
        kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "HOME"))}
        self.environment = {**kept, "PATH": f"{self.root}/usr/local/bin:/usr/bin:/bin"}
        for name, value in stage.environment().items():
            self.environment[name] = self.inside(value).replace("$PATH", self.environment["PATH"])

    def _enter(self, text: str) -> None:
        self.folder = self.root / text.strip("/")
        self.folder.mkdir(parents=True, exist_ok=True)

    def _run(self, text: str) -> None:
        done = subprocess.run(
            ["sh", "-ec", self.inside(text)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"

    def _copy(self, text: str) -> None:
        *sources, target = shlex.split(text)
        if sources[0].startswith("--from="):
            # The stages share one folder here.
            assert (self.root / sources[1].strip("/")).is_dir(), text
            assert sources[1] == target, text
            return
        for source in sources:
            found = [path for path in self._context if path == source or path.startswith(f"{source}/")]
            assert found, f"nothing of {source} is in the context"
            for path in found:
                inner = Path(path).name if path == source else Path(target) / Path(path).relative_to(source)
                place = self.folder / inner
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / path, place)


def can_lock_down() -> bool:
    """Whether this user may make mounts of its own and change to another user."""
    if os.geteuid() != 0 or not all(shutil.which(name) for name in ("unshare", "setpriv")):
        return False
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


def locked_down(root: Path, user: int) -> list[str]:
    """Give the command that runs what follows it as ``user``, without rights and with nothing to write to."""
    python = Path(sys.base_prefix)
    closed = [folder for folder in python.parents if not folder.stat().st_mode & 0o001]
    shelf = root / "shelf"
    shelf.mkdir(exist_ok=True)
    variables = {"python": python, "hidden": closed[-1] if closed else "", "shelf": shelf, "user": user}
    settings = "\n".join(f"{name}={shlex.quote(str(value))}" for name, value in variables.items())
    return ["unshare", "--mount", "sh", "-c", f"{settings}\n{LOCK_DOWN}", "sh"]
