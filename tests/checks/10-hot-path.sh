#!/usr/bin/env bash
# Are the hot paths as short as they were? Counts their instructions in the machine code of hot_path/, built with fat LTO
# and as cargo builds by default. The aim is allocate 6, free 14 with a constant size, under LTO.
#
# After a change that makes a path shorter, lower its limit here; one that makes it longer needs a reason in its message.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source hot_path/build.sh

build_hot_path lto
python3 hot_path.py "$program" lto constant_alloc=8 constant_dealloc=16 runtime_alloc=18 runtime_dealloc=26
build_hot_path release
python3 hot_path.py "$program" stock constant_alloc=32 constant_dealloc=36 runtime_alloc=33 runtime_dealloc=35
