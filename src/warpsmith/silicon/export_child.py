"""Runs one export on a device, in a process of its own, with no part of warpsmith: PyTorch and the standard library.

Arguments: the format, the export, the folder of `inputs.pt` and `call.json`, where `outputs.pt` goes, and the device.
A warning is a failure: it says that the reference served, and not the kernel.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def main(form: str, folder: Path, work: Path, device: str) -> None:
    """Load, run, and run again as a graph where there is a GPU."""
    warnings.simplefilter("error")
    call, runs = json.loads((work / "call.json").read_text()), RUNS[form]
    inputs = {name: tensor.to(device) for name, tensor in torch.load(work / "inputs.pt").items()}
    run = runs(folder, inputs, call, device)
    outputs = run()
    if device != "cpu":
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            again = run()
        graph.replay()
        torch.cuda.synchronize()
        for name, value in outputs.items():
            whole = call["outputs"][name]
            if whole and not torch.equal(value, again[name]):
                raise AssertionError(f"{name} differs when a graph replays the call")
    torch.save({name: value.cpu() for name, value in outputs.items()}, work / "outputs.pt")


def hf_kernels(
    folder: Path, inputs: dict[str, torch.Tensor], call: dict[str, Any], device: str
) -> Callable[[], dict[str, torch.Tensor]]:
    """The operator of the repository's CUDA variant."""
    variant = folder / "build" / f"torch-{'cpu' if device == 'cpu' else 'cuda'}"
    name = json.loads((variant / "metadata.json").read_text())["id"]
    module = _module(name, variant / "__init__.py")
    names, operator = [item.name for item in module.kernel.plan.outputs], getattr(module, call["task"])
    given = [inputs.get(item.name) for item in module.kernel.plan.inputs]
    return lambda: _named(names, operator(*given, **call["keywords"]))


def kernelbench(
    folder: Path, inputs: dict[str, torch.Tensor], call: dict[str, Any], device: str
) -> Callable[[], dict[str, torch.Tensor]]:
    """`ModelNew` with the given tensors in place of what it drew."""
    context: dict[str, Any] = {}
    exec((folder / f"{call['task']}.py").read_text(), context)  # noqa: S102 - what was just written
    model = context["ModelNew"](*context["get_init_inputs"]()).to(device)
    for name, value in inputs.items():
        if name not in context["GIVEN"]:
            setattr(model, name, value)
    given = [inputs[name] for name in context["GIVEN"]]
    return lambda: _named(list(call["outputs"]), model(*given))


def flashinfer(
    folder: Path, inputs: dict[str, torch.Tensor], call: dict[str, Any], device: str
) -> Callable[[], dict[str, torch.Tensor]]:
    """The solution's entry point."""
    (path,) = folder.glob("solutions/*/*/*.json")
    solution = json.loads(path.read_text())
    entry, symbol = solution["spec"]["entry_point"].split("::")
    for source in solution["sources"]:
        (folder / source["path"]).write_text(source["content"])
    module = _module("solution", folder / entry)
    return lambda: _named(list(call["outputs"]), getattr(module, symbol)(*inputs.values()))


RUNS = {"hf-kernels": hf_kernels, "kernelbench": kernelbench, "flashinfer": flashinfer}


def _module(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _named(names: list[str], returned: Any) -> dict[str, torch.Tensor]:
    return dict(zip(names, returned if isinstance(returned, tuple) else (returned,), strict=True))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
