"""Counts the instructions of the hot paths: what runs from a function's entry to its return if no branch is taken.

usage: hot_path.py <program> lto|stock <function>=<most instructions>…

The compiler lays the cold half out of line, so the path without a taken branch is the hot one; a path that comes into a
function with `cold` or `slow` in its name is refused. The final `ret` is not counted: inlined, it is not there. In a
stock build the path goes on in the functions it calls, the allocator's shims; with `lto` a call is refused.

A write by base and index is refused: the processor then does not forward what was written to the next read of that place
without going through the cache, which costs about a nanosecond. Reads by base and index are counted.
"""

import re
import sys

from machine_code import Program

BASE_AND_INDEX = re.compile(r"\(%r\w+,%r\w+")
# The last operand is the one that is written.
TO_BASE_AND_INDEX = re.compile(r"\(%r\w+,%r[^()]*\)$")
ONLY_READ = re.compile(r"^(cmp|test|bt|push|call|jmp|nop)[bwlq]?$")
LONGEST = 400


def walk(program, start, may_call):
    """The instructions of the hot path, and what is wrong with it."""
    path, wrong, returns_to = [], [], []
    function, position = start, 0
    while len(path) < LONGEST:
        if re.search(r"cold|slow", function.name):
            return path, [*wrong, f"comes into {function.name}"]
        step = function.instructions[position]
        path.append(step)
        if "lock" in step.prefixes:
            wrong.append(f"has a locked instruction: {step}")
        if TO_BASE_AND_INDEX.search(step.operands.strip()) and not ONLY_READ.match(step.name):
            wrong.append(f"writes by base and index: {step}")
        if step.is_return():
            if not returns_to:
                return path[:-1], wrong
            function, position = returns_to.pop()
            continue
        if step.is_call() and not may_call:
            wrong.append(f"calls: {step}")
        if not (step.is_call() or step.is_jump()):
            position += 1
            continue
        target = program.target(step)
        if step.is_call():
            returns_to.append((function, position + 1))
        if target is not None and not step.is_call() and function.contains(target):
            position = next(i for i, other in enumerate(function.instructions) if other.address == target)
        elif callee := program.function_at(target):
            function, position = callee, 0
        else:
            return path, [*wrong, f"goes nobody knows where: {step}"]
    return path, [*wrong, f"does not end within {LONGEST} instructions"]


def main():
    path, profile, *limits = sys.argv[1:]
    program = Program(path)
    failed = False
    for limit in limits:
        name, _, most = limit.partition("=")
        if name not in program.functions:
            sys.exit(f"{path} has no function {name}")
        steps, wrong = walk(program, program.functions[name], profile == "stock")
        if len(steps) > int(most):
            wrong.append(f"is longer than {most}")
        indexed = sum(bool(BASE_AND_INDEX.search(step.operands)) and step.name != "lea" for step in steps)
        print(f"{profile:5}  {name:16} {len(steps):3} instructions, at most {most:>3}; {indexed} by base and index")
        for text in wrong:
            print(f"       {name} {text}")
        if wrong:
            failed = True
            for step in steps:
                print(f"         {step.address:6x}  {step}")
    sys.exit(failed)


main()
