#!/usr/bin/env bash
# Passes the tests with the Python and the servers of another Debian release, on Debian, as root:
#   bash tests/chroot.sh RELEASE [arguments of tests/run.sh]
#   bash tests/chroot.sh sid --fast --write-record
#   TEST_PYTHON=python3.15 bash tests/chroot.sh sid --fast
# The release is installed into .peers/debian-RELEASE by debootstrap, from the mirror that apt uses, and kept. In it the
# checkout is at its own path, with a virtual environment of its own (.venv-RELEASE). apt and pip read their sources as
# they do here. All mounts end with this process.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
repository=$PWD

usage() { sed -n '2,8s/^# \{0,1\}//p' "$repository/tests/chroot.sh"; }

install_release() { # makes the folder; an installation that was interrupted begins anew
  local codename mirror
  [ -f "$root/complete" ] && return
  if ! command -v debootstrap >/dev/null; then
    apt-get update -q && apt-get install -q -y --no-install-recommends debootstrap
  fi
  codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
    sed -n "s/^$codename //p" | head -n 1)
  rm -rf "$root"
  mkdir -p "$root"
  debootstrap --variant=minbase \
    --include=ca-certificates,curl,git,openssl,procps,python3,python3-venv "$release" "$root" "$mirror"
  touch "$root/complete"
}

offer() { # a file or folder of this machine at its own path, read-only
  local inside=$root$1
  if [ -d "$1" ]; then mkdir -p "$inside"; else mkdir -p "${inside%/*}" && { [ -e "$inside" ] || touch "$inside"; }; fi
  mount --bind -o ro "$1" "$inside"
}

mount_all() {
  local path common
  mount -t tmpfs tmpfs "$root/tmp" # before the repository, which may be below it
  mkdir -p "$root$repository"
  mount --bind "$repository" "$root$repository"
  mount -t proc proc "$root/proc"
  mount --rbind /sys "$root/sys"
  mount --rbind /dev "$root/dev"
  for path in /etc/resolv.conf /etc/hosts; do offer "$path"; done
  apt-config dump | grep '^Acquire::' >"$root/etc/apt/apt.conf.d/99machine" # how apt reads the mirror here
  # What pip reads here: its files, and the files and folders that they name. The packages of an index may be beside it.
  for path in /etc/pip.conf /etc/xdg/pip "$HOME/.config/pip" "$HOME/.pip/pip.conf" $(python3 -m pip config list |
    grep -o "/[^' ]*" | sed 's#^//##; s#/simple$##' | sort -u); do
    if [ -e "$path" ]; then offer "$path"; fi
  done
  common=$(git rev-parse --path-format=absolute --git-common-dir) # elsewhere if this is a work tree of another clone
  case $common in "$repository"/*) ;; *) offer "$common" ;; esac
}

case ${1:--h} in
  -h | --help) usage; exit 0 ;;
  -*) usage >&2; exit 2 ;;
esac
release=$1 root=$repository/.peers/debian-$1
shift
if [ "${CHROOT_MOUNTED:-}" != yes ]; then
  install_release
  # The mounts are in a namespace of this command; nothing of them is left, however it ends.
  exec env CHROOT_MOUNTED=yes unshare --mount --propagation private bash "$repository/tests/chroot.sh" "$release" "$@"
fi
mount_all
kept=()
while read -r pair; do kept+=("$pair"); done < <(env | grep -iE '^(PIP_[A-Z_]*|(https?|no)_proxy)=' || true)
exec env -i HOME="$HOME" LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  TEST_ENVIRONMENT=".venv-$release${TEST_PYTHON:-}" TEST_PYTHON="${TEST_PYTHON:-}" ${kept[@]+"${kept[@]}"} \
  chroot "$root" bash "$repository/tests/run.sh" "$@"
