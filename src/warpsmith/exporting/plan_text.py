"""A kernel's plan as Python, in the words of `runtime/plan.py`, and the machine code of its builds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from inspect import signature

from warpsmith.core.digest import digest_bytes
from warpsmith.core.dtype import DType
from warpsmith.core.errors import LibraryError, SettingsError
from warpsmith.core.expression import Expression
from warpsmith.core.kernel_file import Argument, Fill, Launch, dims_of
from warpsmith.core.kernel_file.check import pointer_name
from warpsmith.core.kernel_file.dims import tensors_of
from warpsmith.core.task import Output, Task, Tensor, Workload
from warpsmith.exporting.python_text import function_of
from warpsmith.exporting.subject import Subject
from warpsmith.kernels_generated.dims import free_names
from warpsmith.sandbox.emulated import load_ptx

_SHORT = 16


@dataclass(frozen=True, slots=True)
class PlanText:
    """What an export launches."""

    text: str
    """A module that defines `PLAN`; behind `runtime/plan.py` it needs no import."""
    codes: Mapping[str, bytes]
    """Name -> cubin."""


def plan_text(subject: Subject, workloads: Iterable[Workload]) -> PlanText:
    """The plan, with the builds that the given workloads need.

    Raises:
        SettingsError: the kernel is Triton's, whose code is specialised by sizes.
        LibraryError: it does not compile here any more.
    """
    if subject.kernel_file.language != "cuda":
        raise SettingsError(
            f"{subject.digest} is a Triton kernel: its code is specialised by the values of sizes, which no plan says.",
            remedy="Use it through `load`, or optimise the task again with `--language cuda`.",
        )
    codes: dict[str, bytes] = {}
    builds = _builds(subject, workloads, codes)
    return PlanText(_module(subject, builds), codes)


def _builds(subject: Subject, workloads: Iterable[Workload], codes: dict[str, bytes]) -> dict[str, str]:
    """Key of a build -> its text; the code goes to `codes`."""
    kernel, task = subject.kernel_file, subject.task
    found: dict[str, str] = {}
    for workload in workloads:
        values = [str(dims_of(task, workload)[name]) for name in kernel.constants]
        dtypes = [f'"{workload.dtypes[name]}"' for name in variables(task)]
        key = f"({', '.join([*values, *dtypes])}{',' if len(values) + len(dtypes) == 1 else ''})"
        if key in found:
            continue
        problem = subject.builds.build(workload)
        if problem is not None:
            raise LibraryError(
                f"{subject.digest} is {problem.kind} here: {getattr(problem, 'message', '')}",
                remedy=f"Judge it again: warpsmith library verify {subject.digest}",
            )
        artifact = subject.builds.artifact(workload)
        name = f"{artifact.architecture}_{digest_bytes(artifact.cubin)[:_SHORT]}"
        codes[name] = artifact.cubin
        module = load_ptx(artifact.ptx).module
        entries = []
        for kernel_name, entry in artifact.entries.items():
            sizes = "".join(f"{param.size}, " for param in module.entry(entry).params)
            shared = artifact.resources[entry].static_shared
            entries.append(f'            "{kernel_name}": Entry("{entry}", ({sizes}), {shared}),\n')
        found[key] = f'Build("{name}", {{\n{"".join(entries)}        }})'
    return found


def variables(task: Task) -> tuple[str, ...]:
    """The task's dtype variables, in the order in which inputs name them."""
    fixed = {dtype.value for dtype in DType}
    return tuple(dict.fromkeys(item.dtype for item in task.inputs if item.dtype not in fixed))


def _module(subject: Subject, builds: Mapping[str, str]) -> str:
    task, kernel, arch = subject.task, subject.kernel_file, subject.arch
    derived = {name: function_of(text) for name, text in task.derived.items()}
    derived |= {name: function_of(expression) for name, expression in kernel.let.items()}
    # Knobs are integers of the accepted assignment.
    derived |= {name: f"lambda n: {value}" for name, value in subject.manifest.knobs.items()}
    pointers = frozenset([*(item.name for item in tensors_of(task)), *(item.name for item in kernel.buffers)])
    capability = arch.target.removeprefix("sm_").removesuffix("a")
    takes = signature(task.reference).parameters
    dims = [name for name in (*task.dims, *task.fixed, *task.derived) if name in takes]
    fields = {
        "task": repr(task.name),
        "kernel": repr(subject.manifest.kernel),
        "target": repr(f"{arch.name} ({arch.target})"),
        "capability": f"({capability[:-1]}, {capability[-1]})",
        "sms": str(arch.sms),
        "most_shared": str(arch.shared_per_block),
        "inputs": _tuple(_input(task, item) for item in task.inputs),
        "outputs": _tuple(_output(task, item) for item in task.outputs),
        "dims": repr(task.dims),
        "derived": _table({f'"{name}"': text for name, text in derived.items()}),
        "constraints": _tuple(_extent(task, text) for text in task.constraints),
        "requires": _extent(task, kernel.requires.text, kernel.requires) if kernel.requires else "None",
        "constants": repr(tuple(kernel.constants)),
        "variables": repr(variables(task)),
        "builds": _table(builds),
        "buffers": _tuple(_buffer(subject, index) for index in range(len(kernel.buffers))),
        "steps": _tuple(_step(step, pointers) for step in (*kernel.prepares, *kernel.steps)),
        "reference_dims": repr(tuple(dict.fromkeys(dims))),
        "takes_dtypes": repr("dtypes" in takes),
        "rows": repr(task.rows),
    }
    body = "".join(f"    {name}={text},\n" for name, text in fields.items())
    return f'"""What the kernel launches."""\n\nPLAN = Plan(\n{body})\n'


def _tuple(items: Iterable[str]) -> str:
    body = "".join(f"        {item},\n" for item in items)
    return f"(\n{body}    )" if body else "()"


def _table(items: Mapping[str, str]) -> str:
    body = "".join(f"        {key}: {text},\n" for key, text in items.items())
    return f"{{\n{body}    }}" if body else "{}"


def _input(task: Task, item: Tensor) -> str:
    more = f', "{item.role.value}"' + (", optional=True" if item.optional else "")
    return f'Input("{item.name}", {_shape(task, item)}, "{item.dtype}"{more})'


def _output(task: Task, item: Output) -> str:
    return f'Output("{item.name}", {_shape(task, item)}, "{item.dtype}", "{item.valid or ""}")'


def _shape(task: Task, item: Tensor | Output) -> str:
    return f"({''.join(f'{_extent(task, text)}, ' for text in item.shape)})"


def _extent(task: Task, text: str, parsed: Expression | None = None) -> str:
    expression = parsed or Expression.parse(text)
    names = sorted(free_names(task, expression))
    shown = " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')
    return f'Extent("{shown}", {function_of(expression)}, frozenset({names!r}))'


def _buffer(subject: Subject, index: int) -> str:
    buffer = subject.kernel_file.buffers[index]
    known = {dtype.value for dtype in DType}
    dtype = buffer.dtype
    if dtype not in known:
        dtype = subject.task.tensor(dtype.removesuffix("_t")).dtype
    shape = "".join(f"{function_of(extent)}, " for extent in buffer.shape)
    return f'Buffer("{buffer.name}", ({shape}), "{dtype}", {buffer.init}, {buffer.prepared})'


def _step(step: Launch | Fill, pointers: frozenset[str]) -> str:
    if isinstance(step, Fill):
        when = function_of(step.when) if step.when else "None"
        return f'Fill("{step.tensor}", {step.value}, {when})'
    optional = {"shared": step.shared, "when": step.when, "repeat": step.repeat}
    parts = [
        f'"{step.kernel}"',
        f"({''.join(f'{function_of(extent)}, ' for extent in step.grid)})",
        f"({''.join(f'{function_of(extent)}, ' for extent in step.block)})",
        f"({''.join(f'{_argument(argument, pointers)}, ' for argument in step.arguments)})",
        *(f"{name}={function_of(expression)}" for name, expression in optional.items() if expression is not None),
        *(f"{name}=True" for name in ("cooperative", "prepare") if getattr(step, name)),
    ]
    return f"Launch({', '.join(parts)})"


def _argument(argument: Argument, pointers: frozenset[str]) -> str:
    name = pointer_name(argument)
    return f'"{name}"' if name in pointers else function_of(argument.expression)
