# SPDX-License-Identifier: Apache-2.0
"""Dockerfiles as data: stages and instructions; and what .dockerignore leaves of the repository.

Takes texts, gives instructions with their lines joined. Knows what ours uses; builds nothing.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.project_files import project_files

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"


@dataclass(frozen=True)
class Instruction:
    """A keyword and what follows it."""

    keyword: str
    text: str


@dataclass
class Stage:
    """A stage: its image, its name, its instructions in order."""

    image: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def texts(self, keyword: str) -> list[str]:
        """Give what follows each instruction of a kind."""
        return [row.text for row in self.instructions if row.keyword == keyword]

    def words(self, keyword: str) -> list[str]:
        """Give the list of the last instruction of a kind, as in ENTRYPOINT ["program"]."""
        words: list[str] = json.loads(self.texts(keyword)[-1])
        return words

    def environment(self) -> dict[str, str]:
        """Give the variables that ENV sets."""
        return dict(word.split("=", 1) for text in self.texts("ENV") for word in text.split())

    def health_check(self) -> list[str]:
        """Give the command of HEALTHCHECK."""
        words: list[str] = json.loads(self.texts("HEALTHCHECK")[-1].partition(" CMD ")[2])
        return words


def parse(text: str) -> list[Stage]:
    """Parse a Dockerfile into its stages; what stands before the first FROM are defaults of its images."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for line in filter(str.strip, lines.replace("\\\n", "").splitlines()):
        keyword, _, rest = line.strip().partition(" ")
        if keyword == "FROM":
            image, _, name = rest.partition(" AS ")
            for argument, default in arguments.items():
                image = image.replace(f"${{{argument}}}", default)
            stages.append(Stage(image, name))
        elif not stages:
            argument, _, default = rest.partition("=")
            arguments[argument] = default
        else:
            stages[-1].instructions.append(Instruction(keyword, rest))
    return stages


def read() -> list[Stage]:
    """Parse ours."""
    return parse(DOCKERFILE.read_text(encoding="utf-8"))


def context_files() -> list[str]:
    """Give the files that a build sees: what git knows or would know, less what .dockerignore leaves out."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    paths = [path.relative_to(ROOT).as_posix() for path in project_files()]
    return [path for path in paths if is_seen(path, patterns)]


def is_seen(path: str, patterns: Sequence[str]) -> bool:
    """Whether a path is left in by the last pattern that matches it or a folder above it."""
    parts = path.split("/")
    names = ["/".join(parts[: length + 1]) for length in range(len(parts))]
    seen = True
    for pattern in patterns:
        regex = re.escape(pattern.removeprefix("!")).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        if any(re.fullmatch(regex, name) for name in names):
            seen = pattern.startswith("!")
    return seen
