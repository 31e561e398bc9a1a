"""List the commands in the documentation, and the test that runs each of them.

Input: README, CONTRIBUTING and the README of each folder at the top. Output: commands. The tables state, by the first
words of a command, which test runs it, or why none does.
"""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("[!.]*/README.md"))]

FIRST_HOUR = "tests/integration/test_first_hour.py::test_the_first_hour"
RECIPES = "tests/integration/test_contributing.py::test_add_an_alert"
RENDERED = "tests/integration/test_documented_commands.py::test_commands_that_end_do_so_well"
CHART = "tests/contract/test_deployment_chart.py::test_the_pod_is_that_of_the_kustomization"

RUN = {
    "bash deploy/demo.sh": "tests/integration/test_documented_commands.py::test_the_demo_installs_itself",
    "pip install .": "tests/integration/test_wheel.py::test_an_installation_has_its_version",
    "celery-redis-exporter --broker-url": "tests/integration/test_wheel.py::test_an_installation_is_scraped",
    "celery-redis-exporter --state.file": "tests/integration/test_saved_state.py",
    "celery-redis-exporter check": "tests/integration/test_check.py::test_a_healthy_set_up_passes",
    "celery-redis-exporter render": RENDERED,
    "promtool check config": RENDERED,
    "python -m celery_redis_exporter.catalog.reference": (
        "tests/integration/test_contributing.py::test_add_a_redis_metric"
    ),
    "python -m celery_redis_exporter.alerts.files": RECIPES,
    "python -m grafana.generator": "tests/integration/test_contributing.py::test_add_a_panel",
    "python -m celery_redis_exporter render": RECIPES,
    "pytest tests/contract/": RECIPES,
    "promtool test rules": RECIPES,
    ".demo/bin/celery-redis-exporter": FIRST_HOUR,
    "prometheus --config.file=deploy/prometheus/demo.yml": FIRST_HOUR,
    "prometheus-alertmanager": FIRST_HOUR,
    "amtool": FIRST_HOUR,
    "prometheus --config.file=prometheus.yml": "tests/integration/test_alerts_end_to_end.py",
    "docker compose": "tests/integration/test_compose.py::test_every_target_is_up",
    "docker build": "tests/integration/test_dockerfile.py::test_it_works_for_nobody_and_is_healthy",
    "helm install": CHART,
    "kubectl --namespace shop apply --kustomize":
        "tests/contract/test_deployment_manifests.py::test_manifests_fit_their_schemas",
    "python -m tests.fuzz": "tests/unit/test_bad_input.py",
}  # fmt: skip
"""The test that runs a command: unchanged, with other ports, or, if its program is not available, what it would do."""

SYSTEMD = "of root, on a host with systemd; the unit and its environment are tested, and the program at that place"
CLUSTER = "needs a cluster; the manifests are tested against their schemas"
NOT_RUN = {
    "bash tests/run.sh": "it runs the tests",
    "sudo apt-get install": "of root; tests/run.sh installs the same packages",
    "pip install atheris": "no dependency: the fuzzer is run by hand",
    "promtool query": "asks the Prometheus of the line above it; the tests ask by HTTP",
    "python3 -m venv /opt": SYSTEMD,
    "/opt/celery-redis-exporter/bin/pip": SYSTEMD,
    "install -": SYSTEMD,
    "systemctl": SYSTEMD,
    "docker push": "there is no registry",
    "docker run": "there is no container engine",
    "docker volume": "there is no container engine",
    "kubectl --namespace shop create": CLUSTER,
    "kubectl --namespace shop rollout": CLUSTER,
    "kubectl --namespace shop apply --filename": CLUSTER,
    "alloy": "not packaged; deploy/README.md says what of its file is tested",
    "otelcol-contrib": "as above",
}
"""The reason why no test runs a command."""


class Typed(NamedTuple):
    """A command, and the page that contains it."""

    page: str
    command: str


def commands() -> list[Typed]:
    """Return every line of every block of shell. Comments are removed, and continued lines are joined."""
    found = []
    for page in PAGES:
        blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        for line in "".join(blocks).replace("\\\n", " ").splitlines():
            command = " ".join(line.partition(" #")[0].split())
            if command:
                found.append(Typed(page.relative_to(ROOT).as_posix(), command))
    return found
