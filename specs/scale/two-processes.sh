#!/bin/sh
# Explores a configuration with two processes on this machine, and compares their result with that of
# one process. Usage: specs/scale/two-processes.sh [CONFIG [PORT]], from the root of the repository.
set -eu
config=${1:-replication-3}
port=${2:-7400}

cargo build --release --package raft-checker
raftcheck=$PWD/target/release/raftcheck
folder=$(mktemp -d)
second=
trap '[ -z "$second" ] || kill "$second" 2> /dev/null; rm -rf "$folder"' EXIT
cd "$folder"

printf '127.0.0.1:%s\n127.0.0.1:%s\n' "$port" "$((port + 1))" > hosts
check() {
    "$raftcheck" check "$config" --network any --threads 1 "$@"
}
check --hosts hosts --process 1 --json second.json > second.txt &
second=$!
check --hosts hosts --process 0 --json first.json
wait "$second"
second=
check --json alone.json > alone.txt

result() {
    grep -E '"(states_hash|distinct_states|transitions|local_transitions|verdict)"' "$1"
}
for report in first second; do
    [ "$(result $report.json)" = "$(result alone.json)" ] || {
        echo "the $report process has another result than one process alone" >&2
        exit 1
    }
done
echo
echo "Two processes and one have the same result:"
result alone.json
