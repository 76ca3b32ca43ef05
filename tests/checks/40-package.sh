#!/usr/bin/env bash
# Does the package hold what it should: sources, documents and licences, all of them under version control, and nothing
# of what only this repository is for?
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

list=$(cargo package --list --allow-dirty 2>/dev/null)
status=0

# Says what is wrong with the files on standard input, if there are any.
complain() {
    local file
    while read -r file; do
        printf '%s: %s\n' "$1" "$file"
        status=1
    done
}

needed=$(printf '%s\n' Cargo.toml build.rs README.md ARCHITECTURE.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT; git ls-files src docs)
complain "is missing" < <(comm -23 <(sort <<<"$needed") <(sort <<<"$list"))
# These three are cargo's.
made=$(printf '%s\n' .cargo_vcs_info.json Cargo.lock Cargo.toml.orig; git ls-files)
complain "is not in the repository" < <(comm -13 <(sort -u <<<"$made") <(sort <<<"$list"))
complain "is the repository's own" < <(grep -E '^(\.ci|fuzz|target|benches/results|tests/(checks|mutations|third_party))/' <<<"$list")
exit "$status"
