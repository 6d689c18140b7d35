"""`warpsmith import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from warpsmith.cli.options import Json
from warpsmith.cli.output import GOOD, UNHAPPY, console, emit, say
from warpsmith.core.errors import KernelFileError, SettingsError


def import_(
    file: Annotated[Path, typer.Argument(help="CUDA source, PyTorch extension or Triton module.", metavar="FILE")],
    task: Annotated[str, typer.Option("--task", help="Task that the kernel computes.", metavar="TASK")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Kernel file to write; default: standard output.", metavar="FILE")
    ] = None,
    bind: Annotated[
        list[str] | None,
        typer.Option(
            "--bind",
            help="What a name of the host code is: a tensor of the task, or an expression. Repeatable.",
            metavar="NAME=WHAT",
        ),
    ] = None,
    entry: Annotated[
        str, typer.Option("--entry", help="Host function whose launches are meant, where several launch.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace the file that is there.")] = False,
    as_json: Json = False,
) -> int:
    """Make a kernel file of an existing kernel, and list what its host code leaves open; nothing of it is run."""
    from warpsmith import app
    from warpsmith.core.files import write_named
    from warpsmith.porting import make_draft

    if out is not None and out.exists() and not force:
        raise SettingsError(f"{out} exists.", remedy="Name another file, or give --force.")
    loaded = app.load_task(task)
    try:
        draft = make_draft(app.read_text(file), file.name, loaded, _bindings(bind), entry)
    except KernelFileError as error:
        error.file = str(file)
        raise
    if out is not None:
        write_named(out, draft.text)
    if as_json:
        questions = [{"line": it.line, "what": it.what, "remedy": it.remedy} for it in draft.questions]
        shown = {"language": draft.language, "complete": not draft.questions, "questions": questions}
        emit({**shown, "notes": list(draft.notes), "out": str(out) if out else None, "text": draft.text})
        return UNHAPPY if draft.questions else GOOD
    if out is None:
        console().print(draft.text, markup=False, highlight=False, soft_wrap=True, end="")
    for note in draft.notes:
        say(f"note: {note}")
    for question in draft.questions:
        say(f"open: {question}")
    if draft.questions:
        say(f"{len(draft.questions)} things are open; what the plan lacks stands as `?` in its head block.")
        return UNHAPPY
    say(f"complete; nothing is verified yet: warpsmith verify {out or 'FILE'}")
    return GOOD


def _bindings(texts: list[str] | None) -> dict[str, str]:
    bindings: dict[str, str] = {}
    for text in texts or ():
        name, _, what = text.partition("=")
        if not name.strip().isidentifier() or not what.strip():
            raise SettingsError(f"--bind {text} binds nothing.", remedy='Write NAME=TENSOR or "NAME=M * N".')
        bindings[name.strip()] = what.strip()
    return bindings
