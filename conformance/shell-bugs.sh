#!/usr/bin/env bash
# Puts each bug of specs/shell-bugs into a copy of the sources, one at a time, and writes into
# specs/shell-bugs.md which layer catches it, as what, and in how many steps.
#
#   conformance/shell-bugs.sh             tries all bugs and writes the table; 1 to 2 minutes for each
#   conformance/shell-bugs.sh BUG...      tries these bugs and shows their rows
#   conformance/shell-bugs.sh --check     tries nothing; every patch must fit and have its row
#   conformance/shell-bugs.sh --again ... forgets the rows of earlier runs
#
# A row is kept in target/shell-bugs/rows until the sources, the patch or this script change, so a run
# that was interrupted goes on where it was. The table is written when there is a row for every bug.
# Ends with 0 if every bug is caught; 1 if one is not, or takes more than 300 s, or more than 60 steps
# without a reason; 2 if a patch does not fit or does not compile, or the sources fail without a bug.
# Needs git and a Rust toolchain. Changes nothing outside target/ but specs/shell-bugs.md.
#
# A bug is a file specs/shell-bugs/NAME.patch. Its first line is a sentence: what is wrong. Lines between
# that and the diff may say how the bug is found:
#
#   # test: cargo test -p raft-node --test greeting refused    what conform and simulate do not drive
#   # conform: snapshot-queue-2                                 other configurations than the usual ones
#   # simulate: --seeds 0..2000                                 other options than the usual ones
#   # long: each server does what the model does                why the trace has more than 60 steps
#
# A bug with tests is tried with them first, one after the other, then as any other bug: with conform,
# and then with simulate. The first layer that fails ends it. (Tests run with --locked.)
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
root=$PWD
work=${SHELL_BUGS_DIR:-$root/target/shell-bugs}
source=$work/source
rows=$work/rows
table=specs/shell-bugs.md
configs="election-2 snapshot-late-3 recover-2-snapshot persistence-2"
simulation="--seeds 0..400"
most_seconds=300
most_steps=60
export CARGO_TARGET_DIR=$work/target
# What applies the patches must not find the repository that the copy lies in.
export GIT_CEILING_DIRECTORIES=$work

usage() {
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$root/conformance/shell-bugs.sh"
    exit "$1"
}

fail() {
    echo "shell-bugs: $*" >&2
    exit 2
}

# What a patch says after `# NAME:`, a line for each.
header() {
    sed -n "/^diff /q;s/^# $2: *//p" "$root/specs/shell-bugs/$1.patch"
}

# Puts a bug, if one is named, into fresh sources. A file that is as it was keeps its time, and one that
# is not gets a new one: that is how cargo knows what to build again.
put() {
    mkdir -p "$source"
    (cd "$root" && git ls-files --cached --others --exclude-standard) | sort >"$work/files"
    (cd "$source" && find . -type f | sed 's|^\./||' | sort | comm -23 - "$work/files" | xargs -r -d '\n' rm)
    while read -r file; do
        if [ -e "$root/$file" ] && ! cmp -s "$root/$file" "$source/$file"; then
            mkdir -p "$source/$(dirname "$file")"
            cp "$root/$file" "$source/$file"
        fi
    done <"$work/files"
    [ $# -eq 0 ] || (cd "$source" && git apply -C1 "$root/specs/shell-bugs/$1.patch") >"$work/log" 2>&1
}

# Every patch fits, has a sentence, and is in the table; and the table has nothing else.
check() {
    local bad=0 bug first
    mkdir -p "$work"
    for patch in "$root"/specs/shell-bugs/*.patch; do
        bug=$(basename "$patch" .patch)
        first=$(head -1 "$patch")
        case $first in
            [A-Z]*.) ;;
            *) echo "$bug: the first line is no sentence: $first" && bad=1 ;;
        esac
        if sed -n '2,/^diff /{/^diff /d;/^$/d;/^# \(test: cargo test\|conform:\|simulate:\|long:\) ./d;p}' \
            "$patch" | grep -q .; then
            echo "$bug: a line before the diff is none of # test:, # conform:, # simulate:, # long:" && bad=1
        fi
        if ! git apply --check -C1 "$patch" 2>"$work/log"; then
            echo "$bug: the patch does not fit any more:" && sed 's/^/    /' "$work/log" && bad=1
        fi
        grep -qF "| \`$bug\` | $first |" "$table" || {
            echo "$bug: no row in $table, or another sentence; conformance/shell-bugs.sh writes it" && bad=1
        }
    done
    while read -r bug; do
        [ -f "specs/shell-bugs/$bug.patch" ] || { echo "$bug: a row in $table, and no patch" && bad=1; }
    done < <(sed -n 's/^| `\([^`]*\)` |.*/\1/p' "$table")
    ! grep -n "NOT CAUGHT" "$table" || bad=1
    [ $bad -eq 0 ] && echo "$(find specs/shell-bugs -name '*.patch' | wc -l) bugs: every patch fits and has its row"
    return $((bad * 2))
}

# Runs something for as long as a bug may still take.
bounded() {
    local left=$((most_seconds - (SECONDS - began)))
    timeout "$((left > 1 ? left : 1))" "$@"
}

# How long a trace is, from what the program says of it; nothing if there is none.
length() {
    sed -n 's/^Saved \([0-9]* [a-z]*\) .*/\1/p' "$1" | tail -1
}

# One layer: sets `caught` if it fails. $1 is the name of the bug, or `sound`.
try_tests() {
    local bug=$1 test failed code
    while read -r test; do
        [ -n "$test" ] || continue
        # shellcheck disable=SC2086
        (cd "$source" && ${test/cargo test/cargo test --quiet --locked --no-run}) >"$work/log" 2>&1 </dev/null ||
            { tail -20 "$work/log" >&2 && fail "$bug: does not compile"; }
        began=$SECONDS
        # shellcheck disable=SC2086
        (cd "$source" && bounded ${test/cargo test/cargo test --locked --no-fail-fast}) \
            >"$work/$bug.test" 2>&1 </dev/null
        code=$?
        failed=$(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$work/$bug.test" | sort | head -1)
        if [ -n "$failed" ]; then
            caught="test: \`$failed\`"
        elif [ $code -eq 124 ]; then
            caught="test: \`$test\` does not end"
        elif [ $code -ne 0 ]; then
            tail -20 "$work/$bug.test" >&2
            fail "$bug: \`$test\` fails, and no test of it"
        elif ! grep -q '^test .* \.\.\. ok$' "$work/$bug.test"; then
            fail "$bug: \`$test\` runs no test"
        fi
        [ -z "$caught" ] || return 0
    done < <(if [ "$bug" = sound ]; then all_of test; else header "$bug" test; fi)
}

build() {
    if ! (cd "$source" && cargo build --quiet --locked --package raft-gate) 2>"$work/log"; then
        tail -20 "$work/log" >&2
        fail "$1: does not compile"
    fi
    began=$SECONDS
}

try_conform() {
    local bug=$1 names=$2 code
    rm -f "$work/trace"
    # shellcheck disable=SC2086
    bounded "$CARGO_TARGET_DIR/debug/raftgate" conform $names --configs "$root/specs/configs" \
        --time-limit 200s --save "$work/trace" >"$work/$bug.conform" 2>&1
    code=$?
    case $code in
        0 | 6 | 124) ;;
        3)
            if [ -f "$work/trace" ]; then
                caught="conform, $(sed -n 's/^X *\([0-9]*\)  .*/\1 steps/p' "$work/$bug.conform" | head -1)"
            else
                caught="conform, $(sed -n 's/^.*\(a transfer\|the first start\|the log store\).* DIVERGED.*/in \1/p;s/^.* DIVERGED in \(a transfer\).*/in \1/p' \
                    "$work/$bug.conform" | head -1)"
            fi ;;
        *)
            tail -20 "$work/$bug.conform" >&2
            fail "$bug: conform ends with $code" ;;
    esac
}

try_simulate() {
    local bug=$1 options=$2 code property steps
    rm -f "$work/trace"
    # shellcheck disable=SC2086
    bounded "$CARGO_TARGET_DIR/debug/raftgate" simulate $options --save "$work/trace" \
        >"$work/$bug.simulate" 2>&1
    code=$?
    property=$(sed -n 's/^seed [0-9]* breaks \([a-z-]*\).*/\1/p' "$work/$bug.simulate" | head -1)
    if [ -n "$property" ]; then
        steps=$(length "$work/$bug.simulate")
        caught="simulate ($property)${steps:+, $steps}"
    elif [ $code -ne 0 ] && [ $code -ne 6 ] && [ $code -ne 124 ]; then
        tail -20 "$work/$bug.simulate" >&2
        fail "$bug: simulate ends with $code"
    fi
}

# All that any patch says after `# NAME:`.
all_of() {
    for patch in "$root"/specs/shell-bugs/*.patch; do header "$(basename "$patch" .patch)" "$1"; done | sort -u
}

# What catches a bug.
catch() {
    local bug=$1 other number
    caught=
    put "$bug" || { cat "$work/log" >&2 && fail "$bug: the patch does not fit any more"; }
    try_tests "$bug"
    [ -n "$caught" ] || build "$bug"
    other=$(header "$bug" conform)
    [ -n "$caught" ] || try_conform "$bug" "${other:-$configs}"
    other=$(header "$bug" simulate)
    [ -n "$caught" ] || try_simulate "$bug" "${other:-$simulation}"
    if [ -z "$caught" ]; then
        caught="**NOT CAUGHT**"
    elif [ $((SECONDS - began)) -gt $most_seconds ]; then
        caught="**NOT CAUGHT** within $most_seconds s ($caught)"
    fi
    number=$(sed -n 's/.*, \([0-9]*\) [a-z]*$/\1/p' <<<"$caught")
    if [ -n "$number" ] && [ "$number" -gt $most_steps ]; then
        other=$(header "$bug" long)
        caught="$caught: ${other:-**TOO LONG**}"
    fi
    echo "| \`$bug\` | $(head -1 "$root/specs/shell-bugs/$bug.patch") | $caught |"
}

# Without a bug nothing may fail: what fails anyhow catches nothing.
sound() {
    caught=
    put || exit 2
    build sound
    try_conform sound "$(echo "$configs" "$(all_of conform)" | xargs -n1 | sort -u | xargs)"
    began=$SECONDS
    [ -n "$caught" ] || try_simulate sound "$simulation"
    while read -r options; do
        began=$SECONDS
        [ -n "$caught" ] || [ -z "$options" ] || try_simulate sound "$options"
    done < <(all_of simulate)
    [ -n "$caught" ] || try_tests sound
    [ -z "$caught" ] || fail "the sources fail without a bug: $caught; see $work/sound.*"
    echo "nothing fails"
}

# Prints what `$2...` prints for $1, or what it has printed before for the same sources.
remembered() {
    local name=$1 key seconds=$SECONDS
    shift
    key=$({ echo "$sources" && if [ "$name" = sound ]; then all_of '[a-z]*'; else cat "specs/shell-bugs/$name.patch"; fi; } | sha256sum)
    if [ "$(head -1 "$rows/$name" 2>/dev/null)" != "$key" ]; then
        "$@" >"$work/row" || exit $?
        { echo "$key" && cat "$work/row"; } >"$rows/$name"
    fi
    echo "[$((++done_so_far))/$total, $((SECONDS - seconds)) s] $(tail -1 "$rows/$name")"
}

bugs=()
for argument in "$@"; do
    case $argument in
        --check) check; exit $? ;;
        --again) rm -rf "$rows" ;;
        -h | --help) usage 0 ;;
        -*) usage 2 >&2 ;;
        *)
            [ -f "specs/shell-bugs/$argument.patch" ] || fail "there is no specs/shell-bugs/$argument.patch"
            bugs+=("$argument") ;;
    esac
done
whole=0
if [ ${#bugs[@]} -eq 0 ]; then
    whole=1
    for patch in specs/shell-bugs/*.patch; do bugs+=("$(basename "$patch" .patch)"); done
fi

mkdir -p "$rows"
sources=$(git ls-files -z --cached --others --exclude-standard -- Cargo.toml Cargo.lock model impl conformance specs/configs |
    grep -zv '\.md$' | xargs -0 sha256sum 2>/dev/null | sha256sum)
total=$((${#bugs[@]} + whole))
done_so_far=0
[ $whole -eq 0 ] || remembered sound sound
for bug in "${bugs[@]}"; do remembered "$bug" catch "$bug"; done

made=$work/table
{
    echo "# Bugs in the production shell, and what catches them"
    echo
    echo "Written by \`conformance/shell-bugs.sh\`. Each bug is a patch in \`specs/shell-bugs\`, put into the"
    echo "sources by itself; without a bug, nothing of what catches them fails. \`conform\` is \`raftgate conform\`"
    echo "on $configs, or what the patch names;"
    echo "what that does not catch, \`raftgate simulate $simulation\` has to (the property says how). \`test\` is"
    echo "a test of what these two do not drive: sockets, TLS, HTTP, threads. Steps are those of the trace, cut"
    echo "down; operations are those of the clients' history that cannot be explained."
    echo
    echo "| bug | what is wrong | caught by |"
    echo "| --- | --- | --- |"
    for bug in "${bugs[@]}"; do tail -1 "$rows/$bug"; done
} >"$made"
[ $whole -eq 0 ] || cp "$made" "$table"
if grep -q '\*\*' "$made"; then
    echo "Not every bug is caught:" && grep '\*\*' "$made"
    exit 1
fi
