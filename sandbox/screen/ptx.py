"""What compiled PTX may hold: exactly the plan's entries, no way out of the launch, no memory between launches.

The source cannot be trusted to show these: inline assembly can close a brace and open another entry, and a
`static` in a header looks like nothing. The PTX that runs can. Source: PTX ISA 9.0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from warpsmith.sandbox.emulator.program import Address, Entry, Instr, Module, Operand, Pair, Special, Symbol, Vector
from warpsmith.sandbox.screen.grid_barrier import check_grid_barrier
from warpsmith.sandbox.screen.module_state import check_module_state

_AXES = ("x", "y", "z")
_SPECIAL = frozenset(
    [f"%{name}.{axis}" for name in ("tid", "ntid", "ctaid", "nctaid") for axis in _AXES]
    + [f"%{name}.{axis}" for name in ("clusterid", "nclusterid", "cluster_ctaid", "cluster_nctaid") for axis in _AXES]
    + [f"%lanemask_{relation}" for relation in ("eq", "lt", "le", "gt", "ge")]
    + ["%laneid", "%nsmid", "%cluster_ctarank", "%cluster_nctarank", "%is_explicit_cluster", "%dynamic_smem_size"]
)
_WORKSPACE = frozenset(("%envreg1", "%envreg2"))
_SPECIAL_REMEDIES = {
    "%clock": "Kernels must not read clocks: remove clock() and clock64().",
    "%globaltimer": "Kernels must not read clocks: remove the timer.",
    "%smid": "Do not ask which multiprocessor runs the block: use blockIdx.",
    "%warpid": "Compute the warp's number from threadIdx: threadIdx.x / 32.",
    "%nwarpid": "Compute the number of warps from blockDim.",
    "%gridid": "Do not tell launches apart: pass what differs as an argument.",
    "%envreg": "grid.sync() needs a launch with `cooperative = true`. Or split the launch in two.",
    "%total_smem_size": "Pass the size as an argument.",
    "%pm": "Kernels must not read performance counters.",
}
_CALL_REMEDIES = {
    "vprintf": ("printf", "Remove it: nothing that a kernel prints is read."),
    "malloc": ("malloc", "Device memory outlives the launch: declare a [[buffer]] in the plan."),
    "free": ("free", "Declare a [[buffer]] in the plan instead of allocating."),
    "__assertfail": ("assert", "Include <assert.h>, whose assert traps, instead of declaring __assertfail."),
    "cudaLaunchDeviceV2": ("a kernel launch from the device", "Add a [[launch]] to the plan."),
    "cudaGetParameterBufferV2": ("a kernel launch from the device", "Add a [[launch]] to the plan."),
}
PRINTING = ("vprintf", "__assertfail")
_OPCODES = {
    "pmevent": "Performance events are not available.",
    "brkpt": "Remove the breakpoint.",
    "discard": "Discarding cache lines destroys data that others own.",
    "applypriority": "Cache priorities outlive the launch.",
    "tex": "Textures cannot be bound: read the tensor with a load.",
    "tld4": "Textures cannot be bound: read the tensor with a load.",
    "suld": "Surfaces cannot be bound: read the tensor with a load.",
    "sust": "Surfaces cannot be bound: write the tensor with a store.",
    "sured": "Surfaces cannot be bound: use an atomic.",
}


@dataclass(frozen=True, slots=True)
class PtxProblem:
    """Why compiled code is refused, with the remedy in the message, and the kernel file's line (0: unknown)."""

    message: str
    line: int


def screen_ptx(
    module: Module, expected_entries: Iterable[str], *, watched: bool = False, cooperative: Iterable[str] = ()
) -> PtxProblem | None:
    """The first reason to refuse a module; None where it holds what its plan says and nothing else.

    `expected_entries` are the mangled names of the plan's kernels. `watched`: a person looks at one run, so the code
    may print, and nothing is judged that could outlive a launch. `cooperative` are the entries whose launches all are,
    which may hold a grid barrier.
    """
    cooperative = frozenset(cooperative)
    problem = _check_entries(module, frozenset(expected_entries))
    if problem is not None:
        return problem
    for entry in module.entries:
        if entry.cluster is not None and prod(entry.cluster) != 1:
            message = "clusters of blocks are not available: no launch can ask for them. Remove __cluster_dims__."
            return PtxProblem(message, _first_line(entry))
        if entry.pointer_calls:
            message = "a call through a pointer is not available. Call the function by name."
            return PtxProblem(message, entry.pointer_calls[0])
        if entry.recursive:
            message = f"the function {entry.recursive[0]} may call itself, on a stack whose size the device chooses. "
            return PtxProblem(f"{message}Write recursion as a loop.", _first_line(entry))
        cooperates = entry.name in cooperative
        for instr in entry.instructions:
            problem = _check_instruction(instr, watched=watched, cooperates=cooperates)
            if problem is not None:
                return problem
        misused = check_grid_barrier(entry)
        if misused is not None:
            return PtxProblem(*misused)
        found = None if watched else check_module_state(entry)
        if found is not None:
            return PtxProblem(found.message, found.line)
    return None


def _check_entries(module: Module, expected: frozenset[str]) -> PtxProblem | None:
    present = {entry.name: entry for entry in module.entries}
    for name in sorted(present.keys() - expected):
        line = _first_line(present[name])
        return PtxProblem(
            f"the compiled code holds a kernel `{name}` that no [[launch]] names. "
            "Remove it, or add its launch; inline assembly must not open another entry.",
            line,
        )
    for name in sorted(expected - present.keys()):
        return PtxProblem(f"the compiled code lacks the kernel `{name}` of the plan.", 0)
    return None


def _first_line(entry: Entry) -> int:
    return next((instr.line for instr in entry.instructions if instr.line), 0)


def _check_instruction(instr: Instr, *, watched: bool, cooperates: bool) -> PtxProblem | None:
    if instr.opcode == "call":
        return _check_call(instr, watched=watched)
    if instr.opcode in _OPCODES:
        return PtxProblem(f"`{instr.text}` is not available. {_OPCODES[instr.opcode]}", instr.line)
    for operand in _flat(instr.operands):
        if isinstance(operand, Special) and operand.name not in _SPECIAL | (_WORKSPACE if cooperates else set()):
            return PtxProblem(
                f"the special register {operand.name} is not available. {_remedy(operand.name)}", instr.line
            )
    return None


def _remedy(special: str) -> str:
    for start, remedy in _SPECIAL_REMEDIES.items():
        if special.startswith(start):
            return remedy
    return "Use threadIdx, blockIdx, blockDim, gridDim and the lane."


def _flat(operands: Iterable[Operand]) -> Iterable[Operand]:
    for operand in operands:
        if isinstance(operand, Vector):
            yield from _flat(operand.items)
        elif isinstance(operand, Pair):
            yield from _flat((operand.first, operand.second))
        elif isinstance(operand, Address):
            yield operand.base
        else:
            yield operand


def _check_call(instr: Instr, *, watched: bool) -> PtxProblem | None:
    """A call that is still one: the module's own functions stand in the entry itself, checked like the rest."""
    callee = next((operand for operand in instr.operands if not isinstance(operand, Vector)), None)
    name = callee.name if isinstance(callee, Symbol) else "a pointer"
    if watched and name in PRINTING:
        return None
    what, remedy = _CALL_REMEDIES.get(name, (name, "Only what the kernel file defines can be called."))
    return PtxProblem(f"{what} is not available in a kernel file. {remedy}", instr.line)
