#!/usr/bin/env bash
# Measures raftd against etcd on this machine: three servers each, on loopback, data on the same file
# system, clients connected to the leader. They take turns (A B, B A, ..), each turn with a new and
# empty cluster while the other one is stopped, and the medians of the rounds are compared.
#
#   impl/bench-etcd.sh [--rounds N] [--duration TIME] [--warm-up TIME] [--clients "1 64 256"]
#                      [--value-size N] [--reads PERCENT] [--data DIR] [--etcd-only]
#
# Needs etcd, jq, and protoc to build the client of etcd. On Debian:
#   apt-get install etcd-server jq protobuf-compiler
set -euo pipefail

rounds=3 duration=10s warm_up=3s clients="1 64 256" value_size=256 reads=0 data="" etcd_only=""

while [ $# -gt 0 ]; do
    case "$1" in
        --rounds) rounds=$2; shift 2 ;;
        --duration) duration=$2; shift 2 ;;
        --warm-up) warm_up=$2; shift 2 ;;
        --clients) clients=$2; shift 2 ;;
        --value-size) value_size=$2; shift 2 ;;
        --reads) reads=$2; shift 2 ;;
        --data) data=$2; shift 2 ;;
        --etcd-only) etcd_only=yes; shift ;;
        -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
        *) echo "unknown option $1; --help lists them" >&2; exit 2 ;;
    esac
done

root=$(cd "$(dirname "$0")/.." && pwd)
bin="${CARGO_TARGET_DIR:-$root/target}/release"

need() {
    command -v "$1" >/dev/null && return
    echo "$1 is missing. On Debian: apt-get install $2" >&2
    exit 2
}
need etcd etcd-server
need jq jq
need protoc protobuf-compiler

if [ -z "${RAFTCTL:-}" ]; then
    binaries=(--bin raftctl)
    [ -n "$etcd_only" ] || binaries+=(--bin raftd)
    (cd "$root" && cargo build --release --quiet -p raft-kv --features etcd "${binaries[@]}")
fi
raftctl=${RAFTCTL:-$bin/raftctl}
raftd=${RAFTD:-$bin/raftd}

# Not /tmp, which is often in memory: there, writing to disk costs nothing.
work=$(mktemp -d "${data:-$root/target}/bench-etcd.XXXXXX")
running=()

stop() {
    [ ${#running[@]} -eq 0 ] || kill "${running[@]}" 2>/dev/null || true
    [ ${#running[@]} -eq 0 ] || wait "${running[@]}" 2>/dev/null || true
    running=()
}
trap 'stop; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

etcd_urls=http://127.0.0.1:23791,http://127.0.0.1:23792,http://127.0.0.1:23793
# Not the ports of a `raftd dev` that somebody may have running.
raft_urls=http://127.0.0.1:17101,http://127.0.0.1:17102,http://127.0.0.1:17103

# Runs a command until it succeeds, for up to 20 s.
await() {
    local tries
    for tries in $(seq 200); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    echo "the servers do not start; their output:" >&2
    tail -n 20 "$work"/*.log >&2
    exit 1
}

start_etcd() {
    local cluster="" n
    for n in 1 2 3; do cluster+="n$n=http://127.0.0.1:2380$n,"; done
    for n in 1 2 3; do
        # As it comes: every write is on the disks of a majority before it is confirmed.
        etcd --name "n$n" --data-dir "$work/etcd-$n" --log-level error \
            --listen-client-urls "http://127.0.0.1:2379$n" \
            --advertise-client-urls "http://127.0.0.1:2379$n" \
            --listen-peer-urls "http://127.0.0.1:2380$n" \
            --initial-advertise-peer-urls "http://127.0.0.1:2380$n" \
            --initial-cluster "${cluster%,}" --initial-cluster-state new \
            --quota-backend-bytes 8589934592 >"$work/etcd-$n.log" 2>&1 &
        running+=($!)
    done
    await "$raftctl" bench --etcd "$etcd_urls" --clients 1 --duration 10ms --warm-up 0s
}

start_raftd() {
    "$raftd" dev --data "$work/raftd" --client-port 17101 --peer-port 17201 >"$work/raftd.log" 2>&1 &
    running+=($!)
    await "$raftctl" --servers "$raft_urls" status
}

# One turn: a new cluster, every number of clients, and away with it.
turn() {
    local system=$1 round=$2 n target=()
    "start_$system"
    if [ "$system" = etcd ]; then target=(--etcd "$etcd_urls"); fi
    for n in $clients; do
        echo "round $round, $system, $n clients" >&2
        "$raftctl" --servers "$raft_urls" bench "${target[@]}" --clients "$n" \
            --duration "$duration" --warm-up "$warm_up" --value-size "$value_size" \
            --reads "$reads" --json "$work/$system.$n.$round.json" >/dev/null
    done
    stop
    rm -rf "$work"/etcd-[123] "$work/raftd"
    # What the kernel still writes is not the next one's fault.
    sync
}

for round in $(seq "$rounds"); do
    if [ -n "$etcd_only" ]; then
        turn etcd "$round"
    elif [ $((round % 2)) -eq 1 ]; then
        turn raftd "$round"; turn etcd "$round"
    else
        turn etcd "$round"; turn raftd "$round"
    fi
done

# The median of a field over the rounds.
median() {
    local system=$1 n=$2 field=$3
    jq -s "map(.runs[0]$field) | sort | (.[(length-1)/2|floor] + .[length/2|floor]) / 2" \
        "$work/$system.$n".*.json
}

row() {
    local system=$1 n=$2 cells="" field
    for field in .operations_per_second .p50_us .p99_us .p999_us .max_us; do
        cells+=$(printf ' %.0f |' "$(median "$system" "$n" "$field")")
    done
    cells+=$(printf ' %.1f |' "$(median "$system" "$n" .client_cpu.micros_per_operation)")
    echo "| $n | $system |$cells $(jq -s 'map(.runs[0].error_count) | add' "$work/$system.$n".*.json) |"
}

ratios() {
    local n=$1 cells="" field
    for field in .operations_per_second .p50_us .p99_us .p999_us .max_us \
        .client_cpu.micros_per_operation; do
        cells+=$(jq -rn --argjson a "$(median raftd "$n" "$field")" \
            --argjson b "$(median etcd "$n" "$field")" \
            'if $b == 0 then " - |" else " \(($a / $b * 100 | round) / 100) |" end')
    done
    echo "| $n | raftd / etcd |$cells |"
}

echo
echo "$(etcd --version | head -n 1); $(nproc) cores; $(uname -sr); data on $(stat -f -c %T "$work")."
echo "$rounds rounds of $duration after $warm_up; values of $value_size bytes, $reads % reads."
echo "Medians of the rounds; times in microseconds; errors in all rounds."
echo
echo "| clients | system | ops/s | p50 | p99 | p99.9 | max | client CPU/op | errors |"
echo "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
for n in $clients; do
    [ -n "$etcd_only" ] || row raftd "$n"
    row etcd "$n"
    [ -n "$etcd_only" ] || ratios "$n"
done
