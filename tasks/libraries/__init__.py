"""What a user would run today instead of a kernel of ours: other libraries' own, by task.

They stand apart from the task files, whose digest verdicts belong to: what a kernel must compute does not change with
what else is on the market. No library is a dependency; each is imported where it is timed, and named as absent where it
is not installed.
"""

from __future__ import annotations

from importlib import import_module

from warpsmith.core.task import Baseline

_MODULES = {
    "w4a16_gemm": "_w4a16_gemm",
    "w4a16_gemm_backward": "_w4a16_gemm",
    "moe_forward": "_moe",
    "moe_routing_metadata": "_moe",
    "nsa_selected_attention": "_nsa",
    "nsa_block_topk": "_nsa",
    "spconv_forward": "_spconv",
    "spconv_kernel_map": "_spconv",
}


def libraries_for(task: str) -> tuple[Baseline, ...]:
    """The libraries that a shipped task is timed against; none for a task nobody listed."""
    name = _MODULES.get(task)
    if name is None:
        return ()
    found: dict[str, tuple[Baseline, ...]] = import_module(f"{__name__}.{name}").BASELINES
    return found[task]
