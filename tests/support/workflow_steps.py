# SPDX-License-Identifier: Apache-2.0
"""List the commands of the workflows in .github/workflows, and the test that runs each of them.

Output: steps in the order in which the jobs run them. As in ``documented_commands.py`` a table maps the first line of a
step's command to the test that runs it, or to the reason why only a forge can. The longest beginning wins.
"""

from pathlib import Path
from typing import NamedTuple

from tests.support import yaml_text

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ORDER = "tests/integration/test_release_steps.py::test_the_steps_of_a_release_in_order"

RUN = {
    "python -m tests.release.tag": ORDER,
    "python -m tests.release.addresses": ORDER,
    "SOURCE_DATE_EPOCH=": ORDER,
    "cd dist && sha256sum": ORDER,
    "python -m twine check": ORDER,
    "python -m pip install --require": "tests/integration/test_dockerfile.py::test_it_works_for_nobody_and_is_healthy",
}
"""The test that runs a command unchanged, or with a folder instead of the forge's."""

FORGE_ONLY = {
    "git config --global": "changes the settings of the user; a container of the forge has no other",
    "bash .ci/run": "it runs the tests",
    "bash tests/run.sh": "it runs the tests",
    ".venv/bin/python -m tests.quality": "takes hours; tests/unit/test_quality.py tests its parts",
    "bash deploy/dependencies.sh sbom": "downloads its tool; .ci/run downloads it too",
    "helm ": "Helm is not packaged; the chart is rendered by the tests",
    "python -m pip install twine": "the tests have it in the environment of development",
    "python -m twine upload": "needs the identity that the forge gives a run",
    "docker login": "needs the token that the forge gives a run",
    'image="': "needs a container engine and a registry; the steps of the Dockerfile are run by test_dockerfile.py",
    "gh release create": "needs the forge",
}
"""The reason why only a forge can run a command."""


class Step(NamedTuple):
    """A command of a workflow."""

    workflow: str
    job: str
    command: str


def read(path: Path) -> dict[str, object]:
    """Return a workflow. YAML 1.1 reads its key ``on`` as true."""
    tree: dict[str, object] = yaml_text.parse(path.read_text(encoding="utf-8"))
    return tree


def steps() -> list[Step]:
    """Return every command of every workflow."""
    return [
        Step(path.name, name, step["run"].strip())
        for path in WORKFLOWS
        for name, job in yaml_text.parse(path.read_text(encoding="utf-8"))["jobs"].items()
        for step in job.get("steps", ())
        if "run" in step
    ]
