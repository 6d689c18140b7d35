"""Every shipped kernel, exported in every format that can say it, run on the GPU without warpsmith, and judged."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from warpsmith.core.errors import DeviceError, LibraryError, SettingsError
from warpsmith.core.kernel_file import dims_of
from warpsmith.core.outcome import WorkloadCheck
from warpsmith.core.task import Workload
from warpsmith.exporting.bundle import Bundle
from warpsmith.exporting.flashinfer import flashinfer
from warpsmith.exporting.hf_kernels import hf_kernels
from warpsmith.exporting.kernelbench import kernelbench
from warpsmith.exporting.subject import Subject, find_subject
from warpsmith.exporting.write import write
from warpsmith.kernels_generated.dims import needed_keywords
from warpsmith.kernels_generated.library import list_entries
from warpsmith.kernels_generated.places import SHIPPED
from warpsmith.sandbox.verify.standard import Standard
from warpsmith.silicon.box import Box, Unit
from warpsmith.silicon.rig import SEED
from warpsmith.tasks.convert import from_torch, to_torch
from warpsmith.tasks.oracle import checked_tensors
from warpsmith.tasks.sample import make_inputs

FILE = "agreement.json"
FORMATS = {"hf-kernels": hf_kernels, "kernelbench": kernelbench, "flashinfer": flashinfer}
_CHILD = Path(__file__).with_name("export_child.py")
_SECONDS = 120.0


def export_all(box: Box, device: str = "cuda") -> None:
    """The step: every shipped kernel in every format."""
    for name, subject, form in exports(box.say):
        box.unit(FILE, name, partial(export, subject, form, device), needs=20)


def exports(say: Callable[[str], None]) -> Iterator[tuple[str, Subject, str]]:
    """Name, kernel and format of what the step runs; kernels that cannot be exported are said."""
    for entry in list_entries(SHIPPED).entries:
        try:
            subject = find_subject(str(entry.folder), SHIPPED, SHIPPED / "no store")
        except LibraryError as stale:
            say(f"  not exported: {stale}")
            continue
        for form in FORMATS:
            yield f"export/{form}/{subject.task.name}/{subject.digest}", subject, form


def export(subject: Subject, form: str, device: str) -> Unit:
    """Write an export for the largest verify workload inside the kernel's domain, run it, and judge its outputs.

    Raises:
        DeviceError: it does not run.
    """
    bench = {item.name for item in subject.task.bench}
    small = [item for item in subject.workloads if item.name not in bench]
    workload = max(small, key=lambda item: subject.task.cost(dims_of(subject.task, item)).bytes)
    try:
        bundle: Bundle = FORMATS[form](subject, (workload.name,))
    except SettingsError as refused:
        return {"kernel": subject.digest, "refused": str(refused)}
    with tempfile.TemporaryDirectory() as folder:
        write(bundle, Path(folder) / "export")
        return {
            "kernel": subject.digest,
            "workload": workload.name,
            **_run(subject, workload, form, device, Path(folder)),
        }


def _run(subject: Subject, workload: Workload, form: str, device: str, folder: Path) -> Unit:
    import torch

    task = subject.task
    inputs = make_inputs(task, workload, SEED)
    torch.save({name: to_torch(value) for name, value in inputs.items()}, folder / "inputs.pt")
    keywords = {name: workload.dims[name] for name in needed_keywords(task)}
    whole = {item.name: not item.valid for item in task.outputs}
    (folder / "call.json").write_text(json.dumps({"task": task.name, "keywords": keywords, "outputs": whole}))
    command = [sys.executable, str(_CHILD), form, str(folder / "export"), str(folder), device]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise DeviceError(f"{form} of {task.name} runs for more than {_SECONDS:g} s.") from error
    if ran.returncode:
        raise DeviceError(f"{form} of {task.name}: {ran.stderr.strip().splitlines()[-1]}")
    found = torch.load(folder / "outputs.pt")
    dtypes = {name: dtype for name, (dtype, _) in checked_tensors(task, workload).items()}
    outputs = {name: from_torch(value, dtypes[name]) for name, value in found.items()}
    verdict = Standard(task, workload, inputs).verdict(outputs)
    if isinstance(verdict, WorkloadCheck):
        return {"right": True, "error": verdict.error}
    return {"right": False, "error": getattr(verdict, "message", verdict.kind)}
