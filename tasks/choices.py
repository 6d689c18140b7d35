"""Whether a reference chooses by values: it ranks, rounds or compares floating tensors.

Near ties can then turn out otherwise in another order of sums, so not every element has one right value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from warpsmith.core.kernel_file import dims_of
from warpsmith.core.task import Task
from warpsmith.tasks.oracle import oracle
from warpsmith.tasks.sample import make_inputs
from warpsmith.tasks.watch import watching

_RANKS = frozenset(("topk", "sort", "argsort", "argmax", "argmin", "kthvalue", "median", "mode", "searchsorted",
                    "bucketize", "multinomial", "unique", "unique_dim", "_unique2", "msort"))  # fmt: skip
_ROUNDS = frozenset(("round", "floor", "ceil", "trunc", "sign", "heaviside", "floor_divide", "remainder", "fmod"))
_COMPARES = frozenset(("eq", "ne", "lt", "le", "gt", "ge"))
_INDEXED = frozenset(("max", "min"))
"""With a dimension they say where the extreme is, too."""


_known: dict[tuple[int, str], tuple[Any, bool]] = {}
"""By reference, which is kept so that no other gets its number, and task digest: telling costs a call of it."""


def chooses(task: Task) -> bool:
    """Whether the reference, run at the dearest verify workload, asks which of some floating values is larger."""
    key = id(task.reference), task.source_digest
    if key not in _known:
        _known[key] = task.reference, _chooses(task)
    return _known[key][1]


def _chooses(task: Task) -> bool:
    workload = max(task.verify, key=lambda item: task.cost(dims_of(task, item)).flops)
    inputs = make_inputs(task, workload, 0)
    found: list[str] = []

    def look(func: Any, args: Any, kwargs: Mapping[str, Any], result: Any) -> None:
        if _is_choice(func, args, kwargs):
            found.append(str(func))

    with watching(look):
        oracle(task, workload, inputs)
    return bool(found)


def _is_choice(func: Any, args: Any, kwargs: Mapping[str, Any]) -> bool:
    if not any(getattr(getattr(arg, "dtype", None), "is_floating_point", False) for arg in args):
        return False
    name = func.overloadpacket.__name__.rstrip("_")
    if name == "_to_copy":
        return not getattr(kwargs.get("dtype"), "is_floating_point", True)
    return name in _RANKS | _ROUNDS | _COMPARES or (name in _INDEXED and "dim" in func._overloadname)
