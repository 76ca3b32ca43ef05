#!/usr/bin/env bash
# Promise: other crates' own test suites pass on this allocator, unmodified.
#
# A crate of one line, which declares `Tenancy` as the global allocator, is built and forced into each test binary
# (`--extern force:`, hence RUSTC_BOOTSTRAP). Sources come from the registry; nothing is changed in them but that each
# becomes a workspace of its own. Prints one line for each suite; fails if one fails.
#
#   tests/third_party/run.sh [crate@version …]
#
# A crate whose published package holds no tests, or whose tests ran on another allocator, has failed. The logs stay in $WORK.
set -u
here=$(cd "$(dirname "$0")/../.." && pwd)
WORK=${WORK:-$(mktemp -d -t tenancy-third-party.XXXXXX)}
mkdir -p "$WORK/forced/src" "$WORK/sources"
suites=("$@")
[ ${#suites[@]} -gt 0 ] || suites=(hashbrown@0.17.1 smallvec@1.15.1 bytes@1.12.1 crossbeam-epoch@0.9.18
    crossbeam-channel@0.5.15 crossbeam-deque@0.8.6 crossbeam-queue@0.3.12 indexmap@2.14.0)

# 1. The crate that is forced in.
cat > "$WORK/forced/Cargo.toml" <<TOML
[package]
name = "forced"
version = "0.0.0"
edition = "2024"
[dependencies]
tenancy = { path = "$here" }
[workspace]
[profile.release]
debug = 1
TOML
cat > "$WORK/forced/src/lib.rs" <<'RUST'
#[global_allocator]
static ALLOC: tenancy::Tenancy = tenancy::Tenancy::new();

/// Says at the end of a process that it was served by `Tenancy`: a suite on another allocator would prove nothing.
extern "C" fn witness() {
    if tenancy::is_installed() {
        eprintln!("served by tenancy");
    }
}

extern "C" fn before_main() {
    unsafe extern "C" {
        fn atexit(handler: extern "C" fn()) -> i32;
    }
    // SAFETY: the handler may run at any time.
    unsafe { atexit(witness) };
}

#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;
RUST
CARGO_TARGET_DIR="$WORK/forced/target" cargo build --quiet --release --manifest-path "$WORK/forced/Cargo.toml" 2> "$WORK/forced.log" \
    || { cat "$WORK/forced.log"; exit 1; }
dependencies="$WORK/forced/target/release/deps"
rlib=$(ls -t "$dependencies"/libforced-*.rlib | head -1)

# 2. The sources.
fetch() { # name version: prints where they are
    local name=$1 version=$2 place="$WORK/sources/$1-$2" probe="$WORK/fetch-$1"
    if [ ! -d "$place" ]; then
        mkdir -p "$probe/src"
        printf '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n%s = "=%s"\n[workspace]\n' \
            "$name" "$version" > "$probe/Cargo.toml"
        : > "$probe/src/lib.rs"
        cargo fetch --quiet --manifest-path "$probe/Cargo.toml" 2> "$WORK/fetch-$name.log" || return 1
        cp -r "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$name-$version" "$place" 2>/dev/null || return 1
        printf '\n[workspace]\n' >> "$place/Cargo.toml"
        rm -f "$place/Cargo.lock"
        # A test that brings an allocator of its own cannot have this one.
        grep -rl '#\[global_allocator\]' "$place/tests" 2>/dev/null | while read -r file; do
            echo "$name: left out $(basename "$file"), which has its own allocator" >&2
            : > "$file"
        done
    fi
    echo "$place"
}

# 3. Their tests.
failed=0
for suite in "${suites[@]}"; do
    name=${suite%@*} version=${suite#*@}
    place=$(fetch "$name" "$version") || { echo "$suite: cannot be fetched"; failed=1; continue; }
    log="$WORK/$name.log"
    (cd "$place" && RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$WORK/target-$name" \
        RUSTFLAGS="-Zunstable-options --extern force:forced=$rlib -L dependency=$dependencies --cap-lints allow" \
        timeout "${SECONDS_EACH:-900}" cargo test --release --lib --tests --no-fail-fast -- --nocapture) > "$log" 2>&1
    status=$?
    passed=$(grep -oE '[0-9]+ passed' "$log" | awk '{ sum += $1 } END { print sum + 0 }')
    broken=$(grep -oE '[0-9]+ failed' "$log" | awk '{ sum += $1 } END { print sum + 0 }')
    served=$(grep -c 'served by tenancy' "$log")
    echo "$suite: $passed passed, $broken failed, $served test binaries served, status $status"
    [ $status -eq 0 ] && [ "$broken" -eq 0 ] || { failed=1; grep -E '^error|panicked|tenancy: ' "$log" | head -5; }
    [ "$passed" -gt 0 ] && [ "$served" -gt 0 ] || { failed=1; echo "$suite: nothing was tested (see $log)"; }
done
exit $failed
