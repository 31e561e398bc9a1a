# SPDX-License-Identifier: Apache-2.0
"""What every way to run the exporter must deny it: root, capabilities, a file system to write to.

Takes a pod, a compose service, a Dockerfile's last stage or a unit file, gives what it leaves open, a line each.
"""

import configparser
from collections.abc import Mapping
from typing import Any

from tests.deployment.dockerfile import Stage

HOST = ("hostNetwork", "hostPID", "hostIPC")
UNIT = {
    "DynamicUser": "yes",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "MemoryDenyWriteExecute": "yes",
    "RestrictSUIDSGID": "yes",
    "StateDirectory": "%N",
    "StateDirectoryMode": "0700",
}


def gaps_of_pod(spec: Mapping[str, Any]) -> list[str]:
    """Say what a pod's spec leaves open."""
    own = spec.get("securityContext", {})
    gaps = [key for key in HOST if spec.get(key)]
    if own.get("runAsNonRoot") is not True or not own.get("runAsUser"):
        gaps.append("runs as root")
    if own.get("seccompProfile") != {"type": "RuntimeDefault"}:
        gaps.append("has no seccomp profile")
    if spec.get("automountServiceAccountToken") is not False:
        gaps.append("has a token of Kubernetes")
    gaps += ["mounts the host" for volume in spec.get("volumes", ()) if "hostPath" in volume]
    for container in [*spec["containers"], *spec.get("initContainers", ())]:
        gaps += [f"{container['name']} {gap}" for gap in _gaps_of_container(container)]
    return gaps


def _gaps_of_container(container: Mapping[str, Any]) -> list[str]:
    context = container.get("securityContext", {})
    gaps = []
    if context.get("runAsNonRoot") is False or context.get("runAsUser") == 0:
        gaps.append("runs as root")
    if context.get("readOnlyRootFilesystem") is not True:
        gaps.append("can write")
    if context.get("capabilities") != {"drop": ["ALL"]}:
        gaps.append("has capabilities")
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        gaps.append("can gain rights")
    if "memory" not in container.get("resources", {}).get("limits", {}):
        gaps.append("has no limit of memory")
    return gaps


def gaps_of_service(service: Mapping[str, Any]) -> list[str]:
    """Say what a compose service leaves open."""
    gaps = []
    if str(service.get("user", "0")).partition(":")[0] in {"0", "root"}:
        gaps.append("runs as root")
    if service.get("read_only") is not True:
        gaps.append("can write")
    if service.get("cap_drop") != ["ALL"] or service.get("cap_add"):
        gaps.append("has capabilities")
    if "no-new-privileges:true" not in service.get("security_opt", ()) or service.get("privileged"):
        gaps.append("can gain rights")
    if not (service.get("mem_limit") and service.get("pids_limit")):
        gaps.append("has no limits")
    gaps += [key for key in ("network_mode", "pid", "ipc", "devices") if key in service]
    shared = [volume for volume in service.get("volumes", ()) if volume.startswith((".", "/"))]
    return gaps + [f"can write to {volume}" for volume in shared if not volume.endswith(":ro")]


def gaps_of_image(stage: Stage) -> list[str]:
    """Say what an image leaves open by itself."""
    keywords = [row.keyword for row in stage.instructions]
    gaps = []
    user = stage.texts("USER")[-1] if "USER" in keywords else "0"
    if not user.partition(":")[0].isdigit() or int(user.partition(":")[0]) == 0:
        gaps.append("runs as root, or as a name that nobody can check")
    if "USER" in keywords and "RUN" in keywords[keywords.index("USER") :]:
        gaps.append("changes files as its user")
    if any("--chown" in text for text in stage.texts("COPY")):
        gaps.append("owns files")
    return gaps + ["fetches files" for _ in stage.texts("ADD")]


def gaps_of_unit(text: str) -> list[str]:
    """Say what a systemd unit leaves open."""
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their capitals
    unit.read_string(text)
    service = unit["Service"]
    gaps = [f"{key}={service.get(key)}" for key, value in UNIT.items() if service.get(key) != value]
    gaps += [key for key in ("User", "ReadWritePaths", "LogsDirectory") if key in service]
    return gaps
