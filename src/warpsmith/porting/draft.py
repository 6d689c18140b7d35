"""What an import comes to: a kernel file, and what its author must still say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from warpsmith.core.errors import KernelFileError
from warpsmith.core.kernel_file import check, parse_kernel_file
from warpsmith.core.task import Task
from warpsmith.porting.cuda import read_cuda
from warpsmith.porting.expressions import joined
from warpsmith.porting.extension import cuda_of
from warpsmith.porting.plan import Plan, Question, Step
from warpsmith.porting.triton import read_triton


@dataclass(frozen=True, slots=True)
class Draft:
    """A kernel file from elsewhere."""

    text: str
    language: str
    questions: tuple[Question, ...]
    """Nothing: the file is complete, and the gate may judge it."""
    notes: tuple[str, ...]


def make_draft(text: str, name: str, task: Task, bindings: Mapping[str, str], entry: str = "") -> Draft:
    """Make a kernel file of a CUDA, PyTorch-extension or Triton source.

    Args:
        text: the source.
        name: of its file; `.py` is Python, anything else C++.
        task: what it computes.
        bindings: host name -> tensor of the task, or integer expression over its dimensions.
        entry: the host function whose launches are meant; empty where there is one.

    Raises:
        KernelFileError: it does not read as C++ or Python, or holds no kernel.
    """
    if not name.endswith(".py"):
        language, (plan, body) = "cuda", read_cuda(text, task, bindings, entry)
    elif (embedded := cuda_of(text)) is not None:
        language, (plan, body) = "cuda", read_cuda(embedded, task, bindings, entry)
    else:
        language, (plan, body) = "triton", read_triton(text, task, bindings, entry)
    draft = _render(plan, task, "//" if language == "cuda" else "#") + body.strip("\n") + "\n"
    if not plan.questions:
        _hold_against(draft, task, plan)
    return Draft(draft, language, tuple(plan.questions), tuple(plan.notes))


def _hold_against(text: str, task: Task, plan: Plan) -> None:
    """What the format or the task refuses is a question too."""
    try:
        check(parse_kernel_file(text), task)
    except KernelFileError as error:
        where = f"in the kernel file, line {error.line}: " if error.line else ""
        plan.ask(0, where + error.message.rstrip("."), error.remedy)


def _render(plan: Plan, task: Task, mark: str) -> str:
    lines = [f"task = {_text(task.name)}"]
    if requires := joined(plan.requires):
        lines.append(f"requires = {_text(requires)}")
    if plan.tune:
        lines += ["", "[tune]", *(f"{name} = {values}" for name, values in plan.tune.items())]
        lines += [f"where = {_text(plan.where)}"] if plan.where else []
    for buffer in plan.buffers:
        lines += ["", "[[buffer]]", f"name = {_text(buffer.name)}", f"shape = {_list(buffer.shape)}"]
        lines += [f"dtype = {_text(buffer.dtype)}", *(["init = 0"] if buffer.zero else [])]
    for step in plan.steps:
        lines += ["", "[[launch]]", *_step(step)]
    return "\n".join([f"{mark} /// kernel", *(f"{mark} {line}".rstrip() for line in lines), f"{mark} ///"]) + "\n"


def _step(step: Step) -> list[str]:
    when = [f"when = {_text(step.when)}"] if step.when else []
    if step.fill:
        return [f"fill = {_text(step.fill)}", "value = 0", *when]
    lines = [f"kernel = {_text(step.kernel)}", *when, f"grid = {_list(step.grid)}"]
    lines += [f"block = {_list(step.block)}"] if step.block else []
    lines += [f"shared = {_text(step.shared)}"] if step.shared and step.shared != "0" else []
    for key, table in (("args", step.args), ("constexpr", step.constexpr)):
        if table:
            lines.append(f"{key} = {{ {', '.join(f'{name} = {_text(it)}' for name, it in table.items())} }}")
    return [*lines, *(f"{name} = {value}" for name, value in step.options.items())]


def _text(value: str) -> str:
    return json.dumps(value)


def _list(values: Sequence[str]) -> str:
    return _text(values[0]) if len(values) == 1 else f"[{', '.join(map(_text, values))}]"
