#!/usr/bin/env bash
# How long writes wait while a snapshot is sent to a follower that was away, which becomes it.
#
#   impl/bench-snapshot.sh [SIZE] [DURATION]      for example 500MB 20s, which are the defaults
#
# Three servers on this machine are filled with SIZE of 1,000-byte values. One follower is killed and its
# log left behind. 16 clients write for DURATION, then again while that follower starts and is sent the
# state. Data is kept in a temporary directory, which has to be on a disk. Needs jq, and a release build's
# raftd and raftctl, or those in the directory that PROGRAMS names.
set -euo pipefail
cd "$(dirname "$0")/.."

size=${1:-500MB}
duration=${2:-20s}
programs=${PROGRAMS:-}
if [ -z "$programs" ]; then
    cargo build --quiet --locked --release --package raft-kv
    programs=target/release
fi
data=$(mktemp -d "${TMPDIR:-/var/tmp}/raft-snapshot.XXXXXX")
declare -A servers

stop() {
    for server in "${servers[@]}"; do kill -KILL "$server" 2>/dev/null || true; done
    wait 2>/dev/null || true
}
trap 'stop; rm -rf "$data"' EXIT

start() {
    "$programs/raftd" run --config "$data/node-$1.toml" 2>>"$data/$1.log" &
    servers[$1]=$!
}

load() {
    echo "-- $1"
    "$programs/raftctl" bench --value-size 1000 --clients 16 --warm-up 1s --duration "$duration"
}

# Not the ports of a `raftd dev` that somebody may have running.
export RAFTCTL_SERVERS=http://127.0.0.1:17101,http://127.0.0.1:17102,http://127.0.0.1:17103
"$programs/raftd" dev --data "$data" --client-port 17101 --peer-port 17201 --health-port 17301 \
    --configure-only >/dev/null
for number in 1 2 3; do start "$number"; done
"$programs/raftctl" put ready yes --timeout 60s >/dev/null
"$programs/raftctl" bench --fill "$size" --value-size 1000 --clients 64 --duration 1s >/dev/null
leader=$("$programs/raftctl" status --json - 2>/dev/null | jq .leader)
away=$((leader % 3 + 1))
kill -KILL "${servers[$away]}"
wait "${servers[$away]}" 2>/dev/null || true
load "server $away is down"
"$programs/raftctl" snapshot --all --timeout 60s >/dev/null || true
load "server $away is down, and the log was compacted"
start "$away"
load "server $away is sent the state and becomes it"
grep -h "snapshot" "$data"/*.log | sort | tail -n 6
