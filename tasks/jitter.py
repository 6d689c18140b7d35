"""The reference computed with an error of some last places in every operation: what its steps bear.

An answer may stand firm where its making does not: the softmax of one score is 1 whatever the score, but a kernel
that forms `exp2(x * c - m * c)` by one fused multiply-add is off by a rounding of `m * c` in the exponent. Stochastic
arithmetic shows it (J. Vignes, "A stochastic arithmetic for reliable scientific computation", 1993).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from warpsmith.tasks.watch import dispatching

PLACES = range(-4, 5)
"""Last places by which a value moves: more than one, since one or two may keep it near a coarser grid."""
A_ROUNDING = range(-1, 2, 2)
"""One place up or down, which is no less than a rounding takes."""
IN_STEPS = ("_softmax", "_log_softmax", "logsumexp")
"""Operations that are several to a kernel; each of these errs on its own."""
MOVES = frozenset(
    {"_to_copy", "cat", "clone", "constant_pad_nd", "copy", "embedding", "expand_copy", "flip", "gather", "index"}
    | {"index_select", "masked_fill", "masked_select", "repeat", "roll", "scatter", "sort", "stack", "topk", "where"}
)
"""Operations that put values elsewhere, and do not compute any. The largest of some is not one: kernels scale it."""
WHOLE = frozenset({"ceil", "floor", "floor_divide", "heaviside", "round", "sgn", "sign", "trunc"})
"""Operations whose results are whole numbers: they err where what they are given errs, and add nothing to it."""


def jitter(seed: int, places: range = PLACES) -> AbstractContextManager[Any]:
    """A context in which every floating value that PyTorch computes moves by one of these numbers of last places."""
    import torch
    from torch.utils._pytree import tree_map

    in_steps = _in_steps()
    draw = torch.Generator().manual_seed(seed)

    def moved(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or not value.dtype.is_floating_point:
            return value
        steps = torch.randint(len(places), value.shape, generator=draw).to(value.dtype)
        steps.mul_(places.step).add_(places.start)
        # In place, where the draws are: a reference of many small operations spends its time here.
        return steps.mul_(torch.finfo(value.dtype).eps).add_(1).mul_(value)

    def erring(mode: Any, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if func in in_steps:
            with mode:
                return in_steps[func](*args, **kwargs)
        found = func(*args, **kwargs)
        if _stays(func) or kwargs.get("rounding_mode") is not None:
            return found
        return moved(found) if isinstance(found, torch.Tensor) else tree_map(moved, found)

    return dispatching(erring)


@cache
def _in_steps() -> Any:
    import torch
    from torch._decomp import get_decompositions

    return get_decompositions([getattr(torch.ops.aten, name) for name in IN_STEPS])


@cache
def _stays(func: Any) -> bool:
    """Whether an operation adds no error of its own."""
    name = func._schema.name.removeprefix("aten::")
    whole = name in WHOLE and func._schema.overload_name != "decimals"
    return func.is_view or func._schema.is_mutable or name in MOVES or whole
