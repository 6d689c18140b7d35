"""The example kernels parse, compile and compute what their tasks say, on both targets people ask for first."""

from __future__ import annotations

from pathlib import Path

import pytest

from warpsmith import app
from warpsmith.core.kernel_file import parse_kernel_file
from warpsmith.tasks import find_tasks, load_task

EXAMPLES = Path(__file__).parents[2] / "examples"
PAIRS = {
    "w4a16.cu": "w4a16_gemm",
    "moe.cu": str(EXAMPLES / "tasks" / "moe_grouped_gemm.py"),
    "spconv.cu": str(EXAMPLES / "tasks" / "submanifold_conv3d.py"),
}


@pytest.mark.parametrize("kernel", sorted(EXAMPLES.glob("*.[cp][uy]")), ids=lambda path: path.name)
def test_the_task_of_an_example_ships_or_lies_beside_it(kernel: Path) -> None:
    named = parse_kernel_file(kernel.read_text()).task
    assert named in {task.name for task in find_tasks()} or load_task(EXAMPLES / "tasks" / f"{named}.py").name == named


@pytest.mark.full
@pytest.mark.parametrize("arch", ["h200", "a100"])
@pytest.mark.parametrize("kernel", PAIRS)
def test_an_example_is_verified(kernel: str, arch: str) -> None:
    evaluation = app.verify(EXAMPLES / kernel, task=PAIRS[kernel], arch=arch, seed=3)
    assert "Verified" == evaluation.outcome.kind, evaluation.outcome
    assert evaluation.profile is not None
    assert all(0 < item.fraction <= 1 for item in evaluation.profile.workloads)


def test_a_convolution_that_skips_an_offset_is_wrong(tmp_path: Path) -> None:
    text = (EXAMPLES / "spconv.cu").read_text()
    assert 1 == text.count("v < R * R * R")
    twin = tmp_path / "spconv.cu"
    twin.write_text(text.replace("v < R * R * R", "v < R * R * R - 1"))
    evaluation = app.verify(twin, task=PAIRS["spconv.cu"], arch="a100", seed=3)
    assert "Wrong" == evaluation.outcome.kind
