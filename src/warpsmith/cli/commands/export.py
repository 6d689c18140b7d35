"""`warpsmith export`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from warpsmith.cli.options import Json, Knobs, Library, StoreFile, parse_knobs
from warpsmith.cli.output import GOOD, console, emit, say

if TYPE_CHECKING:
    from warpsmith.exporting.bundle import Bundle
    from warpsmith.exporting.subject import Subject


class Format(StrEnum):
    """What loads the export."""

    HF_KERNELS = "hf-kernels"
    KERNELBENCH = "kernelbench"
    FLASHINFER = "flashinfer"


def export(
    kernel: Annotated[
        str,
        typer.Argument(
            help="Task, first digits of a digest, folder of a library, or a kernel file that a run has judged.",
            metavar="KERNEL",
        ),
    ],
    form: Annotated[Format, typer.Option("--format", help="What is to load it.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to write; default: TASK-FORMAT here.", metavar="DIR")
    ] = None,
    workload: Annotated[
        list[str] | None,
        typer.Option("--workload", help="Workload of the task to export for. Repeatable.", metavar="NAME"),
    ] = None,
    version: Annotated[int, typer.Option(min=0, help="hf-kernels: the repository's version.")] = 1,
    licence: Annotated[
        str, typer.Option("--license", help="hf-kernels: the kernel's licence, as the Hub spells it.")
    ] = "apache-2.0",
    blob_mib: Annotated[
        int, typer.Option("--blob-mib", min=1, help="flashinfer: MiB of inputs that a bench workload may bring.")
    ] = 32,
    knob: Knobs = None,
    library: Library = None,
    store: StoreFile = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the folder that is there.")] = False,
    as_json: Json = False,
) -> int:
    """Write a kernel whose verdict holds in another project's form; what is written needs no warpsmith."""
    from warpsmith.exporting.subject import find_subject
    from warpsmith.exporting.write import write
    from warpsmith.settings import read_settings

    settings = read_settings()
    subject = find_subject(kernel, library or settings.library, store or settings.store, parse_knobs(knob))
    bundle = _bundle(form, subject, tuple(workload or ()), version, licence, blob_mib)
    target = out or Path(f"{subject.task.name}-{form.value}")
    files = write(bundle, target, force=force)
    if as_json:
        names = [str(path.relative_to(target)) for path in files]
        shown = {"kernel": subject.manifest.kernel, "task": subject.task.name, "format": form.value}
        emit({**shown, "out": str(target), "files": names, "notes": list(bundle.notes)})
        return GOOD
    console().print(str(target), markup=False, highlight=False, soft_wrap=True)
    say(f"{subject.digest} of {subject.task.name} for {form.value}: {len(files)} files")
    for note in bundle.notes:
        say(f"note: {note}")
    return GOOD


def _bundle(
    form: Format, subject: Subject, workloads: tuple[str, ...], version: int, licence: str, blob_mib: int
) -> Bundle:
    match form:
        case Format.HF_KERNELS:
            from warpsmith.exporting.hf_kernels import hf_kernels

            return hf_kernels(subject, workloads, version=version, licence=licence)
        case Format.KERNELBENCH:
            from warpsmith.exporting.kernelbench import kernelbench

            return kernelbench(subject, workloads)
        case Format.FLASHINFER:
            from warpsmith.exporting.flashinfer import flashinfer

            return flashinfer(subject, workloads, blob_mib=blob_mib)
