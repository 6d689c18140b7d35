"""No alarm on the honest kernels of these tests, however blocks and warps are ordered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from warpsmith.sandbox.emulator.machine import LaunchResult

from .. import test_vm_kernels as kernels
from ..conftest import Kernel

SCHEDULES = 50


@dataclass(frozen=True)
class Scheduled:
    """A kernel whose checked launches all run under one schedule."""

    kernel: Kernel
    seed: int

    def run(self, *arguments: Any, **options: Any) -> LaunchResult:
        return self.kernel.run(*arguments, **{**options, "seed": self.seed})


RUNS = {
    "register-tiled gemm": kernels.test_register_tiled_gemm_with_dynamic_shared_memory,
    "softmax": kernels.test_softmax,
    "tensor-core gemm": kernels.test_tensor_core_gemm_in_bf16,
    "wmma gemm": kernels.test_wmma_gemm_in_fp16,
    "four-bit weights": kernels.test_four_bit_weights,
    "block-sparse attention": kernels.test_block_sparse_attention,
    "divergence": kernels.test_lanes_that_leave_in_every_direction,
}


def _scheduled(cuda: Callable[..., Kernel], seed: int) -> Callable[..., Scheduled]:
    def find(file: str, name: str = "") -> Scheduled:
        path = next(folder / f"{file}.cu" for folder in kernels.FOLDERS if (folder / f"{file}.cu").exists())
        return Scheduled(cuda(path.read_text(), name), seed)

    return find


@pytest.mark.full
@pytest.mark.parametrize("name", RUNS)
def test_an_honest_kernel_raises_no_alarm_under_many_schedules(cuda, buffer, fresh, name):
    for seed in range(SCHEDULES):
        RUNS[name](_scheduled(cuda, seed), buffer, fresh, np.random.default_rng(1))


@pytest.mark.full
@pytest.mark.parametrize(
    "run", [kernels.test_mixture_of_experts, kernels.test_sparse_convolution, kernels.test_sum_by_atomics]
)
def test_an_honest_kernel_with_atomics_raises_no_alarm_under_many_schedules(cuda, buffer, written, run):
    for seed in range(SCHEDULES):
        run(_scheduled(cuda, seed), buffer, written, np.random.default_rng(1))
