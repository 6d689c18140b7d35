"""Problems in KernelBench's form become tasks; those that cannot honestly be optimised are refused with the reason."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from warpsmith.agents.prompts.views import TaskView
from warpsmith.cli.program import run
from warpsmith.core.errors import TaskError
from warpsmith.core.task import Role, Task
from warpsmith.leaderboard.site.brief import read_briefly
from warpsmith.leaderboard.site.trail import follow
from warpsmith.store import Store
from warpsmith.tasks import load_task
from warpsmith.tasks.importers.kernelbench import import_problem
from warpsmith.tasks.importers.kernelbench.fit import Sample, fit
from warpsmith.tasks.importers.kernelbench.source import read_problem
from warpsmith.tasks.oracle import honest, oracle
from warpsmith.tasks.sample import make_inputs

PROBLEMS = Path(__file__).parents[1] / "problems"
SOUND = sorted(path.stem for path in PROBLEMS.glob("level*.py"))
SOLVED = sorted(path.name for path in (PROBLEMS / "replies").iterdir())


def imported(name: str, folder: Path, **how: object) -> Task:
    found = import_problem(PROBLEMS / f"{name}.py", **how)  # type: ignore[arg-type]
    path = folder / f"{found.name}.py"
    path.write_text(found.text)
    return load_task(path)


def shapes(task: Task) -> dict[str, tuple[str, ...]]:
    return {item.name: item.shape for item in (*task.inputs, *task.outputs)}


def test_parameters_become_static_inputs(tmp_path: Path) -> None:
    task = imported("level2_conv_relu_bias", tmp_path)
    roles = {item.name: item.role for item in task.inputs}
    static = dict.fromkeys(("bias", "conv_weight", "conv_bias"), Role.STATIC)
    assert {"x": Role.DYNAMIC, **static} == roles
    assert ("OUT_CHANNELS", "IN_CHANNELS", "3", "3") == shapes(task)["conv_weight"]
    assert ("BATCH_SIZE", "OUT_CHANNELS", "HEIGHT - 2", "WIDTH - 2") == shapes(task)["out"]
    assert ("KERNEL_SIZE",) == task.fixed


def test_integers_stay_integers(tmp_path: Path) -> None:
    task = imported("level1_cross_entropy", tmp_path)
    assert {"predictions": "float32", "targets": "int64"} == {item.name: item.dtype for item in task.inputs}
    halves = imported("level1_argmax_rows", tmp_path, dtype="float16")
    assert ["float16", "int64"] == [item.dtype for item in halves.outputs]


def test_a_problem_drawn_on_a_gpu_in_half_precision_is_imported_so(tmp_path: Path) -> None:
    task = imported("level1_scores_on_a_gpu", tmp_path)
    assert ["float16"] * 3 == [item.dtype for item in (*task.inputs, *task.outputs)]
    drawn = make_inputs(task, task.verify[0], 0)
    q, k = (torch.from_numpy(drawn[name].array).view(torch.float16).double() for name in ("q", "k"))
    expected = torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-1).numpy()
    assert np.allclose(oracle(task, task.verify[0], drawn)["out"], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("file", "name"),
    [("40_LayerNorm.py", "layernorm"), ("11_4D_tensor_matmul.py", "problem_4d_tensor_matmul"), ("x.py", "x")],
)
def test_a_task_is_named_after_the_file_without_its_number(tmp_path: Path, file: str, name: str) -> None:
    problem = tmp_path / file
    problem.write_text((PROBLEMS / "level1_matmul_tall.py").read_text())
    assert name == import_problem(problem).name


def test_buffers_become_static_inputs_as_parameters_do(tmp_path: Path) -> None:
    task = imported("level2_layers_with_a_buffer", tmp_path)
    static = [item.name for item in task.inputs if item.role is Role.STATIC]
    assert ["gate", "layers_0_weight", "layers_1_weight", "shift"] == static


def test_the_imported_reference_gives_what_the_model_gives(tmp_path: Path) -> None:
    task = imported("level2_linear_swish_scale", tmp_path)
    workload = task.verify[0]
    inputs = make_inputs(task, workload, 3)
    x, weight, bias = (torch.from_numpy(inputs[name].array).double() for name in ("x", "matmul_weight", "matmul_bias"))
    z = x @ weight.T + bias
    assert np.allclose(oracle(task, workload, inputs)["out"], (2 * z * torch.sigmoid(z)).numpy(), rtol=1e-12)
    again = make_inputs(task, workload, 3)
    assert all(np.array_equal(inputs[name].array, again[name].array) for name in inputs)
    assert "float32" == honest(task, workload, inputs)["out"].dtype.value


def test_what_a_normalisation_cancels_is_no_input(tmp_path: Path) -> None:
    task = imported("level2_conv_batch_norm", tmp_path)
    assert ["x", "conv_weight", "bn_weight", "bn_bias"] == [item.name for item in task.inputs]


def test_parameters_made_all_alike_get_noise(tmp_path: Path) -> None:
    task = imported("level2_linear_group_norm", tmp_path)
    drawn = make_inputs(task, task.verify[0], 0)
    assert len(np.unique(drawn["group_norm_weight"].array)) > 1
    assert "OUT_FEATURES % 8 == 0" in task.constraints


def test_a_product_whose_results_are_summed_up_does_not_count_as_work(tmp_path: Path) -> None:
    pooled, plain = (imported(name, tmp_path) for name in ("level2_transposed_conv_pooled", "level1_matmul_tall"))
    sizes = dict(pooled.bench[0].dims)
    assert 8 * 16 * 24 * 24 == pooled.cost(sizes).flops
    assert 2 * 1024 * 96 * 64 == plain.cost(dict(plain.bench[0].dims)).flops


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        ("level1_triangles_multiplied", 2 * 192**3 // 6),  # row m meets column n in m - n + 1 places
        ("level1_diagonal_times_matrix", 256 + 256 * 96),  # one operation an element read
        ("level2_linear_swish_scale", 2 * 128 * 256 * 192),
    ],
)
def test_no_more_work_is_counted_than_zeros_leave(tmp_path: Path, name: str, flops: int) -> None:
    """A bound from all multiply-adds would call a kernel that skips the zeros impossible."""
    task = imported(name, tmp_path)
    assert task.cost(dict(task.bench[0].dims)).flops == flops


def test_a_model_is_shown_the_problems_own_code(tmp_path: Path) -> None:
    shown = TaskView(imported("level2_linear_swish_scale", tmp_path)).reference
    assert "return evaluate(problem, sizes, state, (x,))" in shown
    assert "self.matmul = nn.Linear(in_features, out_features)" in shown
    assert "def cost" not in shown


def test_sizes_that_must_be_equal_are_one_dimension(tmp_path: Path) -> None:
    text = (PROBLEMS / "level1_cross_entropy.py").read_text()
    text = text.replace("cross_entropy(predictions, targets)", "mse_loss(predictions * targets, 0 * predictions)")
    text = text.replace("input_shape = (num_classes,)", "input_shape = (512,)").replace("num_classes = 40\n", "")
    text = text.replace("torch.randint(0, num_classes, (batch_size,))", "torch.rand(batch_size)")
    problem = tmp_path / "tied.py"
    problem.write_text(text)
    found = import_problem(problem)
    (tmp_path / "task.py").write_text(found.text)
    task = load_task(tmp_path / "task.py")
    assert (("BATCH_SIZE",), ("BATCH_SIZE", "BATCH_SIZE")) == (task.dims, shapes(task)["predictions"])


def test_a_size_bound_again_before_anything_reads_it_has_its_last_value(tmp_path: Path) -> None:
    text = (PROBLEMS / "level1_argmax_rows.py").read_text()
    assert "batch_size = 256\n" in text
    problem = tmp_path / "again.py"
    problem.write_text(text.replace("batch_size = 256\n", "batch_size = spare = 9999\nbatch_size, spare = 256, 3\n"))
    assert {"batch_size": 256, "spare": 3}.items() <= read_problem(problem).sizes.items()
    assert "9999" not in read_problem(problem).function()


def test_sizes_too_large_are_halved_and_the_source_says_so(tmp_path: Path) -> None:
    text = (PROBLEMS / "level1_argmax_rows.py").read_text().replace("batch_size = 256", "batch_size = 1024 * 1024")
    problem = tmp_path / "large.py"
    problem.write_text(text)
    found = import_problem(problem, bench_mib=64)
    assert "batch_size halved 6 times" in found.text
    assert "made smaller to fit memory: batch_size" in found.remarks


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("class Model", "class Net"), ":1: defines no Model"),
        (("def get_inputs", "def inputs"), "defines no get_inputs"),
        (
            ("batch_size = 256", "batch_size = 256\nhalf = batch_size // 2\nbatch_size = half"),
            ":21: batch_size is assigned",
        ),
        (
            ("batch_size = 256", "batch_size = 256\nhalf = batch_size // 2\nbatch_size = 4"),
            ":21: batch_size is assigned",
        ),
        (("import torch\n", "import torch\nimport no_such_package\n"), "does not load: ModuleNotFoundError"),
        (("torch.randn(batch_size", "torch.randn(nothing"), "NameError"),
        (("return values, indices", "return {'values': values}"), "forward returns dict"),
        (("dim = 1\n", "dim = = 1\n"), "is no Python"),
    ],
)
def test_a_file_that_is_no_problem_is_refused(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    text = (PROBLEMS / "level1_argmax_rows.py").read_text()
    assert change[0] in text
    problem = tmp_path / "broken.py"
    problem.write_text(text.replace(*change, 1))
    with pytest.raises(TaskError) as caught:
        import_problem(problem)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("refused_dropout", "draws at random"),
        ("refused_no_sizes", "none of the module-level sizes"),
        ("refused_sizes_from_values", "cannot be followed at its own sizes without values"),
        ("refused_always_zero", "degenerate, wrong kernels would pass: 'odd sizes' accepts zeros"),
    ],
)
def test_a_degenerate_problem_is_refused_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    assert 2 == run(["tasks", "import", str(PROBLEMS / f"{name}.py"), "--folder", str(tmp_path), "--json"])
    assert said in json.loads(capsys.readouterr().out)["error"]["message"]
    assert [] == list(tmp_path.iterdir())


def test_an_import_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text("precious")
    problem = str(PROBLEMS / "level1_matmul_tall.py")
    assert 2 == run(["tasks", "import", problem, "--name", "mine", "--folder", str(tmp_path)])
    assert "exists already" in capsys.readouterr().err
    assert "precious" == (tmp_path / "mine.py").read_text()


def test_strings_over_several_lines_keep_their_text(tmp_path: Path) -> None:
    problem = tmp_path / "text.py"
    body = 'NOTE = """one\ntwo"""\n'
    problem.write_text((PROBLEMS / "level1_matmul_tall.py").read_text() + body)
    function = read_problem(problem).function()
    assert '    NOTE = """one\ntwo"""\n' in function


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (lambda a, b: 7, "7"),
        (lambda a, b: a, "A"),
        (lambda a, b: 2 * b + 1, "2 * B + 1"),
        (lambda a, b: (a - 3) // 2 + 1, "(A - 1) // 2"),
        (lambda a, b: a * (b - 2) * 3, "3 * A * (B - 2)"),
        (lambda a, b: a + b, "A + B"),
        (lambda a, b: a * a + b % 7, None),
    ],
)
def test_extents_are_told_as_expressions(formula: object, expected: str | None) -> None:
    sizes = [(a, b) for a in range(4, 24) for b in (5, 8, 13)] + [(7, b) for b in range(5, 30)]
    samples = [Sample({"A": a, "B": b}, formula(a, b)) for a, b in sizes]  # type: ignore[operator]
    assert expected == fit(samples, ("A", "B"))


@pytest.mark.full
@pytest.mark.filterwarnings(
    "ignore:input's size at dim=1 does not match num_features"
)  # a problem's own, as torch says
@pytest.mark.parametrize("name", SOUND)
def test_the_task_gate_finds_every_imported_problem_sound(tmp_path: Path, name: str) -> None:
    assert 0 == run(["tasks", "import", str(PROBLEMS / f"{name}.py"), "--folder", str(tmp_path)])
    assert 0 == run(["tasks", "check", str(tmp_path / f"{name}.py")])


@pytest.mark.full
@pytest.mark.parametrize("name", SOLVED)
def test_an_imported_problem_is_optimised_and_accepted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    task = str(tmp_path / f"{name}.py")
    assert 0 == run(["tasks", "import", str(PROBLEMS / f"{name}.py"), "--folder", str(tmp_path)])
    capsys.readouterr()
    places = ["--store", str(tmp_path / "store.sqlite"), "--library", str(tmp_path / "library")]
    coder = ["--coder", f"scripted:{PROBLEMS / 'replies' / name}", "--judge", "builtin", "--rounds", "2"]
    assert 0 == run(["optimize", task, *coder, *places, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert ({"Verified": 2}, True) == (found["outcomes"], found["accepted"])
    with Store.open(tmp_path / "store.sqlite") as store:
        trail = follow(read_briefly(store.each_payload(found["run"])))
    first, second = (step.fraction for step in trail.steps) if trail else (None, None)
    assert first
    assert second
    assert second > 1.1 * first
    (manifest,) = (tmp_path / "library" / name).glob("*/kernel.json")
    ancestors = json.loads(manifest.read_text())["manifest"]["lineage"]["ancestors"]
    assert 2 == len(ancestors)
