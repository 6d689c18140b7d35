"""What is known of a problem when its task file is written, and what things are called there."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from warpsmith.core.errors import TaskError
from warpsmith.tasks.importers.kernelbench.domain import Domain
from warpsmith.tasks.importers.kernelbench.probe import Kinds, Probe
from warpsmith.tasks.importers.kernelbench.source import ProblemSource
from warpsmith.tasks.importers.kernelbench.workloads import Chosen

if TYPE_CHECKING:
    import torch

_CPP = """
    alignas alignof and asm auto bool break case catch char class const constexpr continue default delete do
    double else enum explicit export extern false float for friend goto if inline int long mutable namespace new
    not operator or private protected public register return short signed sizeof static struct switch template
    this throw true try typedef union unsigned using virtual void volatile while xor half
"""
_RESERVED = frozenset({"SMS", "RESIDENT", "SHARED_MAX", "i", "dtypes", "rows", "min", "max", "size", "align"})


@dataclass(frozen=True, slots=True)
class Names:
    """What sizes and tensors are called in the task."""

    dims: dict[str, str]
    """Size in the file -> dimension; tied sizes share one."""
    arguments: tuple[str, ...]
    """One an argument of `forward`; empty for those that are no tensors."""
    state: dict[str, str]
    """Name in the task -> name in the module."""
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a task file of a problem says."""

    name: str
    source: ProblemSource
    probe: Probe
    domain: Domain
    kinds: Kinds
    state: tuple[str, ...]
    """Parameters and buffers that the result depends on."""
    unordered: frozenset[str | int]
    """Of those, and of arguments by their place, the ones whose last dimension may be in any order."""
    divisors: tuple[int, ...]
    """By what each product's work is divided so that no kernel can do with less (`needless.divisors`), or nothing."""
    verify: tuple[Chosen, ...]
    bench: dict[str, int]
    halved: tuple[str, ...]


def names_of(facts: Facts) -> Names:
    """Names that are free, and mean nothing in C++ or in a kernel file."""
    taken: set[str] = set()
    dims: dict[str, str] = {}
    for name in facts.source.sizes:
        if name not in facts.domain.tied:
            dims[name] = _fresh(name.upper(), taken)
    for name, other in facts.domain.tied.items():
        dims[name] = dims[other]
    arguments = tuple(
        _fresh(name, taken) if is_dtype(kind) else ""
        for name, kind in zip(_argument_names(facts), facts.kinds.arguments, strict=True)
    )
    state = {_fresh(path.replace(".", "_"), taken): path for path in facts.state}
    count = len(facts.kinds.outputs)
    outputs = tuple(_fresh("out" if count == 1 else f"out_{index}", taken) for index in range(count))
    return Names(dims, arguments, state, outputs)


def _argument_names(facts: Facts) -> tuple[str, ...]:
    given = len(facts.kinds.arguments)
    if given > len(facts.source.arguments):
        raise TaskError(
            f"{facts.source.path}: get_inputs gives {given} values; forward takes {len(facts.source.arguments)}."
        )
    return facts.source.arguments[:given]


def _fresh(name: str, taken: set[str]) -> str:
    clean = re.sub(r"\W", "_", name)
    while clean in taken or clean in _CPP.split() or clean in _RESERVED or keyword.iskeyword(clean):
        clean += "_"
    taken.add(clean)
    return clean


def is_dtype(kind: object) -> bool:
    """Whether an argument's kind is that of a tensor."""
    import torch

    return isinstance(kind, torch.dtype)


def floats(kind: object) -> bool:
    """Whether it is that of a floating tensor."""
    import torch

    return isinstance(kind, torch.dtype) and kind.is_floating_point


def dtype_name(dtype: torch.dtype, what: str) -> str:
    """What kernels call a torch dtype; TaskError where they have none."""
    from warpsmith.core.dtype import DType

    name = str(dtype).removeprefix("torch.")
    if name not in {item.value for item in DType}:
        raise TaskError(f"{what}: kernels have no {name}.")
    return name


def itemsize(dtype: str) -> int:
    """Bytes an element."""
    from warpsmith.core.dtype import DType

    return DType(dtype).itemsize
