"""`warpsmith tasks list | show | new | import | check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from warpsmith.cli.options import Json
from warpsmith.cli.output import GOOD, console, emit

if TYPE_CHECKING:
    from warpsmith.core.task import Output, Task, Tensor, Workload

program = typer.Typer(
    help="List, show, write, import and check tasks: what kernels have to compute.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

TaskName = Annotated[str, typer.Argument(help="Task name or task file.", metavar="TASK")]


@program.command("list")
def list_tasks(as_json: Json = False) -> int:
    """List the tasks that ship."""
    from warpsmith.tasks.find import find_tasks

    found = find_tasks()
    if as_json:
        emit({"tasks": [{"name": item.name, "family": item.family, "path": str(item.path)} for item in found]})
        return GOOD
    for item in found:
        console().print(f"{item.family}/[bold]{item.name}[/]  {item.path}", soft_wrap=True)
    return GOOD


@program.command("show")
def show_task(task: TaskName, as_json: Json = False) -> int:
    """Show a task: tensors, dimensions, workloads."""
    from warpsmith.tasks.load import load_task

    described = _described(load_task(task))
    if as_json:
        emit(described)
    else:
        _print(described)
    return GOOD


@program.command("new")
def new_task(
    name: Annotated[str, typer.Argument(help="Name of the task: lower-case letters, digits, _.", metavar="NAME")],
    folder: Annotated[Path, typer.Option("--folder", help="Where to write.", metavar="DIR")] = Path(),
    as_json: Json = False,
) -> int:
    """Write a task file to begin with, NAME.py, and a first kernel for it, NAME.cu."""
    from warpsmith.tasks.new import new_task as write

    files = write(name, folder)
    following = [
        f"warpsmith tasks check {files.task}",
        f"warpsmith verify {files.kernel} --task {files.task}",
        f"warpsmith optimize {files.task} --seed-kernel {files.kernel}",
    ]
    if as_json:
        emit({"task": str(files.task), "kernel": str(files.kernel), "next": following})
        return GOOD
    out = console()
    out.print(f"wrote {files.task} and {files.kernel}, which work as they are", markup=False)
    out.print(f"Change the seven marked places of {files.task} into your problem, and the kernel with it. Then:")
    for command in following:
        out.print(f"  {command}", markup=False)
    return GOOD


@program.command("import")
def import_problem(
    file: Annotated[
        Path,
        typer.Argument(
            help="Problem file in KernelBench's form (levels 1 and 2). It is run, so load only files you trust.",
            metavar="FILE",
        ),
    ],
    name: Annotated[str, typer.Option("--name", help="Of the task; default: the file's, without its number.")] = "",
    folder: Annotated[Path, typer.Option("--folder", help="Where to write.", metavar="DIR")] = Path(),
    dtype: Annotated[
        str, typer.Option("--dtype", help="Of all floating tensors; default: what get_inputs draws.")
    ] = "",
    mib: Annotated[int, typer.Option("--mib", min=1, help="Most memory of the sizes that are timed.")] = 1024,
    as_json: Json = False,
) -> int:
    """Write the task file of a problem: parameters become static inputs, module-level integers dimensions."""
    from warpsmith import app

    path, remarks = app.import_problem(file, name=name, folder=folder, dtype=dtype, bench_mib=mib)
    if as_json:
        emit({"task": str(path), "remarks": list(remarks)})
        return GOOD
    out = console()
    out.print(f"wrote {path}, which the task gate finds sound", markup=False)
    for remark in remarks:
        out.print(f"  {remark}", markup=False)
    out.print(f"  warpsmith tasks show {path}", markup=False)
    out.print(f"  warpsmith optimize {path} --coder CODER, or --seed-kernel FILE.cu", markup=False)
    return GOOD


@program.command("check")
def check_task(
    task: Annotated[str | None, typer.Argument(help="Task name or task file.", metavar="TASK")] = None,
    every: Annotated[bool, typer.Option("--all", help="Check every task that ships.")] = False,
    as_json: Json = False,
) -> int:
    """Load a task file and check all it declares; degenerate kernels must fail its comparison."""
    from warpsmith.cli.output import UNHAPPY
    from warpsmith.core.errors import InputError
    from warpsmith.tasks.find import find_tasks

    if (task is None) != every:
        raise InputError("Nothing to check.", remedy="Name a task or a task file, or give --all alone.")
    names = [item.name for item in find_tasks()] if task is None else [task]
    found = []
    for name in names:
        found.append(_checked(name))
        if not as_json:
            _print_check(found[-1])
    if as_json:
        emit(found[0] if task is not None else {"tasks": found})
    return GOOD if all(item["passed"] for item in found) else UNHAPPY


def _checked(name: str) -> dict[str, Any]:
    """The task gate's findings; how sharp a sound task's comparison is."""
    from dataclasses import asdict

    from warpsmith import app
    from warpsmith.tasks.load import load_task

    loaded = load_task(name)
    problems = app.check_task(loaded)
    caught = [] if problems else [asdict(item) for item in app.task_sharpness(loaded)]
    return {
        "task": loaded.name,
        "family": loaded.family,
        "path": loaded.path,
        "passed": not problems,
        "problems": problems,
        "catches": caught,
        "exact": [] if problems else _exact(loaded),
    }


def _exact(task: Task) -> list[str]:
    """Outputs of integers that no check of the task's own judges."""
    whole = [item for item in task.outputs if not task.dtype_of(item, task.verify[0]).is_floating]
    return [item.name for item in whole if item.name not in task.judged]


def _print_check(found: dict[str, Any]) -> None:
    for problem in found["problems"]:
        console().print(f"{found['family']}/{found['task']}: {problem}", markup=False)
    if found["passed"]:
        console().print(f"{found['family']}/{found['task']}: good")
    for item in found["catches"]:
        size = "no size that was tried" if item["size"] is None else f"{item['size']:.2%}"
        console().print(f"  {item['output']}: catches {item['fault']}: {size}", markup=False)
    if found["exact"]:
        console().print(f"  {', '.join(found['exact'])}: must match bit for bit")


def _described(task: Task) -> dict[str, Any]:
    return {
        "name": task.name,
        "family": task.family,
        "summary": task.summary,
        "path": task.path,
        "digest": task.source_digest,
        "dims": list(task.dims),
        "fixed": list(task.fixed),
        "derived": dict(task.derived),
        "constraints": list(task.constraints),
        "inputs": [_tensor(item) | {"role": item.role.value, "optional": item.optional} for item in task.inputs],
        "outputs": [_tensor(item) | {"valid": item.valid} for item in task.outputs],
        "verify": [_workload(item) for item in task.verify],
        "bench": [_workload(item) for item in task.bench],
    }


def _tensor(tensor: Tensor | Output) -> dict[str, Any]:
    return {"name": tensor.name, "shape": list(tensor.shape), "dtype": tensor.dtype}


def _workload(workload: Workload) -> dict[str, Any]:
    return {
        "name": workload.name,
        "dims": dict(workload.dims),
        "dtypes": dict(workload.dtypes),
        "distribution": workload.distribution,
        "absent": sorted(workload.absent),
        "source": workload.source,
    }


def _print(task: dict[str, Any]) -> None:
    from rich.markup import escape

    out = console()
    out.print(f"[bold]{task['family']}/{task['name']}[/]  {escape(task['path'])}")
    out.print(escape(task["summary"]))
    out.print(f"dims {', '.join(task['dims'])}; fixed {', '.join(task['fixed']) or 'none'}")
    for constraint in task["constraints"]:
        out.print(f"  where {escape(constraint)}")
    for kind in ("inputs", "outputs"):
        for tensor in task[kind]:
            shape = ", ".join(tensor["shape"])
            words = [tensor["role"]] if tensor.get("role") not in (None, "dynamic") else []
            words += ["optional"] if tensor.get("optional") else []
            extra = f" ({', '.join(words)})" if words else ""
            out.print(escape(f"{kind[:-1]:<6} {tensor['name']}: {tensor['dtype']} [{shape}]{extra}"))
    for kind in ("verify", "bench"):
        for item in task[kind]:
            dims = ", ".join(f"{name}={extent}" for name, extent in item["dims"].items())
            without = f", without {', '.join(item['absent'])}" if item["absent"] else ""
            out.print(escape(f"{kind:<6} {item['name']}: {dims}, {item['distribution']}{without}"))
