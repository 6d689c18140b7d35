"""Roundings a reference names: identity in the float64 oracle, real in the honest result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_ROUNDING: ContextVar[bool] = ContextVar("rounding", default=False)


def intermediate(tensor: torch.Tensor, dtype: torch.dtype | str) -> torch.Tensor:
    """Mark a value inside a reference that an honest kernel stores in `dtype`.

    Args:
        tensor: Any floating tensor.
        dtype: A torch dtype or its name, `"float16"`.

    Returns:
        `tensor` itself in the oracle; in the honest result, `tensor` rounded to `dtype` and widened again.
    """
    if not _ROUNDING.get():
        return tensor
    import torch

    target = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    return tensor.to(target).to(tensor.dtype)


@contextmanager
def rounding() -> Iterator[None]:
    """Within this context `intermediate` rounds."""
    token = _ROUNDING.set(True)
    try:
        yield
    finally:
        _ROUNDING.reset(token)
