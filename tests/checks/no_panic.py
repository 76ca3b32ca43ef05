"""Looks for ways from the allocator's doors to a panic: walks the calls in the machine code of a program.

usage: no_panic.py <program>

Starts at the four shims behind `std::alloc` and at what the operating system calls back (thread exit, fork). A call whose
target is not in the code (`dyn Os`) may go to any method of an `Os`, so these are starts as well. Each place that calls
something refused is printed with the shortest way to it. Landing pads, which end in `_Unwind_Resume`, are not counted:
they run only after a panic, which is refused where it begins.
"""

import re
import subprocess
import sys
from collections import deque

from machine_code import Program

DOORS = re.compile(r"^(__rustc::)?(__rust|__rg)_(alloc|dealloc|realloc|alloc_zeroed)$")
CALLBACKS = re.compile(r"^tenancy::heap::(thread_exit|start::\w+)$")
METHODS_OF_OS = re.compile(r"^<tenancy::os::\w+(::\w+)* as tenancy::os::Os>::")
REFUSED = re.compile(
    r"^core::(panicking|option|result|slice::index|str|cell)::.*(panic|fail|unwrap|expect)"
    r"|^std::(panicking|process|rt)::|rust_panic|rust_begin_unwind|handle_alloc_error|handle_error|_Unwind_Raise"
)
LANDING_PADS = {"core::panicking::panic_cannot_unwind", "core::panicking::panic_in_cleanup"}


def main():
    program = Program(sys.argv[1])
    starts = [f for f in program.by_address.values() if any(p.match(f.name) for p in (DOORS, CALLBACKS, METHODS_OF_OS))]
    doors = [f for f in starts if DOORS.match(f.name)]
    if len(doors) < 4:
        sys.exit(f"found only {len(doors)} doors in {program.path}: did their names change?")
    came_from = {f.address: None for f in starts}
    queue = deque(starts)
    places = []
    while queue:
        function = queue.popleft()
        for step in function.instructions:
            if not (step.is_call() or step.is_jump() or step.is_branch()):
                continue
            target = program.target(step)
            if target is None or function.contains(target):
                continue
            callee = program.function_at(target)
            if callee is None:
                continue
            if callee.name in LANDING_PADS:
                continue
            if REFUSED.search(callee.name):
                places.append((function, step, callee))
            elif callee.address not in came_from:
                came_from[callee.address] = function
                queue.append(callee)
    print(f"{len(came_from)} functions can be reached from {len(starts)} starts")
    lines = source_lines(program.path, [step.address for _, step, _ in places])
    for function, step, callee in places:
        print(f"\n{callee.name}")
        for line in lines[step.address]:
            print(f"    at {line}")
        print(f"    by {' < '.join(way(function, came_from))}")
    print(f"{len(places)} places may panic")
    sys.exit(bool(places))


def way(function, came_from):
    while function:
        yield function.name
        function = came_from[function.address]


def source_lines(path, addresses):
    """For each address the source lines it was inlined through, innermost first, as far as they are the crate's."""
    lines = {}
    for address in addresses:
        output = subprocess.run(
            ["addr2line", "-i", "-e", path, f"{address:#x}"], check=True, capture_output=True, text=True
        ).stdout
        places = [re.sub(r"^.*/(?=src/)|\s*\(discriminator \d+\)", "", line) for line in output.splitlines()]
        lines[address] = [place for place, line in zip(places, output.splitlines()) if "/rustc/" not in line]
    return lines


main()
