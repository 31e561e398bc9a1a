# SPDX-License-Identifier: Apache-2.0
"""The files of deploy/ other than manifests: image, compose, systemd, scrape configurations."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from celery_redis_exporter.settings import load
from celery_redis_exporter.settings.schema.rows import describe
from tests.deployment import compose, dockerfile, schemas
from tests.deployment.manifests import DEPLOY
from tests.support import yaml_text
from tests.support.project_files import project_files

ROOT = DEPLOY.parent
COMPOSED = compose.read()
UNIT = DEPLOY / "systemd" / "celery-redis-exporter.service"
DROP_IN = UNIT.with_name(f"{UNIT.name}.d") / "applications.conf"
LOCKS = [DEPLOY / "requirements.lock", DEPLOY / "docker" / "build-requirements.lock"]
PROSE = {".md", ".png", ".svg", ".json"}


def known_variables() -> set[str]:
    """Return every variable that the exporter reads."""
    rows = describe()
    return {row.environment for row in rows} | {f"{row.environment}_FILE" for row in rows if row.secret}


def test_every_variable_exists() -> None:
    """No file of deploy/ sets a variable that the exporter would refuse."""
    paths = [path for path in project_files() if DEPLOY in path.parents and path.suffix not in PROSE]
    named = {
        name for path in paths for name in re.findall(r"\bEXPORTER_[A-Z_]+[A-Z]", path.read_text(encoding="utf-8"))
    }
    assert {"EXPORTER_BROKER_URL", "EXPORTER_WORKERS__LOST_AFTER"} <= named
    assert set() == named - known_variables()


def test_hadolint_finds_nothing() -> None:
    """The linter hadolint reports nothing about the Dockerfile."""
    program = shutil.which("hadolint", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if program is None:
        pytest.skip("needs hadolint, of which PyPI has a wheel for Linux on x86_64")
    done = subprocess.run([program, dockerfile.DOCKERFILE], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stdout + done.stderr)


def test_the_context_holds_what_is_copied_and_nothing_else() -> None:
    """Tests, secrets and history are not in the build context; each source of COPY is."""
    files = dockerfile.context_files()
    tops = {path.partition("/")[0] for path in files}
    assert {"CHANGELOG.md", "LICENSE", "README.md", "deploy", "exporter", "grafana", "pyproject.toml"} == tops
    copied = {word for text in dockerfile.read()[0].texts("COPY") for word in text.split()[:-1]}
    assert set() == {source for source in copied if not any(f"{path}/".startswith(f"{source}/") for path in files)}
    assert set() == {path for path in files if not any(f"{path}/".startswith(f"{source}/") for source in copied)}


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("exporter/celery_redis_exporter/daemon/application.py", True),
        ("exporter/celery_redis_exporter/__pycache__/app.pyc", False),
        ("grafana/redis.json", True),
        ("grafana/preview/package.json", False),
        ("deploy/compose/redis-password.example", False),
        (".git/config", False),
        ("tests/conftest.py", False),
    ],
)
def test_the_ignore_file_means_what_it_says(path: str, seen: bool) -> None:  # noqa: FBT001 -- a table's column
    """The last matching pattern decides, as in docker."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert seen == dockerfile.is_seen(path, [line for line in lines if line and not line.startswith("#")])


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_everything_installed_is_pinned_with_hashes(lock: Path) -> None:
    """Each requirement has one version and a SHA-256."""
    text = re.sub(r"\\\n\s*", "", lock.read_text(encoding="utf-8"))
    rows = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert rows
    assert [] == [row for row in rows if not re.match(r"[\w.\[\]-]+==[\w.]+\s.*--hash=sha256:[0-9a-f]{64}", row)]


def test_every_install_asks_for_hashes() -> None:
    """Each installation in a build checks hashes, or downloads nothing."""
    commands = re.findall(r"\binstall (.*?)(?:&&|$)", " ".join(dockerfile.read()[0].texts("RUN")))
    assert [] == [command for command in commands if "--require-hashes" not in command and "--no-index" not in command]


def test_compose_fits_its_schema() -> None:
    """The compose files contain only fields of the specification."""
    tree = {key: value for key, value in COMPOSED.items() if not key.startswith("x-")}
    assert [] == schemas.faults(tree, schemas.read("compose.json"))
    assert [] == schemas.faults(compose.read(file=compose.APPLICATIONS), schemas.read("compose.json"))
    assert schemas.faults({**tree, "service": {}}, schemas.read("compose.json"))


def test_compose_mounts_files_that_exist() -> None:
    """Every file and folder that a service mounts exists, and all dashboards are among them."""
    found = {name: compose.mounts(row, COMPOSED["secrets"]) for name, row in COMPOSED["services"].items()}
    assert [] == [source for row in found.values() for source in row.values() if source and not source.exists()]
    dashboards = {str(path) for path in (ROOT / "grafana").glob("*.json")}
    assert dashboards == {str(source) for source in found["grafana"].values() if source and source.suffix == ".json"}


def test_compose_opens_ports_on_this_machine_alone() -> None:
    """Redis publishes no port, and the other services publish theirs on loopback."""
    ports = {name: row["ports"] for name, row in COMPOSED["services"].items() if "ports" in row}
    assert {"exporter", "prometheus", "alertmanager", "grafana"} == set(ports)
    assert all(port.startswith("127.0.0.1:") for row in ports.values() for port in row)
    assert {"internal": True} == COMPOSED["networks"]["application"]
    reachable = {name for name, row in COMPOSED["services"].items() if row["networks"] != ["application"]}
    assert set(ports) == reachable


def test_compose_checks_the_health_of_what_others_wait_for() -> None:
    """Each service that publishes a port or that others wait for has a health check, its own or its image's."""
    services = COMPOSED["services"]
    waited = {name for row in services.values() for name in row.get("depends_on", ())}
    checked = {name for name, row in services.items() if row.get("healthcheck", {}).get("disable") is not True}
    assert waited | {name for name, row in services.items() if "ports" in row} == checked & set(services)


def test_the_example_names_every_variable_of_compose() -> None:
    """.env.example contains each variable that the compose file uses, with its default or as a comment."""
    lines = (compose.FOLDER / ".env.example").read_text(encoding="utf-8").splitlines()
    found = dict(re.findall(r"^(?:# )?([A-Z_]+)=(.*)$", "\n".join(lines), re.MULTILINE))
    assert set(compose.variables_with_defaults()) == set(found)
    defaults = compose.variables_with_defaults()
    given = {name: value for name, value in found.items() if f"{name}={value}" in lines}
    assert given == {name: defaults[name] for name in given}
    assert "9999" in str(compose.read({"PORT_EXPORTER": "9999"})["services"]["exporter"]["ports"])


def verified(unit: Path) -> tuple[int, str]:
    """Verify a unit and its drop-ins with systemd; return the exit code and the output."""
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    return checked.returncode, checked.stdout + checked.stderr


def verify(folder: Path, text: str) -> Path:
    """Write the unit with a program that exists on this machine."""
    path = folder / UNIT.name
    path.write_text(
        re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", text, flags=re.MULTILINE), encoding="utf-8"
    )
    return path


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """The program systemd-analyze accepts every line of the unit and rates its exposure OK: below 2 of 10."""
    unit = verify(tmp_path, UNIT.read_text(encoding="utf-8"))
    assert (0, "") == verified(unit)
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(unit)]
    rated = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 0 == rated.returncode, rated.stdout
    assert re.search(r"Overall exposure level for \S+: [01]\.\d OK", rated.stdout)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_refuses_a_unit_with_a_mistake(tmp_path: Path) -> None:
    """An unknown line of a unit is reported, so the check can fail."""
    text = UNIT.read_text(encoding="utf-8").replace("NoNewPrivileges=", "NoMorePrivileges=")
    assert "NoMorePrivileges" in verified(verify(tmp_path, text))[1]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_accepts_the_drop_in(tmp_path: Path) -> None:
    """The program systemd-analyze accepts every line of the drop-in for several applications, read with the unit."""
    unit = verify(tmp_path, UNIT.read_text(encoding="utf-8"))
    drop_in = tmp_path / DROP_IN.parent.name / DROP_IN.name
    drop_in.parent.mkdir()
    drop_in.write_text(DROP_IN.read_text(encoding="utf-8"), encoding="utf-8")
    assert (0, "") == verified(unit)
    drop_in.write_text(DROP_IN.read_text(encoding="utf-8").replace("TasksMax", "TasksMost"), encoding="utf-8")
    assert "TasksMost" in verified(unit)[1]


def test_the_unit_and_its_environment_are_settings(tmp_path: Path) -> None:
    """The settings of unit and environment file, with its commented lines switched on, start the exporter."""
    lines = (UNIT.with_suffix(".env")).read_text(encoding="utf-8").splitlines()
    settings = dict(re.findall(r"^(?:# )?(EXPORTER_\w+)=(.*)$", "\n".join(lines), re.MULTILINE))
    password = tmp_path / "broker-password"
    password.write_text("word\n", encoding="utf-8")
    text = UNIT.read_text(encoding="utf-8")
    assert "Environment=EXPORTER_BROKER_PASSWORD_FILE=%d/broker-password" in text.splitlines()
    assert "LoadCredential=broker-password:/etc/celery-redis-exporter/broker-password" in text.splitlines()
    assert {"StateDirectory=%N", "Environment=EXPORTER_STATE__FILE=%S/%N/state"} <= set(text.splitlines())
    state = {"EXPORTER_STATE__FILE": str(tmp_path / "state")}
    load([], {**settings, **state, "EXPORTER_BROKER_PASSWORD_FILE": str(password)})


def test_alloy_names_components_that_it_has() -> None:
    """Brackets of the Alloy file are closed, and each reference names a component of the file."""
    text = re.sub(
        r"//.*", "", (DEPLOY / "alloy" / "config.alloy").read_text(encoding="utf-8").replace("http://", "http:")
    )
    without_texts = re.sub(r'"[^"]*"', '""', text)
    assert [] == [pair for pair in ("{}", "[]", "()") if without_texts.count(pair[0]) != without_texts.count(pair[1])]
    components = {".".join(found) for found in re.findall(r'^([\w.]+) "(\w+)" \{', text, re.MULTILINE)}
    references = re.findall(r"= \[?((?:prometheus|discovery)\.\w+\.\w+)\.", text)
    assert {"prometheus.remote_write.default", "discovery.kubernetes.pods"} == set(references)
    assert set(references) <= components


def test_the_collector_s_pipelines_use_what_is_there() -> None:
    """Every part that a pipeline of the Collector names is configured, and every configured part is used."""
    tree: dict[str, Any] = yaml_text.parse((DEPLOY / "otel-collector" / "config.yml").read_text(encoding="utf-8"))
    for kind in ("receivers", "processors", "exporters"):
        named = {name for row in tree["service"]["pipelines"].values() for name in row[kind]}
        assert set(tree[kind]) == named
    assert json.dumps(tree["exporters"]).count("add_metric_suffixes") == 1


def test_the_readme_says_of_every_file_how_it_is_tested() -> None:
    """The table of tests contains each file and folder of deploy/, and nothing else."""
    text = (DEPLOY / "README.md").read_text(encoding="utf-8").partition("## What is tested")[2]
    rows = re.findall(r"^\| (.+?) \|", text.partition("\n## ")[0], re.MULTILINE)
    named = {name for row in rows[1:] for name in re.findall(r"(?<![\w.\[(/])[\w.-]*\w/?(?![\w\])])", row)}
    inside = {path.relative_to(DEPLOY).parts for path in project_files() if DEPLOY in path.parents}
    there = {parts[0] + ("/" if len(parts) > 1 else "") for parts in inside} - {"README.md"}
    assert there == named - {"and", "dockerignore"}


def test_the_readme_s_commands_name_files_that_exist() -> None:
    """Every path of the repository in a command of deploy/README.md or in a comment of deploy/ exists."""
    found = (path for path in project_files() if DEPLOY in path.parents)
    texts = (path for path in found if path.suffix not in {".json", ".png"})
    paths = [path for path in texts if path.is_file() and not path.is_symlink()]
    named = {
        name.rstrip(".,:;)")
        for path in paths
        for name in re.findall(r"(?<![\w/.-])(?:deploy|alerts|grafana)/[\w./-]+", path.read_text(encoding="utf-8"))
    }
    assert "deploy/docker/Dockerfile" in named
    # A pattern ends with a dash before its star; the last one is an image.
    missing = {name for name in named if not (ROOT / name).exists() and not name.endswith("-")}
    assert {"grafana/grafana"} == missing
