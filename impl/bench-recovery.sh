#!/usr/bin/env bash
# How long a cluster needs to serve again when all of its servers are killed under load.
#
#   impl/bench-recovery.sh [SIZE] [ROUNDS]      for example 100MB 6, which are the defaults
#
# Three servers on this machine are filled with SIZE of 1,000-byte values. In each round 16 clients
# write for 15 s, all servers are killed with SIGKILL and started at once, and the time is from there to
# the first write that is acknowledged. bench-cluster.sh says what it needs.
source "$(dirname "$0")/bench-cluster.sh"

size=${1:-100MB}
rounds=${2:-6}

now() { date +%s%N; }

fill "$size" 16
echo "three servers with $size, on $(nproc) cores"
for round in $(seq "$rounds"); do
    "$programs/raftctl" bench --value-size 1000 --clients 16 --duration 1h >/dev/null 2>&1 &
    bench=$!
    sleep 15
    kill_servers
    kill "$bench" 2>/dev/null && wait "$bench" 2>/dev/null || true
    began=$(now)
    for number in 1 2 3; do start_server "$number"; done
    "$programs/raftctl" put recovered "$round" --timeout 60s >/dev/null
    echo "round $round: $(( ($(now) - began) / 1000000 )) ms"
done
