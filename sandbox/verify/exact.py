"""Whether a reference tells which integers are right at inputs that tie: equal values, zeros of either sign.

A change in the last bit of such inputs changes the answer, and that says nothing of a kernel that compares them as
they are. The answer is one that a kernel can be held to where no rounding takes part in it, and where PyTorch says
which of equals is taken: the first by `argmax`, `max` and `min`, all in order by a stable sort.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.task import Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.verify.steady import is_steady
from warpsmith.tasks.jitter import MOVES
from warpsmith.tasks.oracle import jittered, oracle

Inputs = Mapping[str, HostTensor]
Answer = Mapping[str, NDArray[Any]]

MORE_JITTERS = range(100, 108)
"""Seeds of errors in every step of the reference: two equals keep their order under one in five cases of nine."""
_FREE_AMONG_EQUALS = frozenset(("topk", "kthvalue", "median", "nanmedian", "mode", "msort", "cummax", "cummin",
                                "multinomial", "argsort"))  # fmt: skip
"""Operations of which PyTorch does not say which of equals they take."""
_CHOICES = frozenset(("max", "min", "amax", "amin", "aminmax", "maximum", "minimum", "relu", "abs", "neg", "clamp",
                      "clamp_min", "clamp_max", "max_pool2d_with_indices", "max_pool3d_with_indices", "cummax",
                      "cummin"))  # fmt: skip
"""Operations that give one of the values that they are given, or of either sign."""


def is_exact(task: Task, workload: Workload, given: Inputs, here: Answer) -> bool:
    """Whether every integer of the answer is right by itself at `given`, or a check of the task's own says which are.

    A check is trusted with it only where the reference computes nothing: what it allows a computed score is made for
    the values that the task draws.

    Args:
        task: Its reference and checks.
        workload: What `given` belongs to.
        given: All inputs.
        here: The oracle's answer.
    """
    integers = {name for name, value in here.items() if value.dtype.kind != "f"}
    whole = integers - task.judged
    if integers & task.judged and not only_chooses(task, workload, given):
        return False
    if not is_steady(task, workload, given, here) or not _is_told(task, workload, given, free=bool(whole)):
        return False
    return not whole or all(
        np.array_equal(moved[name].array, here[name])
        for moved in (jittered(task, workload, given, seed) for seed in MORE_JITTERS)
        for name in whole
    )


def only_chooses(task: Task, workload: Workload, given: Inputs) -> bool:
    """Whether the reference compares and moves floating values and computes no others."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    computed: list[str] = []

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            name = func.overloadpacket.__name__
            several = result if isinstance(result, tuple | list) else (result,)
            floats = any(isinstance(value, torch.Tensor) and value.is_floating_point() for value in several)
            if floats and not func.is_view and name.rstrip("_") not in _CHOICES and name not in MOVES:
                computed.append(name)
            return result

    with Watch():  # type: ignore[no-untyped-call]
        oracle(task, workload, given)
    return not computed


def _is_told(task: Task, workload: Workload, given: Inputs, *, free: bool) -> bool:
    """Whether the reference computes no NaN and casts nothing that does not fit; with `free`, whether it also leaves no
    order among equals to chance.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    found: list[str] = []

    def is_nan(value: Any) -> bool:
        return isinstance(value, torch.Tensor) and value.is_floating_point() and bool(value.isnan().any())

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            name = func.overloadpacket.__name__.rstrip("_")
            if free and _leaves_order_free(name, kwargs or {}):
                found.append(name)
            several = result if isinstance(result, tuple | list) else (result,)
            # Memory that is only now to be filled holds anything.
            if not name.startswith(("empty", "new_empty")) and any(map(is_nan, several)):
                found.append("NaN")
            if name in ("_to_copy", "copy") and not all(_fits(value, several[0]) for value in args):
                found.append("a cast")
            return result

    with Watch():  # type: ignore[no-untyped-call]
        oracle(task, workload, given)
    return not found


def _leaves_order_free(name: str, kwargs: Mapping[str, Any]) -> bool:
    if name == "sort":
        return not kwargs.get("stable")
    return name in _FREE_AMONG_EQUALS or name.endswith("with_indices")


def _fits(value: Any, cast: Any) -> bool:
    """Whether all floating values lie in the range of the integers that they become."""
    import torch

    if not isinstance(value, torch.Tensor) or not value.is_floating_point() or cast.dtype in (torch.bool, None):
        return True
    if cast.is_floating_point() or not value.numel():
        return True
    limits = torch.iinfo(cast.dtype)
    return bool(((value > float(limits.min) - 1) & (value < float(limits.max) + 1)).all())
