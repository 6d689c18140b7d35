"""A kernel as a FlashInfer-Bench trace set: definitions, solutions, and workloads with the inputs they were judged on.

A definition has one value for each dimension that no input tells, so a task becomes one definition for each set of such
values. Evaluations are not written: theirs need a reference's measured time and errors that the gate does not record.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.digest import digest_json
from warpsmith.core.dtype import DType
from warpsmith.core.errors import SettingsError
from warpsmith.core.expression import Expression
from warpsmith.core.kernel_file import dims_of, tensor_shape
from warpsmith.core.task import Output, Role, Task, Tensor, Workload
from warpsmith.exporting.bundle import EVIDENCE, Bundle, card, embedded, evidence, single_module, summary
from warpsmith.exporting.carried import carry
from warpsmith.exporting.plan_text import plan_text
from warpsmith.exporting.python_text import function_of
from warpsmith.exporting.subject import Subject
from warpsmith.kernels_generated.dims import free_names, needed_keywords

BLOB_MIB = 32
"""Inputs of a workload that are written when none is named: at most so many MiB."""
_DTYPES = {
    DType.FLOAT32: "F32",
    DType.FLOAT16: "F16",
    DType.BFLOAT16: "BF16",
    DType.FLOAT8_E4M3: "F8_E4M3",
    DType.FLOAT8_E5M2: "F8_E5M2",
    DType.INT64: "I64",
    DType.INT32: "I32",
    DType.INT16: "I16",
    DType.INT8: "I8",
    DType.BOOL: "BOOL",
}
"""Element types that a definition may have -> what safetensors calls them."""
_WORDS = (("//", " div "), ("*", " mul "), ("+", " plus "), ("-", " minus "))
_HELPERS = """\
def cdiv(dividend, divisor):
    return -(-dividend // divisor)


def align(value, unit):
    return -(-value // unit) * unit


def pow2ceil(value):
    return 1 << max(value - 1, 0).bit_length()


def ilog2(value):
    return value.bit_length() - 1
"""


@dataclass(frozen=True, slots=True)
class _Problem:
    """Workloads that share a definition."""

    subject: Subject
    constants: Mapping[str, int]
    """Dimensions with one value."""
    present: tuple[str, ...]
    """Inputs that are there, in order."""
    dtypes: Mapping[str, str]
    workloads: tuple[Workload, ...]

    @property
    def task(self) -> Task:
        return self.subject.task

    @property
    def name(self) -> str:
        """`w4a16_gemm_g128`, as the definitions of the FlashInfer trace are named."""
        parts = [self.task.name, *(f"{name.lower()}{value}" for name, value in self.constants.items())]
        parts += [f"with_{item.name}" for item in self.task.inputs if item.optional and item.name in self.present]
        return "_".join([*parts, *self.dtypes.values()])

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        return tuple(item for item in self.task.inputs if item.name in self.present)

    @property
    def tensors(self) -> tuple[Tensor | Output, ...]:
        return (*self.inputs, *self.task.outputs)

    def dtype_of(self, item: Tensor | Output) -> DType:
        return self.task.dtype_of(item, self.workloads[0])

    @property
    def unsayable(self) -> str:
        """The tensor whose element type a definition cannot have; empty where all can."""
        wrong = [item for item in self.tensors if self.dtype_of(item) not in _DTYPES]
        return f"{wrong[0].name} is {self.dtype_of(wrong[0]).value}" if wrong else ""


def flashinfer(subject: Subject, workloads: tuple[str, ...], *, blob_mib: int = BLOB_MIB) -> Bundle:
    """The trace set, for the named workloads (the bench workloads whose inputs are small, where none is named).

    Raises:
        SettingsError: the format cannot say what the task needs, or no workload is left.
    """
    _refuse(subject)
    chosen, notes = _chosen(subject, workloads, blob_mib << 20)
    files: dict[str, str | bytes] = {
        "README.md": f"# {subject.task.name}\n\n{card(subject)}",
        EVIDENCE: evidence(subject),
    }
    written = False
    for problem in _problems(subject, chosen):
        if problem.unsayable:
            notes.append(
                f"left out {problem.name}: {problem.unsayable}, which no definition of FlashInfer-Bench can say"
            )
            continue
        written = True
        files |= _files(problem)
    if not written:
        raise SettingsError(f"nothing to write: {'; '.join(notes)}.", remedy="Use --format hf-kernels.")
    notes.append("evaluations are not written: flashinfer-bench run --local makes them on your GPU")
    return Bundle(files, tuple(notes))


def _refuse(subject: Subject) -> None:
    task, other = subject.task, "Use --format hf-kernels."
    if task.checks:
        raise SettingsError(f"several outputs of {task.name} are right; a trace compares elements.", remedy=other)
    if any(item.valid for item in task.outputs):
        raise SettingsError(f"rows of {task.name} past a count are undefined; a trace compares them.", remedy=other)
    if any(item.role is Role.INPLACE for item in task.inputs):
        raise SettingsError(f"{task.name} overwrites an input, which no definition can say.", remedy=other)


def _chosen(subject: Subject, names: tuple[str, ...], most: int) -> tuple[tuple[Workload, ...], list[str]]:
    if names:
        return subject.chosen(names), []
    kept, notes = [], []
    bench = {item.name for item in subject.task.bench}
    for workload in subject.workloads:
        nbytes = _nbytes(subject.task, workload)
        if workload.name in bench and nbytes <= most:
            kept.append(workload)
        elif workload.name in bench:
            notes.append(f"left out {workload.name}: its inputs take {nbytes >> 20} MiB; --blob-mib allows more")
    if not kept:
        raise SettingsError(
            f"the inputs of every bench workload take more than {most >> 20} MiB.",
            remedy="Give --blob-mib N, or name smaller ones with --workload.",
        )
    return tuple(kept), notes


def _nbytes(task: Task, workload: Workload) -> int:
    dims = dims_of(task, workload)
    return sum(prod(tensor_shape(item, dims)) * task.dtype_of(item, workload).itemsize for item in task.inputs)


def _problems(subject: Subject, workloads: tuple[Workload, ...]) -> list[_Problem]:
    """Workloads by definition."""
    task = subject.task
    told = {text for item in task.inputs if not item.optional for text in item.shape}
    fixed = {*task.fixed, *needed_keywords(task)}
    for output in task.outputs:
        # Extents of outputs come from those of inputs, or are constant.
        fixed |= {
            name for text in output.shape if text not in told for name in free_names(task, Expression.parse(text))
        }
    groups: dict[str, _Problem] = {}
    for workload in workloads:
        dims = dims_of(task, workload)
        constants = {name: dims[name] for name in (*task.dims, *task.fixed) if name in fixed}
        present = tuple(item.name for item in task.inputs if item.name not in workload.absent)
        problem = _Problem(subject, constants, present, dict(workload.dtypes), (workload,))
        before = groups.get(problem.name)
        if before is not None:
            problem = _Problem(subject, constants, present, problem.dtypes, (*before.workloads, workload))
        groups[problem.name] = problem
    return list(groups.values())


def _files(problem: _Problem) -> dict[str, str | bytes]:
    family, name = problem.task.family, problem.name
    solution = _solution(problem)
    files: dict[str, str | bytes] = {
        f"definitions/{family}/{name}.json": _json(_definition(problem)),
        f"solutions/{family}/{name}/{solution['name']}.json": _json(solution),
    }
    lines = []
    for workload in problem.workloads:
        trace, path, blob = _workload(problem, workload)
        lines.append(json.dumps(trace))
        files[path] = blob
    files[f"workloads/{family}/{name}.jsonl"] = "\n".join(lines) + "\n"
    return files


def axis_name(text: str) -> str:
    """A name for an extent: `K // 8` is `K_div_8`, and `4` is `const_4`."""
    for sign, word in _WORDS:
        text = text.replace(sign, word)
    name = re.sub(r"\W+", "_", text).strip("_")
    return f"const_{name}" if name[:1].isdigit() else name


def _axes(problem: _Problem) -> dict[str, tuple[str, int | None]]:
    """Name of an axis -> its expression, and its value where it is constant."""
    dims = dims_of(problem.task, problem.workloads[0])
    axes: dict[str, tuple[str, int | None]] = {name: (name, value) for name, value in problem.constants.items()}
    for item in problem.tensors:
        for text in item.shape:
            expression = Expression.parse(text)
            constant = free_names(problem.task, expression) <= problem.constants.keys()
            axes[axis_name(text)] = text, expression.evaluate(dims) if constant else None
    return axes


def _definition(problem: _Problem) -> dict[str, Any]:
    task, axes = problem.task, _axes(problem)
    constraints = [
        f"{name} == {text}"
        for name, (text, value) in axes.items()
        if value is None and name != text and Expression.parse(text).names <= axes.keys()
    ]
    constraints += [text for text in task.constraints if Expression.parse(text).names <= axes.keys()]
    return {
        "name": problem.name,
        "description": f"{task.summary}. {', '.join(f'{key} = {value}' for key, value in problem.constants.items())}",
        "op_type": task.family,
        "tags": ["status:verified", f"warpsmith:{task.name}"],
        "axes": {
            name: {"type": "var", "description": text} if value is None else {"type": "const", "value": value}
            for name, (text, value) in axes.items()
        },
        "constraints": constraints,
        "inputs": {item.name: _spec(problem, item) for item in problem.inputs},
        "outputs": {item.name: _spec(problem, item) for item in task.outputs},
        "reference": _reference(problem),
    }


def _spec(problem: _Problem, item: Tensor | Output) -> dict[str, Any]:
    return {"shape": [axis_name(text) for text in item.shape], "dtype": problem.dtype_of(item).value}


def _reference(problem: _Problem) -> str:
    """The task's reference behind a `run` that takes tensors as they are declared, on their device."""
    task = problem.task
    takes = signature(task.reference).parameters
    wide = "float64" if any(problem.dtype_of(item) is DType.FLOAT64 for item in problem.inputs) else "float32"
    known = {text: f"{it.name}.shape[{axis}]" for it in problem.inputs for axis, text in enumerate(it.shape)}
    sizes = {name: str(value) for name, value in problem.constants.items()}
    sizes |= {name: known[name] for name in task.dims if name not in sizes and name in known}
    lines = [f"    n = {{{', '.join(f'{name!r}: {text}' for name, text in sizes.items())}}}"]
    lines += [f'    n["{name}"] = ({function_of(text)})(n)' for name, text in task.derived.items() if name in takes]
    passed = [
        f"{it.name}={it.name}.to(torch.{wide})" if problem.dtype_of(it).is_floating else f"{it.name}={it.name}.clone()"
        for it in problem.inputs
    ]
    passed += [f"{item.name}=None" for item in task.inputs if item.name not in problem.present]
    passed += [f'{name}=n["{name}"]' for name in (*task.dims, *task.derived) if name in takes]
    if "dtypes" in takes:
        passed.append(f"dtypes={{{', '.join(f'{name!r}: torch.{it}' for name, it in problem.dtypes.items())}}}")
    if task.rows:
        passed.append(f'rows=torch.arange(n["{task.rows}"])')
    names = tuple(item.name for item in task.outputs)
    casts = ", ".join(f"found[{item.name!r}].to(torch.{problem.dtype_of(item).value})" for item in task.outputs)
    lines += [
        f"    with torch.device({problem.inputs[0].name}.device):",
        f"        returned = reference({', '.join(passed)})",
        "    if isinstance(returned, torch.Tensor):",
        "        returned = (returned,)",
        f"    found = dict(returned) if isinstance(returned, dict) else dict(zip({names!r}, returned))",
        f"    return {casts}",
    ]
    arguments = ", ".join(item.name for item in problem.inputs)
    run = f"def run({arguments}):\n" + "\n".join(lines) + "\n"
    return carry({"reference": task.reference}, task.name) + "\n\n" + _HELPERS + "\n\n" + run


def _solution(problem: _Problem) -> dict[str, Any]:
    subject, task = problem.subject, problem.task
    plan = plan_text(subject, problem.workloads)
    arguments = ", ".join(item.name for item in problem.inputs)
    passed = [item.name if item.name in problem.present else "None" for item in task.inputs]
    passed += [f"{name}={problem.constants[name]}" for name in needed_keywords(task)]
    tail = (
        "_kernel = Kernel(Launcher(PLAN, code), reference)\n\n\n"
        f'def run({arguments}):\n    """{task.summary}."""\n    return _kernel({", ".join(passed)})\n'
    )
    carried = carry({"reference": task.reference}, task.name)
    return {
        "name": f"{problem.name}_warpsmith_{subject.digest}",
        "definition": problem.name,
        "description": (
            f"{summary(subject)}. kernel.cu is the source; main.py launches the machine code that was judged, compiled "
            f"from it by {subject.manifest.toolchain} for {subject.arch.target}. Other GPUs get the reference, with a "
            "warning."
        ),
        "author": f"warpsmith ({subject.manifest.lineage.coder})",
        "spec": {
            "language": "python",
            "target_hardware": [f"NVIDIA_{subject.arch.name.upper()}"],
            "entry_point": "main.py::run",
            "dependencies": ["torch"],
            "destination_passing_style": False,
        },
        "sources": [
            {"path": "main.py", "content": single_module(carried, plan.text, embedded(plan.codes), tail)},
            {"path": subject.kernel_file_name, "content": subject.text},
        ],
    }


def _workload(problem: _Problem, workload: Workload) -> tuple[dict[str, Any], str, bytes]:
    """A workload's line, and the file of its inputs."""
    from warpsmith.tasks.sample import make_inputs

    task = problem.task
    dims = dims_of(task, workload)
    digest = digest_json([problem.name, workload.name, workload.distribution, dict(workload.dims)])
    uuid = "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))
    path = f"blob/workloads/{task.family}/{problem.name}/{problem.name}_{uuid}.safetensors"
    drawn = make_inputs(task, workload, 0)
    blob = safetensors({name: (tensor.dtype, tensor.array) for name, tensor in drawn.items()})
    axes = {
        name: Expression.parse(text).evaluate(dims) for name, (text, value) in _axes(problem).items() if value is None
    }
    inputs = {name: {"type": "safetensors", "path": path, "tensor_key": name} for name in problem.present}
    trace = {
        "definition": problem.name,
        "solution": None,
        "workload": {"uuid": uuid, "axes": axes, "inputs": inputs},
        "evaluation": None,
    }
    return trace, path, blob


def safetensors(tensors: Mapping[str, tuple[DType, NDArray[Any]]]) -> bytes:
    """Tensors in safetensors' format: the header's length in 8 bytes, the header as JSON, the elements."""
    header: dict[str, Any] = {}
    data = []
    at = 0
    for name, (dtype, array) in tensors.items():
        raw = np.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": _DTYPES[dtype], "shape": list(array.shape), "data_offsets": [at, at + len(raw)]}
        data.append(raw)
        at += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(data)


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
