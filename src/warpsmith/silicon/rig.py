"""What the steps work with: the GPU through its worker processes, and the emulator beside it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from warpsmith.core.arch import ARCHITECTURES, Architecture
from warpsmith.core.artifact import Artifact
from warpsmith.core.candidate import Candidate, TranslationUnit
from warpsmith.core.errors import ToolchainError
from warpsmith.core.kernel_file import parse_kernel_file
from warpsmith.core.outcome import CompileFailed, Outcome
from warpsmith.core.task import Task
from warpsmith.gpus import architecture_of, why_unknown
from warpsmith.kernels_generated.library import list_entries
from warpsmith.kernels_generated.places import SHIPPED
from warpsmith.sandbox.builds import Builds, Compiler
from warpsmith.sandbox.device.baselines import Baselines
from warpsmith.sandbox.device.launcher import DeviceLauncher
from warpsmith.sandbox.device.messages import DeviceInfo
from warpsmith.sandbox.device.pool import Pool
from warpsmith.sandbox.device.timer import DeviceTimer
from warpsmith.sandbox.device.tools import Tools
from warpsmith.sandbox.emulated import EmulatedLauncher
from warpsmith.sandbox.emulator.jailed import jailed_vm
from warpsmith.sandbox.gate.stages import read_candidate
from warpsmith.seeds import seeds_for
from warpsmith.tasks import load_task
from warpsmith.tasks.find import find_tasks

SEED = 20260
"""Of all inputs: both sides see the same, and a later run repeats them."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A kernel to look at."""

    task: Task
    candidate: Candidate
    origin: str
    """`seed tensor_core`, `library 1f2e3d4c5b6a`."""

    @property
    def name(self) -> str:
        """Names this text, these knobs and this task file: a change of either is another unit."""
        return f"{self.task.name}/{self.origin}/{self.candidate.identity[:12]}/{self.task.source_digest[:8]}"


@dataclass(frozen=True, slots=True)
class Rig:
    """One GPU and what belongs to it."""

    device: DeviceInfo
    arch: Architecture
    pool: Pool
    compiler: Compiler
    tools: Tools
    baselines: Baselines
    threads: int

    @property
    def launcher(self) -> DeviceLauncher:
        return DeviceLauncher(self.pool)

    @property
    def emulator(self) -> EmulatedLauncher:
        return EmulatedLauncher(self.arch, self.threads, execute=jailed_vm())

    @property
    def timer(self) -> DeviceTimer:
        return DeviceTimer(self.pool)

    def built(self, subject: Subject) -> Builds | Outcome:
        """Every build its workloads need."""
        candidate, task = subject.candidate, subject.task
        builds = Builds(parse_kernel_file(candidate.text), task, candidate.knobs, self.arch, self.compiler)
        inside = [item for item in (*task.verify, *task.bench) if builds.inside(item)]
        return builds.build_all(inside) or builds

    def compile(self, text: str, *names: str) -> Artifact:
        """Compile code of our own.

        Raises:
            ToolchainError: it does not compile here.
        """
        unit = TranslationUnit(text=text, preamble="", appendix="", names=names)
        artifact = self.compiler(unit, self.arch.target)
        if isinstance(artifact, CompileFailed):
            raise ToolchainError(f"{names[0]} does not compile for {self.arch.target}: {artifact.message}")
        return artifact

    def facts(self) -> dict[str, Any]:
        """What the results belong to."""
        return {
            "device": self.device.model_dump(mode="json"),
            "architecture": self.arch.name,
            "jail": self.pool.level or "none",
            "not its own": "" if architecture_of(self.device) else why_unknown(self.device),
            "python": sys.version.split()[0],
            "versions": versions(),
        }


def versions() -> dict[str, str]:
    """Of what the results rest on; absent packages say so."""
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str] = {}
    for name in ("torch", "triton", "numpy", "nvidia-cuda-nvrtc", "cuda-bindings", "nvidia-ml-py"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def nearest_architecture(device: DeviceInfo) -> Architecture:
    """The table's row of a device, else that of its compute capability nearest in multiprocessors.

    Raises:
        ToolchainError: there is none.
    """
    known = architecture_of(device)
    if known is not None:
        return known
    major, minor = device.capability
    same = [arch for arch in ARCHITECTURES.values() if arch.target.removesuffix("a") == f"sm_{major}{minor}"]
    if not same:
        raise ToolchainError(
            f"no architecture of {device.name} (compute capability {major}.{minor}) is in the table.",
            remedy="Add its row to core/arch.py.",
        )
    return min(same, key=lambda arch: abs(arch.sms - device.sms))


def subjects() -> tuple[Subject, ...]:
    """Every seed and every shipped kernel, a task's naive seed first; tasks take turns, so that each gets some."""
    by_task: list[list[Subject]] = []
    tasks: Mapping[str, Task] = {item.name: load_task(item.name) for item in find_tasks()}
    entries = list_entries(SHIPPED).entries
    for task in tasks.values():
        found = [Subject(task, read_candidate(seed.text), f"seed {seed.name}") for seed in seeds_for(task.name)]
        found += [
            Subject(task, entry.candidate, f"library {entry.digest[:12]}")
            for entry in entries
            if entry.manifest.task == task.name
        ]
        by_task.append(found)
    turns = max((len(found) for found in by_task), default=0)
    return tuple(found[turn] for turn in range(turns) for found in by_task if turn < len(found))
