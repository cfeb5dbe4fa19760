#!/usr/bin/env bash
# Puts each bug of specs/shell-bugs into a copy of the sources, one at a time, and writes into
# specs/shell-bugs.md which layer catches it, as what, and in how many steps.
#
#   conformance/shell-bugs.sh [BUG...]     takes about a minute for each; needs git and a Rust toolchain
#
# Nothing outside target/ changes but specs/shell-bugs.md, and that only if all bugs were tried.
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=${SHELL_BUGS_DIR:-$root/target/shell-bugs}
configs="election-2 snapshot-late-3 recover-2-snapshot persistence-2"
bugs=("$@")
if [ ${#bugs[@]} -eq 0 ]; then
    for patch in specs/shell-bugs/*.patch; do bugs+=("$(basename "$patch" .patch)"); done
fi

mkdir -p "$work"
export CARGO_TARGET_DIR=$work/target
table=$work/table
: >"$table"

for bug in "${bugs[@]}"; do
    patch=$root/specs/shell-bugs/$bug.patch
    # The sources as they are, and only those: what cargo has built of them stays.
    mkdir -p "$work/source"
    git ls-files -z | tar --null -T - -cf - | tar -xf - -C "$work/source"
    cd "$work/source" || exit 1
    if ! git apply --unsafe-paths --directory="$work/source" "$patch" 2>"$work/log" &&
        ! patch -s -p1 <"$patch" >"$work/log" 2>&1; then
        echo "$bug: the patch does not fit any more" >&2
        cat "$work/log" >&2
        exit 2
    fi
    # tar keeps the times of files, and a patched file must look newer than what was built from it.
    sed -n 's|^+++ b/||p' "$patch" | xargs touch
    if ! cargo build --quiet --locked --package raft-conformance --bin raftgate 2>"$work/log"; then
        echo "$bug: does not compile" >&2
        tail -20 "$work/log" >&2
        exit 2
    fi
    gate=$CARGO_TARGET_DIR/debug/raftgate
    caught=() what=
    rm -f "$work/trace"
    # shellcheck disable=SC2086
    "$gate" conform $configs --configs "$root/specs/configs" --time-limit 90s --save "$work/trace" \
        >"$work/$bug.conform" 2>/dev/null
    if [ $? -eq 3 ]; then
        if [ -f "$work/trace" ]; then
            caught+=("conform, $(($(wc -l <"$work/trace") - 2)) steps")
        else
            # What differs outside of the configurations has no trace.
            part=$(sed -n 's/^the \(.*\) DIVERGED$/\1/p' "$work/$bug.conform" | head -1)
            caught+=("conform, in ${part:-a transfer}")
        fi
    fi
    # What conform has caught needs no simulation.
    if [ ${#caught[@]} -eq 0 ]; then
        rm -f "$work/trace"
        "$gate" simulate --seeds 0..400 --time-limit 30s --save "$work/trace" >"$work/$bug.simulate" 2>/dev/null
        if [ $? -eq 1 ]; then
            what=$(sed -n 's/^seed [0-9]* breaks \(.*\):$/\1/p' "$work/$bug.simulate" | head -1)
            steps=
            if [ -f "$work/trace" ]; then steps=", $(($(wc -l <"$work/trace") - 2)) steps"; fi
            caught+=("simulate ($what)$steps")
        fi
    fi
    cd "$root" || exit 1
    list=$(printf '%s; ' "${caught[@]:-NOT CAUGHT}")
    echo "| \`$bug\` | $(head -1 "$patch") | ${list%; } |" | tee -a "$table"
    # The next bug begins with sound sources.
    sed -n 's|^+++ b/||p' "$patch" | xargs touch
done

[ $# -eq 0 ] || exit 0
{
    echo "# Bugs in the production shell, and what catches them"
    echo
    echo "Written by \`conformance/shell-bugs.sh\`. Each bug is a patch in \`specs/shell-bugs\`, put into the"
    echo "sources by itself. \`conform\` is \`raftgate conform\` on $configs;"
    echo "what that does not catch, \`raftgate simulate --seeds 0..400\` has to (the property says how). Steps are"
    echo "those of the trace, cut down to what one server needs to differ from the model; a trace of a whole"
    echo "run is the history of a failure in which every server does what the model does."
    echo
    echo "| bug | what is wrong | caught by |"
    echo "| --- | --- | --- |"
    cat "$table"
} >specs/shell-bugs.md
! grep -q "NOT CAUGHT" specs/shell-bugs.md
