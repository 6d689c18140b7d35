"""Every kernel that ships, and a seed of every task, is an operator that PyTorch's own checks find sound."""

from __future__ import annotations

from math import prod
from pathlib import Path

import pytest
import torch

from warpsmith.core.candidate import Candidate
from warpsmith.core.kernel_file import parse_kernel_file
from warpsmith.core.task import Task, Workload
from warpsmith.kernels_generated import Kernel
from warpsmith.kernels_generated.dims import needed_keywords
from warpsmith.kernels_generated.library import Entry, list_entries
from warpsmith.kernels_generated.places import SHIPPED
from warpsmith.kernels_generated.standing import staleness, task_of
from warpsmith.seeds import seeds_for
from warpsmith.tasks.convert import to_torch
from warpsmith.tasks.find import find_tasks
from warpsmith.tasks.load import load_task
from warpsmith.tasks.sample import make_inputs

from .accepted import accept

TINY = Path(__file__).parent / "tiny"
SHELF = list_entries(SHIPPED)


def smallest(kernel: Kernel) -> Workload:
    """The smallest verify workload that a kernel takes and that draws no NaN, which would equal nothing."""
    sizes = sorted(kernel.task.verify, key=lambda item: prod(max(extent, 1) for extent in item.dims.values()))
    return next(
        item
        for item in sizes
        if all(item.dims.values()) and kernel.choose(item) is not None and not has_nan(kernel.task, item)
    )


def has_nan(task: Task, workload: Workload) -> bool:
    tensors, _ = call_of(task, workload)
    return any(bool(tensor.isnan().any()) for tensor in tensors if tensor is not None)


def call_of(task: Task, workload: Workload) -> tuple[tuple[torch.Tensor | None, ...], dict[str, int]]:
    """Tensors in the task's order, and the dimensions that shapes do not tell."""
    drawn = make_inputs(task, workload, seed=3)
    tensors = tuple(to_torch(drawn[item.name]) if item.name in drawn else None for item in task.inputs)
    return tensors, {name: workload.dims[name] for name in needed_keywords(task)}


def assert_sound(kernel: Kernel) -> None:
    tensors, dims = call_of(kernel.task, smallest(kernel))
    result = torch.library.opcheck(kernel.operator, tensors, dims)
    assert {"SUCCESS"} == set(result.values())


def test_no_shipped_kernel_is_refused_or_stale() -> None:
    assert () == SHELF.refused
    assert {} == {str(entry.folder): why for entry in SHELF.entries if (why := staleness(entry.manifest))}


@pytest.mark.full
@pytest.mark.parametrize("entry", SHELF.entries, ids=lambda entry: f"{entry.manifest.task}-{entry.digest[:8]}")
def test_every_shipped_kernel_passes_opcheck(entry: Entry) -> None:
    assert_sound(Kernel([entry], task_of(entry.manifest), strict=True))


@pytest.mark.full
@pytest.mark.parametrize("name", [file.name for file in find_tasks()])
def test_a_seed_of_every_task_passes_opcheck(name: str, tmp_path: Path) -> None:
    """Whatever its dtypes, optional tensors and derived sizes: schema, fake and mutation fit."""
    task = load_task(name)
    seed = next(
        seed for seed in seeds_for(name) if "/// kernel" in seed.text and seed.path and seed.path.suffix == ".cu"
    )
    knobs = parse_kernel_file(seed.text).default_knobs()
    of = Candidate(task=name, language="cuda", text=seed.text, knobs=knobs)
    assert_sound(Kernel([accept(tmp_path, task, of)], task, strict=True))


@pytest.fixture(scope="module")
def accumulate(tmp_path_factory: pytest.TempPathFactory) -> Kernel:
    task = load_task(TINY / "accumulate.py")
    of = Candidate(task="accumulate", language="cuda", text=(TINY / "accumulate.cu").read_text())
    return Kernel([accept(tmp_path_factory.mktemp("library"), task, of)], task)


def test_a_kernel_that_writes_in_place_declares_it(accumulate: Kernel) -> None:
    assert "Tensor(a0!) acc" in str(accumulate.operator._opoverload._schema)
    assert_sound(accumulate)
    acc, x = torch.ones(5), torch.arange(5.0)
    version = acc._version
    scaled = accumulate(acc, x, A=2)
    assert (acc.tolist(), scaled.tolist()) == ([1.0, 2.0, 3.0, 4.0, 5.0], [0.0, 2.0, 4.0, 6.0, 8.0])
    assert acc._version > version


def test_the_reference_writes_in_place_as_well(accumulate: Kernel) -> None:
    acc, x = torch.ones(2000), torch.arange(2000.0)
    with pytest.warns(UserWarning, match="N=2000, A=2 is outside"):
        scaled = accumulate(acc, x, A=2)
    assert torch.equal(acc, x + 1)
    assert torch.equal(scaled, 2 * x)


class Summing(torch.nn.Module):
    """A module over a loaded kernel, with a state that the kernel overwrites."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self.kernel = kernel
        self.register_buffer("total", torch.zeros(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.kernel(self.total, x, A=2)) + 1


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # inductor's own
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.full)])
def test_a_module_over_a_kernel_compiles_to_one_graph(accumulate: Kernel, backend: str) -> None:
    torch._dynamo.reset()
    module = Summing(accumulate)
    graph = torch.compile(module, backend=backend, fullgraph=True)
    x = torch.tensor([1.0, -1.0, 2.0, -2.0])
    for _ in range(2):
        assert [3.0, 1.0, 5.0, 1.0] == graph(x).tolist()
    assert [2.0, -2.0, 4.0, -4.0] == module.total.tolist()


def test_training_through_a_kernel_says_that_there_is_no_gradient(accumulate: Kernel) -> None:
    scaled = accumulate(torch.ones(5), torch.ones(5, requires_grad=True), A=2)
    with pytest.raises(RuntimeError, match=r"accumulate.*(autograd|backward)|does not require grad|no.*gradient"):
        scaled.sum().backward()
