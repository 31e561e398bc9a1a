# SPDX-License-Identifier: Apache-2.0
"""Where a release is installed from, and the names that exist outside of the repository."""

import re
from pathlib import Path

import pytest

from celery_redis_exporter.errors import PUBLISHED, install_command
from tests.support.project_files import project_files
from tests.support.record import passed_pythons

ROOT = Path(__file__).parents[2]
FLAG = ROOT / "exporter" / "celery_redis_exporter" / "errors.py"
SHOWN = {"README.md", "SECURITY.md", "SUPPORT.md", "CHANGELOG.md", "exporter", "deploy", "alerts", "grafana"}
"""Files and folders whose texts users read."""
PUBLISHED_NAME = re.compile(
    r"""\b(?:pip|pipx|uv|poetry)\d?\b[^\n]*?\b(?:install|add)\b[^\n|`]*?[\s'"]celery[-_]redis[-_]exporter(?=[\s'"\[<>=~`]|$)
    |\b(?:ghcr|docker|quay)\.io/[^\s`]*celery-redis-exporter
    |oci://[^\s`]*celery-redis-exporter
    |\bpypi\.org/project/celery-redis-exporter""",
    re.VERBOSE | re.MULTILINE,
)
"""A command or an address that needs a published distribution."""


def published_names(text: str) -> list[str]:
    """Return the places of a text that need a published distribution."""
    return PUBLISHED_NAME.findall(text)


@pytest.mark.parametrize(
    "text",
    [
        "pip install celery-redis-exporter",
        "pip install 'celery-redis-exporter[tui]'",
        "python -m pip install --upgrade celery-redis-exporter==1.0.0",
        "pipx install celery_redis_exporter",
        "uv tool install celery-redis-exporter",
        "docker pull ghcr.io/example/celery-redis-exporter:1.0.0",
        "helm install shop oci://registry.example/charts/celery-redis-exporter",
    ],
)
def test_published_names_are_recognised(text: str) -> None:
    """Each way to install from an index or a registry is found."""
    assert published_names(f"see: {text}\n")


@pytest.mark.parametrize(
    "text",
    [
        "pip install '.[tui]'",
        "/opt/celery-redis-exporter/bin/pip install .",
        "docker build --file deploy/docker/Dockerfile --tag celery-redis-exporter .",
        "helm install shop deploy/helm/celery-redis-exporter --namespace shop",
        "image: registry.example/celery-redis-exporter:1.0.0",
    ],
)
def test_local_installations_are_no_published_names(text: str) -> None:
    """An installation from a checkout, or from the user's registry, is not found."""
    assert [] == published_names(text)


def test_nothing_names_what_is_not_published() -> None:
    """Until PUBLISHED is set, no message and no page installs the exporter by name from an index or a registry."""
    shown = [path for path in project_files() if path.relative_to(ROOT).parts[0] in SHOWN and path != FLAG]
    texts = {path: path.read_text(encoding="utf-8") for path in shown if path.suffix != ".png"}
    assert len(texts) > 100
    found = [str(path.relative_to(ROOT)) for path, text in texts.items() if published_names(text)]
    assert PUBLISHED or [] == found


def test_the_flag_decides_what_messages_say() -> None:
    """Messages install from a checkout before a release, and by name after it."""
    assert [] == published_names(install_command("tui", published=False))
    assert published_names(install_command("tui", published=True))
    assert install_command("tui") == install_command("tui", published=PUBLISHED)


def test_classifiers_are_the_recorded_pythons() -> None:
    """The package names exactly the versions of Python that the record of the tests lists as passed."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    record = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")
    assert passed_pythons(record) == re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
