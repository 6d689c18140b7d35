"""Which of its pointer arguments a kernel may write through, told from its instructions without running it.

A register may hold an address into whatever its sources may: arithmetic, selection and calls pass that on, and so does
memory, where any 64-bit value may be a pointer that was put there. So the answer names too many rather than too few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from warpsmith.core.plan import BoundLaunch, BoundPlan, TensorArg
from warpsmith.sandbox.emulator.dataflow import registers_of
from warpsmith.sandbox.emulator.program import (
    Address,
    Entry,
    Instr,
    Operand,
    Symbol,
)

_WRITES = frozenset({"st", "red", "atom", "stmatrix"})
_READS = frozenset({"ld", "ldu", "atom"})


def written_parameters(entry: Entry) -> frozenset[int]:
    """Indices of the parameters whose memory a launch of the entry may change."""
    return _pointed_into(entry, _stores_globally)


def read_parameters(entry: Entry) -> frozenset[int]:
    """Indices of the parameters whose memory a launch of the entry may read."""
    return _pointed_into(entry, _loads_globally)


def _pointed_into(entry: Entry, chosen: Callable[[Instr], bool]) -> frozenset[int]:
    """Indices of the parameters that the addresses of some instructions may point into."""
    everything = frozenset(range(len(entry.params)))
    reach = _Reach(entry, everything)
    found: set[int] = set()
    for instr in filter(chosen, entry.instructions):
        held = [reach.of(operand) for operand in instr.operands if isinstance(operand, Address)]
        # An address from nowhere known, such as an integer, may point anywhere.
        found |= frozenset().union(*held) or everything
    return frozenset(found)


def tensors_at(parameters: frozenset[int], step: BoundLaunch) -> frozenset[str]:
    """Names of the tensors and buffers that a launch is given at these positions."""
    return frozenset(
        arg.name for index, arg in enumerate(step.args) if index in parameters and isinstance(arg, TensorArg)
    )


def feeds_indices(plan: BoundPlan, step: BoundLaunch, written: frozenset[str], floats: frozenset[str]) -> bool:
    """Whether a launch may write integers that a later one is given: they may be indices, so all of them must be right.

    Args:
        plan: Of the call.
        step: One of its launches.
        written: Names of what it may write.
        floats: Names of the floating outputs of the call.
    """
    floating = floats | {buffer.name for buffer in plan.buffers if buffer.dtype.is_floating}
    launches = plan.launches
    later = launches[launches.index(step) + 1 :]
    given = {arg.name for item in later for arg in item.args if isinstance(arg, TensorArg)}
    return bool((written - floating) & given)


def _stores_globally(instr: Instr) -> bool:
    return _is_global(instr, instr.opcode in _WRITES or (instr.opcode == "wmma" and "store" in instr.modifiers))


def _loads_globally(instr: Instr) -> bool:
    if instr.opcode == "cp":
        return any(isinstance(operand, Address) for operand in instr.operands)
    return _is_global(instr, instr.opcode in _READS or (instr.opcode == "wmma" and "load" in instr.modifiers))


def _is_global(instr: Instr, accesses: bool) -> bool:
    return accesses and not {"shared", "local", "param", "const"} & {word.split("::")[0] for word in instr.modifiers}


class _Reach:
    """For each register the parameters it may point into, as a fixed point over the instructions."""

    def __init__(self, entry: Entry, everything: frozenset[int]) -> None:
        self.params = {param.name: index for index, param in enumerate(entry.params)}
        self.everything = everything
        self.held: dict[int, frozenset[int]] = {}
        changed = True
        while changed:
            changed = False
            for instr in entry.instructions:
                changed |= self._pass_on(instr)

    def of(self, operand: Operand) -> frozenset[int]:
        """Parameters an operand may point into."""
        found: frozenset[int] = frozenset()
        for name in _symbols(operand):
            found |= frozenset({self.params[name]}) if name in self.params else frozenset()
        for register in registers_of(operand):
            found |= self.held.get(register.index, frozenset())
        return found

    def _pass_on(self, instr: Instr) -> bool:
        if len(instr.operands) < 2:
            return False
        source = frozenset().union(*(self.of(operand) for operand in instr.operands[1:]))
        if instr.opcode in _READS and "param" not in instr.modifiers:
            source = (
                self.everything
                if any(word in ("b64", "u64", "s64", "b128") for word in instr.modifiers)
                else frozenset()
            )
        changed = False
        for register in registers_of(instr.operands[0]):
            before = self.held.get(register.index, frozenset())
            if not source <= before:
                self.held[register.index] = before | source
                changed = True
        return changed


def _symbols(operand: Operand) -> Iterator[str]:
    match operand:
        case Symbol(name=name) | Address(base=Symbol(name=name)):
            yield name
