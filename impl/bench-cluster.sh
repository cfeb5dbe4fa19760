# Three servers on this machine, for the benchmarks that source this file. Data is kept in a temporary
# directory, which has to be on a disk. Needs a release build's raftd and raftctl, or those in the
# directory that PROGRAMS names.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

programs=${PROGRAMS:-}
if [ -z "$programs" ]; then
    cargo build --quiet --locked --release --package raft-kv
    programs=target/release
fi
data=$(mktemp -d "${TMPDIR:-/var/tmp}/raft-bench.XXXXXX")
declare -A servers

# kill_servers: ends all servers with SIGKILL.
kill_servers() {
    for server in "${servers[@]}"; do kill -KILL "$server" 2>/dev/null || true; done
    for server in "${servers[@]}"; do wait "$server" 2>/dev/null || true; done
    servers=()
}
trap 'kill_servers; rm -rf "$data"' EXIT

# start_server NUMBER
start_server() {
    "$programs/raftd" run --config "$data/node-$1.toml" 2>>"$data/$1.log" &
    servers[$1]=$!
}

# fill SIZE CLIENTS: starts all servers and writes 1,000-byte values.
fill() {
    "$programs/raftd" dev --data "$data" --client-port 17101 --peer-port 17201 --health-port 17301 \
        --configure-only >/dev/null
    for number in 1 2 3; do start_server "$number"; done
    "$programs/raftctl" put ready yes --timeout 60s >/dev/null
    "$programs/raftctl" bench --fill "$1" --value-size 1000 --clients "$2" --duration 1s >/dev/null 2>&1
}

# Not the ports of a `raftd dev` that somebody may have running.
export RAFTCTL_SERVERS=http://127.0.0.1:17101,http://127.0.0.1:17102,http://127.0.0.1:17103
