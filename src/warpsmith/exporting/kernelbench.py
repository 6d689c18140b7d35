"""A kernel in KernelBench's form: one Python file with the problem's `Model` and the kernel as `ModelNew`.

KernelBench's evaluation casts every tensor that `get_inputs` gives, and every floating buffer of the modules, to one
floating dtype. So integers are buffers of both modules, and `forward` casts back to what the kernel was judged with.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature

from warpsmith.core.dtype import DType
from warpsmith.core.errors import SettingsError
from warpsmith.core.kernel_file import dims_of
from warpsmith.core.task import Role, Workload
from warpsmith.exporting.bundle import EVIDENCE, Bundle, embedded, evidence, single_module, summary
from warpsmith.exporting.carried import carry
from warpsmith.exporting.plan_text import plan_text
from warpsmith.exporting.subject import Subject
from warpsmith.kernels_generated.dims import needed_keywords

_PRECISIONS = {DType.FLOAT32: "fp32", DType.FLOAT16: "fp16", DType.BFLOAT16: "bf16"}
_TAIL = '''
import torch.nn as nn

SEED = 0
"""Of what both modules hold."""
DIMS = {dims!r}
KEYWORDS = {keywords!r}
DTYPES = {dtypes}
"""Of the inputs that are there, in the task's order."""
GIVEN = {given!r}
"""Inputs that `get_inputs` draws."""

_kernel = Kernel(Launcher(PLAN, code), reference)


def _drawn(seed):
    """All inputs."""
    generator = torch.Generator().manual_seed(seed)
    return {call}


class _Problem(nn.Module):
    """Holds the inputs that stay the same from call to call."""

    def __init__(self):
        super().__init__()
        for name, value in _drawn(SEED).items():
            if name in DTYPES and name not in GIVEN:
                self.register_buffer(name, value)

    def _inputs(self, *given):
        """All inputs in order, in the dtypes that the kernel was judged with; None for those that are absent."""
        values = dict(zip(GIVEN, given))
        found = {{name: values[name] if name in values else getattr(self, name) for name in DTYPES}}
        return [
            found[item.name].to(DTYPES[item.name]).contiguous() if item.name in found else None
            for item in PLAN.inputs
        ]


class Model(_Problem):
    """The problem: {summary}."""

    def forward(self, {arguments}):
        inputs = self._inputs({arguments})
        return _kernel.refer(*inputs, device=str(inputs[0].device), **KEYWORDS)


class ModelNew(_Problem):
    """The kernel."""

    def forward(self, {arguments}):
        return _kernel(*self._inputs({arguments}), **KEYWORDS)


def get_inputs():
    drawn = _drawn(int(torch.randint(2**31, ())))
    return [drawn[name] for name in GIVEN]


def get_init_inputs():
    return []
'''


def kernelbench(subject: Subject, workloads: tuple[str, ...]) -> Bundle:
    """The file for one workload, the first bench workload where none is named.

    Raises:
        SettingsError: KernelBench's form cannot say what the task needs.
    """
    if len(workloads) > 1:
        raise SettingsError("a KernelBench problem has one size.", remedy="Name one --workload, and export again.")
    task = subject.task
    workload = subject.chosen(workloads)[0]
    _refuse(subject)
    plan = plan_text(subject, (workload,))
    draw = task.make_inputs[workload.distribution]
    present = {item.name for item in task.inputs} - workload.absent
    dtypes = {item.name: task.dtype_of(item, workload) for item in task.inputs if item.name in present}
    given = tuple(
        it.name
        for it in task.inputs
        if it.name in present and it.role is not Role.STATIC and dtypes[it.name].is_floating
    )
    if not given:
        raise SettingsError(
            f"{task.name} has no floating input that changes from call to call, and KernelBench gives no other.",
            remedy="Use --format hf-kernels.",
        )
    takes = ", dtypes=" + _dtypes(workload.dtypes) if "dtypes" in signature(draw).parameters else ""
    dims = dims_of(task, workload)
    tail = _TAIL.format(
        dims=dims,
        keywords={name: dims[name] for name in needed_keywords(task)},
        dtypes=_dtypes(dtypes),
        given=given,
        call=f"draw(dict(DIMS), generator{takes})",
        summary=task.summary,
        arguments=", ".join(given),
    )
    carried = carry({"reference": task.reference, "draw": draw}, task.name)
    precision = _PRECISIONS.get(dtypes[given[0]], "fp16")
    head = _head(subject, workload, precision)
    text = head + single_module(carried, plan.text, embedded(plan.codes), tail)
    note = f"evaluate it with KernelBench's precision {precision}"
    return Bundle({f"{task.name}.py": text, EVIDENCE: evidence(subject)}, (note,))


def _refuse(subject: Subject) -> None:
    task, other = subject.task, "Use --format hf-kernels."
    if len(task.outputs) > 1:
        raise SettingsError(f"{task.name} has {len(task.outputs)} outputs; KernelBench compares one.", remedy=other)
    if task.checks:
        raise SettingsError(f"several outputs of {task.name} are right; KernelBench compares elements.", remedy=other)
    if any(item.role is Role.INPLACE for item in task.inputs):
        raise SettingsError(f"{task.name} overwrites an input; KernelBench compares what is returned.", remedy=other)


def _dtypes(named: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'"{name}": torch.{dtype}' for name, dtype in named.items()) + "}"


def _head(subject: Subject, workload: Workload, precision: str) -> str:
    kernel = "\n".join(f"#   {line}".rstrip() for line in subject.text.splitlines())
    requires = subject.kernel_file.requires
    return (
        f"# {summary(subject)}.\n"
        f"# Kernel {subject.manifest.kernel}, compiled by {subject.manifest.toolchain}; needs PyTorch alone.\n"
        f"# Problem: {workload.name} ({workload.distribution}). Evaluate with precision {precision}.\n"
        f"# ModelNew launches the machine code in CODES, which is what was judged, on {subject.manifest.target} GPUs"
        + (f" where {requires.text}" if requires else "")
        + ";\n# elsewhere the reference computes it, with a warning. The source it was compiled from:\n#\n"
        f"{kernel}\n"
    )
