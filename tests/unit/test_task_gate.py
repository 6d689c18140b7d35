"""The task gate: sound tasks pass, degenerate ones are named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from warpsmith.core.dtype import DType
from warpsmith.core.errors import TaskError
from warpsmith.core.task import Cost, Task, Tolerance
from warpsmith.sandbox.verify.mutants import lowered
from warpsmith.sandbox.verify.task_gate import check_task
from warpsmith.tasks import find_tasks, load_task
from warpsmith.tasks.convert import from_torch, to_torch

W4A16 = load_task("w4a16_gemm")
SMALL = replace(W4A16, verify=W4A16.verify[1:3])


def each_task() -> list[Any]:
    """The names of those that ship; some take many seconds."""
    long = ("moe_forward", "nsa_block_topk", "nsa_selected_attention")
    names = [task.name for task in find_tasks()]
    return [pytest.param(name, marks=pytest.mark.full if name in long else ()) for name in names]


@pytest.mark.parametrize("name", each_task())
def test_every_shipped_task_is_sound(name: str) -> None:
    report = check_task(load_task(name))
    assert report.problems == ()
    assert report.tried > 20


def test_w4a16_catches_every_wrong_result_at_every_workload() -> None:
    assert check_task(W4A16, seed=1).survivors == ()


def problems(**change: Any) -> str:
    return "\n".join(check_task(altered(**change)).problems)


def altered(**change: Any) -> Task:
    return replace(SMALL, **change)


def test_a_tolerance_that_accepts_zeros_is_named() -> None:
    assert "accepts zeros" in problems(tolerance=Tolerance(k=3.0, floor=1.5, floor_largest=50.0))


def test_a_tolerance_that_accepts_fp8_is_named() -> None:
    said = problems(tolerance=Tolerance(k=3.0, floor=0.2, floor_largest=5.0))
    assert "accepts outputs in the next lower precision" in said
    assert "accepts zeros" not in said


def test_terms_that_cancel_at_some_workloads_are_no_fault_of_the_task_but_at_all_they_are() -> None:
    """In float32 second differences of a short row are right to three digits, of a long one to none."""
    curved = load_task(Path(__file__).parents[1] / "cheats" / "curved.py")
    assert check_task(curved).problems == ()
    longer = tuple(replace(item, dims={"R": 3, "N": 1000 + number}) for number, item in enumerate(curved.verify))
    said = check_task(replace(curved, verify=longer)).problems
    assert "No workload fails with outputs in the next lower precision" in "\n".join(said)


def test_an_operand_without_effect_is_named() -> None:
    def reference(
        x: torch.Tensor, qweight: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor | None
    ) -> torch.Tensor:
        return x @ torch.ones(x.shape[1], qweight.shape[1], dtype=x.dtype) + scales.mean()

    assert "No workload fails with qweight read as zeros" in problems(reference=reference)


def test_a_reference_that_draws_at_random_is_named() -> None:
    generator = torch.Generator().manual_seed(0)

    def reference(
        x: torch.Tensor, qweight: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor | None
    ) -> torch.Tensor:
        noise = torch.rand(x.shape[0], qweight.shape[1], generator=generator, dtype=x.dtype)
        return noise + x.sum() * 0

    assert "gives other values when called again" in problems(reference=reference)


def test_a_cost_of_more_bytes_than_there_are_is_named() -> None:
    assert "more than the" in problems(cost=lambda dims: Cost(flops=1, bytes=1e12))


@pytest.mark.parametrize(("dtype", "error"), [(DType.FLOAT16, 2**-4), (DType.BFLOAT16, 2**-4), (DType.FLOAT32, 2**-11)])
def test_lowering_rounds_to_the_next_precision(dtype: DType, error: float) -> None:
    values = torch.linspace(1.0, 2.0, 1000, dtype=torch.float64).to(getattr(torch, dtype.value))
    off = (to_torch(lowered(from_torch(values, dtype))).double() / values.double() - 1).abs().max()
    assert error / 2 < float(off) <= error * 1.1


def test_integers_have_no_lower_precision() -> None:
    tensor = from_torch(torch.arange(4, dtype=torch.int32), DType.INT32)
    assert lowered(tensor) is tensor


ARGMAX = load_task(Path(__file__).parents[1] / "emulated" / "judged" / "row_argmax.py")


def test_a_task_with_a_check_properties_and_an_exact_cost_is_sound() -> None:
    assert () == check_task(ARGMAX).problems


def test_a_property_that_the_reference_breaks_is_named() -> None:
    wrong = replace(
        ARGMAX.properties[0], name="nothing moves", pairs=lambda a, b, order: {"value": (a["value"], b["value"])}
    )
    said = "\n".join(check_task(replace(ARGMAX, properties=(wrong,))).problems)
    assert "It does not hold that nothing moves: value differs" in said


def test_a_property_that_changes_nothing_is_named() -> None:
    idle = replace(ARGMAX.properties[0], change=lambda inputs, dims, generator: (inputs, torch.arange(dims["R"])))
    assert "never compares anything" in "\n".join(check_task(replace(ARGMAX, properties=(idle,))).problems)


def test_a_check_that_accepts_anything_is_named() -> None:
    def blind(got: dict[str, torch.Tensor], **rest: Any) -> dict[str, torch.Tensor]:
        return {"index": torch.zeros_like(got["index"], dtype=torch.bool)}

    check = replace(ARGMAX.checks[0], judge=lambda got, expected, inputs, dims: blind(got))
    task = replace(ARGMAX, checks=(check,), outputs=ARGMAX.outputs[1:], properties=(), exact_cost=None)
    task = replace(task, reference=lambda x, rows: x[rows].argmax(dim=1).to(torch.int32))
    assert "accepts zeros" in "\n".join(check_task(task).problems)


def test_an_exact_cost_above_the_cost_is_named() -> None:
    task = replace(ARGMAX, exact_cost=lambda dims, inputs: Cost(flops=1e12, bytes=1.0, unit="fp32"))
    assert "exact_cost is 1e+12 operations" in "\n".join(check_task(task).problems)


def test_a_check_that_raises_is_blamed_on_the_task() -> None:
    check = replace(ARGMAX.checks[0], judge=lambda got, expected, inputs, dims: got["nothing"])
    with pytest.raises(TaskError, match="the check of index at workload 'few rows' raised: KeyError"):
        check_task(replace(ARGMAX, checks=(check,)))


def test_optional_inputs_are_tried_with_and_without() -> None:
    """A task that never leaves its zero points out, or always does, is unsound; so is one timed as never tried."""
    task = load_task("w4a16_gemm")
    small = [item for item in task.verify if item.name in ("three columns", "zero points, groups of 64")]
    without, given = small
    both = replace(task, verify=(without, given), bench=task.bench[:1])
    assert not [item for item in check_task(both).problems if "optional" in item or "leaves out" in item]
    (never,) = [item for item in check_task(replace(both, verify=(without,))).problems if "optional" in item]
    assert "No verify workload has the optional input zeros" in never
    always = [item for item in check_task(replace(both, verify=(given,))).problems if "zeros" in item]
    assert any("No verify workload lacks the optional input zeros" in item for item in always)
    assert any("leaves out zeros, as no verify workload does" in item for item in always)


FOLDER = Path(__file__).parents[1] / "cheats"


def test_one_constant_output_among_several_is_named(tmp_path: Path) -> None:
    text = (FOLDER / "inplace.py").read_text()
    assert not check_task(load_task(FOLDER / "inplace.py")).problems
    path = tmp_path / "inplace.py"
    path.write_text(text.replace("(g * g).sum(1)", "torch.ones(g.shape[0], dtype=g.dtype)"))
    assert any("the mean everywhere in norm alone" in item for item in check_task(load_task(path)).problems)


def test_a_workload_at_which_no_row_counts_proves_nothing() -> None:
    """Of one element none is above the limit here; a task none of whose workloads keeps any is named."""
    task = load_task(FOLDER / "compact.py")
    one = next(item for item in task.verify if item.name == "one")
    assert not [item for item in check_task(task).problems if "'one'" in item]
    alone = check_task(replace(task, verify=(one,)))
    assert 0 == alone.tried
    assert any("no verify workload are there outputs that count" in item for item in alone.problems)
