"""Runs a problem at chosen sizes without values, and tells the shapes of everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

from warpsmith.core.errors import TaskError
from warpsmith.tasks.problem import Problem, computing_in, state_of
from warpsmith.tasks.watch import watching

if TYPE_CHECKING:
    import torch

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product or convolution."""

    operator: str
    """ATen's name for it."""
    extents: Shape
    """What it runs over: their product is the number of multiply-adds."""
    results: int
    """Elements it gives."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a problem is at one choice of sizes."""

    arguments: tuple[Shape | None, ...]
    """Shapes of what `forward` takes; None for what is no tensor."""
    state: dict[str, Shape]
    """Shapes of parameters and buffers."""
    outputs: tuple[Shape, ...]
    products: tuple[Product, ...]
    """Matrix products and convolutions, in the order they run."""

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return (*(item for item in self.arguments if item is not None), *self.state.values(), *self.outputs)

    @property
    def elements(self) -> int:
        return sum(prod(shape) for shape in self.shapes)

    @property
    def flops(self) -> int:
        return sum(2 * prod(item.extents) for item in self.products)


@dataclass(frozen=True, slots=True)
class Kinds:
    """What does not change with the sizes: dtypes, and arguments that are no tensors."""

    arguments: tuple[Any, ...]
    """A torch dtype for a tensor, else the value itself."""
    state: dict[str, torch.dtype]
    outputs: tuple[torch.dtype, ...]


@dataclass(frozen=True, slots=True)
class Probe:
    """One problem, and what was seen of it so far."""

    problem: Callable[..., Problem]
    names: tuple[str, ...]
    """Of its sizes, in the order it takes them."""
    dtype: torch.dtype
    """Of floating tensors."""
    _seen: dict[tuple[int, ...], Seen | str] = field(default_factory=dict)

    def at(self, sizes: Mapping[str, int]) -> Seen | str:
        """Shapes at these sizes, or why the problem does not work there; a size of nothing is no size."""
        key = tuple(sizes[name] for name in self.names)
        if key not in self._seen:
            try:
                seen = self._look(key)[0]
            except TaskError:
                raise
            # Whatever the problem's own code raises says that it does not work at these sizes.
            except Exception as error:  # noqa: BLE001
                said = (str(error).strip().splitlines() or ["no message"])[0].split(". ")[0].rstrip(".")
                self._seen[key] = f"{type(error).__name__}: {said}"
            else:
                empty = any(0 in shape for shape in seen.shapes)
                self._seen[key] = "a tensor is empty" if empty else seen
        return self._seen[key]

    def kinds(self, sizes: Mapping[str, int]) -> Kinds:
        """Dtypes at sizes where the problem works."""
        return self._look(tuple(sizes[name] for name in self.names))[1]

    def _look(self, sizes: tuple[int, ...]) -> tuple[Seen, Kinds]:
        import torch

        meta = torch.device("meta")
        with torch.no_grad(), computing_in(self.dtype, meta), _unvalidated():
            made = self.problem(*sizes)
            module = made.model(*made.get_init_inputs())
            arguments = [self._typed(item) for item in made.get_inputs()]
            with _products() as products:
                outputs = tensors_of(module(*arguments))
        state = state_of(module)
        seen = Seen(
            arguments=tuple(tuple(item.shape) if isinstance(item, torch.Tensor) else None for item in arguments),
            state={name: tuple(value.shape) for name, value in state.items()},
            outputs=tuple(tuple(item.shape) for item in outputs),
            products=tuple(products),
        )
        kinds = Kinds(
            arguments=tuple(item.dtype if isinstance(item, torch.Tensor) else item for item in arguments),
            state={name: value.dtype for name, value in state.items()},
            outputs=tuple(item.dtype for item in outputs),
        )
        return seen, kinds

    def _typed(self, item: Any) -> Any:
        import torch

        if isinstance(item, torch.Tensor) and item.is_floating_point():
            return item.to(self.dtype)
        return item


def drawn_dtype(problem: Callable[..., Problem], sizes: tuple[int, ...]) -> str:
    """Name of the one floating dtype that `get_inputs` draws; float32 where it raises, or draws none or several."""
    import torch

    try:
        with computing_in(torch.float32, torch.device("meta")), _unvalidated():
            drawn = problem(*sizes).get_inputs()
    except Exception:  # noqa: BLE001 - the probe says what the problem's own code raises
        return "float32"
    found = {item.dtype for item in drawn if isinstance(item, torch.Tensor) and item.is_floating_point()}
    return str(found.pop()).removeprefix("torch.") if len(found) == 1 else "float32"


def tensors_of(returned: Any) -> Sequence[torch.Tensor]:
    """What `forward` returned, as a sequence of tensors.

    Raises:
        TaskError: it is something else.
    """
    import torch

    items = list(returned) if isinstance(returned, tuple | list) else [returned]
    if not items or not all(isinstance(item, torch.Tensor) for item in items):
        raise TaskError(f"forward returns {type(returned).__name__}, not tensors.")
    return items


@contextmanager
def _unvalidated() -> Iterator[None]:
    """torch.distributions looks at values, which are not there."""
    from torch.distributions import Distribution

    before = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(before)


@contextmanager
def _products() -> Iterator[list[Product]]:
    """The extents of every matrix product and convolution from here on."""
    found: list[Product] = []

    def look(func: Any, args: Any, kwargs: Any, result: Any) -> None:
        name = operator_name(func)
        extents = product_extents(name, args, result)
        if extents:
            found.append(Product(name, extents, result.numel()))

    with watching(look):
        yield found


def operator_name(func: Any) -> str:
    """`mm` of `aten::mm.default`."""
    name: str = func.name().split("::")[-1].split(".")[0]
    return name


def product_extents(name: str, args: Sequence[Any], result: Any) -> Shape | None:
    """The extents whose product is the number of multiply-adds of an ATen operator; None for one without."""
    match name:
        case "mm":
            return (*args[0].shape, args[1].shape[1])
        case "addmm":
            return (*args[1].shape, args[2].shape[1])
        case "mv" | "dot":
            return tuple(args[0].shape)
        case "bmm":
            return (*args[0].shape, args[1].shape[2])
        case "baddbmm":
            return (*args[1].shape, args[2].shape[2])
        case "convolution":
            wide = args[0] if args[6] else result
            return (*wide.shape, *args[1].shape[1:])
    return None
