"""Finds the kernel to export, and makes sure that its verdict holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from warpsmith.core.arch import Architecture, find_architecture
from warpsmith.core.candidate import Candidate
from warpsmith.core.errors import LibraryError, SettingsError
from warpsmith.core.events import Chosen, Confirmed, Evaluated, RunStarted
from warpsmith.core.kernel_file import KernelFile, parse_kernel_file
from warpsmith.core.outcome import Verified
from warpsmith.core.task import Task, Workload
from warpsmith.kernels_generated.accept import make_manifest
from warpsmith.kernels_generated.library import Entry, list_entries, read_entry
from warpsmith.kernels_generated.manifest import Lineage, Manifest
from warpsmith.kernels_generated.places import KERNEL_FILES, search_path
from warpsmith.kernels_generated.standing import REJUDGE, staleness, task_of
from warpsmith.store import Store

if TYPE_CHECKING:
    from warpsmith.core.protocols import Evaluation
    from warpsmith.sandbox.builds import Builds

_FEWEST_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Subject:
    """A kernel with a verdict that holds."""

    manifest: Manifest
    text: str
    """The kernel file, whole."""
    task: Task
    kernel_file: KernelFile
    builds: Builds
    """Its compiled forms, made on demand by the toolchain that it was judged with."""

    @property
    def arch(self) -> Architecture:
        return find_architecture(self.manifest.target)

    @property
    def digest(self) -> str:
        """First digits of the kernel's digest: names it in other projects."""
        return self.manifest.kernel[:12]

    @property
    def kernel_file_name(self) -> str:
        """`kernel.cu` or `kernel.py`."""
        return KERNEL_FILES[self.manifest.language]

    @property
    def workloads(self) -> tuple[Workload, ...]:
        """The task's workloads that the kernel claims, bench workloads first."""
        return tuple(item for item in (*self.task.bench, *self.task.verify) if self.builds.inside(item))

    def chosen(self, names: tuple[str, ...]) -> tuple[Workload, ...]:
        """Workloads by name; all of them where none is named.

        Raises:
            SettingsError: the task has none of that name, or the kernel does not claim it.
        """
        by_name = {item.name: item for item in self.workloads}
        for name in names:
            if name not in by_name:
                known = ", ".join(f"`{item}`" for item in by_name)
                raise SettingsError(f"the kernel has no workload `{name}`.", remedy=f"It has {known}.")
        return tuple(by_name[name] for name in names) if names else self.workloads


def find_subject(choice: str, library: Path, store: Path, knobs: dict[str, int] | None = None) -> Subject:
    """The kernel that a task's name, first digits of a digest, a folder of a library or a kernel file means.

    A task's name means the kernel that `load` takes first. A kernel file needs a verdict in the store.

    Raises:
        SettingsError: nothing, or more than one kernel, answers to it.
        LibraryError: its verdict does not hold: stale, edited, revoked, or there is none.
    """
    path = Path(choice)
    if path.is_file() and not (path.parent / "kernel.json").is_file():
        return _from_store(path, store, knobs)
    if knobs:
        raise SettingsError("--knob is for kernel files; a kernel of the library has its own.", remedy="Leave it away.")
    if path.is_file():
        return _of(read_entry(path.parent))
    if path.is_dir() and (path / "kernel.json").is_file():
        return _of(read_entry(path))
    listings = [list_entries(folder) for folder in search_path(library)]
    entries = {entry.digest: entry for listing in reversed(listings) for entry in listing.entries}
    if any(choice in (entry.manifest.task, entry.manifest.task_path) for entry in entries.values()):
        return _served(choice, library)
    found = [it for it in entries.values() if it.digest.startswith(choice) or it.manifest.candidate.startswith(choice)]
    if len(choice) < _FEWEST_DIGITS or not found:
        refused = [it.reason for listing in listings for it in listing.refused if choice in str(it.folder)]
        if refused:
            raise LibraryError(refused[0], remedy="An export would carry a verdict that does not hold.")
        raise SettingsError(f"there is no kernel {choice}.", remedy="See warpsmith library list.")
    if len(found) > 1:
        names = ", ".join(sorted(entry.digest[:12] for entry in found))
        raise SettingsError(f"{choice} is ambiguous: {names}.", remedy="Give more digits.")
    return _of(found[0])


def _served(task: str, library: Path) -> Subject:
    from warpsmith.kernels_generated.serving import find

    entries, _ = find(task, None, search_path(library))
    return _of(entries[0])


def _of(entry: Entry) -> Subject:
    task = task_of(entry.manifest)
    why = staleness(entry.manifest, task)
    if why:
        raise LibraryError(f"{entry.folder} is stale: {why}.", remedy=f"{REJUDGE} {entry.digest[:12]}.")
    return _subject(entry.manifest, entry.text, task, str(entry.kernel))


def _subject(manifest: Manifest, text: str, task: Task, file: str) -> Subject:
    from warpsmith.sandbox.builds import Builds
    from warpsmith.sandbox.compile import CompileCache, compile_unit
    from warpsmith.settings import read_settings

    cache = CompileCache(read_settings().cache / "compiled")
    kernel_file, arch = parse_kernel_file(text, file=file), find_architecture(manifest.target)
    builds = Builds(
        kernel_file, task, dict(manifest.knobs), arch, lambda unit, target: compile_unit(unit, target, cache=cache)
    )
    return Subject(manifest, text, task, kernel_file, builds)


def _from_store(path: Path, store: Path, knobs: dict[str, int] | None) -> Subject:
    """A kernel file that some run evaluated: the newest verdict on this text and these knobs counts."""
    from warpsmith.tasks import load_task

    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}.") from error
    kernel_file = parse_kernel_file(text, file=str(path))
    chosen = kernel_file.default_knobs() | (knobs or {})
    kernel_file.check_knobs(chosen)
    names = {"task": kernel_file.task, "language": kernel_file.language, "text": text}
    candidate = Candidate.model_validate({**names, "knobs": chosen})
    remedy = f"Have it judged and recorded: warpsmith optimize {kernel_file.task} --seed-kernel {path}"
    if not store.is_file():
        raise LibraryError(f"{path} has no verdict: there is no store {store}.", remedy=remedy)
    with Store.open(store) as opened:
        started, evaluation, rounds = _newest_verdict(opened, candidate.identity)
    if started is None or evaluation is None:
        raise LibraryError(f"no run in {store} has judged {path} with {_shown(chosen)}.", remedy=remedy)
    if not isinstance(evaluation.outcome, Verified) or evaluation.profile is None:
        why = getattr(evaluation.outcome, "message", "")
        raise LibraryError(f"{path} was judged {evaluation.outcome.kind} in run {started.run}. {why}", remedy=remedy)
    task = load_task(started.task_path or started.task)
    chose = started.settings
    lineage = Lineage(
        run=started.run, coder=chose.coder, judge=chose.judge, strategy=chose.strategy, rounds=rounds, ancestors=()
    )
    manifest = make_manifest(candidate, evaluation, task, lineage, None, None)
    manifest = manifest.model_copy(update={"task_digest": started.task_digest})
    why = staleness(manifest, task)
    if why:
        raise LibraryError(f"the verdict on {path} is stale: {why}.", remedy=remedy)
    return _subject(manifest, text, task, str(path))


def _newest_verdict(store: Store, identity: str) -> tuple[RunStarted | None, Evaluation | None, int]:
    """The start of the newest run that judged the candidate, its last word there, and rounds begun by then."""
    for run in store.run_names():
        # Runs hold megabytes of evaluations: only those that name the candidate are read.
        if not any(identity in payload for payload in store.each_payload(run)):
            continue
        started: RunStarted | None = None
        found: Evaluation | None = None
        rounds = at = 0
        for event in store.each_event(run):
            match event:
                case RunStarted():
                    started = event
                case Chosen():
                    rounds += 1
                case Evaluated() | Confirmed() if event.evaluation.candidate == identity:
                    found, at = event.evaluation, rounds
                case _:
                    pass
        if found is not None:
            return started, found, at
    return None, None, 0


def _shown(knobs: dict[str, int]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in knobs.items()) or "no knobs"
