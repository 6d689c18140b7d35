"""Gradients of a loaded kernel, by a verified kernel of the task that is its backward."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from warpsmith.core.errors import InputError
from warpsmith.core.task import Task
from warpsmith.kernels_generated.dims import needed_keywords

if TYPE_CHECKING:
    import torch

    from warpsmith.kernels_generated.kernel import Kernel


class Pair:
    """A forward task and a kernel of its backward, as `register_autograd` wants them."""

    def __init__(self, task: Task, kernel: Kernel) -> None:
        declared = kernel.task.backward
        assert declared is not None
        self.task, self.kernel, self.declared = task, kernel, declared
        self._kept = tuple(
            index
            for index, item in enumerate(task.inputs)
            if item.name in {other.name for other in kernel.task.inputs} - declared.upstream.keys()
        )
        """Positions of inputs that the backward takes."""

    def setup_context(
        self, ctx: Any, inputs: tuple[Any, ...], keyword_only_inputs: dict[str, Any] | None = None, output: Any = None
    ) -> None:
        """Keep what the backward takes."""
        ctx.save_for_backward(*(inputs[index] for index in self._kept))
        ctx.dims = dict(keyword_only_inputs or {})

    def backward(self, ctx: Any, *incoming: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        """Gradients by position of the forward's inputs; None where none is asked for, or can be.

        Raises:
            InputError: one is asked for that the backward task does not compute.
        """
        task, declared = self.task, self.declared
        wanted = {item.name for item, needs in zip(task.inputs, ctx.needs_input_grad, strict=False) if needs}
        uncovered = sorted(wanted - set(declared.gradients.values()))
        if uncovered:
            raise InputError(
                f"{self.kernel.task.name} computes no gradient of {', '.join(uncovered)}.",
                remedy=f"Call {uncovered[0]}.requires_grad_(False), or detach it.",
            )
        if not wanted:
            return (None,) * len(task.inputs)
        kept = {task.inputs[index].name: value for index, value in zip(self._kept, ctx.saved_tensors, strict=True)}
        outputs = {item.name: grad for item, grad in zip(task.outputs, incoming, strict=True)}
        given = {ours: _whole(outputs[other]) for ours, other in declared.upstream.items()}
        names = needed_keywords(self.kernel.task)
        dims = {name: value for name, value in ctx.dims.items() if name in names}
        arguments = [given[it.name] if it.name in given else kept[it.name] for it in self.kernel.task.inputs]
        returned = self.kernel.operator(*arguments, **dims)
        found = dict(zip((it.name for it in self.kernel.task.outputs), _tuple(returned), strict=True))
        by_input = {other: found[ours] for ours, other in declared.gradients.items()}
        return tuple(by_input.get(item.name) if item.name in wanted else None for item in task.inputs)


def _whole(gradient: torch.Tensor | None) -> torch.Tensor:
    """PyTorch hands on expanded views, such as a sum's gradient; kernels take whole tensors."""
    assert gradient is not None, "materialised by PyTorch"
    return gradient.contiguous()


def _tuple(returned: Any) -> tuple[torch.Tensor, ...]:
    return returned if isinstance(returned, tuple) else (returned,)
