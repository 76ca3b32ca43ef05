#!/usr/bin/env bash
# Can anything that the allocator's doors reach panic, unwind or end in `handle_alloc_error`? It would allocate in turn.
# Walks the calls in the machine code of hot_path/ as cargo builds it by default, the profile that folds the least away.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source hot_path/build.sh

build_hot_path release
python3 no_panic.py "$program"
