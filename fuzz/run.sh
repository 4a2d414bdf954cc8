#!/usr/bin/env bash
# Runs every fuzz target for some seconds: fuzz/run.sh [seconds, 60 by default]
#
# Fails when a target breaks a promise, when one executed too few inputs a minute to see anything, or when the canary
# with its planted crash was not found. Needs a nightly toolchain and a C++ compiler; installs cargo-fuzz if need be.
#
# Without AddressSanitizer: all crates here but one forbid unsafe code, LMDB's C code would not be instrumented anyway,
# and the checks that matter are the targets' own assertions, of which twice as many run this way.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-60}
# cargo-fuzz has flags of its own; others would go to every build script.
unset RUSTFLAGS

# Inputs a minute, at least: decoding and verification, orders and states, disks.
declare -A least=(
    [decode_block]=100000
    [decode_frame]=100000
    [verify_block]=100000
    [signatures]=100000
    [transaction_envelope]=100000
    [config]=100000
    [lane_frames]=100000
    [dag_operations]=1000
    [replica_operations]=1000
    [linearize_gc]=1000
    [storage_model]=100
    [storage_recovery]=100
    [simulation]=100
)
order="decode_block decode_frame verify_block signatures transaction_envelope config lane_frames
    dag_operations replica_operations linearize_gc storage_model storage_recovery simulation"
# Longer inputs than any but the largest blocks reach nothing new, and slow all others down.
options=(-max_len=8192 -timeout=20 -rss_limit_mb=2048)

cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
build=(-s none --features libfuzzer)
cargo +nightly fuzz build "${build[@]}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=()

# run <target> <seconds>: new inputs go to a directory that is thrown away; findings to fuzz/artifacts/<target>.
run() {
    mkdir -p "$work/$1" "fuzz/artifacts/$1"
    local corpora=("$work/$1")
    [[ -d "fuzz/corpus/$1" ]] && corpora+=("fuzz/corpus/$1")
    cargo +nightly fuzz run "${build[@]}" "$1" "${corpora[@]}" -- \
        "${options[@]}" -max_total_time="$2" "${@:3}" >"$work/$1.log" 2>&1
}

printf '%-22s %12s %14s %14s\n' target inputs "a minute" "at least"
for target in $order; do
    if ! run "$target" "$seconds"; then
        failed+=("$target: a promise is broken; the input is in fuzz/artifacts/$target")
        tail -n 40 "$work/$target.log"
    fi
    # "Done 1234 runs in 61 second(s)"; nothing after a finding.
    read -r inputs took < <(
        sed -n 's/^Done \([0-9]*\) runs in \([0-9]*\) second.*/\1 \2/p' "$work/$target.log"
    ) || { inputs=0 took=1; }
    rate=$((inputs * 60 / (took > 0 ? took : 1)))
    printf '%-22s %12s %14s %14s\n' "$target" "$inputs" "$rate" "${least[$target]}"
    if ((rate < least[$target])); then
        failed+=("$target: $rate inputs a minute, at least ${least[$target]} are needed")
    fi
done

# The canary must die, and of its own song.
if run canary 60 -artifact_prefix="$work/" || ! grep -q "the canary sings" "$work/canary.log"; then
    failed+=("canary: the planted crash was not found, so the others see nothing either")
else
    echo "canary: found"
fi

if ((${#failed[@]} > 0)); then
    printf 'FAILED %s\n' "${failed[@]}" >&2
    exit 1
fi
