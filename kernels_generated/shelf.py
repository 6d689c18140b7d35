"""Every kernel of some libraries, sorted into those whose verdict holds, those whose ground moved, and refused ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from warpsmith.core.errors import TaskError
from warpsmith.kernels_generated.index import read_index
from warpsmith.kernels_generated.places import Refusal
from warpsmith.kernels_generated.standing import changed, moved
from warpsmith.kernels_generated.summary import Summary


@dataclass(frozen=True, slots=True)
class Stale:
    """A kernel whose task, toolchain or gate has changed since it was judged: nobody knows whether it is right now."""

    kernel: Summary
    reason: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """What the libraries hold; a kernel that two of them hold stands here once."""

    kernels: tuple[Summary, ...] = ()
    """Whose verdict holds. No others may be ranked."""
    stale: tuple[Stale, ...] = ()
    refused: tuple[Refusal, ...] = ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """Those that something here is of."""
        return tuple(sorted({*(it.task for it in self.kernels), *(it.kernel.task for it in self.stale)}))

    def of_task(self, task: str) -> Shelf:
        """What is of one task."""
        return Shelf(
            kernels=tuple(it for it in self.kernels if it.task == task),
            stale=tuple(it for it in self.stale if it.kernel.task == task),
            refused=tuple(it for it in self.refused if it.folder.parent.name == task),
        )


def read_shelf(folders: Iterable[Path], cache: Path) -> Shelf:
    """Read libraries by their indices.

    Raises:
        LibraryError: a library cannot be read.
    """
    found, refused = dict[str, Summary](), list[Refusal]()
    for folder in folders:
        indexed = read_index(folder, cache)
        for kernel in indexed.kernels:
            found.setdefault(kernel.kernel, kernel)
        refused += indexed.refused
    present = _Present()
    why = {digest: present.staleness(kernel) for digest, kernel in found.items()}
    return Shelf(
        kernels=tuple(kernel for digest, kernel in found.items() if not why[digest]),
        stale=tuple(Stale(kernel, why[digest]) for digest, kernel in found.items() if why[digest]),
        refused=tuple(refused),
    )


class _Present:
    """Task files as they are now, each read once."""

    def __init__(self) -> None:
        self._tasks: dict[str, tuple[str, str]] = {}

    def staleness(self, kernel: Summary) -> str:
        choice = kernel.task_path or kernel.task
        if choice not in self._tasks:
            self._tasks[choice] = _digest_of(choice)
        digest, missing = self._tasks[choice]
        task = missing or ("" if digest == kernel.task_digest else changed(kernel.task))
        return moved(task, kernel.gate, kernel.language, kernel.toolchain)


def _digest_of(choice: str) -> tuple[str, str]:
    """A task file's digest, or why there is none."""
    from warpsmith.tasks.find import source_digest

    try:
        return source_digest(choice), ""
    except TaskError as error:
        return "", error.message.rstrip(".")
