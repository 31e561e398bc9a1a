# SPDX-License-Identifier: Apache-2.0
"""All output that a refactoring must leave unchanged, as text by file name.

Input: the package, recorded replies, captured events. Output: the current goldens; ``__main__`` compares them with
those in ``recorded/``.
"""

import base64
import contextlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from unittest import mock

from celery_redis_exporter.cli import COMMANDS, main
from tests.deployment import chart, kustomize
from tests.deployment.manifests import FOLDERS
from tests.goldens.command_lines import COMMAND_LINES
from tests.goldens.exposition import OPENMETRICS, TEXT, Story
from tests.goldens.replay_server import Replies, replaying
from tests.support import yaml_text

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).with_name("recorded")
REPLIES = FOLDER / "replies.json"
GENERATED = (
    "alerts/*.yml", "deploy/docs/configuration.md", "deploy/docs/settings.example.yml", "deploy/status.schema.json",
    "deploy/kubernetes/rules/*.yaml", "exporter/celery_redis_exporter/**/README.md", "grafana/*.json",
)  # fmt: skip
"""Generated files that are committed: they are goldens themselves, compared by ``test_generated_files.py`` and git."""
VALUES: Mapping[str, Mapping[str, object]] = {
    "default": {},
    "operator": {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}},
    "pod_monitor": {"podMonitor": {"enabled": True}, "secret": {"name": "celery", "brokerPasswordKey": "broker"}},
}
"""Values of the chart, by the name of their golden; dashboards are separate goldens."""


def capture() -> dict[str, str]:
    """Return every golden, by its file name in ``recorded/``."""
    return {**_exposition(), **_help(), "exit_codes.txt": _exit_codes(), **_manifests()}


def read_replies() -> dict[str, Replies]:
    """Read the recorded replies of each server."""
    tree = json.loads(REPLIES.read_text(encoding="utf-8"))
    return {
        server: {command: _unwritten(reply) for command, reply in replies.items()} for server, replies in tree.items()
    }


def write_replies(servers: Mapping[str, Replies]) -> None:
    """Write the replies of each server, as text if they are text, otherwise in base64."""
    tree = {
        server: {command: _written(reply) for command, reply in sorted(replies.items())}
        for server, replies in servers.items()
    }
    REPLIES.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")


def _written(reply: bytes) -> str | dict[str, str]:
    try:
        return reply.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(reply).decode()}


def _unwritten(reply: str | dict[str, str]) -> bytes:
    return reply.encode() if isinstance(reply, str) else base64.b64decode(reply["base64"])


def _exposition() -> dict[str, str]:
    replies = read_replies()
    with replaying(replies["broker"]) as broker, replaying(replies["results"]) as results:
        story = Story(broker, results)
        try:
            story.run()
            early = story.metrics(TEXT)
            story.clock.advance(60)
            return {
                "metrics_early.txt": early,
                "metrics.txt": story.metrics(TEXT),
                "metrics_openmetrics.txt": story.metrics(OPENMETRICS),
                "status.json": story.status(),
            }
        finally:
            story.close()


def _help() -> dict[str, str]:
    lines = [["--help"], *([name, "--help"] for name in COMMANDS), ["render", "alerts", "--help"]]
    lines.append(["render", "dashboards", "--help"])
    return {f"help/{'_'.join(['main', *line[:-1]])}.txt": _run(line)[1] for line in lines}


def _exit_codes() -> str:
    """Return a line for each command line: the exit code, the arguments, the first line of standard error."""
    rows = []
    for line in COMMAND_LINES:
        code, _, error = _run([*line])
        rows.append(
            f"{code}  {' '.join(line) or '(no arguments)'}\n     {error.splitlines()[0] if error else ''}".rstrip()
        )
    return "\n".join(rows) + "\n"


def _run(arguments: list[str]) -> tuple[int, str, str]:
    """Run the command line in this process; return its exit code, output and error output."""
    with _outputs() as (out, err), mock.patch.dict(os.environ, {"PATH": os.environ["PATH"]}, clear=True):
        code = main(arguments)
    return code, out.getvalue(), err.getvalue()


@contextlib.contextmanager
def _outputs() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield out, err


def _manifests() -> dict[str, str]:
    rendered = {}
    for name, values in VALUES.items():
        files = chart.render(values)
        rendered[f"chart_{name}.yaml"] = "".join(f"# {file}\n{text.strip()}\n" for file, text in sorted(files.items()))
    for folder in FOLDERS:
        name = folder.relative_to(ROOT / "deploy" / "kubernetes").as_posix().replace("/", "_")
        rendered[f"kustomize_{name}.yaml"] = yaml_text.dump_all(kustomize.resolve(folder))
    return rendered
