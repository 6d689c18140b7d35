"""`load` gives a PyTorch operator that computes what the task says, on the emulator."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from warpsmith.core.candidate import Candidate
from warpsmith.core.errors import LibraryError, TaskError
from warpsmith.core.task import Workload
from warpsmith.kernels_generated import Kernel, OutsideDomainError, OutsideDomainWarning, RefusedKernelWarning, load
from warpsmith.kernels_generated.accept import write_kernel
from warpsmith.kernels_generated.library import list_entries, read_entry
from warpsmith.kernels_generated.on_cuda import _other_architecture
from warpsmith.seeds import seeds_for
from warpsmith.tasks.load import load_task

from .accepted import LINEAGE, evaluation

pytestmark = pytest.mark.usefixtures("nothing_ships")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that holds the naive W4A16 seed, with a domain of even N."""
    folder = tmp_path_factory.mktemp("library")
    text = seeds_for("w4a16_gemm")[0].text.replace(
        '// task = "w4a16_gemm"', '// task = "w4a16_gemm"\n// requires = "N % 2 == 0"'
    )
    kernel = Candidate(task="w4a16_gemm", language="cuda", text=text)
    write_kernel(folder, kernel, evaluation(kernel), task=load_task("w4a16_gemm"), lineage=LINEAGE)
    return folder


@pytest.fixture(scope="module")
def kernel(library: Path) -> Kernel:
    return load("w4a16_gemm", library=library)


def inputs(m: int, n: int, k: int, g: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(m, k, generator=generator).half()
    codes = torch.randint(-(2**31), 2**31, (k // 8, n), generator=generator).to(torch.int32)
    return x, codes, torch.rand(k // g, n, generator=generator).half() * 0.1


def expected(x: torch.Tensor, codes: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """x @ w in float64, w unpacked eight codes to a word, lowest bits first."""
    k, n = x.shape[1], codes.shape[1]
    values = torch.stack([(codes >> (4 * i)) & 15 for i in range(8)], dim=1).reshape(k, n) - 8
    return x.double() @ (values.double() * scales.double().repeat_interleave(k // scales.shape[0], dim=0))


def assert_right(y: torch.Tensor, x: torch.Tensor, codes: torch.Tensor, scales: torch.Tensor) -> None:
    torch.testing.assert_close(y.double(), expected(x, codes, scales), rtol=2e-3, atol=2e-3)


def test_a_loaded_kernel_computes_the_task(kernel: Kernel) -> None:
    given = inputs(3, 40, 128, 32)
    assert_right(kernel(*given), *given)
    assert "50.0% of the bound, modelled" in repr(kernel)


def test_outside_its_domain_the_reference_serves_with_one_warning(library: Path) -> None:
    kernel = load("w4a16_gemm", library=library)
    kernel._warned = False
    given = inputs(2, 3, 64, 32)
    with pytest.warns(OutsideDomainWarning, match=r"N=3, K=64, G=32 is outside"):
        assert_right(kernel(*given), *given)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_right(kernel(*given), *given)


def test_optional_inputs_choose_among_launches_and_kernels(tmp_path: Path) -> None:
    """A call without zero points goes to a kernel that claims no others, and one with them to the reference."""
    text = seeds_for("w4a16_gemm")[0].text.replace(
        '// task = "w4a16_gemm"', '// task = "w4a16_gemm"\n// requires = "not has_zeros"'
    )
    without = Candidate(task="w4a16_gemm", language="cuda", text=text)
    write_kernel(tmp_path, without, evaluation(without), task=load_task("w4a16_gemm"), lineage=LINEAGE)
    loaded = load("w4a16_gemm", library=tmp_path, strict=True)
    x, codes, scales = given = inputs(3, 40, 128, 32)
    assert_right(loaded(*given), *given)
    eights = torch.full(scales.shape, 8, dtype=torch.uint8)
    with pytest.raises(OutsideDomainError, match=r"with zeros, M=3, .* outside the kernel's `requires`"):
        loaded(x, codes, scales, eights)
    served = load("w4a16_gemm", library=tmp_path)
    served._warned = False
    with pytest.warns(OutsideDomainWarning, match="with zeros"):
        assert_right(served(x, codes, scales, eights), *given)


def test_a_launch_for_absent_inputs_is_not_kept_for_calls_that_have_them(tmp_path: Path) -> None:
    text = seeds_for("w4a16_gemm")[0].text.replace("block = ", 'when = "has_zeros < 2"\n// block = ', 1)
    text = text.replace("zeros ?", "HAS ?").replace("int M, int N", "int HAS, int M, int N", 1)
    text = text.replace("// [[launch]]", '// [let]\n// HAS = "has_zeros"\n//\n// [[launch]]', 1)
    both = Candidate(task="w4a16_gemm", language="cuda", text=text)
    write_kernel(tmp_path, both, evaluation(both), task=load_task("w4a16_gemm"), lineage=LINEAGE)
    loaded = load("w4a16_gemm", library=tmp_path, strict=True)
    x, codes, scales = given = inputs(3, 40, 128, 32)
    eights = torch.full(scales.shape, 8, dtype=torch.uint8)
    assert_right(loaded(*given), *given)
    assert_right(loaded(x, codes, scales, eights), *given)
    assert_right(loaded(*given), *given)
    assert not torch.equal(loaded(x, codes, scales, eights - 3), loaded(*given))


def test_a_strict_kernel_refuses_what_the_reference_would_serve(library: Path) -> None:
    kernel = load("w4a16_gemm", strict=True, library=library)
    given = inputs(3, 40, 128, 32)
    assert_right(kernel(*given), *given)
    with pytest.raises(OutsideDomainError, match=r"N=3, K=64, G=32 is outside the kernel's `requires`"):
        kernel(*inputs(2, 3, 64, 32))
    x, codes, scales = given
    with pytest.raises(OutsideDomainError, match="a tensor is not contiguous"):
        kernel(x.t().contiguous().t(), codes, scales)


def test_a_view_with_strides_goes_to_the_reference(library: Path) -> None:
    kernel = load("w4a16_gemm", library=library)
    kernel._warned = False
    x, codes, scales = inputs(3, 40, 128, 32)
    with pytest.warns(OutsideDomainWarning, match="a tensor is not contiguous"):
        assert_right(kernel(x.t().contiguous().t(), codes, scales), x, codes, scales)


def test_each_call_goes_to_the_kernel_that_is_fastest_at_sizes_like_its_own(tmp_path: Path) -> None:
    """One kernel is the faster at few rows, one at many; the task says which bench sizes are near."""
    task = load_task("w4a16_gemm")
    seed = seeds_for("w4a16_gemm")[0].text
    few, many = (Candidate(task="w4a16_gemm", language="cuda", text=seed + f"// for {who} rows\n") for who in "fm")
    for kernel, times in ((few, lambda m: 4.0 + m / 8), (many, lambda m: 9.0 + m / 64)):
        seen = evaluation(kernel, at={item.name: times(item.dims["M"]) for item in task.bench})
        write_kernel(tmp_path, kernel, seen, task=task, lineage=LINEAGE)
    loaded = load("w4a16_gemm", library=tmp_path)
    chosen = {}
    for rows in (1, 600):
        entry = loaded.choose(Workload("call", {"M": rows, "N": 4096, "K": 4096, "G": 128}, ""))
        chosen[rows] = entry.text if entry else ""
    assert {1: few.text, 600: many.text} == chosen
    given = inputs(2, 8, 64, 32)
    assert_right(loaded(*given), *given)


def test_a_kernel_that_does_not_admit_a_call_leaves_it_to_one_that_does(tmp_path: Path, library: Path) -> None:
    (entry,) = list_entries(library).entries
    write_kernel(tmp_path, entry.candidate, evaluation(entry.candidate), task=load_task("w4a16_gemm"), lineage=LINEAGE)
    odd = Candidate(task="w4a16_gemm", language="cuda", text=seeds_for("w4a16_gemm")[0].text)
    write_kernel(tmp_path, odd, evaluation(odd), task=load_task("w4a16_gemm"), lineage=LINEAGE)
    loaded = load("w4a16_gemm", strict=True, library=tmp_path)
    chosen = loaded.choose(Workload("call", {"M": 2, "N": 3, "K": 64, "G": 32}, ""))
    assert chosen is not None
    assert odd.identity == chosen.manifest.candidate
    given = inputs(2, 3, 64, 32)
    assert_right(loaded(*given), *given)


def test_a_dtype_that_no_workload_binds_is_not_given_to_a_kernel(tmp_path: Path) -> None:
    tiny = Path(__file__).parent / "tiny"
    text = (tiny / "scaled_sum.py").read_text()
    file = tmp_path / "scaled_sum.py"
    file.write_text(text)
    task = load_task(file)
    open_dtype = replace(
        task,
        inputs=tuple(replace(item, dtype="T") for item in task.inputs),
        outputs=tuple(replace(item, dtype="T") for item in task.outputs),
        verify=tuple(replace(item, dtypes={"T": "float32"}) for item in task.verify),
        bench=tuple(replace(item, dtypes={"T": "float32"}) for item in task.bench),
    )
    kernel = Candidate(task="scaled_sum", language="cuda", text=(tiny / "scaled_sum.cu").read_text())
    folder = write_kernel(tmp_path / "library", kernel, evaluation(kernel), task=task, lineage=LINEAGE)
    loaded = Kernel([read_entry(folder)], open_dtype)
    sizes = dict.fromkeys(task.dims, 4)
    assert loaded.choose(Workload("call", sizes, "", dtypes={"T": "float32"})) is not None
    assert loaded.choose(Workload("call", sizes, "", dtypes={"T": "float64"})) is None


def test_what_a_calls_sizes_come_to_is_worked_out_once(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    given = inputs(2, 16, 64, 32)
    first = kernel(*given)
    for worked_out in ("warpsmith.kernels_generated.kernel.solve_dims", "warpsmith.sandbox.builds.bind"):
        monkeypatch.setattr(worked_out, None)
    assert torch.equal(first, kernel(*given))


def test_a_gpu_with_fewer_multiprocessors_than_a_plan_counts_on_is_not_given_the_kernel(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan that fills the chip would wait for ever for blocks that are not resident."""
    for sms, capability, expected in ((132, (9, 0), ""), (114, (9, 0), "has 114 of its 132"), (132, (8, 0), "is 8.0")):
        found = SimpleNamespace(name="NVIDIA H100", major=capability[0], minor=capability[1], multi_processor_count=sms)
        monkeypatch.setattr("torch.cuda.get_device_properties", lambda ordinal, found=found: found)
        _other_architecture.cache_clear()
        told = _other_architecture(0, kernel.arch.name)
        assert expected in told
        assert bool(told) == bool(expected)


def test_a_tensor_that_does_not_fit_is_named(kernel: Kernel) -> None:
    x, codes, scales = inputs(3, 40, 128, 32)
    with pytest.raises(TaskError, match="x is float32; w4a16_gemm takes float16"):
        kernel(x.float(), codes, scales)
    with pytest.raises(TaskError, match="qweight has extent 15 where K // 8 is 16"):
        kernel(x, codes[:-1].contiguous(), scales)
    with pytest.raises(TaskError, match="scales has extent 4 where K // G is 2"):
        kernel(x, codes, scales, G=64)


def test_the_operator_passes_opcheck(kernel: Kernel) -> None:
    result = torch.library.opcheck(kernel.operator, inputs(2, 8, 64, 32))
    assert {"SUCCESS"} == set(result.values())


def test_the_kernel_lives_inside_a_compiled_graph(kernel: Kernel) -> None:
    given = inputs(2, 8, 64, 32)
    graph = torch.compile(lambda *tensors: kernel(*tensors) * 2, backend="eager", fullgraph=True)
    torch.testing.assert_close(graph(*given), kernel(*given) * 2)


def test_loading_again_gives_the_same_operator(kernel: Kernel, library: Path) -> None:
    assert kernel is load("w4a16_gemm", library=library, arch="sm_90")


def test_what_is_not_there_or_not_to_be_trusted_is_not_served(library: Path, tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="no kernel of w4a16_gemm for a100"):
        load("w4a16_gemm", library=library, arch="a100")
    edited(library, tmp_path)
    with pytest.raises(LibraryError, match="was changed after it was accepted"):
        load("w4a16_gemm", library=tmp_path)


def test_where_another_kernel_serves_the_refused_one_is_warned_of(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warpsmith.kernels_generated.places.SHIPPED", library)
    edited(library, tmp_path)
    with pytest.warns(RefusedKernelWarning, match=r"another kernel.*was changed after it was accepted"):
        assert load("w4a16_gemm", library=tmp_path).task.name == "w4a16_gemm"


def edited(library: Path, into: Path) -> None:
    """Copy the library's kernel under another text."""
    copy = into / "w4a16_gemm" / "edited"
    copy.mkdir(parents=True)
    (source,) = library.glob("*/*")
    (copy / "kernel.json").write_bytes((source / "kernel.json").read_bytes())
    (copy / "kernel.cu").write_text("// something else\n")


LOADER = """
import sys
from pathlib import Path
import torch
from warpsmith.kernels_generated import load
from warpsmith.sandbox.compile import nvrtc

compile_one = nvrtc._Compilation.result
def logged(self):
    with open(sys.argv[2], "a") as log:
        log.write("compiled\\n")
    return compile_one(self)
nvrtc._Compilation.result = logged
x, codes, scales = torch.ones(2, 64).half(), torch.full((8, 8), 0x11111111, dtype=torch.int32), torch.ones(2, 8).half()
print(float(load("w4a16_gemm", library=Path(sys.argv[1]))(x, codes, scales)[0, 0]))
"""


@pytest.mark.full
def test_two_processes_that_load_one_kernel_compile_it_once(library: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", LOADER, str(library), str(log)]
    environment = {**os.environ, "WARPSMITH_CACHE": str(tmp_path / "cache")}
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert ["-448.0", "-448.0"] == [process.communicate()[0].strip() for process in both]
    assert "compiled\n" == log.read_text()


@pytest.mark.parametrize(
    ("stale", "reason"),
    [
        ({"toolchain": "nvrtc 12.9.1"}, "judged as nvrtc 12.9.1 compiles it; here is nvrtc 13"),
        ({"gate": "0"}, "judged by edition 0 of the gate; now it is"),
        ({"gate": ""}, "a gate from before editions were told apart"),
    ],
)
def test_a_kernel_whose_ground_moved_is_not_served(tmp_path: Path, stale: dict[str, str], reason: str) -> None:
    kernel = Candidate(task="w4a16_gemm", language="cuda", text=seeds_for("w4a16_gemm")[0].text)
    task = load_task("w4a16_gemm")
    write_kernel(tmp_path, kernel, evaluation(kernel, **stale), task=task, lineage=LINEAGE)
    with pytest.raises(LibraryError, match=reason) as refused:
        load("w4a16_gemm", library=tmp_path)
    assert "warpsmith library verify" in str(refused.value)


def test_a_kernel_of_a_task_that_was_edited_is_not_served(tmp_path: Path) -> None:
    tiny = Path(__file__).parent / "tiny"
    file = tmp_path / "scaled_sum.py"
    file.write_text((tiny / "scaled_sum.py").read_text())
    kernel = Candidate(task="scaled_sum", language="cuda", text=(tiny / "scaled_sum.cu").read_text())
    write_kernel(tmp_path / "library", kernel, evaluation(kernel), task=load_task(file), lineage=LINEAGE)
    assert load(str(file), library=tmp_path / "library").manifest.task == "scaled_sum"
    file.write_text(file.read_text() + "# another comment\n")
    with pytest.raises(LibraryError, match="the task scaled_sum has changed"):
        load(str(file), library=tmp_path / "library")
    file.unlink()
    with pytest.raises(LibraryError, match="no such task file"):
        load(str(file), library=tmp_path / "library")


@pytest.mark.gpu
def test_cuda_tensors_run_on_the_current_stream(kernel: Kernel) -> None:
    given = inputs(3, 40, 128, 32)
    moved = tuple(tensor.cuda() for tensor in given)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        y = kernel(*moved)
    stream.synchronize()
    assert "cuda" == y.device.type
    assert_right(y.cpu(), *given)


@pytest.mark.gpu
def test_a_call_on_cuda_tensors_is_captured_into_a_graph(kernel: Kernel) -> None:
    given, other = inputs(3, 40, 128, 32), inputs(3, 40, 128, 32)[0] * 2
    x, codes, scales = (tensor.cuda() for tensor in given)
    kernel(x, codes, scales)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = kernel(x, codes, scales)
    x.copy_(other.cuda())
    graph.replay()
    torch.cuda.synchronize()
    assert_right(y.cpu(), other, given[1], given[2])


@pytest.mark.gpu
def test_a_view_that_is_not_aligned_goes_to_the_reference(kernel: Kernel) -> None:
    given = inputs(2, 40, 128, 32)
    x = torch.cat([torch.zeros(1, dtype=torch.float16), given[0].reshape(-1)]).cuda()[1:].reshape(2, 128)
    kernel._warned = False
    with pytest.warns(OutsideDomainWarning, match="multiple of 16 bytes"):
        assert_right(kernel(x, given[1].cuda(), given[2].cuda()).cpu(), *given)
