"""The speed of light: what no kernel on the target can beat.

The bound holds for inputs that come from DRAM and outputs that go there, which is how a call is timed: buffers are
rotated so that L2 holds none of them. It leaves launch overhead out on purpose. Overhead depends on how a caller
launches (a stream, a graph, a persistent kernel that never ends), so a bound that charged it could be beaten
honestly, and an honest kernel would be called implausible.
"""

from __future__ import annotations

import math

from warpsmith.core.arch import Architecture
from warpsmith.core.errors import TaskError
from warpsmith.core.quantity import Bound
from warpsmith.core.task import Cost

FLOAT32_PRODUCTS = 3
"""Half-precision products that make one of nearly fp32 accuracy (Ootomo and Yokota, "Recovering single precision
accuracy from Tensor Cores while surpassing the FP32 theoretical peak performance", 2022)."""

FLOAT64_PRODUCTS = 14
"""int8 products that make one of nearly fp64 accuracy (Ozaki, Uchino and Imamura, "Ozaki Scheme II", 2025)."""


def speed_of_light(cost: Cost, arch: Architecture) -> Bound:
    """The larger of compulsory bytes over peak DRAM bandwidth and FLOPs over the fastest honest unit's dense peak.

    An fp32 or fp64 task may honestly be done in several tensor-core products of a shorter type; the bound allows it.

    Raises:
        TaskError: `cost.unit` is no unit we know, or a number in it is negative or not finite.
    """
    if not all(math.isfinite(number) and number >= 0 for number in (cost.flops, cost.bytes)):
        raise TaskError(
            f"cost of {cost.flops} FLOPs and {cost.bytes} bytes.", remedy="Both are finite and not negative."
        )
    peak, unit = _peak(cost.unit, arch)
    times = {
        "dram": cost.bytes / (arch.dram_gbps * 1e3),
        unit: cost.flops / (peak * 1e-6),
        # Not even a kernel that does nothing ends within the clock it starts in.
        "clock": arch.microseconds(1),
    }
    limit = max(times, key=lambda name: times[name])
    return Bound(us=times[limit], limit=limit, flops=cost.flops, bytes=cost.bytes)


def _peak(unit: str, arch: Architecture) -> tuple[float, str]:
    """FLOP/s and the name of the fastest way to do arithmetic that passes for `unit`."""
    tensor = arch.tensor_flops
    match unit:
        case "fp32":
            ways = {
                "fp32": arch.lane_flops("fma"),
                f"fp32 as {FLOAT32_PRODUCTS} x tensor fp16": tensor("fp16") / FLOAT32_PRODUCTS,
            }
        case "fp64":
            ways = {
                "fp64": arch.lane_flops("fp64"),
                "tensor fp64": tensor("fp64"),
                f"fp64 as {FLOAT64_PRODUCTS} x tensor int8": tensor("int8") / FLOAT64_PRODUCTS,
            }
        case "fp8" if "fp8" not in arch.tensor:
            # Without fp8 tensor cores the operands are widened, and int8 products do not stand for fp8 ones.
            ways = {"tensor fp16 for fp8": tensor("fp16")}
        case "fp16" | "bf16" | "tf32" | "fp8" | "int8":
            ways = {f"tensor {unit}": tensor(unit)}
        case _:
            raise TaskError(f"cost unit {unit!r} is unknown.", remedy="Use one of fp16 bf16 tf32 fp8 int8 fp32 fp64.")
    name = max(ways, key=lambda way: ways[way])
    return ways[name], name
