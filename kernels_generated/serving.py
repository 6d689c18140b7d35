"""`load(task)`: the accepted kernels of a task as a PyTorch operator.

CUDA tensors run on their GPU, on the current stream. CPU tensors run on the emulator: right, and slow.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from warpsmith.core.errors import LibraryError
from warpsmith.core.quantity import Source
from warpsmith.core.task import Task
from warpsmith.kernels_generated.kernel import Kernel, OutsideDomainError, OutsideDomainWarning
from warpsmith.kernels_generated.library import Entry, list_entries, read_entry
from warpsmith.kernels_generated.manifest import Manifest
from warpsmith.kernels_generated.places import MANIFEST, search_path
from warpsmith.kernels_generated.standing import REJUDGE, backward_of, staleness, task_of

__all__ = ["Kernel", "OutsideDomainError", "OutsideDomainWarning", "RefusedKernelWarning", "find", "load"]

DEFAULT_TARGET = "h200"


class RefusedKernelWarning(UserWarning):
    """A kernel of the task is not to be trusted any more; another one serves."""


def load(task: str, arch: str | None = None, strict: bool = False, *, library: Path | None = None) -> Kernel:
    """Load the accepted kernels of a task; see `Kernel` for how to call them.

    Args:
        task: A task's name, or the path of its file.
        arch: Target, such as `h200`; default: that of PyTorch's current GPU, else h200 where there is a kernel for it,
            else any.
        strict: Raise where no kernel takes a call, instead of computing it by the reference with a warning.
        library: Folder to search before what ships; default: WARPSMITH_LIBRARY, or the user's own.

    Raises:
        LibraryError: there is no such kernel, or none that can be trusted; says which were refused and why.
        InputError: no such task or target.
    """
    from warpsmith.settings import read_settings

    settings = read_settings()
    folders = search_path(library or settings.library)
    entries, found = find(task, arch, folders, prefer=_present())
    gradient = _gradient(found, entries[0].manifest.target, folders)
    return _kernel(_named(entries), _named(gradient), strict, settings.threads)


def _present() -> str:
    """The target that PyTorch's current GPU is; the default one without a GPU, or where the table does not have it."""
    import torch

    from warpsmith.core.arch import recognise

    if not torch.cuda.is_available():
        return DEFAULT_TARGET
    device = torch.cuda.get_device_properties(torch.cuda.current_device())
    found = recognise(device.name, (device.major, device.minor), device.multi_processor_count)
    return found.name if found else DEFAULT_TARGET


def find(
    task: str, arch: str | None, folders: tuple[Path, ...], *, prefer: str = DEFAULT_TARGET
) -> tuple[tuple[Entry, ...], Task]:
    """The entries of a task that serve a target, best first, and the task. They share target and source of times.

    Where no target is asked for, kernels of the one to `prefer` come first, then those of the default one. Measured
    kernels come before modelled ones: their times are never compared.

    A kernel that is stale or was edited is never served; where others remain, a RefusedKernelWarning says why.

    Raises:
        LibraryError: there is none.
    """
    from warpsmith.core.arch import find_architecture

    wanted = find_architecture(arch).name if arch else None
    listings = [list_entries(folder) for folder in folders]
    named = Path(task).stem
    refused = [it.reason for listing in listings for it in listing.refused if it.folder.parent.name == named]
    chosen = str(Path(task).expanduser().resolve()) if task.endswith(".py") else task
    fitting: dict[str, Entry] = {}
    for entry in (entry for listing in listings for entry in listing.entries):
        manifest = entry.manifest
        if chosen not in (manifest.task, manifest.task_path) or wanted not in (None, manifest.target):
            continue
        why = staleness(manifest)
        if why:
            refused.append(f"{entry.folder} is stale: {why}. {REJUDGE} {entry.digest[:12]}.")
        else:
            fitting.setdefault(entry.digest, entry)
    if not fitting:
        where = ", ".join(str(folder) for folder in folders)
        why = f" Refused: {' '.join(refused)}" if refused else ""
        raise LibraryError(
            f"no kernel of {task}{f' for {wanted}' if wanted else ''} in {where}.{why}",
            remedy=f"Make one: warpsmith optimize {task}{f' --arch {wanted}' if wanted else ''}",
        )
    if refused:
        warnings.warn(f"{task} is served by another kernel. Refused: {' '.join(refused)}", RefusedKernelWarning, 3)
    ranked = sorted(fitting.values(), key=lambda entry: _preference(entry.manifest, prefer))
    first = ranked[0].manifest
    serving = tuple(entry for entry in ranked if _kind(entry.manifest) == _kind(first))
    return serving, task_of(first)


def _preference(manifest: Manifest, prefer: str) -> tuple[bool, bool, bool, float]:
    """Sorts first: the preferred target, the default one, measured before modelled, the fraction of the bound."""
    measured = manifest.source is Source.MEASURED
    return manifest.target != prefer, manifest.target != DEFAULT_TARGET, not measured, -manifest.fraction


def _kind(manifest: Manifest) -> tuple[str, str, Source]:
    return manifest.task_digest, manifest.target, manifest.source


Named: TypeAlias = tuple[tuple[str, Path], ...]
"""Digests and folders."""


def _named(entries: tuple[Entry, ...]) -> Named:
    return tuple((entry.digest, entry.folder) for entry in entries)


@lru_cache(maxsize=64)
def _kernel(kernels: Named, gradient: Named, strict: bool, threads: int) -> Kernel:
    """One Kernel for these digests and folders: compiled forms and the registered operator are shared."""
    entries = tuple(read_entry(folder) for _, folder in kernels)
    backward = _kernel(gradient, (), strict, threads) if gradient else None
    return Kernel(entries, task_of(entries[0].manifest), strict=strict, threads=threads, backward=backward)


def _tasks_in(folder: Path, without: str) -> Iterator[str]:
    """Names or files of the tasks that a library has kernels of, by the first sound kernel of each."""
    for place in sorted(folder.glob("*")):
        if place.name == without:
            continue
        for manifest in sorted(place.glob(f"*/{MANIFEST}")):
            with suppress(LibraryError):
                found = read_entry(manifest.parent).manifest
                yield found.task_path or found.task
                break


@lru_cache(maxsize=64)
def _unlike(path: str, digest: str) -> str:
    """Why a task, whose digest covers its forward's file too, is not the backward it says it is; empty where it is."""
    from warpsmith.sandbox.verify.backward import backward_problems, smallest
    from warpsmith.tasks.load import load_task

    task = load_task(path)
    return next(iter(backward_problems(task, workloads=[smallest(task)])), "")


def _gradient(task: Task, target: str, folders: tuple[Path, ...]) -> tuple[Entry, ...]:
    """Kernels for a target of the task that is the backward of this one; none where nobody made any.

    That it is the backward is held against autograd again, at its smallest sizes. Where it cannot be trusted the task
    is served without gradients, and a RefusedKernelWarning says why.
    """
    named = {name for folder in folders for name in _tasks_in(folder, task.name)}
    pairs = {name: found for name in sorted(named) if (found := backward_of(name, task)) is not None}
    if not pairs:
        return ()
    name, backward = next(iter(pairs.items()))
    why = f"{', '.join(pairs)} all say they are its backward." if len(pairs) > 1 else ""
    why = why or _unlike(backward.path, backward.source_digest)
    try:
        if not why:
            return find(name, target, folders)[0]
    except LibraryError as error:
        why = error.message
    warnings.warn(f"{task.name} is served without gradients: {why}", RefusedKernelWarning, 3)
    return ()
