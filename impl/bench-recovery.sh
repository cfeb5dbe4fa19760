#!/usr/bin/env bash
# How long a cluster needs to serve again when all of its servers are killed under load.
#
#   impl/bench-recovery.sh [SIZE] [ROUNDS]      for example 100MB 6, which are the defaults
#
# Three servers on this machine are filled with SIZE of 1,000-byte values. In each round 16 clients
# write for 15 s, all servers are killed with SIGKILL and started at once, and the time is from there to
# the first write that is acknowledged. Data is kept in a temporary directory, which has to be on a disk.
# Needs a release build's raftd and raftctl, or those in the directory that PROGRAMS names.
set -euo pipefail
cd "$(dirname "$0")/.."

size=${1:-100MB}
rounds=${2:-6}
programs=${PROGRAMS:-}
if [ -z "$programs" ]; then
    cargo build --quiet --locked --release --package raft-kv
    programs=target/release
fi
data=$(mktemp -d "${TMPDIR:-/var/tmp}/raft-recovery.XXXXXX")
servers=()

stop() {
    [ ${#servers[@]} -eq 0 ] || kill -KILL "${servers[@]}" 2>/dev/null || true
    wait "${servers[@]}" 2>/dev/null || true
    servers=()
}
trap 'stop; rm -rf "$data"' EXIT

start() {
    for number in 1 2 3; do
        "$programs/raftd" run --config "$data/node-$number.toml" 2>>"$data/$number.log" &
        servers+=($!)
    done
}

now() { date +%s%N; }

# Not the ports of a `raftd dev` that somebody may have running.
export RAFTCTL_SERVERS=http://127.0.0.1:17101,http://127.0.0.1:17102,http://127.0.0.1:17103
"$programs/raftd" dev --data "$data" --client-port 17101 --peer-port 17201 --health-port 17301 \
    --configure-only >/dev/null
start
"$programs/raftctl" put ready yes --timeout 60s >/dev/null
"$programs/raftctl" bench --fill "$size" --value-size 1000 --clients 16 --duration 1s >/dev/null
echo "three servers with $size, on $(nproc) cores"
for round in $(seq "$rounds"); do
    "$programs/raftctl" bench --value-size 1000 --clients 16 --duration 1h >/dev/null 2>&1 &
    bench=$!
    sleep 15
    stop
    kill "$bench" 2>/dev/null && wait "$bench" 2>/dev/null || true
    began=$(now)
    start
    "$programs/raftctl" put recovered "$round" --timeout 60s >/dev/null
    echo "round $round: $(( ($(now) - began) / 1000000 )) ms"
done
