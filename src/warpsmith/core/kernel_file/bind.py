"""A kernel file, a workload and a knob assignment become concrete buffers and launches, within every limit."""

from __future__ import annotations

import math
from collections.abc import Mapping

from warpsmith.core.errors import KernelFileError
from warpsmith.core.expression import Expression
from warpsmith.core.kernel_file.check import check, pointer_name
from warpsmith.core.kernel_file.dims import dims_of, tensor_shape, tensors_of
from warpsmith.core.kernel_file.model import Argument, Fill, KernelFile, Launch
from warpsmith.core.kernel_file.names import Names, buffer_dtype, names_of
from warpsmith.core.kernel_file.triton_build import bind_triton
from warpsmith.core.plan import Arg, BoundBuffer, BoundFill, BoundLaunch, BoundPlan, IntArg, TensorArg
from warpsmith.core.task import Task, Workload

# CUDA C++ Programming Guide, "Compute Capabilities", table of technical specifications.
MOST_THREADS = 1024
MOST_BLOCK = (1024, 1024, 64)
MOST_GRID = (2**31 - 1, 65535, 65535)
MOST_SHARED = 227 * 1024
"""Bytes of shared memory per block on compute capability 9.0 and 10.0."""
MOST_STEPS = 256
"""Launches and fills in one call."""
SCRATCH_FACTOR, SCRATCH_BASE = 4, 64 * 1024**2
"""Buffers may have this many times the bytes of the task's tensors, plus 64 MiB."""


def inside_domain(
    kernel_file: KernelFile,
    task: Task,
    workload: Workload,
    knobs: Mapping[str, int],
    sms: int,
) -> bool:
    """Whether the kernel claims to handle the workload: its `requires` holds."""
    if kernel_file.requires is None:
        return True
    names = names_of(kernel_file, task, workload, knobs, sms=sms)
    with _Context(kernel_file, workload):
        return bool(names.value(kernel_file.requires))


def bind(
    kernel_file: KernelFile,
    task: Task,
    workload: Workload,
    knobs: Mapping[str, int],
    *,
    sms: int,
    resident: Mapping[str, int] | None = None,
    most_shared: int = MOST_SHARED,
) -> BoundPlan:
    """Evaluate everything for one call on a device with `sms` multiprocessors.

    `resident` gives the co-resident blocks (occupancy x SMS) of each launch by its kernel's name expression; needed
    where `kernel_file.uses_resident`, which is known only after compiling. `most_shared` is the target's
    limit of dynamic shared memory in bytes.
    Raises KernelFileError where a value does not exist or exceeds a limit, or the workload is outside `requires`.
    """
    kernel_file.check_knobs(knobs)
    check(kernel_file, task)
    names = names_of(kernel_file, task, workload, knobs, sms=sms)
    with _Context(kernel_file, workload):
        if kernel_file.requires is not None and not names.value(kernel_file.requires):
            raise kernel_file.requires.fail("`requires` does not hold.", "The kernel does not claim this workload.")
        buffers = _buffers(kernel_file, task, workload, names)
        steps = _Steps(kernel_file, task, workload, names, resident or {}, most_shared)
        for step in (*kernel_file.prepares, *kernel_file.steps):
            steps.add(step)
    return BoundPlan(buffers, tuple(steps.bound))


class _Context:
    """Adds workload and file to a KernelFileError that passes through."""

    def __init__(self, kernel_file: KernelFile, workload: Workload) -> None:
        self._file, self._workload = kernel_file.file, workload.name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KernelFileError):
            message = f"workload `{self._workload}`: {error.message}"
            file = error.file or self._file
            raise KernelFileError(
                message, remedy=error.remedy, line=error.line, column=error.column, file=file
            ) from None


def _buffers(kernel_file: KernelFile, task: Task, workload: Workload, names: Names) -> tuple[BoundBuffer, ...]:
    dims = dims_of(task, workload)
    io = sum(
        math.prod(tensor_shape(tensor, dims)) * task.dtype_of(tensor, workload).itemsize for tensor in tensors_of(task)
    )
    most = SCRATCH_FACTOR * io + SCRATCH_BASE
    bound: list[BoundBuffer] = []
    for buffer in kernel_file.buffers:
        shape = tuple(names.value(extent) for extent in buffer.shape)
        for extent, expression in zip(shape, buffer.shape, strict=True):
            if extent < 0:
                raise expression.fail(f"Buffer `{buffer.name}` has the extent {extent}.", "Guard it: `max(x, 0)`.")
        bound.append(
            BoundBuffer(buffer.name, shape, buffer_dtype(buffer, task, workload), buffer.init, buffer.prepared)
        )
        total = sum(item.nbytes for item in bound)
        if total > most:
            message = f"The buffers up to `{buffer.name}` {shape} need {total} bytes; at most {most} are allowed."
            remedy = "That is 4 times the tensors plus 64 MiB: use less scratch."
            raise KernelFileError(message, remedy=remedy, line=buffer.line)
    return tuple(bound)


class _Steps:
    """Collects bound launches and fills in order."""

    def __init__(
        self,
        kernel_file: KernelFile,
        task: Task,
        workload: Workload,
        names: Names,
        resident: Mapping[str, int],
        most_shared: int,
    ) -> None:
        self.kernel_file, self.task, self.workload = kernel_file, task, workload
        self.names, self.resident, self.most_shared = names, resident, most_shared
        self.pointers = {tensor.name for tensor in tensors_of(task)}
        self.pointers |= {buffer.name for buffer in kernel_file.buffers}
        self.bound: list[BoundLaunch | BoundFill] = []

    def add(self, step: Launch | Fill) -> None:
        if isinstance(step, Fill):
            if step.when is None or self.names.value(step.when):
                self._append(BoundFill(step.tensor, step.value), step.line)
            return
        times = 1 if step.repeat is None else self.names.value(step.repeat)
        if step.repeat is not None and not 0 <= times <= MOST_STEPS:
            raise step.repeat.fail(f"`repeat` is {times}.", f"It may be 0 to {MOST_STEPS}.")
        for index in range(times):
            names = self.names if step.repeat is None else self.names.with_values(i=index)
            if step.when is None or names.value(step.when):
                launch = self._launch(step, names)
                if launch is not None:
                    self._append(launch, step.line)

    def _append(self, step: BoundLaunch | BoundFill, line: int) -> None:
        self.bound.append(step)
        if len(self.bound) > MOST_STEPS:
            message = f"One call takes more than {MOST_STEPS} launches."
            raise KernelFileError(message, remedy="Loop inside a kernel.", line=line)

    def _launch(self, launch: Launch, names: Names) -> BoundLaunch | None:
        grid = self._grid(launch, names)
        if 0 in grid:
            return None
        if self.kernel_file.language == "triton":
            return bind_triton(launch, self.task, self.kernel_file, self.workload, names, grid)
        return BoundLaunch(
            kernel=launch.kernel,
            grid=grid,
            block=_block(launch, names),
            shared=self._shared(launch, names),
            args=tuple(self._argument(launch, argument, names) for argument in launch.arguments),
            line=launch.line,
            cooperative=launch.cooperative,
            prepare=launch.prepare,
        )

    def _grid(self, launch: Launch, names: Names) -> tuple[int, int, int]:
        if any("RESIDENT" in extent.names for extent in launch.grid):
            if launch.kernel not in self.resident:
                raise ValueError(f"bind {launch.kernel!r} with `resident`: its grid depends on the compiled kernel")
            names = names.with_values(RESIDENT=self.resident[launch.kernel])
        grid = _three(launch.grid, names)
        for axis, (extent, most) in enumerate(zip(grid, MOST_GRID, strict=True)):
            if not 0 <= extent <= most:
                message = f"{launch.label}: grid {'xyz'[axis]} is {extent}."
                remedy = f"It may be 0 to {most}: put the longest axis first." if axis else f"It may be 0 to {most}."
                raise launch.grid[axis].fail(message, remedy)
        most_blocks = self.resident.get(launch.kernel)
        if launch.cooperative and most_blocks is not None and math.prod(grid) > most_blocks:
            message = f"{launch.label}: a cooperative grid of {math.prod(grid)} blocks; {most_blocks} fit at once."
            raise launch.grid[0].fail(message, 'Write `grid = "RESIDENT"` and loop over the tiles.')
        return grid

    def _shared(self, launch: Launch, names: Names) -> int:
        if launch.shared is None:
            return 0
        shared = names.value(launch.shared)
        if not 0 <= shared <= self.most_shared:
            message = f"{launch.label}: {shared} bytes of dynamic shared memory; the target has {self.most_shared}."
            remedy = "Use smaller tiles or fewer stages." if shared > 0 else "Guard it: `max(x, 0)`."
            raise launch.shared.fail(message, remedy)
        return shared

    def _argument(self, launch: Launch, argument: Argument, names: Names) -> Arg:
        name = pointer_name(argument)
        if name is not None and name in self.pointers:
            return TensorArg(name)
        value = names.value(argument.expression)
        least, most = _range(argument.parameter.type)
        if not least <= value <= most:
            message = f"{launch.label}: {value} does not fit `{argument.parameter.type} {argument.parameter.name}`."
            raise argument.expression.fail(message, "Declare the parameter `long long`.")
        return IntArg(value)


def _three(extents: tuple[Expression, ...], names: Names) -> tuple[int, int, int]:
    values = [names.value(extent) for extent in extents] + [1, 1]
    return values[0], values[1], values[2]


def _block(launch: Launch, names: Names) -> tuple[int, int, int]:
    block = _three(launch.block, names)
    for axis, (extent, most) in enumerate(zip(block, MOST_BLOCK, strict=True)):
        if not 1 <= extent <= most:
            message = f"{launch.label}: block {'xyz'[axis]} is {extent}."
            raise launch.block[axis].fail(message, f"It may be 1 to {most}.")
    if math.prod(block) > MOST_THREADS:
        message = f"{launch.label}: a block of {math.prod(block)} threads."
        raise launch.block[0].fail(message, f"At most {MOST_THREADS} are allowed: loop in the kernel.")
    return block


def _range(c_type: str) -> tuple[int, int]:
    """Values a C++ integer parameter holds; 64 bits where the type's name says nothing else."""
    words = set(c_type.split()) - {"const"}
    if words <= {"int", "signed", "int32_t"}:
        return -(2**31), 2**31 - 1
    if words <= {"unsigned", "int", "uint32_t", "uint"}:
        return 0, 2**32 - 1
    return -(2**63), 2**63 - 1
