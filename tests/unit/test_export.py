"""`warpsmith export`: what it writes is loaded by those it is for, without warpsmith, and gives right results."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.exported import SHIPPED, consumer
from warpsmith.cli.program import run
from warpsmith.core.errors import SettingsError
from warpsmith.core.events import Confirmed, Evaluated, RunSettings, RunStarted
from warpsmith.core.outcome import Stage, Wrong
from warpsmith.exporting.bundle import Bundle
from warpsmith.exporting.write import write
from warpsmith.kernels_generated.library import read_entry
from warpsmith.kernels_generated.places import SHIPPED as SHIPPED_LIBRARY
from warpsmith.store import Store
from warpsmith.tasks import load_task
from warpsmith.tasks.convert import from_torch, to_torch
from warpsmith.tasks.oracle import honest
from warpsmith.tasks.sample import make_inputs


@pytest.fixture(autouse=True)
def nobodys_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WARPSMITH_LIBRARY", str(tmp_path / "library"))
    monkeypatch.setenv("WARPSMITH_STORE", str(tmp_path / "store.sqlite"))


def export(out: Path, *arguments: str) -> dict[str, Any]:
    assert 0 == run(["export", *arguments, "-o", str(out), "--json"])
    return {}


def alone(code: str, *arguments: str) -> str:
    """Run in a process of its own, and make sure that no part of warpsmith took part."""
    code += (
        "\nimport sys; assert not [m for m in sys.modules if m.split('.')[0] == 'warpsmith'], 'warpsmith was loaded'"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code, *arguments], capture_output=True, text=True
    )
    assert 0 == ran.returncode, ran.stderr
    return ran.stdout


HF = """
import sys, torch
from pathlib import Path
from kernels import LocalLayerRepository, get_local_kernel, get_loaded_kernels
folder = Path(sys.argv[1])
found = get_local_kernel(folder)
(loaded,) = get_loaded_kernels()
print(loaded.metadata.name, loaded.metadata.version, loaded.metadata.license, loaded.metadata.id == found.__name__)
x = torch.randn(4, 256).half()
qweight = torch.randint(-(2**31), 2**31 - 1, (32, 128), dtype=torch.int32)
scales, zeros = torch.rand(2, 128).half() / 100, torch.randint(0, 16, (2, 128), dtype=torch.uint8)
operator = getattr(getattr(torch.ops, found.__name__), "w4a16_gemm")
torch.library.opcheck(operator.default, (x, qweight, scales, zeros))
class Layer(torch.nn.Module):
    def forward(self, x): return found.w4a16_gemm(x, self.qweight, self.scales) * 2
module = Layer()
module.qweight, module.scales = qweight, scales
once = found.w4a16_gemm(x, qweight, scales)
assert torch.equal(torch.compile(module, fullgraph=True, backend="aot_eager")(x), once * 2)
stand_in = LocalLayerRepository(folder, layer_name="W4a16Gemm").load()
assert torch.equal(stand_in.forward(module, x), once)
torch.save({"x": x, "qweight": qweight, "scales": scales, "zeros": zeros, "y": once,
    "with zeros": found.w4a16_gemm(x, qweight, scales, zeros)}, sys.argv[2])
"""


@pytest.mark.full
def test_kernels_loads_the_repository(tmp_path: Path) -> None:
    consumer("kernels")
    export(tmp_path / "hf", "w4a16_gemm", "--format", "hf-kernels", "--version", "3", "--license", "mit")
    said = alone(HF, str(tmp_path / "hf"), str(tmp_path / "results.pt"))
    assert "w4a16-gemm 3 mit True" == said.strip()
    results = torch.load(tmp_path / "results.pt")
    task = load_task("w4a16_gemm")
    from dataclasses import replace

    workload = replace(task.verify[0], dims={"M": 4, "N": 128, "K": 256, "G": 128})
    for absent, name in (({"zeros"}, "y"), (set(), "with zeros")):
        declared = {item.name: task.dtype_of(item, workload) for item in task.inputs if item.name not in absent}
        inputs = {key: from_torch(results[key], dtype) for key, dtype in declared.items()}
        expected = honest(task, workload, inputs)["y"]
        assert np.array_equal(from_torch(results[name], expected.dtype).array, expected.array)


@pytest.mark.full
def test_every_shipped_kernel_is_loaded_and_computes(tmp_path: Path) -> None:
    consumer("kernels")
    for name in SHIPPED:
        export(tmp_path / name, name, "--format", "hf-kernels")
        task = load_task(name)
        workload = next(item for item in task.verify if all(item.dims.values()))
        inputs = make_inputs(task, workload, 3)
        torch.save({key: to_torch(value) for key, value in inputs.items()}, tmp_path / "inputs.pt")
        alone(EVERY, str(tmp_path / name), str(tmp_path), name, json.dumps(dict(workload.dims)))
        found = torch.load(tmp_path / "outputs.pt")
        for output, expected in honest(task, workload, inputs).items():
            assert np.array_equal(from_torch(found[output], expected.dtype).array, expected.array), (name, output)


EVERY = """
import json, sys, torch
from pathlib import Path
from kernels import get_local_kernel
kernel = get_local_kernel(Path(sys.argv[1])).kernel
inputs = torch.load(Path(sys.argv[2]) / "inputs.pt")
dims = json.loads(sys.argv[4])
given = [inputs.get(item.name) for item in kernel.plan.inputs]
found = kernel(*given, **{name: dims[name] for name in kernel.plan.dims})
found = found if isinstance(found, tuple) else (found,)
torch.save({item.name: value for item, value in zip(kernel.plan.outputs, found)}, Path(sys.argv[2]) / "outputs.pt")
"""


def evaluated(path: Path, precision: torch.dtype | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Load a file as KernelBench does, and compute its problem once.

    `load_original_model_and_inputs`, `load_custom_model` and `eval_kernel_against_ref` in KernelBench's eval.py: the
    source is compiled, executed in an empty context, and asked for its names; both modules are made from equal seeds,
    and cast to the precision, as is every tensor of `get_inputs`.
    """
    source, context = path.read_text(), dict[str, Any]()
    compile(source, "<string>", "exec")
    exec(source, context)
    init_inputs = context["get_init_inputs"]()
    models = []
    for name in ("Model", "ModelNew"):
        torch.manual_seed(42)
        models.append(context[name](*init_inputs).to(dtype=precision))
    torch.manual_seed(7)
    inputs = [item.to(dtype=precision) if precision else item for item in context["get_inputs"]()]
    with torch.no_grad():
        return models[0](*inputs), models[1](*inputs)


@pytest.mark.parametrize("precision", [torch.float16, torch.float32])
@pytest.mark.parametrize(
    ("task", "workload"), [("w4a16_gemm", "zero points, groups of 128"), ("spconv_forward", "submanifold, 32 channels")]
)
def test_a_kernelbench_file_loads_on_its_own(tmp_path: Path, task: str, workload: str, precision: torch.dtype) -> None:
    names = [item.name for item in load_task(task).verify]
    workload = workload if workload in names else names[0]
    export(tmp_path / "kb", task, "--format", "kernelbench", "--workload", workload)
    expected, found = evaluated(tmp_path / "kb" / f"{task}.py", precision)
    assert expected.shape == found.shape
    assert torch.allclose(expected, found, atol=1e-2, rtol=1e-2)
    assert float(expected.float().abs().mean()) > 0.01


def test_a_kernelbench_file_needs_no_warpsmith(tmp_path: Path) -> None:
    export(tmp_path / "kb", "w4a16_gemm", "--format", "kernelbench", "--workload", "one group")
    code = "import sys; c = {}; exec(open(sys.argv[1]).read(), c); print(c['ModelNew']()(*c['get_inputs']()).shape)"
    assert "torch.Size([8, 96])" == alone(code, str(tmp_path / "kb" / "w4a16_gemm.py")).strip()


def test_flashinfer_bench_loads_builds_and_runs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    consumer("flashinfer_bench")
    monkeypatch.setenv("FIB_CACHE_PATH", str(tmp_path / "cache"))
    from flashinfer_bench.bench.utils import gen_inputs, load_safetensors
    from flashinfer_bench.compile import BuilderRegistry
    from flashinfer_bench.data import TraceSet

    chosen = ("--workload", "one row", "--workload", "one group", "--workload", "whole tiles")
    export(tmp_path / "fib", "w4a16_gemm", "--format", "flashinfer", *chosen)
    traces = TraceSet.from_path(str(tmp_path / "fib"))
    assert {"w4a16_gemm_g128": 2, "w4a16_gemm_g512": 1} == {name: len(it) for name, it in traces.workloads.items()}
    assert {} == traces.traces
    definition = traces.definitions["w4a16_gemm_g128"]
    assert {"K % G == 0", "K_div_8 == K // 8", "K_div_G == K // G"} <= set(definition.constraints)
    (solution,) = traces.solutions["w4a16_gemm_g128"]
    assert ("python", "main.py::run") == (solution.spec.language.value, solution.spec.entry_point)
    builders = BuilderRegistry.get_instance()
    built, reference = builders.build(definition, solution), builders.build_reference(definition)
    for trace in traces.workloads["w4a16_gemm_g128"]:
        blobs = load_safetensors(definition, trace.workload, tmp_path / "fib")
        inputs = gen_inputs(definition, trace.workload, "cpu", blobs)
        assert definition.get_axes_values_from_inputs(inputs) == trace.workload.axes
        found, expected = built(*inputs), reference(*inputs)
        assert [list(found.shape)] == definition.get_output_shapes(trace.workload.axes)
        assert torch.equal(expected, found)
        assert float(found.float().abs().mean()) > 0.1
    built.cleanup()


def test_outputs_whose_size_no_input_tells_make_constant_axes(tmp_path: Path) -> None:
    consumer("flashinfer_bench")
    from flashinfer_bench.compile import BuilderRegistry
    from flashinfer_bench.data import TraceSet

    chosen = ("--workload", "ragged tokens", "--workload", "all to one expert")
    export(tmp_path / "fib", "moe_routing_metadata", "--format", "flashinfer", *chosen)
    traces = TraceSet.from_path(str(tmp_path / "fib"))
    assert {"moe_routing_metadata_t333_e8_topk2", "moe_routing_metadata_t300_e16_topk1"} == traces.definitions.keys()
    definition = traces.definitions["moe_routing_metadata_t333_e8_topk2"]
    assert {"T": 333, "E": 8, "TOPK": 2, "E_plus_1": 9, "T_mul_TOPK": 666} == definition.const_axes
    ids = torch.randint(0, 8, (333, 2), dtype=torch.int32)
    reference = BuilderRegistry.get_instance().build_reference(definition)
    offsets, order, place = reference(ids)
    assert [[9], [666], [333, 2]] == [list(item.shape) for item in (offsets, order, place)]
    assert torch.equal(order[place.flatten().long()].long(), torch.arange(666))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("spconv_kernel_map", "--format", "flashinfer"), "several outputs of spconv_kernel_map are right"),
        (("moe_routing_metadata", "--format", "kernelbench"), "has 3 outputs; KernelBench compares one"),
        (("w4a16_gemm", "--format", "flashinfer", "--workload", "zero points, groups of 64"), "zeros is uint8"),
        (("w4a16_gemm", "--format", "kernelbench", "--workload", "nowhere"), "no workload `nowhere`"),
        (("w4a16_gemm", "--format", "kernelbench", "--workload", "ragged M and N"), "no workload `ragged M and N`"),
        (("moe_forward", "--format", "flashinfer"), "take more than 32 MiB"),
        (("no_such", "--format", "hf-kernels"), "there is no kernel no_such"),
    ],
)
def test_what_a_format_cannot_say_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert 2 == run(["export", *arguments, "-o", str(tmp_path / "out")])
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_a_stale_or_edited_kernel_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = next(SHIPPED_LIBRARY.glob("w4a16_gemm/*/kernel.json")).parent
    edited = tmp_path / "w4a16_gemm" / folder.name
    shutil.copytree(folder, edited)
    (edited / "kernel.cu").write_text((edited / "kernel.cu").read_text() + "// \n")
    assert 3 == run(["export", str(edited), "--format", "hf-kernels", "-o", str(tmp_path / "out")])
    assert "was changed after it was accepted" in " ".join(capsys.readouterr().err.split())
    shutil.rmtree(edited)
    shutil.copytree(folder, edited)
    sealed = json.loads((edited / "kernel.json").read_text())
    from warpsmith.core.digest import digest_json

    sealed["manifest"]["toolchain"] = "nvrtc 12.0.0"
    (edited / "kernel.json").write_text(json.dumps({**sealed, "digest": digest_json(sealed["manifest"])}))
    assert 3 == run(["export", str(edited), "--format", "hf-kernels", "-o", str(tmp_path / "out")])
    said = " ".join(capsys.readouterr().err.split())
    assert "is stale: it was judged as nvrtc 12.0.0" in said
    assert "warpsmith library verify" in said
    assert not (tmp_path / "out").exists()


def test_a_kernel_file_needs_a_verdict_in_the_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = read_entry(next(SHIPPED_LIBRARY.glob("spconv_forward/*/kernel.json")).parent)
    evaluation, manifest = entry.evaluation(), entry.manifest
    assert evaluation is not None
    file, store = tmp_path / "mine.cu", tmp_path / "store.sqlite"
    file.write_text(entry.text)
    knobs = [part for name, value in manifest.knobs.items() for part in ("--knob", f"{name}={value}")]
    command = ["export", str(file), "--format", "hf-kernels", "-o", str(tmp_path / "out"), *knobs]
    assert 3 == run(command)
    assert "warpsmith optimize spconv_forward --seed-kernel" in " ".join(capsys.readouterr().err.split())
    chosen = RunSettings(coder="builtin", judge="builtin", strategy="refine", rounds=1, library="l")
    begun = RunStarted(
        run="r",
        task="spconv_forward",
        task_digest=manifest.task_digest,
        target="h200",
        device="emulator",
        settings=chosen,
    )
    with Store.open(store) as opened:
        opened.append("r", begun, at=0)
        opened.append("r", Evaluated(evaluation=evaluation), at=1)
    assert 0 == run(command)
    assert manifest.kernel == json.loads((tmp_path / "out" / "evidence.json").read_text())["kernel"]
    failed = Wrong(stage=Stage.COMPARE, message="the first element differs", workload="w")
    with Store.open(store) as opened:
        opened.append("r", Confirmed(evaluation=evaluation.model_copy(update={"outcome": failed})), at=2)
    capsys.readouterr()
    assert 3 == run([*command, "--force"])
    assert "was judged Wrong in run r. the first element differs" in " ".join(capsys.readouterr().err.split())
    changed = begun.model_copy(update={"run": "s", "task_digest": "0" * 64})
    with Store.open(store) as opened:
        opened.append("s", changed, at=0)
        opened.append("s", Evaluated(evaluation=evaluation), at=1)
    assert 3 == run([*command, "--force"])
    assert "is stale: the task spconv_forward has changed" in " ".join(capsys.readouterr().err.split())


def test_nothing_but_an_older_export_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "export",
        "w4a16_gemm",
        "--format",
        "kernelbench",
        "--workload",
        "one group",
        "-o",
        str(tmp_path / "kb"),
    ]
    assert 0 == run(arguments)
    assert 2 == run(arguments)
    assert 0 == run([*arguments, "--force"])
    (tmp_path / "kb" / "evidence.json").unlink()
    capsys.readouterr()
    assert 2 == run([*arguments, "--force"])
    assert "is no export" in capsys.readouterr().err
    assert (tmp_path / "kb" / "w4a16_gemm.py").is_file()


def test_an_export_that_does_not_fit_the_disk_is_the_machines_fault_and_is_not_left_in_half(tmp_path: Path) -> None:
    bundle = Bundle({"small.py": "x = 1", "large.cubin": bytes(4096)})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write(bundle, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(tmp_path / "out") == caught.value.filename
    assert [] == [*tmp_path.iterdir()]
    assert 2 == len(write(bundle, tmp_path / "out"))


def test_a_file_where_the_export_should_lie_in_is_a_wrong_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="cannot be written"):
        write(Bundle({"small.py": "x = 1"}), tmp_path / "file" / "out")


def test_the_evidence_says_where_every_figure_is_from(tmp_path: Path) -> None:
    export(tmp_path / "hf", "spconv_forward", "--format", "hf-kernels")
    evidence = json.loads((tmp_path / "hf" / "evidence.json").read_text())
    assert {"modelled"} == {item["source"] for item in evidence["times"]}
    assert "emulated" == evidence["verdict"]["source"]
    assert {"verdict": "emulated", "counters": "emulated", "times": "modelled"} == {
        item["what"]: item["source"] for item in evidence["proofs"]
    }
    page = (tmp_path / "hf" / "README.md").read_text()
    assert "modelled, not measured" in page
    assert "CIN % 32 == 0" in page
