"""`warpsmith prompt`."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from warpsmith.cli.commands.optimize import Language
from warpsmith.cli.options import Arch, Json
from warpsmith.cli.output import GOOD, console, emit, say


class Stage(StrEnum):
    """What the prompt asks for."""

    NEW = "new"
    REPAIR = "repair"
    OPTIMISE = "optimise"
    JUDGE = "judge"


def prompt(
    task: Annotated[str, typer.Argument(help="Task name or task file.", metavar="TASK")],
    stage: Annotated[Stage, typer.Option(help="What the model would be asked for.")] = Stage.NEW,
    kernel: Annotated[
        Path | None, typer.Option(help="Kernel file it is about; default: the task's first seed.", metavar="FILE")
    ] = None,
    model: Annotated[str, typer.Option(help="Whose price to show: openai:MODEL, anthropic:MODEL.")] = "",
    arch: Arch = "h200",
    language: Annotated[Language, typer.Option(help="What is to be written.")] = Language.CUDA,
    as_json: Json = False,
) -> int:
    """Show what would be sent to a model, with its tokens and price; nothing is sent."""
    from warpsmith.previews import preview

    found = preview(task, stage.value, kernel=kernel, arch=arch, language=language.value, model=model)
    if as_json:
        emit(asdict(found))
        return GOOD
    console().print(f"{found.system}\n\n{found.question}", markup=False)
    price = "unknown" if found.dollars is None else f"${found.dollars:.4f} with {found.answer_tokens} tokens of answer"
    dropped = f"; left out: {', '.join(found.dropped)}" if found.dropped else ""
    say(f"{found.stage}: about {found.tokens} tokens, price {price}{dropped}")
    if found.note:
        say(found.note)
    return GOOD
