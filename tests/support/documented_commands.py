# SPDX-License-Identifier: Apache-2.0
"""List the commands in the documentation, and the test that runs each of them.

Input: README, CONTRIBUTING, the README of each top-level folder, and the pages for users. Output: commands. The tables
map the beginning of a command to the test that runs it, or to the reason why none does. The longest beginning wins.
"""

from pathlib import Path
from typing import NamedTuple

from tests.support.pages import blocks

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "deploy" / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted(ROOT.glob("[!.]*/README.md")),
    *sorted(DOCS.glob("*.md")),
]

_TYPED = "tests/integration/test_documented_commands.py::"
FIRST_HOUR = "tests/integration/test_first_hour.py::test_the_first_hour"
WALK = "tests/integration/test_walks.py::test_your_own_application"
DJANGO = "tests/integration/test_walks.py::test_a_django_project"
RECIPES = "tests/integration/test_contributing.py::test_add_an_alert"
RENDERED = f"{_TYPED}test_commands_that_end_do_so_well"
STARTED = f"{_TYPED}test_exporters_start"
QUERIED = f"{_TYPED}test_commands_on_a_server_end_well"
INSTALLED = f"{_TYPED}test_the_installation_as_typed"
CHART = "tests/contract/test_deployment_chart.py::test_the_pod_is_that_of_the_kustomization"

RUN = {
    "bash deploy/demo.sh": f"{_TYPED}test_the_demo_installs_itself",
    "python3 -m venv ~/exporter": INSTALLED,
    ". ~/exporter/bin/activate": INSTALLED,
    "pip install '.[tui]'": INSTALLED,
    "celery-redis-exporter --broker-url": STARTED,
    "celery-redis-exporter run": STARTED,
    "celery-redis-exporter --state.file": "tests/integration/test_saved_state.py",
    "celery-redis-exporter --config.file": STARTED,
    "celery-redis-exporter check": QUERIED,
    "celery-redis-exporter analyze": QUERIED,
    "celery-redis-exporter render": RENDERED,
    "source <(celery-redis-exporter": RENDERED,
    "promtool check config deploy": RENDERED,
    "export AIRFLOW": RENDERED,
    "mkdir -p ~/quickstart": WALK,
    "cd ~/quickstart": WALK,
    "celery --app=tasks": WALK,
    "celery-redis-exporter top --once": WALK,
    "celery-redis-exporter top http": QUERIED,
    "promtool check config prometheus.yml": WALK,
    "prometheus --config.file=prometheus.yml --storage": WALK,
    "promtool query instant http://localhost:9090 'ALERTS{": WALK,
    "pip install django": "tests/integration/test_beat.py::test_database_scheduler_reports_all_entries",
    "mkdir -p ~/mysite": DJANGO,
    "cp deploy/celery_events.py": DJANGO,
    "cd ~/mysite": DJANGO,
    "django-admin": DJANGO,
    "python manage.py": DJANGO,
    "celery --app=mysite": DJANGO,
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
    "amtool --alertmanager.url": FIRST_HOUR,
    "amtool check-config": RENDERED,
    "prometheus --config.file=prometheus.yml": "tests/integration/test_alerts_end_to_end.py",
    "promtool query instant http://localhost:9090 'ALERTS'": "tests/integration/test_alerts_end_to_end.py",
    "rabbitmqctl set_permissions": "tests/integration/test_rabbitmq.py::test_the_guide_asks_for_these_rights",
    "python3 -m venv /opt": INSTALLED,
    "/opt/celery-redis-exporter/bin/pip": INSTALLED,
    "install -": INSTALLED,
    "docker compose": "tests/integration/test_compose.py::test_every_target_is_up",
    "docker compose --file deploy/compose/applications": (
        "tests/integration/test_application_examples.py::test_the_compose_file_s_exporter"
    ),
    "docker build": "tests/integration/test_dockerfile.py::test_it_works_for_nobody_and_is_healthy",
    "helm install": CHART,
    "kubectl --namespace shop apply --kustomize":
        "tests/contract/test_deployment_manifests.py::test_manifests_fit_their_schemas",
    "python -m tests.fuzz": "tests/unit/test_bad_input.py",
}  # fmt: skip
"""The test that runs a command: unchanged, with other ports, or with an equivalent if its program is not available."""

NOT_RUN = {
    "bash tests/": "these commands run the tests",
    "python -m tests.quality": "they take minutes; tests/unit/test_quality.py tests their parts",
    "sudo ": "of root, on a Debian with an init; tests/run.sh installs the same packages",
    "systemctl": "of root, on a host with systemd; the unit is verified, and the program at that place",
    "pip install atheris": "no dependency: the fuzzer is run by hand",
    "bash deploy/dependencies.sh": "queries a service on the internet; CI runs it",
    "docker ": "there is no container engine, and no registry",
    "kubectl --namespace shop": "needs a cluster; the manifests are tested against their schemas",
    "alloy run": "Alloy and the Collector are not packaged; deploy/README.md says what of their files is tested",
    "otelcol-contrib": "as above",
}
"""Why no test runs a command; ten reasons at most."""


class Typed(NamedTuple):
    """A command, and the page that contains it."""

    page: str
    command: str


def commands() -> list[Typed]:
    """Return every command of every block of shell, without comments."""
    return [
        Typed(page.relative_to(ROOT).as_posix(), command)
        for page in PAGES
        for block in blocks(page)
        for command in block.commands
    ]
