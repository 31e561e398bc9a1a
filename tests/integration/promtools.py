"""promtool of both lines of Prometheus: the system's 2.x, and 3.x from Debian's unstable release.

Takes a major version, gives the program's path; takes rules and series, and says which alerts fire when. What is
downloaded once is kept in ``.peers``, which git ignores. The package comes from the mirror that the system's apt is set
up with, by apt itself, into folders of its own: nothing is installed.
"""

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from tests.integration.processes import ROOT
from tests.support import yaml_text

Check = tuple[str, str, list[dict[str, str]]]
"""An alert, a time, and the labels of those that fire then."""

FOLDER = ROOT / ".peers" / "promtool-3"
SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
DOWNLOAD_SECONDS = 120
MAJORS = ("2", "3")
"""The versions of Prometheus that the rules are written for."""


def promtool(major: str) -> str:
    """Return the promtool of a major version; download it if needed. Raise AssertionError with apt's words."""
    if major == "2":
        return "promtool"
    program = FOLDER / "root" / "usr" / "bin" / "promtool"
    if not program.is_file():
        _download()
    return str(program)


def said(*command: str | Path) -> str:
    """Run a program to its end; return its output, fail if it failed."""
    done = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def judge(  # noqa: PLR0913, PLR0917 -- series, and when they are looked at
    folder: Path,
    rules: str,
    series: Mapping[str, str],
    checks: Sequence[Check],
    interval: str = "1m",
    evaluation: str = "1m",
) -> None:
    """Let promtool of both lines say whether alerts with exactly these labels fire at these times.

    ``interval`` is the time between two samples of ``series``, ``evaluation`` that between two evaluations of
    the rules, whose texts are not compared.
    """
    (folder / "rules.yml").write_text(without_texts(rules), encoding="utf-8")
    cases = [
        {"alertname": name, "eval_time": at, "exp_alerts": [{"exp_labels": labels} for labels in expected]}
        for name, at, expected in checks
    ]
    document = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": evaluation,
        "tests": [{
            "interval": interval,
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "alert_rule_test": cases,
        }],
    }  # fmt: skip
    (folder / "test.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    for major in MAJORS:
        said(promtool(major), "test", "rules", folder / "test.yml")


def without_texts(rules: str) -> str:
    """Take the annotations out of rules: their texts are tested in alerts/tests."""
    tree = yaml_text.parse(rules)
    for group in tree["groups"]:
        for rule in group["rules"]:
            rule.pop("annotations", None)
    return yaml.safe_dump(tree)


def _download() -> None:
    apt = FOLDER / "apt"
    shutil.rmtree(FOLDER, ignore_errors=True)
    for name in ("lists/partial", "cache/archives/partial", "parts"):
        (apt / name).mkdir(parents=True)
    (apt / "sources.list").write_text(f"deb [signed-by={KEYRING}] {_mirror()} sid main\n", encoding="utf-8")
    places = {
        "Dir::Etc::SourceList": apt / "sources.list",
        "Dir::Etc::SourceParts": apt / "parts",
        "Dir::State::Lists": apt / "lists",
        "Dir::Cache": apt / "cache",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
    }
    options = [part for key, value in places.items() for part in ("-o", f"{key}={value}")]
    _run("apt-get", *options, "update")
    _run("apt-get", *options, "download", "promtool")
    (package,) = FOLDER.glob("promtool_*.deb")
    _run("dpkg-deb", "-x", str(package), str(FOLDER / "root"))


def _mirror() -> str:
    """Return the address of the archive that the system uses."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES if path.is_file())
    found = re.search(r"^(?:URIs: |deb (?:\[.*?\] )?)(\S+)", text, re.MULTILINE)
    assert found, "apt has no source of Debian's packages"
    return found[1]


def _run(*command: str) -> None:
    done = subprocess.run(
        command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=DOWNLOAD_SECONDS
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
