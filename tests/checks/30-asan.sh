#!/usr/bin/env bash
# Does the address sanitizer find anything in the unit tests, in programs that run on the allocator, and in handles and arenas
# behind any `Allocator` trait? Of these the standard library's is tested here only, for it needs a nightly compiler.
#
# It sees the memory of the C library's malloc and of the stack, thus the tables of tests and of the simulated operating
# system; what the allocator itself hands out is checked by the tests' own oracle.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if ! rustc +nightly --version >/dev/null 2>&1; then
    echo "skipped: no nightly toolchain (rustup toolchain install nightly)"
    exit 0
fi

readonly host=x86_64-unknown-linux-gnu
tests=(--lib --test drop_in --test shadow_heap --test allocator_traits --features "nightly,allocator-api2-04")

# Leaks are not looked for: tenants and their pools live as long as the process. What was freed is kept for a while to
# find its late uses; at the usual 256 MiB, tests of resident memory would see that.
export ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=2
# A quarter of the usual cases: each takes ten times as long.
export PROPTEST_CASES=64
export TENANCY_STRESS_OPS=40000
export RUSTFLAGS="-Zsanitizer=address -Cdebuginfo=line-tables-only"
# Not with a full table of mappings: the sanitizer itself needs some. Nor the grid, which takes it minutes.
cargo +nightly test --quiet --target "$host" --target-dir "${CARGO_TARGET_DIR:-target}/asan" "${tests[@]}" -- \
    --skip a_full_table_of_mappings --skip every_size_and_alignment --skip alignments_up_to_a_gibibyte
