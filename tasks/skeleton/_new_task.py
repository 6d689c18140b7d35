"""RMS norm of each row, times a weight (change me: say what is computed, and where the problem comes from)."""

from collections.abc import Mapping

import torch

from warpsmith.tasks import Cost, Output, Role, Task, Tensor, Tolerance, Workload

EPSILON = 1e-6


# [1] The reference: plain PyTorch, inputs by name. It runs in float64 too, so keep the dtype of the inputs.
def reference(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + EPSILON) * weight


# [2] Inputs to try: every input by name, in its declared dtype, from the generator only.
def normal(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    x = torch.randn(dims["ROWS"], dims["COLUMNS"], generator=generator)
    weight = 1 + 0.3 * torch.randn(dims["COLUMNS"], generator=generator)
    return {"x": x.half(), "weight": weight.half()}


def mixed(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Rows of very different size: a kernel that drops a row, or mixes two, cannot hide."""
    inputs = normal(dims, generator)
    size = 2.0 ** torch.randint(-3, 4, (dims["ROWS"], 1), generator=generator)
    return inputs | {"x": (inputs["x"] * size).half()}


# [3] The work that any correct kernel must do: every input byte read once, every output byte written once.
def cost(dims: Mapping[str, int]) -> Cost:
    elements = dims["ROWS"] * dims["COLUMNS"]
    return Cost(flops=4.0 * elements, bytes=2.0 * (2 * elements + dims["COLUMNS"]), unit="fp32")


TASK = Task(
    name="new_task",
    family="own",
    summary="y = x / sqrt(mean(x^2) + 1e-6) * weight, along each row",
    # [4] Sizes, and the tensors that have them. Weights, which stay the same from call to call, are static.
    dims=("ROWS", "COLUMNS"),
    constraints=("ROWS >= 1", "COLUMNS >= 1"),
    inputs=(
        Tensor("x", ("ROWS", "COLUMNS"), "float16"),
        Tensor("weight", ("COLUMNS",), "float16", role=Role.STATIC),
    ),
    outputs=(Output("y", ("ROWS", "COLUMNS"), "float16"),),
    reference=reference,
    make_inputs={"normal": normal, "mixed": mixed},
    # [5] Small and awkward sizes, on which every kernel is checked.
    verify=(
        Workload("one short row", {"ROWS": 1, "COLUMNS": 33}, "normal"),
        Workload("ragged columns", {"ROWS": 5, "COLUMNS": 1000}, "mixed"),
        Workload("many rows", {"ROWS": 257, "COLUMNS": 64}, "mixed"),
        Workload("a long row", {"ROWS": 2, "COLUMNS": 9001}, "normal"),
    ),
    # [6] The sizes that are timed, each with its source.
    bench=(Workload("a hidden state", {"ROWS": 2048, "COLUMNS": 4096}, "normal", source="2048 tokens of Llama-2-7B"),),
    cost=cost,
    # [7] Error: at most k times that of an honest result in these dtypes, plus the floor.
    tolerance=Tolerance(k=3.0, floor=4e-4, floor_largest=3e-3),
)
