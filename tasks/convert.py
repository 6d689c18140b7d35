"""Carries tensors between torch and host memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.dtype import DType
from warpsmith.core.task import Workload
from warpsmith.core.tensor import HostTensor

if TYPE_CHECKING:
    import torch


def torch_dtype(dtype: DType) -> torch.dtype:
    """The torch dtype of the same name."""
    import torch

    found: torch.dtype = getattr(torch, dtype.value)
    return found


def to_torch(tensor: HostTensor) -> torch.Tensor:
    """The same memory as a CPU tensor; bfloat16 and float8 get their own dtype. Read-only memory is copied."""
    import torch

    array = tensor.array if tensor.array.flags.writeable else tensor.array.copy()
    return torch.from_numpy(array).view(torch_dtype(tensor.dtype))


def from_torch(tensor: torch.Tensor, dtype: DType) -> HostTensor:
    """The same memory as a HostTensor where the tensor is a contiguous CPU one, else a copy.

    Raises:
        ValueError: the tensor has another dtype.
    """
    import torch

    if tensor.dtype != torch_dtype(dtype):
        raise ValueError(f"a tensor of {tensor.dtype} is not {dtype}")
    plain = tensor.detach().cpu().contiguous()
    if dtype.storage.name != dtype.value:
        plain = plain.view(torch.uint16 if dtype.itemsize == 2 else torch.uint8)
    return HostTensor(dtype, tuple(tensor.shape), plain.numpy())


def bound_dtypes(workload: Workload) -> dict[str, torch.dtype]:
    """What the workload binds the task's dtype variables to."""
    return {variable: torch_dtype(DType(name)) for variable, name in workload.dtypes.items()}


def finite_limit(dtype: DType) -> float:
    """The largest finite value of a floating dtype."""
    import torch

    return float(torch.finfo(torch_dtype(dtype)).max)


def smallest(dtype: DType) -> float:
    """The smallest positive value of a floating dtype, which has one digit."""
    import torch

    limits = torch.finfo(torch_dtype(dtype))
    return float(limits.tiny * limits.eps)


def narrowed(values: NDArray[Any], dtype: DType) -> HostTensor:
    """Values rounded to a dtype, as torch does it."""
    import torch

    return from_torch(torch.from_numpy(np.asarray(values, order="C")).to(torch_dtype(dtype)), dtype)


def widened(tensor: HostTensor) -> NDArray[np.float64]:
    """A floating tensor's values as float64."""
    import torch

    array: NDArray[np.float64] = to_torch(tensor).to(torch.float64).numpy()
    return array


def unit_roundoff(dtype: DType) -> float:
    """The largest relative error of rounding to a floating dtype: 2^-11 for float16, 2^-8 for bfloat16."""
    import torch

    return float(torch.finfo(torch_dtype(dtype)).eps) / 2
