"""Runs one kernel of a plain PTX or CUDA C++ file once, with arguments in words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from warpsmith.core.arch import Architecture
from warpsmith.core.emulation import COMPLETED, Emulation, ExpectationReport, LaunchSettings
from warpsmith.core.errors import SettingsError
from warpsmith.core.outcome import Outcome, OverBudget, Stage, Unsupported, Wrong
from warpsmith.profiler.occupancy import ResourceExceeded, occupancy
from warpsmith.sandbox.builds import Compiler
from warpsmith.sandbox.compile.diagnostics import CANDIDATE
from warpsmith.sandbox.emulated import WARP_BUDGET
from warpsmith.sandbox.emulator.machine import L2, LaunchSpec, Memory, Options, UnsupportedInstruction, VmLost
from warpsmith.sandbox.emulator.program import Special
from warpsmith.sandbox.faults import lost, outcome_of
from warpsmith.sandbox.standalone.arguments import (
    Argument,
    TensorArgument,
    ValueArgument,
    pack_pointer,
    parse_argument,
)
from warpsmith.sandbox.standalone.kernel_run import RunOptions
from warpsmith.sandbox.standalone.recorder import Recorder
from warpsmith.sandbox.standalone.source import Source, read_cuda, read_ptx
from warpsmith.sandbox.standalone.tensors import (
    hold_against,
    parse_expectation,
    report_tensors,
    require_names,
)

OLDEST = "sm_80"
MAX_THREADS, MAX_GRID = 1024, (2**31 - 1, 65535, 65535)


def emulate_source(
    file: Path, text: str, settings: LaunchSettings, *, arch: Architecture, compiler: Compiler, options: RunOptions
) -> Emulation:
    """Compile where needed, launch once, and report.

    Raises:
        KernelFileError: the file is no PTX, or has no such kernel.
        SettingsError: an argument, a size or a file does not fit.
    """
    kernel = settings.kernel or None
    source = read_ptx(text, file, kernel) if file.suffix == ".ptx" else read_cuda(text, file, kernel, arch, compiler)
    if not isinstance(source, Source):
        return _Told(file, arch, options).told(source)
    return _SourceRun(file, source, settings, arch, options).run()


@dataclass(slots=True)
class _Told:
    """What every report says."""

    file: Path
    arch: Architecture
    options: RunOptions

    def told(self, failure: Outcome | None, **found: Any) -> Emulation:
        return Emulation(
            outcome=COMPLETED if failure is None else failure.kind,
            message=getattr(failure, "message", ""),
            line=getattr(failure, "line", None),
            details=getattr(failure, "details", ()),
            file=str(self.file),
            target=self.arch.name,
            checks=self.options.checks,
            seed=self.options.seed,
            data_seed=self.options.data_seed,
            **found,
        )


class _SourceRun:
    def __init__(
        self, file: Path, source: Source, settings: LaunchSettings, arch: Architecture, options: RunOptions
    ) -> None:
        self.file, self.source, self.arch, self.options = file, source, arch, options
        self.expectations = [parse_expectation(text) for text in settings.expects]
        self.settings = settings
        self.grid, self.block = parse_size("--grid", settings.grid), parse_size("--block", settings.block)
        self.arguments = self._arguments()
        self.memory = Memory(skew=16 if options.seed % 2 else 0, writable_variables=True)
        self.recorder = Recorder(
            source.text,
            source.ptx,
            {source.entry.name: settings.kernel or source.entry.name},
            options.trace,
            options.trace_limit,
            counters=options.checks,
            vm=options.vm,
            shapes={item.name: (item.data.shape, item.type.storage.itemsize) for item in self.tensors},
        )

    @property
    def tensors(self) -> list[TensorArgument]:
        return [item for item in self.arguments if isinstance(item, TensorArgument)]

    def run(self) -> Emulation:
        too_much = self._fits()
        if too_much is not None:
            return self._told(too_much)
        entry = self.source.entry
        spec = LaunchSpec(
            self.grid, self.block, self.settings.shared, self._params(), cooperative=self._needs_workspace()
        )
        try:
            result = self.recorder.execute(self.source.loaded, entry.name, spec, self.memory, self._options())
        except UnsupportedInstruction as missing:
            message = f"{missing}{self._older_target()}"
            return self._told(Unsupported(stage=Stage.EMULATE, message=message, line=missing.line or None))
        except VmLost as gone:
            return self._told(lost(gone, self.settings.kernel or entry.name))
        if result.fault is not None:
            message = result.fault.message.replace(f"({CANDIDATE}:", f"({self.file.name}:")
            return self._told(outcome_of(replace(result.fault, message=message), self.settings.kernel or entry.name))
        self._note_unwritten()
        return self._compared()

    def _compared(self) -> Emulation:
        by_name = {item.name: item for item in self.tensors}
        found = tuple(
            hold_against(by_name[item.name].values(), item, self.settings.tolerance) for item in self.expectations
        )
        wrong = next((item for item in found if not item.passed), None)
        if wrong is None:
            return self._told(None, found)
        message = f"{wrong.name} is not what {wrong.file} holds: relative L2 error {wrong.relative_l2:.3g}"
        return self._told(Wrong(stage=Stage.COMPARE, message=message), found)

    def _arguments(self) -> list[Argument]:
        """One for each parameter, in order, each of its parameter's size."""
        entry, texts = self.source.entry, self.settings.args
        names = self.source.parameters
        if len(texts) != len(entry.params):
            raise SettingsError(
                f"{entry.name} takes {len(entry.params)} arguments ({', '.join(names)}); {len(texts)} are given.",
                remedy="Give one --arg for each parameter, in order.",
            )
        random = np.random.default_rng(self.options.data_seed)
        found = [parse_argument(text, name, random) for text, name in zip(texts, names, strict=True)]
        for param, name, argument, text in zip(entry.params, names, found, texts, strict=True):
            size = len(argument.data) if isinstance(argument, ValueArgument) else 8
            if size != param.size:
                raise SettingsError(
                    f"--arg {text!r} has {size} bytes; the parameter {name} has {param.size}.",
                    remedy="A pointer and an i64 have 8, an i32 and an f32 have 4.",
                )
        repeated = [item.name for item in found if [other.name for other in found].count(item.name) > 1]
        if repeated:
            raise SettingsError(f"two arguments are named `{repeated[0]}`.", remedy="Give each its own name.")
        tensors = [item.name for item in found if isinstance(item, TensorArgument)]
        require_names([item.name for item in self.expectations], tensors, "--expect")
        require_names([item.name for item in self.options.dumps], tensors, "--dump")
        return found

    def _params(self) -> bytes:
        params = bytearray(self.source.entry.param_bytes)
        for param, argument in zip(self.source.entry.params, self.arguments, strict=True):
            data = argument.data if isinstance(argument, ValueArgument) else self._mapped(argument)
            params[param.offset : param.offset + param.size] = data
        return bytes(params)

    def _mapped(self, tensor: TensorArgument) -> bytes:
        address = self.memory.allocate(
            tensor.name,
            tensor.data.reshape(-1).view(np.uint8),
            writable=tensor.writable,
            initialised=tensor.initialised,
        )
        return pack_pointer(address)

    def _fits(self) -> OverBudget | None:
        """What the target would refuse to launch."""
        used = occupancy(self.source.resources, self.settings.shared, prod(self.block), self.arch)
        if isinstance(used, ResourceExceeded):
            reason = used.reason
        else:
            count, fit = prod(self.grid), max(1, used.blocks_per_sm) * self.arch.sms
            if count <= fit or not self._needs_workspace():
                return None
            reason = f"a grid barrier needs all {count} blocks on the device at once and {fit} fit"
        message = f"{self.source.entry.name} cannot launch on {self.arch.name}: {reason}"
        return OverBudget(stage=Stage.COMPILE, message=message)

    def _needs_workspace(self) -> bool:
        """Whether the kernel calls `grid.sync()`, so that its launch is a cooperative one."""
        return any(
            isinstance(operand, Special) and operand.name.startswith("%envreg")
            for instr in self.source.entry.instructions
            for operand in instr.operands
        )

    def _older_target(self) -> str:
        """What may help CUDA C++ whose headers choose instructions by target, as `cuda::memcpy_async` does."""
        newer = self.file.suffix != ".ptx" and self.arch.target != OLDEST
        return ". Compiled for an older target it may do without: --arch a100" if newer else ""

    def _options(self) -> Options:
        used = occupancy(self.source.resources, self.settings.shared, prod(self.block), self.arch)
        assert not isinstance(used, ResourceExceeded)
        if self.source.assumed and self.source.loaded.program(self.source.entry.name).waits:
            registers = self.source.resources.registers
            note = f"blocks wait for each other; how many run at once assumes {registers} registers a thread"
            self.recorder.notes.append(note)
        resident = max(1, used.blocks_per_sm) * self.arch.sms
        return Options(
            threads=self.options.threads,
            checks=self.options.checks,
            budget=self.options.budget or WARP_BUDGET,
            seed=self.options.seed,
            sms=self.arch.sms,
            resident=resident,
            l2=L2(self.arch.l2_bytes, resident),
        )

    def _note_unwritten(self) -> None:
        for item in self.memory.allocations if self.options.checks else ():
            missing = np.flatnonzero(item.valid == 0) if item.valid is not None else np.empty(0)
            if missing.size:
                many = f"{missing.size} of {item.data.size} bytes of {item.name}"
                self.recorder.notes.append(f"{many} were never written, first byte {missing[0]}")

    def _told(self, failure: Outcome | None, expectations: tuple[ExpectationReport, ...] = ()) -> Emulation:
        recorder = self.recorder
        ran = recorder.launches and not recorder.fault
        shown = {item.name: item.values() for item in self.tensors if item.writable} if ran else {}
        asked = {dump.name for dump in self.options.dumps}
        shown |= {
            item.name: item.values() for item in self.tensors if item.name in asked and (ran or not item.writable)
        }
        return _Told(self.file, self.arch, self.options).told(
            failure,
            toolchain=self.source.toolchain,
            fault=recorder.fault,
            launches=tuple(recorder.launches),
            outputs=report_tensors(shown, self.options.dumps),
            expectations=expectations,
            trace=tuple(recorder.steps),
            notes=tuple(recorder.notes),
        )


def parse_size(option: str, text: str) -> tuple[int, int, int]:
    """Read `4,1,1`: one to three sizes from 1.

    Raises:
        SettingsError: they are none, or more than any device takes.
    """
    parts = text.split(",")
    if not 1 <= len(parts) <= 3 or not all(part.strip().isdecimal() and int(part) for part in parts):
        raise SettingsError(f"{option} {text} is no size.", remedy=f"Write one to three numbers: {option} 4,1,1.")
    x, y, z = (*(int(part) for part in parts), 1, 1)[:3]
    if option == "--block" and (x * y * z > MAX_THREADS or z > 64):
        raise SettingsError(f"a block of {x * y * z} threads is too large.", remedy="At most 1024, and z at most 64.")
    if any(size > most for size, most in zip((x, y, z), MAX_GRID, strict=True)):
        raise SettingsError(f"{option} {text} is too large.", remedy="x is at most 2^31 - 1, y and z 65535.")
    return x, y, z
