"""Runs a problem once at a small size with values: whether it is repeatable, and which tensors matter how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from warpsmith.core.errors import TaskError
from warpsmith.tasks.importers.kernelbench.probe import Kinds, tensors_of
from warpsmith.tasks.problem import Build, draw, evaluate

if TYPE_CHECKING:
    import torch

CLOSE = 1e-9
"""Relative difference in float64 that rounding may make: sums in another order, a bias that cancels."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What was learnt."""

    used: tuple[str, ...]
    """Parameters and buffers, by their names in the module, whose values change the result."""
    unordered: frozenset[str | int]
    """Of those, and of the arguments by their place, the ones whose last dimension may be in any order."""


def try_values(place: str, problem: Build, sizes: Sequence[int], kinds: Kinds) -> Tried:
    """Call the model with changed values, in float64.

    Raises:
        TaskError: the model raises, or gives other values when called again.
    """
    import torch

    try:
        model = _Model(problem, sizes, kinds)
        first = model.result()
        if not _same(first, model.result()):
            raise TaskError(
                f"{place}: the model gives other values when called again: it draws at random, as dropout does.",
                remedy="Take the random layer out, or make the draw an input.",
            )
        used = [
            name for name, value in model.state.items() if not _same(first, model.result({name: _other(value)}), CLOSE)
        ]
        held: dict[str | int, Any] = {name: model.state[name] for name in used} | dict(enumerate(model.arguments))
        unordered = {
            name
            for name, value in held.items()
            if isinstance(value, torch.Tensor) and value.dim() and value.shape[-1] > 1
            if _same(first, model.result({name: value.flip(-1)}), CLOSE)
        }
    except TaskError:
        raise
    except Exception as error:
        raise TaskError(
            f"{place}: the model raises at sizes {list(sizes)}: {type(error).__name__}: {error}."
        ) from error
    return Tried(tuple(used), frozenset(unordered))


def call(problem: Build, sizes: Sequence[int], kinds: Kinds, seed: int) -> None:
    """Run the model once in float64, on values drawn from the seed."""
    _Model(problem, sizes, kinds, seed).result()


class _Model:
    """The model with one set of values, some of which may be replaced for a call."""

    def __init__(self, problem: Build, sizes: Sequence[int], kinds: Kinds, seed: int = 0) -> None:
        import torch

        self._problem, self._sizes = problem, sizes
        floating = {name: name for name, dtype in kinds.state.items() if dtype.is_floating_point}
        names = [f"argument {at}" if isinstance(kind, torch.dtype) else "" for at, kind in enumerate(kinds.arguments)]
        generator = torch.Generator().manual_seed(seed)
        drawn = draw(problem, sizes, generator, inputs=names, state=floating, dtype=torch.float64)
        self.state = {name: drawn[name] for name in floating}
        self.arguments = [drawn[name] if name else kind for name, kind in zip(names, kinds.arguments, strict=True)]

    def result(self, changed: Mapping[str | int, torch.Tensor] | None = None) -> list[torch.Tensor]:
        """What it returns, all given tensors copied: a model may write them."""
        import torch

        changed = changed or {}
        state = {name: changed.get(name, value).clone() for name, value in self.state.items()}
        arguments = [
            changed.get(at, item).clone() if isinstance(item, torch.Tensor) else item
            for at, item in enumerate(self.arguments)
        ]
        return [item.clone() for item in tensors_of(evaluate(self._problem, self._sizes, state, arguments))]


def _other(value: torch.Tensor) -> torch.Tensor:
    import torch

    return value + 0.5 + torch.rand(value.shape, dtype=value.dtype, generator=torch.Generator().manual_seed(1))


def _same(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor], close: float = 0.0) -> bool:
    """Whether results agree, up to a share of the largest value."""
    import torch

    for a, b in zip(first, second, strict=True):
        if close and a.is_floating_point() and a.numel():
            allowed = close * float(a.abs().nan_to_num(0, 0, 0).max())
            if not torch.allclose(a, b, rtol=0, atol=allowed, equal_nan=True):
                return False
        elif not torch.equal(a.nan_to_num(), b.nan_to_num()):
            return False
    return True
