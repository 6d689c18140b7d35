"""Runs a reference that is a PyTorch module: what a task file imported from a module's problem calls.

The module's parameters are inputs of the task, so they are swapped in for each call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

SPREAD = 0.25
"""Parameters that a module makes all alike (ones, zeros) are drawn within this of that value: alike, they could be left
out unnoticed."""


class Problem(NamedTuple):
    """What a problem file defines, at some sizes."""

    model: Callable[..., Any]
    """The class of the module."""
    get_inputs: Callable[[], Sequence[Any]]
    """Draws the arguments of `forward` from torch's global generator."""
    get_init_inputs: Callable[[], Sequence[Any]]
    """The arguments of the class."""


Build = Callable[..., Problem]
"""A problem from its sizes."""


def evaluate(
    problem: Build, sizes: Sequence[int], state: Mapping[str, torch.Tensor], arguments: Sequence[Any]
) -> torch.Tensor | tuple[torch.Tensor, ...]:
    """The module's result, with `state` in place of its own parameters and buffers.

    Args:
        problem: What makes the problem from its sizes.
        sizes: In the order of its parameters.
        state: Parameters and buffers by their names in the module.
        arguments: Of `forward`.

    Returns:
        What `forward` returns, in the dtype of the floating tensors that were given.
    """
    import torch

    given = [item for item in (*state.values(), *arguments) if isinstance(item, torch.Tensor)]
    floating = next((item for item in given if item.is_floating_point()), None)
    dtype = floating.dtype if floating is not None else torch.float32
    device = given[0].device if given else torch.device("cpu")
    module = _module(problem, tuple(sizes), tuple(state), dtype, device)
    with torch.no_grad(), computing_in(dtype, device):
        returned: torch.Tensor | tuple[torch.Tensor, ...] = torch.func.functional_call(
            module, dict(state), tuple(arguments)
        )
    return returned


def draw(
    problem: Build,
    sizes: Sequence[int],
    generator: torch.Generator,
    *,
    inputs: Sequence[str],
    state: Mapping[str, str],
    dtype: torch.dtype,
) -> dict[str, torch.Tensor]:
    """The problem's own random inputs, and parameters as the module initialises them.

    Args:
        problem: What makes the problem from its sizes.
        sizes: In the order of its parameters.
        generator: Decides everything that is random.
        inputs: A name for each argument of `forward`; empty for those that are no tensors.
        state: Name in the task -> name in the module.
        dtype: Of all floating tensors.

    Returns:
        Tensors by their names in the task, integers in the dtype they were drawn in.
    """
    import torch

    with seeded(generator), torch.device("cpu"), anywhere(torch.device("cpu")):
        made = problem(*sizes)
        held = state_of(made.model(*made.get_init_inputs()))
        drawn = {name: spread(held[path]) for name, path in state.items()}
        drawn |= {name: value for name, value in zip(inputs, made.get_inputs(), strict=True) if name}
    return {
        name: (value.to(dtype) if value.is_floating_point() else value).contiguous() for name, value in drawn.items()
    }


def of_mixed_size(
    tensors: Mapping[str, torch.Tensor], names: Sequence[str], generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """The tensors, rows of the named ones scaled by powers of two from 1/8 to 32."""
    import torch

    scaled = dict(tensors)
    for name in names:
        value = tensors[name]
        shape = (value.shape[0], *(1 for _ in value.shape[1:]))
        scaled[name] = value * (2.0 ** torch.randint(-3, 6, shape, generator=generator)).to(value.dtype)
    return scaled


def state_of(module: Any) -> dict[str, torch.Tensor]:
    """Parameters and buffers of a module by name, detached."""
    return {name: value.detach() for name, value in (*module.named_parameters(), *module.named_buffers())}


def spread(value: torch.Tensor) -> torch.Tensor:
    """A parameter as it is; one whose elements are all alike, with noise."""
    import torch

    if not value.is_floating_point() or not value.numel() or bool((value != value.flatten()[0]).any()):
        return value
    return value + SPREAD * (2 * torch.rand(value.shape, dtype=value.dtype) - 1)


@contextmanager
def seeded(generator: torch.Generator) -> Iterator[None]:
    """Within, torch's global generator continues `generator`; afterwards it is as it was."""
    import torch

    seed = int(torch.randint(2**62, (1,), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def computing_in(dtype: torch.dtype, device: torch.device) -> Iterator[None]:
    """Within, new tensors have this dtype where code does not say otherwise, and lie on this device."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device, anywhere(device):
            yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def anywhere(device: torch.device) -> Iterator[None]:
    """Within, what names a GPU (`device="cuda"`, `.cuda()`) means this device: problems are often written for one."""
    import torch
    from torch.overrides import TorchFunctionMode

    def moved(value: Any) -> Any:
        named = isinstance(value, str | torch.device) and str(value).split(":")[0] == "cuda"
        return device if named else value

    class Anywhere(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.Tensor.cuda:
                return args[0].to(device)
            named = {name: moved(value) for name, value in (kwargs or {}).items()}
            return func(*(moved(value) for value in args), **named)

    with Anywhere():
        yield


@lru_cache(maxsize=4)
def _module(
    problem: Build, sizes: tuple[int, ...], given: tuple[str, ...], dtype: torch.dtype, device: torch.device
) -> torch.nn.Module:
    """The module, without the tensors that every call brings: they may be large."""
    import torch

    with torch.random.fork_rng(devices=[]), computing_in(dtype, device):
        torch.manual_seed(0)
        made = problem(*sizes)
        module: torch.nn.Module = made.model(*made.get_init_inputs())
    module = module.to(dtype)
    for name in given:
        owner, _, last = name.rpartition(".")
        held = getattr(module.get_submodule(owner), last)
        held.data = torch.empty(0, dtype=held.dtype, device=held.device)
    return module
