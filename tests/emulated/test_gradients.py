"""A loaded kernel has gradients where a kernel of its backward task was accepted, and none where not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from warpsmith.core.candidate import Candidate
from warpsmith.core.errors import InputError
from warpsmith.core.kernel_file import parse_kernel_file
from warpsmith.kernels_generated import Kernel, RefusedKernelWarning, load
from warpsmith.kernels_generated.accept import write_kernel
from warpsmith.kernels_generated.library import list_entries
from warpsmith.seeds import seeds_for
from warpsmith.tasks.load import load_task

from .accepted import LINEAGE, evaluation

pytestmark = pytest.mark.usefixtures("nothing_ships")


def accept(folder: Path, task: str) -> None:
    """The task's naive seed, as if the gate had accepted it."""
    text = seeds_for(task)[0].text
    kernel = Candidate(task=task, language="cuda", text=text, knobs=parse_kernel_file(text).default_knobs())
    write_kernel(folder, kernel, evaluation(kernel), task=load_task(task), lineage=LINEAGE)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    accept(folder, "w4a16_gemm")
    accept(folder, "w4a16_gemm_backward")
    return folder


@pytest.fixture
def kernel(library: Path) -> Kernel:
    return load("w4a16_gemm", library=library)


def inputs(m: int, n: int, k: int, g: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(m, k, generator=generator).half().requires_grad_()
    codes = torch.randint(-(2**31), 2**31, (k // 8, n), generator=generator).to(torch.int32)
    zeros = torch.randint(0, 16, (k // g, n), generator=generator).to(torch.uint8)
    return x, codes, torch.rand(k // g, n, generator=generator).half() * 0.1, zeros


def by_autograd(x: torch.Tensor, *rest: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The gradient of the reference, in float64."""
    wide = x.detach().double().requires_grad_()
    y = load_task("w4a16_gemm").reference(wide, *(it.double() if it.is_floating_point() else it for it in rest))
    (found,) = torch.autograd.grad(y, wide, weights.double())
    return found


@pytest.mark.parametrize(("m", "n", "k", "g"), [(3, 40, 128, 32), (1, 7, 64, 64), (9, 33, 72, 8)])
@pytest.mark.parametrize("count", [3, 4])
def test_gradients_are_those_of_the_reference(kernel: Kernel, m: int, n: int, k: int, g: int, count: int) -> None:
    x, *rest = inputs(m, n, k, g)[:count]
    weights = torch.randn(m, n, generator=torch.Generator().manual_seed(1)).half()
    kernel(x, *rest).backward(weights)
    assert x.grad is not None
    torch.testing.assert_close(x.grad.double(), by_autograd(x, *rest, weights=weights), rtol=2e-3, atol=4e-3)


def test_a_sums_expanded_gradient_reaches_the_kernel(kernel: Kernel, library: Path) -> None:
    """No warning: the reference does not serve."""
    x, codes, scales, _ = inputs(3, 40, 128, 32)
    load("w4a16_gemm", strict=True, library=library)(x, codes, scales).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(
        x.grad.double(), by_autograd(x, codes, scales, weights=torch.ones(3, 40)), rtol=2e-3, atol=4e-3
    )


def test_the_pair_is_compiled_and_checked_by_pytorch(kernel: Kernel) -> None:
    x, codes, scales, zeros = inputs(3, 40, 64, 32)
    assert frozenset({"x"}) == kernel.gradients
    assert set(torch.library.opcheck(kernel.operator, (x, codes, scales, zeros)).values()) == {"SUCCESS"}
    compiled = torch.compile(lambda x: kernel(x, codes, scales).square().sum(), fullgraph=True, backend="aot_eager")
    compiled(x).backward()
    found, x.grad = x.grad, None
    kernel(x, codes, scales).square().sum().backward()
    assert x.grad is not None
    assert found is not None
    torch.testing.assert_close(found, x.grad, rtol=1e-2, atol=1e-2)


def test_a_gradient_that_the_backward_does_not_compute_is_refused(kernel: Kernel) -> None:
    x, codes, scales, _ = inputs(3, 40, 64, 32)
    y = kernel(x, codes, scales.requires_grad_())
    with pytest.raises(InputError, match="w4a16_gemm_backward computes no gradient of scales"):
        y.sum().backward()


def test_without_a_backward_kernel_there_is_no_gradient(tmp_path: Path) -> None:
    accept(tmp_path, "w4a16_gemm")
    alone = load("w4a16_gemm", library=tmp_path)
    x, codes, scales, _ = inputs(3, 40, 64, 32)
    assert frozenset() == alone.gradients
    with pytest.raises(RuntimeError, match="autograd"):
        alone(x, codes, scales).sum().backward()


def test_a_task_that_is_no_backward_gives_no_gradient(tmp_path: Path) -> None:
    """A task file of the user's own says that it is the backward of one that ships, and is not."""
    accept(tmp_path / "library", "w4a16_gemm")
    shipped = load_task("w4a16_gemm_backward")
    wrong = tmp_path / "w4a16_gemm_backward.py"
    wrong.write_text(Path(shipped.path).read_text().replace("return dy @", "return -dy @"))
    text = seeds_for("w4a16_gemm_backward")[0].text
    kernel = Candidate(task=shipped.name, language="cuda", text=text, knobs=parse_kernel_file(text).default_knobs())
    write_kernel(tmp_path / "library", kernel, evaluation(kernel), task=load_task(wrong), lineage=LINEAGE)
    with pytest.warns(RefusedKernelWarning, match="dx is not the gradient of w4a16_gemm's x"):
        found = load("w4a16_gemm", library=tmp_path / "library")
    assert frozenset() == found.gradients


def test_a_stale_backward_kernel_gives_no_gradient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from warpsmith.kernels_generated import standing

    accept(tmp_path, "w4a16_gemm")
    accept(tmp_path, "w4a16_gemm_backward")
    (entry,) = [item for item in list_entries(tmp_path).entries if item.manifest.task == "w4a16_gemm_backward"]
    task_now = standing._task

    def changed(manifest: object, task: object) -> str:
        return "its task has changed" if manifest == entry.manifest else task_now(manifest, task)  # type: ignore[arg-type]

    monkeypatch.setattr(standing, "_task", changed)
    with pytest.warns(RefusedKernelWarning, match=r"w4a16_gemm is served without gradients.*its task has changed"):
        found = load("w4a16_gemm", library=tmp_path)
    assert frozenset() == found.gradients
