"""Whether a reference tells which integers are right at inputs that tie: equal values, zeros of either sign.

A change in the last bit of such inputs changes the answer, and that says nothing of a kernel that compares them as
they are. The answer is one that a kernel can be held to where no rounding takes part in it, and where PyTorch says
which of equals is taken: the first by `argmax`, `max` and `min`, all in order by a stable sort.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.dtype import DType
from warpsmith.core.task import Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.verify.steady import are_right, is_steady
from warpsmith.tasks.convert import narrowed, widened
from warpsmith.tasks.jitter import MOVES
from warpsmith.tasks.oracle import jittered, oracle
from warpsmith.tasks.watch import watching

Inputs = Mapping[str, HostTensor]
Answer = Mapping[str, NDArray[Any]]
T = TypeVar("T")

MORE_JITTERS = range(100, 108)
"""Seeds of errors in every step of the reference: two equals keep their order under one in five cases of nine."""
FAR = range(-16, 17)
"""Last places of float32 by which values move for `bears`: several times what a kernel's own order of steps takes."""
FAR_JITTERS = range(200, 208)
"""Seeds of those."""
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
    if not is_steady(task, workload, given, here):
        return False
    if _told(lambda: oracle(task, workload, given), free=bool(whole)) is None:
        return False
    return not whole or all(
        np.array_equal(moved[name].array, here[name])
        for moved in (jittered(task, workload, given, seed) for seed in MORE_JITTERS)
        for name in whole
    )


def only_chooses(task: Task, workload: Workload, given: Inputs) -> bool:
    """Whether the reference compares and moves floating values and computes no others."""
    computed: list[str] = []

    def look(func: Any, args: Any, kwargs: Any, result: Any) -> None:
        name = func.overloadpacket.__name__
        floats = any(map(_is_float, _results(result)))
        if floats and not func.is_view and name.rstrip("_") not in _CHOICES and name not in MOVES:
            computed.append(name)

    with watching(look):
        oracle(task, workload, given)
    return not computed


def bears(task: Task, workload: Workload, given: Inputs, here: Answer) -> bool:
    """Whether answers are right that are off by far more than float32 makes them, in each input and every step.

    Asked where a check of the task's own judges what is computed: what it allows is made for the values that the task
    draws, and these are others. Inputs move, too, since sums that cancel hide from an error of their result. None of
    the answers may come by way of NaN, out of which a reference may choose, and a kernel that loops until it has found
    something cannot. Arguments as for `is_exact`.
    """

    def far(seed: int) -> dict[str, HostTensor]:
        draw = np.random.default_rng(seed)
        near = {name: _moved(tensor, draw) for name, tensor in given.items()}
        return jittered(task, workload, near, seed, places=FAR)

    if _told(lambda: oracle(task, workload, given)) is None:
        return False
    answers = [_told(partial(far, seed)) for seed in FAR_JITTERS]
    told = [answer for answer in answers if answer is not None]
    return len(told) == len(answers) and are_right(task, workload, given, here, told)


def _moved(tensor: HostTensor, draw: np.random.Generator) -> HostTensor:
    """Every floating value some last places of float32 off, in as wide a dtype as that takes."""
    if not tensor.dtype.is_floating:
        return tensor
    steps = draw.integers(FAR.start, FAR.stop, tensor.shape)
    wide = DType.FLOAT64 if tensor.dtype is DType.FLOAT64 else DType.FLOAT32
    return narrowed(widened(tensor) * (1 + steps * float(np.finfo(np.float32).eps)), wide)


def _told(evaluate: Callable[[], T], *, free: bool = False) -> T | None:
    """What the reference answers; None where it computes NaN or casts what does not fit, or, with `free`, leaves some
    order among equals to chance.
    """
    found: list[str] = []

    def look(func: Any, args: Any, kwargs: Mapping[str, Any], result: Any) -> None:
        name, several = func.overloadpacket.__name__.rstrip("_"), _results(result)
        if free and _leaves_order_free(name, kwargs):
            found.append(name)
        # Memory that is only now to be filled holds anything.
        if not name.startswith(("empty", "new_empty")) and any(
            _is_float(value) and bool(value.isnan().any()) for value in several
        ):
            found.append("NaN")
        if name in ("_to_copy", "copy") and not all(_fits(value, several[0]) for value in args):
            found.append("a cast")

    with watching(look):
        answer = evaluate()
    return None if found else answer


def _results(result: Any) -> Sequence[Any]:
    """All that an operation gave."""
    return result if isinstance(result, tuple | list) else (result,)


def _is_float(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and value.is_floating_point()


def _leaves_order_free(name: str, kwargs: Mapping[str, Any]) -> bool:
    if name == "sort":
        return not kwargs.get("stable")
    return name in _FREE_AMONG_EQUALS or name.endswith("with_indices")


def _fits(value: Any, cast: Any) -> bool:
    """Whether all floating values lie in the range of the integers that they become."""
    import torch

    if not _is_float(value) or cast.dtype in (torch.bool, None):
        return True
    if cast.is_floating_point() or not value.numel():
        return True
    limits = torch.iinfo(cast.dtype)
    return bool(((value > float(limits.min) - 1) & (value < float(limits.max) + 1)).all())
