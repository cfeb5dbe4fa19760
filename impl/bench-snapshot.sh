#!/usr/bin/env bash
# How long writes wait while a snapshot is sent to a follower that was away, which becomes it.
#
#   impl/bench-snapshot.sh [SIZE] [DURATION]      for example 500MB 20s, which are the defaults
#
# Three servers on this machine are filled with SIZE of 1,000-byte values. One follower is killed and its
# log left behind. 16 clients write for DURATION, then again while that follower starts and is sent the
# state. Needs jq, and what bench-cluster.sh says.
source "$(dirname "$0")/bench-cluster.sh"

size=${1:-500MB}
duration=${2:-20s}

load() {
    echo "-- $1"
    "$programs/raftctl" bench --value-size 1000 --clients 16 --warm-up 1s --duration "$duration"
}

fill "$size" 64
leader=$("$programs/raftctl" status --json - 2>/dev/null | jq .leader)
away=$((leader % 3 + 1))
kill -KILL "${servers[$away]}"
wait "${servers[$away]}" 2>/dev/null || true
load "server $away is down"
"$programs/raftctl" snapshot --all --timeout 60s >/dev/null || true
load "server $away is down, and the log was compacted"
start_server "$away"
load "server $away is sent the state and becomes it"
grep -h "snapshot" "$data"/*.log | sort | tail -n 6
