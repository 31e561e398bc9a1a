# SPDX-License-Identifier: Apache-2.0
"""The metrics, settings, files and permissions that the documents name exist."""

import re
from pathlib import Path

import pytest

from celery_redis_exporter.alerts import GROUPS
from celery_redis_exporter.alerts.slo import Objective, build_group
from celery_redis_exporter.catalog import CATALOG, Kind
from celery_redis_exporter.cli import COMMANDS, analyze, check, render_alerts, render_dashboards, top
from celery_redis_exporter.cli.check import reasons
from celery_redis_exporter.settings.schema.rows import describe
from tests.integration import acl
from tests.support.project_files import project_files

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in (
    "README.md", "CONTRIBUTING.md", "SECURITY.md", "SUPPORT.md", "CODE_OF_CONDUCT.md", "CHANGELOG.md",
    "exporter/README.md", "tests/README.md",
    "deploy/README.md", "alerts/README.md", "grafana/README.md", "tests/bench/README.md",
    "tests/fixtures/redis/README.md", "tests/fixtures/schemas/README.md",
    "exporter/celery_redis_exporter/cli/check/README.md",
)] + sorted((ROOT / "deploy" / "docs").glob("*.md"))  # fmt: skip
FOR_USERS = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    ROOT / "SUPPORT.md",
    *sorted((ROOT / "deploy" / "docs").glob("*.md")),
]
PRIVATE = (
    "heard",
    "is told",
    "are told",
    "tells",
    "nobody",
    "mend",
    "mends",
    "stranger",
    "goodbye",
    "of its own",
    "who comes",
)
"""Words of a private vocabulary, which readers do not understand."""
# Names of other programs and options, which the pages mention beside those of this project.
FOREIGN_FLAGS = {
    "--memkeys",
    "--app",
    "--args",
    "--concurrency",
    "--broker",
    "--scheduler",
    "--seed",
    "--disable",
    "--fast",
    "--seconds",
    "--calm",
    "--fault-seconds",
    "--minutes",
    "--set",
    "--slo",
    "--without-heartbeat",
    "--slow",
    "--alone",
    "--complete",
    "--wheel",
    "--lowest",
    "--newest",
    "--redis",
    "--allow-missing",
    "--write-record",
    "--thorough",
    "--repo",
    "--global",
    "--layer",
    "--write",
    # docker compose
    "--detach",
    "--signal",
    "--record",
    "--version",
    "--help",
    "--strict",
    "--x",
    # tests/bench, Prometheus in grafana/README.md
    "--enable-feature",
    "--only",
    "--quick",
    # deploy/README.md: docker, pip, kubectl, systemctl, helm, the Collector
    "--build",
    "--config",
    "--entrypoint",
    "--rm",
    "--user",
    "--volume",
    "--file",
    "--filename",
    "--format",
    "--from-file",
    "--kustomize",
    "--namespace",
    "--now",
    "--server-side",
    "--tag",
    # README.md, the first hour: apt-get, prometheus, prometheus-alertmanager, amtool
    "--alertmanager.url",
    "--cluster.listen-address",
    "--storage.path",
    "--storage.tsdb.path",
    "--yes",
}
HELP = analyze.HELP + check.HELP + top.HELP + render_alerts.HELP + render_dashboards.HELP
OF_COMMANDS = set(re.findall(r"--[a-z][a-z-]+", HELP))
# The last ones: a thread, Celery's queues of native delayed delivery, and the name that alerts/optional records.
FOREIGN_NAMES = {
    "celery_redis_exporter", "redis_exporter", "redis_nodes", "celery_delayed_0", "celery_delayed_27",
    "celery_task_duration_seconds",
}  # fmt: skip
ALERT = r"\b(?:Celery|Redis)[A-Z]\w+"
MIGRATION = ROOT / "deploy" / "docs" / "migration.md"
TROUBLESHOOTING = ROOT / "deploy" / "docs" / "troubleshooting.md"
PERMISSIONS = ROOT / "deploy" / "docs" / "permissions-and-cost.md"


def names_of_samples() -> set[str]:
    """Return every sample name that /metrics can contain."""
    names = set(CATALOG)
    for metric in CATALOG.values():
        if metric.kind is Kind.HISTOGRAM:
            names |= {f"{metric.name}_{suffix}" for suffix in ("bucket", "count", "sum")}
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_names_exist(page: Path) -> None:
    """Every metric, flag, variable and file that a page names exists."""
    text = page.read_text(encoding="utf-8")
    metrics = set(re.findall(r"`((?:celery|redis)_[a-z0-9_]+[a-z0-9])(?=[`{])", text)) - FOREIGN_NAMES
    assert set() == {name for name in metrics if "." not in name} - names_of_samples()
    flags = {flag.replace("--no-", "--") for flag in re.findall(r"(?<!\w)--[a-z][a-z.-]*[a-z]", text)}
    assert set() == flags - {row.flag for row in describe()} - OF_COMMANDS - FOREIGN_FLAGS
    variables = set(re.findall(r"\bEXPORTER_[A-Z_]+[A-Z]", text))
    known = {row.environment for row in describe()} | {f"{row.environment}_FILE" for row in describe() if row.secret}
    assert set() == variables - known
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (page.parent / link).exists(), link


def slugs(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_anchors_exist(page: Path) -> None:
    """Every link to a heading leads to an existing heading."""
    links = re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text(encoding="utf-8"))
    targets = [(page.parent / name if name else page, anchor) for name, anchor in links]
    assert [] == [anchor for target, anchor in targets if target.suffix == ".md" and anchor not in slugs(target)]


@pytest.mark.parametrize("page", FOR_USERS, ids=lambda page: page.name)
def test_paragraphs_are_short(page: Path) -> None:
    """No paragraph and no item of a list has more than five lines."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    parts = re.split(r"\n\n|\n(?=- |\d\. )", "\n".join(line for line in text.splitlines() if not line.startswith("|")))
    assert [] == [part for part in parts if len(part.strip().splitlines()) > 5]


@pytest.mark.parametrize("page", FOR_USERS, ids=lambda page: page.name)
def test_pages_have_no_private_words(page: Path) -> None:
    """Pages for users use standard terms."""
    text = " ".join(page.read_text(encoding="utf-8").split())
    assert [] == [phrase for phrase in PRIVATE if re.search(rf"\b{phrase}\b", text, re.IGNORECASE)]


def test_alerts_exist() -> None:
    """Every alert that any page of the repository names is one of the rules."""
    objectives = build_group((Objective("proj.pay", 0.995), Objective("proj.pay", 0.95, 30.0)))
    alerts = {alert.name for group in (*GROUPS, objectives) for alert in group.alerts}
    assert [] == [name for name in alerts if not re.fullmatch(ALERT, name)]
    pages = [path for path in project_files() if path.suffix == ".md"]
    named = {path.name: set(re.findall(ALERT, path.read_text(encoding="utf-8"))) for path in pages}
    assert named["migration.md"]
    named["CONTRIBUTING.md"] -= {"RedisForkSlow"}  # the alert that its example adds
    named["airflow.md"] -= {"CeleryExecutor"}  # Airflow's class
    assert {} == {name: found - alerts for name, found in named.items() if found - alerts}


def rows_below(heading: str) -> list[list[str]]:
    """Return the cells of a table's rows on the page about migration, by the table's heading."""
    table = MIGRATION.read_text(encoding="utf-8").partition(f"{heading}\n")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]


def test_what_is_the_same_is_there_and_what_is_not_is_not() -> None:
    """Metrics of redis_exporter listed as the same are in the catalogue, and those listed as missing are not."""
    rows = rows_below("| redis_exporter | here | what differs |")
    same = {name for old, new, _ in rows if new == "the same" for name in re.findall(r"redis_\w+", old)}
    assert "redis_key_group_count" in same
    assert set() == same - names_of_samples()
    missing = {name for old, _ in rows_below("| not there | instead |") for name in re.findall(r"redis_\w+", old)}
    assert "redis_keys_count" in missing
    assert set() == missing & names_of_samples()


def test_documented_permissions_are_those_that_are_tested() -> None:
    """The ACL line of the page has the permissions that the integration tests apply to a real server."""
    lines = PERMISSIONS.read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if line.startswith("ACL SETUSER")]
    words = line.replace("ACL SETUSER celery-exporter on >PASSWORD ", "").split()
    assert sorted((*acl.START[2:], *acl.RIGHTS)) == sorted(words)


def test_every_reason_of_a_failure_is_explained() -> None:
    """The page on troubleshooting lists exactly the reasons for which a Redis server can be down."""
    table = TROUBLESHOOTING.read_text(encoding="utf-8").partition("| err | meaning |")[2].partition("\n\n")[0]
    cells = " ".join(line.split("|")[1] for line in table.splitlines()[2:])
    known = {row.code.removeprefix("redis-") for row in reasons.ROWS if row.code.startswith("redis-")}
    advised = {"tls-missing", "tls-unspoken", "password-missing", "password-unneeded"}
    assert known - advised == set(re.findall(r"`(\w+)`", cells))


def test_commands_are_listed() -> None:
    """Every command is named in README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [] == [name for name in COMMANDS if name != "run" and name not in text]
