# SPDX-License-Identifier: Apache-2.0
"""In every deployment of deploy/ the exporter runs as an unprivileged user without permissions to write."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deployment import compose, dockerfile, lockdown, manifests
from tests.deployment.manifests import DEPLOY, of_kind
from tests.support.project_files import project_files

WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod", "ReplicaSet"}
PODS = {
    name: deployment["spec"]["template"]["spec"]
    for name, found in manifests.everything().items()
    for deployment in of_kind(found, "Deployment")
}
POD = PODS["kubernetes/base"]
SERVICES: dict[str, Any] = compose.read()["services"] | {
    f"{name} of applications": row for name, row in compose.read(file=compose.APPLICATIONS)["services"].items()
}
UNIT = DEPLOY / "systemd" / "celery-redis-exporter.service"
DROP_IN = DEPLOY / "systemd" / "celery-redis-exporter.service.d" / "applications.conf"


@pytest.mark.parametrize("name", PODS)
def test_pods_leave_nothing_open(name: str) -> None:
    """A pod has no root user, capabilities, escalation, writable file system or token, and a limit of memory."""
    assert [] == lockdown.gaps_of_pod(PODS[name])


@pytest.mark.parametrize("name", SERVICES)
def test_services_leave_nothing_open(name: str) -> None:
    """All services of the compose file, also those of other projects, are restricted in the same way."""
    assert [] == lockdown.gaps_of_service(SERVICES[name])


def test_the_image_leaves_nothing_open() -> None:
    """The image's user is a number other than root's, and owns no file."""
    assert [] == lockdown.gaps_of_image(dockerfile.read()[-1])


def test_the_unit_leaves_nothing_open() -> None:
    """The unit's user exists as long as its process, has no privileges, and can only write to the state directory."""
    text = UNIT.read_text(encoding="utf-8")
    assert [] == lockdown.gaps_of_unit(text)
    assert [] == lockdown.gaps_of_unit(text + DROP_IN.read_text(encoding="utf-8"))


def test_no_file_is_forgotten() -> None:
    """Every file of deploy/ that starts a program is among those that are checked here."""
    starters = set()
    for path in DEPLOY.rglob("*"):
        if path.is_file() and path.suffix in {".yaml", ".yml", ".service", ".socket", ".timer", ""}:
            text = path.read_text(encoding="utf-8")
            kinds = set(re.findall(r"^kind: (\w+)", text, re.MULTILINE))
            if kinds & WORKLOADS or re.search(r"^(services:|FROM |ExecStart=)", text, re.MULTILINE):
                starters.add(path.relative_to(DEPLOY).as_posix())
    # otel-collector has the Collector's own `service:`; patches of overlays are part of the resolved manifests.
    assert {
        "compose/applications/compose.yml",
        "compose/compose.yml",
        "docker/Dockerfile",
        "helm/celery-redis-exporter/templates/deployment.yaml",
        "kubernetes/base/deployment.yaml",
        "kubernetes/components/rabbitmq/broker.yaml",
        "kubernetes/components/sentinel/broker.yaml",
        "kubernetes/components/web-config/pod.yaml",
        "kubernetes/components/without-password/pod.yaml",
        "kubernetes/overlays/applications/pod.yaml",
        "kubernetes/overlays/plain-annotations/annotations.yaml",
        "systemd/celery-redis-exporter.service",
    } == starters


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("securityContext", "runAsNonRoot"), False),
        (("securityContext", "runAsUser"), 0),
        (("securityContext", "seccompProfile"), {"type": "Unconfined"}),
        (("automountServiceAccountToken",), True),
        (("hostNetwork",), True),
        (("volumes", 0), {"name": "secrets", "hostPath": {"path": "/"}}),
        (("containers", 0, "securityContext", "runAsUser"), 0),
        (("containers", 0, "securityContext", "readOnlyRootFilesystem"), False),
        (("containers", 0, "securityContext", "capabilities"), {"drop": ["ALL"], "add": ["NET_RAW"]}),
        (("containers", 0, "securityContext", "allowPrivilegeEscalation"), True),
        (("containers", 0, "securityContext", "privileged"), True),
        (("containers", 0, "resources"), {}),
    ],
    ids=str,
)
def test_a_gap_in_a_pod_is_found(path: tuple[str | int, ...], value: object) -> None:
    """Each privilege that is added to a pod is found."""
    changed = copy.deepcopy(POD)
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert 1 == len(lockdown.gaps_of_pod(changed))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("user", "root"),
        ("read_only", False),
        ("cap_drop", []),
        ("cap_add", ["NET_ADMIN"]),
        ("security_opt", []),
        ("privileged", True),
        ("mem_limit", None),
        ("network_mode", "host"),
        ("volumes", ["/:/host"]),
    ],
)
def test_a_gap_in_a_service_is_found(key: str, value: object) -> None:
    """Each privilege that is added to a service is found."""
    assert 1 == len(lockdown.gaps_of_service({**SERVICES["exporter"], key: value}))


@pytest.mark.parametrize(
    "line", ["USER root", "USER 0:0", "RUN chmod 777 /", "ADD https://a.example/b /", "COPY --chown=1 a b"]
)
def test_a_gap_in_an_image_is_found(line: str) -> None:
    """Each privilege that is added to the image is found."""
    text = dockerfile.DOCKERFILE.read_text(encoding="utf-8")
    assert 1 == len(lockdown.gaps_of_image(dockerfile.parse(f"{text}\n{line}\n")[-1]))


@pytest.mark.parametrize(
    "line", ["User=root", "CapabilityBoundingSet=CAP_NET_RAW", "ProtectSystem=no", "StateDirectory=x"]
)
def test_a_gap_in_a_unit_is_found(line: str) -> None:
    """Each privilege that is added to the unit is found."""
    text = UNIT.read_text(encoding="utf-8").replace("\n[Install]", f"\n{line}\n[Install]")
    assert 1 == len(lockdown.gaps_of_unit(text))


def test_no_password_is_written_down() -> None:
    """Passwords are in separate files, and no variable or URL of deploy/ contains one."""
    holds = re.compile(r"://[^\s/:@$]*:[^\s/@$]+@")
    found = [
        f"{path.name}: {match[0]}"
        for path in project_files()
        if DEPLOY in path.parents and path.suffix not in {".md", ".json", ".png"}
        for match in holds.finditer(path.read_text(encoding="utf-8"))
    ]
    assert [] == found
    assert [] == [
        name for name, row in SERVICES.items() if any("sample-password" in str(value) for value in row.values())
    ]


def test_the_secrets_of_pods_are_files() -> None:
    """No pod gets a secret as a variable, which a crash report or a child process could show."""
    texts = [yaml.safe_dump(pod) for pod in PODS.values()]
    assert [] == [text for text in texts if "secretKeyRef" in text or "envFrom" in text]
    assert Path("/run/secrets/celery-redis-exporter") == Path(POD["containers"][0]["volumeMounts"][0]["mountPath"])
