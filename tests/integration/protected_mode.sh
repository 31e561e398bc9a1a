#!/usr/bin/env bash
# Runs in a network namespace of its own: bash protected_mode.sh PYTHON REDIS FOLDER. Starts a redis-server without a
# password, checks it at an address that is not localhost, applies the printed lines unchanged, and checks it again.
# Prints both documents of the check, one a line.
set -euo pipefail
python=$1 redis=$2 folder=$3
ip link set lo up
ip address add 192.0.2.1/32 dev lo # an address for documentation
"$redis" --port 6379 --dir "$folder" --maxmemory 100mb --appendonly yes >"$folder/redis.log" &
server=$!
trap 'kill "$server"; wait "$server" || true' EXIT
for _ in $(seq 200); do
  ! redis-cli ping >"$folder/ping" 2>&1 || break
  sleep 0.05
done

check() {
  "$python" -m celery_redis_exporter check redis://192.0.2.1:6379/0 --json --listen=0 --web.listen-address=127.0.0.1:0 "$@" |
    "$python" -c 'import json, sys; print(json.dumps(json.load(sys.stdin)))'
}

before=$(check || true)
printf '%s\n' "$before"
{ read -r first; read -r second; } < <("$python" -c '
import json, sys
findings = {finding["code"]: finding for finding in json.loads(sys.argv[1])["findings"]}
print(*findings["redis-denied"]["remedy"], sep="\n")' "$before")
bash -c "$first" >"$folder/answer"
echo PASSWORD >"$folder/FILE"
cd "$folder"
# shellcheck disable=SC2086 -- the line is a flag and a comment
check ${second%%#*} || true
