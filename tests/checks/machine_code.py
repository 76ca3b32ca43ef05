"""A program's functions as objdump shows them: instructions, and where their jumps and calls go.

For x86-64 ELF files. Calls and jumps through the global offset table are resolved by its relocations, so a stock build
reads like a linked one.
"""

import re
import subprocess
from dataclasses import dataclass, field

INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\t(\S+)\s*(.*)$")
FUNCTION = re.compile(r"^([0-9a-f]+) <(.*)>:$")
DIRECT = re.compile(r"^([0-9a-f]+)(?: <.*>)?$")
RELOCATED = re.compile(r"^([0-9a-f]+) R_X86_64_(?:RELATIVE|JUMP_SLOT|GLOB_DAT)\s+\*ABS\*\+0x([0-9a-f]+)", re.M)
RIP_RELATIVE = re.compile(r"#\s*([0-9a-f]+)\b")
PREFIXES = {"lock", "rep", "repz", "repnz", "bnd", "notrack", "data16", "addr32", "cs", "ds", "es"}


@dataclass
class Instruction:
    address: int
    name: str
    operands: str
    prefixes: list[str]

    def is_call(self):
        return self.name.startswith("call")

    def is_jump(self):
        return self.name.startswith("jmp")

    def is_branch(self):
        return self.name.startswith("j") and not self.is_jump()

    def is_return(self):
        return self.name.startswith("ret")

    def __str__(self):
        return " ".join([*self.prefixes, self.name, self.operands]).rstrip()


@dataclass
class Function:
    name: str
    address: int
    instructions: list[Instruction] = field(default_factory=list)

    def contains(self, address):
        return bool(self.instructions) and self.address <= address <= self.instructions[-1].address


class Program:
    """The functions of a file by name and by address."""

    def __init__(self, path):
        self.path = path
        self.functions = {}
        self.by_address = {}
        self.slots = {
            int(slot, 16): int(target, 16) for slot, target in RELOCATED.findall(run("objdump", "-R", path))
        }
        function = None
        for line in run("objdump", "-dC", "--no-show-raw-insn", path).splitlines():
            if match := FUNCTION.match(line):
                function = Function(match[2], int(match[1], 16))
                self.functions.setdefault(function.name, function)
                self.by_address[function.address] = function
            elif function and (match := INSTRUCTION.match(line)):
                function.instructions.append(instruction(int(match[1], 16), match[2], match[3]))

    def target(self, instruction):
        """The address that a call or jump goes to, or None where only the running program knows."""
        if match := DIRECT.match(instruction.operands):
            return int(match[1], 16)
        if "(%rip)" in instruction.operands and (match := RIP_RELATIVE.search(instruction.operands)):
            return self.slots.get(int(match[1], 16))
        return None

    def function_at(self, address):
        return self.by_address.get(address)


def instruction(address, name, operands):
    prefixes = []
    while name in PREFIXES and operands:
        prefixes.append(name)
        name, _, operands = operands.partition(" ")
        operands = operands.strip()
    return Instruction(address, name, operands.strip(), prefixes)


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
