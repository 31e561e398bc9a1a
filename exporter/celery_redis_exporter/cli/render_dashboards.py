# SPDX-License-Identifier: Apache-2.0
"""``render dashboards``: write the Grafana dashboards for an installation.

Input: flags. Output: standard output or a folder. Reads the files of the package, or those of a checkout, and no
server. Raises ConfigError, in one line, for an unknown dashboard, with the nearest known one, and for a name that
Kubernetes would refuse.
"""

import argparse
import re
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from textwrap import indent

from celery_redis_exporter.alerts.files import dump
from celery_redis_exporter.alerts.links import RUNBOOKS, dashboard_uid
from celery_redis_exporter.cli import render_values as values
from celery_redis_exporter.cli.arguments import Parser
from celery_redis_exporter.errors import ConfigError

HELP = """\
usage: celery-redis-exporter render dashboards [flags]

Print the Grafana dashboards as ConfigMaps for Grafana's sidecar on Kubernetes.

  --format=configmap|json  ConfigMaps (the default), or the JSON of a dashboard
  --uid=celery-overview    only this dashboard, by its file name or its uid; can
                           be repeated
  --output=DIR             write a file for each dashboard into this folder
  --name=celery            the beginning of the ConfigMaps' names
  --namespace=monitoring   their namespace
  --label=NAME=VALUE       a label for each, instead of grafana_dashboard=1; can
                           be repeated
  --folder=Celery          Grafana's folder, as the annotation grafana_folder
  --runbook-url=URL        the page with the runbooks, https://...
"""
SUFFIX = ".json"
PACKAGED = Path(__file__).parents[1] / "dashboards"
CHECKOUT = Path(__file__).parents[3] / "grafana"
LABEL = "grafana_dashboard=1"
FOLDER_ANNOTATION = "grafana_folder"
DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL_NAME = re.compile(r"([a-z0-9.-]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def run(argv: list[str]) -> int:
    """Print or write the dashboards. Raises ConfigError for a wrong flag or value."""
    if any(argument in {"-h", "--help"} for argument in argv):
        sys.stdout.write(HELP)
        return 0
    flags = _parse(argv)
    if flags.folder is not None:
        values.title("--folder", flags.folder)
    found = _choose(read_dashboards(), flags.uid)
    if flags.runbook_url is not None:
        base = values.url("--runbook-url", flags.runbook_url)
        found = {uid: text.replace(f"({RUNBOOKS}#", f"({base}#") for uid, text in found.items()}
    if flags.format == "json" and not flags.output and len(found) > 1:
        raise ConfigError(f"--format=json: one dashboard at a time, as in --uid={next(iter(found))}; or --output=DIR")
    rendered = found if flags.format == "json" else _configmaps(found, flags)
    if flags.output:
        _write(Path(flags.output), rendered, SUFFIX if flags.format == "json" else ".yaml")
    else:
        sys.stdout.write("---\n".join(rendered.values()))
    return 0


def read_dashboards() -> dict[str, str]:
    """Return the JSON of every dashboard by its file's name, in alphabetical order."""
    # The wheel contains them in the package. In a checkout they are in the folder where they are generated.
    folder = PACKAGED if PACKAGED.is_dir() else CHECKOUT
    found = {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob(f"*{SUFFIX}"))}
    if not found:
        raise ConfigError(f"render dashboards: this installation has none; looked in {folder}")
    return found


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser("render dashboards")
    parser.add_argument("--format", choices=("configmap", "json"), default="configmap")
    parser.add_argument("--name", default="celery-redis-exporter")
    for flag in ("--namespace", "--folder", "--output", "--runbook-url"):
        parser.add_argument(flag)
    for flag in ("--uid", "--label"):
        parser.add_argument(flag, action="append", default=[])
    return parser.parse_all(argv)


def _choose(known: Mapping[str, str], uids: list[str]) -> dict[str, str]:
    names = {dashboard_uid(name): name for name in known} | {name: name for name in known}
    for uid in uids:
        if uid not in names:
            close = get_close_matches(uid, list(names), 3)
            hint = f"did you mean {', '.join(close)}?" if close else f"there are {', '.join(known)}"
            raise ConfigError(f"--uid {uid}: there is no such dashboard; {hint}")
    chosen = {names[uid] for uid in uids} or set(known)
    return {name: text for name, text in known.items() if name in chosen}


def _configmaps(found: Mapping[str, str], flags: argparse.Namespace) -> dict[str, str]:
    """Return one ConfigMap per dashboard. One for all would be near the limit of Kubernetes (1 MiB)."""
    labels = dict(_label(text) for text in flags.label or [LABEL])
    if flags.namespace is not None and not DNS_NAME.fullmatch(flags.namespace):
        raise ConfigError(f"--namespace {flags.namespace}: must be lower case letters, digits and -")
    return {uid: _configmap(uid, text, labels, flags) for uid, text in found.items()}


def _configmap(uid: str, text: str, labels: Mapping[str, str], flags: argparse.Namespace) -> str:
    name = f"{flags.name}-{uid}"
    if not DNS_NAME.fullmatch(name):
        raise ConfigError(f"--name {flags.name}: {name} must be at most 63 lower case letters, digits and -")
    metadata: dict[str, object] = {"name": name, "labels": dict(labels)}
    if flags.namespace:
        metadata["namespace"] = flags.namespace
    if flags.folder:
        metadata["annotations"] = {FOLDER_ANNOTATION: flags.folder}
    head = dump({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    return f"{head}data:\n  {uid}{SUFFIX}: |\n{indent(text, '    ')}"


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not LABEL_NAME.fullmatch(name) or not LABEL_VALUE.fullmatch(value):
        raise ConfigError(f"--label {text}: must be NAME=VALUE, as Kubernetes takes labels")
    return name, value


def _write(folder: Path, rendered: Mapping[str, str], suffix: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for uid, text in rendered.items():
            (folder / f"{uid}{suffix}").write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--output {folder}: can't be written: {error}") from None
