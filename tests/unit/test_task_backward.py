"""A task that says it is the backward of another is held against autograd of that one's reference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from warpsmith.cli.program import run
from warpsmith.core.errors import TaskError
from warpsmith.core.task import Backward, Output, Role, Task, Tensor
from warpsmith.sandbox.verify.backward import backward_problems, smallest
from warpsmith.tasks import find_tasks, forward_of, load_task

BACKWARD = load_task("w4a16_gemm_backward")


def problems(**change: Any) -> str:
    return "\n".join(backward_problems(replace(BACKWARD, **change)))


def declared(**change: Any) -> Backward:
    assert BACKWARD.backward is not None
    return replace(BACKWARD.backward, **change)


def test_every_shipped_backward_is_what_autograd_gives() -> None:
    backward = [task for item in find_tasks() if (task := load_task(item.name)).backward is not None]
    assert "w4a16_gemm_backward" in [task.name for task in backward]
    for task in backward:
        assert [] == backward_problems(task, seed=9)
        assert forward_of(task).backward is None


def test_a_task_that_says_nothing_of_it_has_no_such_problem() -> None:
    assert [] == backward_problems(load_task("w4a16_gemm"))


@pytest.mark.parametrize("factor", [1.0001, -1.0, 0.0, float("nan")])
def test_a_wrong_gradient_is_named(factor: float) -> None:
    def reference(
        dy: torch.Tensor, qweight: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor | None = None
    ) -> torch.Tensor:
        right: torch.Tensor = BACKWARD.reference(dy, qweight, scales, zeros)
        return right * factor

    assert "dx is not the gradient of w4a16_gemm's x at 'one row': autograd differs by" in problems(reference=reference)


def test_a_gradient_that_needs_what_it_does_not_take_is_named(tmp_path: Path) -> None:
    """Of y = x ** 3 the gradient depends on x, which this backward does without."""
    forward, backward = written(tmp_path, takes_x=False)
    assert "autograd differs" in "\n".join(backward_problems(backward))
    _, right = written(tmp_path, takes_x=True)
    assert [] == backward_problems(right)
    assert forward.name == forward_of(right).name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"backward": declared(of="no_such_task")}, "There is no task `no_such_task`"),
        ({"backward": declared(of="w4a16_gemm_backward")}, "is a backward task itself"),
        (
            {"backward": declared(gradients={"dx": "qweight"})},
            "dx is not int32 [K // 8, N], as w4a16_gemm's qweight is",
        ),
        ({"backward": declared(upstream={"dy": "x"})}, "dy stands for 'x', which is no output of w4a16_gemm"),
        ({"backward": declared(upstream={"scales": "y"})}, "dy stands for 'dy', which is no input of w4a16_gemm"),
        ({"backward": declared(of="moe_forward")}, "its dimensions ('M', 'N', 'K', 'G') are not moe_forward's"),
        ({"outputs": (Output("dx", ("M", "K"), "float32"),)}, "dx is not float16 [M, K]"),
        (
            {"inputs": tuple(replace(item, optional=False) for item in BACKWARD.inputs)},
            "zeros is optional in one of w4a16_gemm_backward and w4a16_gemm only",
        ),
        (
            {"inputs": (BACKWARD.inputs[0], replace(BACKWARD.inputs[1], role=Role.INPLACE), *BACKWARD.inputs[2:])},
            "a task that overwrites inputs has no gradient here",
        ),
    ],
)
def test_declarations_that_do_not_fit_the_forward_are_named(change: dict[str, Any], said: str) -> None:
    assert said in problems(**change)


FORWARD = """
from warpsmith.tasks import Cost, Output, Task, Tensor, Workload


def reference(x):
    return x ** 3


def normal(dims, generator):
    import torch

    return {"x": torch.randn(dims["N"], generator=generator)}


SIZES = tuple(Workload(f"of {size}", {"N": size}, "normal") for size in (7, 300))
TASK = Task(
    name="cube", family="mine", summary="y = x ** 3", dims=("N",), inputs=(Tensor("x", ("N",), "float32"),),
    outputs=(Output("y", ("N",), "float32"),), reference=reference, make_inputs={"normal": normal},
    verify=SIZES, bench=SIZES[1:], cost=lambda dims: Cost(flops=2 * dims["N"], bytes=8 * dims["N"], unit="fp32"),
)
"""


def written(folder: Path, *, takes_x: bool) -> tuple[Task, Task]:
    text = FORWARD.replace("import Cost", "import Backward, Cost").replace('name="cube"', 'name="cube_backward"')
    text = text.replace('Output("y"', 'Output("dx"')
    text = text.replace(
        "verify=SIZES", 'backward=Backward(of="cube.py", upstream={"dy": "y"}, gradients={"dx": "x"}), verify=SIZES'
    )
    if takes_x:
        text = text.replace("reference(x):\n    return x ** 3", "reference(dy, x):\n    return 3 * x**2 * dy")
        text = text.replace('Tensor("x"', 'Tensor("dy", ("N",), "float32"), Tensor("x"')
        text = text.replace('{"x": torch', '{"dy": torch.randn(dims["N"], generator=generator), "x": torch')
    else:
        text = text.replace("reference(x):\n    return x ** 3", "reference(dy):\n    return 3 * dy")
        text = text.replace('Tensor("x"', 'Tensor("dy"').replace('{"x": torch', '{"dy": torch')
    (folder / "cube.py").write_text(FORWARD)
    (folder / "cube_backward.py").write_text(text)
    return load_task(folder / "cube.py"), load_task(folder / "cube_backward.py")


def test_a_change_of_the_forward_is_a_change_of_its_backward(tmp_path: Path) -> None:
    _, before = written(tmp_path, takes_x=True)
    (tmp_path / "cube.py").write_text(FORWARD + "# another word\n")
    assert before.source_digest != load_task(tmp_path / "cube_backward.py").source_digest


def test_a_declaration_of_unknown_tensors_does_not_load(tmp_path: Path) -> None:
    written(tmp_path, takes_x=True)
    path = tmp_path / "cube_backward.py"
    path.write_text(path.read_text().replace('upstream={"dy"', 'upstream={"gy"'))
    with pytest.raises(TaskError, match=r"cube_backward.py:\d+: backward names 'gy', which is no input"):
        load_task(path)


def test_tasks_check_holds_a_backward_against_its_forward(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, takes_x=False)
    assert 1 == run(["tasks", "check", str(tmp_path / "cube_backward.py")])
    assert "dx is not the gradient of cube's x" in " ".join(capsys.readouterr().out.split())


def test_the_smallest_workload_is_the_cheapest_that_holds_something() -> None:
    assert "ragged K" == smallest(BACKWARD).name
    assert Tensor("dy", ("M", "N"), "float16") == BACKWARD.inputs[0]
