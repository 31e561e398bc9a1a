#!/usr/bin/env bash
# Looks at what the image installs, deploy/requirements.lock:
#   bash deploy/dependencies.sh sbom    prints its bill of materials, CycloneDX in JSON
#   bash deploy/dependencies.sh audit   asks for its known vulnerabilities; fails if there are any. Where nobody answers
#                                       it says what was not looked at, and passes
# The tools, cyclonedx-bom and pip-audit, go into .peers/dependencies, once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

lock=deploy/requirements.lock
tools=.peers/dependencies
wanted="cyclonedx-bom==7.5.0 pip-audit==2.10.1"

usage() { sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

install_tools() { # tells whether they are there
  [ "$(cat "$tools/installed" 2>/dev/null)" != "$wanted" ] || return 0
  python3 -m venv "$tools" &&
    # shellcheck disable=SC2086 # two words
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check $wanted >&2 &&
    printf '%s\n' "$wanted" >"$tools/installed"
}

case ${1:-} in
  sbom)
    install_tools
    "$tools/bin/cyclonedx-py" requirements "$lock" --pyproject pyproject.toml --output-reproducible --of JSON -o -
    ;;
  audit)
    if ! install_tools; then
      echo "audit: pip-audit can't be installed here; nothing was looked at"
      exit 0
    fi
    answer=$(mktemp)
    trap 'rm -f "$answer"' EXIT
    # Its exit code does not tell a vulnerability from a network that is not there; what it writes does.
    "$tools/bin/pip-audit" --requirement "$lock" --require-hashes --disable-pip --progress-spinner off \
      --format json --output "$answer" >/dev/null 2>&1 || true
    "$tools/bin/python" - "$answer" <<'PYTHON'
import json
import sys
from pathlib import Path

text = Path(sys.argv[1]).read_text(encoding="utf-8")
packages = json.loads(text)["dependencies"] if text else []
asked = [package for package in packages if "vulns" in package]
found = [(package["name"], package["version"], vuln["id"]) for package in asked for vuln in package["vulns"]]
print(f"audit: {len(asked)} packages looked up, {len(packages) - len(asked)} not known to whom was asked")
if not packages:
    print("audit: nobody answered; nothing was looked at")
for name, version, vulnerability in found:
    print(f"audit: {name} {version}: {vulnerability}")
raise SystemExit(1 if found else 0)
PYTHON
    ;;
  -h | --help) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac
