# Sourced by the checks that read machine code: `build_hot_path <profile>` builds hot_path/ and sets `program`.

if [[ $(uname -sm) != "Linux x86_64" ]]; then
    echo "skipped: reads x86-64 ELF files"
    exit 0
fi
export PYTHONDONTWRITEBYTECODE=1
checks_target="${CARGO_TARGET_DIR:-$PWD/../../target}/checks"

build_hot_path() {
    cargo build --quiet --locked --manifest-path hot_path/Cargo.toml --target-dir "$checks_target" --profile "$1"
    program="$checks_target/$1/hot_path"
    "$program" # It runs, on the allocator it names.
}
