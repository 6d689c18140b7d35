"""What a Triton launch compiles to: constexprs and options are values, so each set of them is its own entry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from warpsmith.core.dtype import DType
from warpsmith.core.errors import KernelFileError
from warpsmith.core.kernel_file.check import pointer_name
from warpsmith.core.kernel_file.dims import tensors_of
from warpsmith.core.kernel_file.model import TRITON_OPTIONS, Argument, Fill, KernelFile, Launch
from warpsmith.core.kernel_file.names import Names, buffer_dtype, names_of
from warpsmith.core.plan import Arg, BoundLaunch, IntArg, TensorArg
from warpsmith.core.task import Task, Workload

WARP = 32
_POINTERS: dict[DType, str] = {
    DType.FLOAT64: "*fp64",
    DType.FLOAT32: "*fp32",
    DType.FLOAT16: "*fp16",
    DType.BFLOAT16: "*bf16",
    DType.FLOAT8_E4M3: "*fp8e4nv",
    DType.FLOAT8_E5M2: "*fp8e5",
    DType.INT64: "*i64",
    DType.INT32: "*i32",
    DType.INT16: "*i16",
    DType.INT8: "*i8",
    DType.UINT8: "*u8",
    DType.BOOL: "*i1",
}


@dataclass(frozen=True, slots=True)
class TritonBuild:
    """One compilation of one jit function."""

    entry: str
    """Names this build in the plan and in `Artifact.entries`: `softmax[N=100, BLOCK=128, num_warps=4]`. Equal names,
    equal code."""
    function: str
    types: Mapping[str, str]
    """Triton type of every parameter, in order: `*fp16`, `i32`, `i64`, `constexpr`."""
    constants: Mapping[str, int]
    """Values of the `constexpr` parameters, integers equal to 1 among them, as Triton specialises them."""
    divisible_by_16: tuple[str, ...]
    """Pointers (all are 16-byte aligned) and integers divisible by 16."""
    options: Mapping[str, int]
    """num_warps, num_stages, ... as far as the file sets them."""


@dataclass(frozen=True, slots=True)
class TritonUnit:
    """What a Triton candidate compiles from, for any number of workloads at once."""

    text: str
    """The kernel file as the author wrote it."""
    builds: tuple[TritonBuild, ...]
    """Each once."""


def triton_unit(
    kernel_file: KernelFile,
    task: Task,
    workloads: Iterable[Workload],
    knobs: Mapping[str, int],
    *,
    sms: int | None = None,
) -> TritonUnit:
    """The builds of several workloads together: the compiler starts once for all of them."""
    builds: dict[str, TritonBuild] = {}
    for workload in workloads:
        builds |= {build.entry: build for build in triton_builds(kernel_file, task, workload, knobs, sms=sms)}
    return TritonUnit(kernel_file.text, tuple(builds.values()))


def triton_builds(
    kernel_file: KernelFile, task: Task, workload: Workload, knobs: Mapping[str, int], *, sms: int | None = None
) -> tuple[TritonBuild, ...]:
    """Every build one call needs, each once, in plan order. `sms` is needed where a constexpr reads `SMS`."""
    names = names_of(kernel_file, task, workload, knobs, sms=sms)
    builds: dict[str, TritonBuild] = {}
    for launch in (*kernel_file.prepares, *kernel_file.steps):
        if isinstance(launch, Fill):
            continue
        times = 1 if launch.repeat is None else names.value(launch.repeat)
        for index in range(max(times, 0)):
            local = names if launch.repeat is None else names.with_values(i=index)
            if launch.when is None or local.value(launch.when):
                build = build_of(launch, task, kernel_file, workload, local)
                builds[build.entry] = build
    return tuple(builds.values())


def build_of(launch: Launch, task: Task, kernel_file: KernelFile, workload: Workload, names: Names) -> TritonBuild:
    """Specialise one launch's function for the values its parameters have."""
    pointers = _pointer_types(task, kernel_file, workload)
    types: dict[str, str] = {}
    constants: dict[str, int] = {}
    divisible: list[str] = []
    for argument in launch.arguments:
        name = argument.parameter.name
        tensor = pointer_name(argument)
        if tensor in pointers:
            _refuse_constexpr_pointer(launch, argument)
            types[name] = pointers[tensor]
            divisible.append(name)
            continue
        value = names.value(argument.expression)
        if argument.parameter.constexpr or value == 1:
            types[name] = "constexpr"
            constants[name] = value
            continue
        types[name] = "i32" if -(2**31) <= value < 2**31 else "i64"
        if value % 16 == 0:
            divisible.append(name)
    options = _options(launch, kernel_file, names)
    shown = [f"{name}={value}" for name, value in (constants | options).items()]
    shown += [f"{name}%16" for name in divisible if types[name][0] == "i"]
    shown += [f"{name}: {types[name]}" for name in _varying(launch, task, kernel_file) if name in types]
    shown += [f"{name}: i64" for name, kind in types.items() if kind == "i64"]
    key = ", ".join(shown)
    return TritonBuild(f"{launch.kernel}[{key}]", launch.kernel, types, constants, tuple(divisible), options)


def _pointer_types(task: Task, kernel_file: KernelFile, workload: Workload) -> dict[str, str]:
    pointers = {tensor.name: task.dtype_of(tensor, workload) for tensor in tensors_of(task)}
    pointers |= {buffer.name: buffer_dtype(buffer, task, workload) for buffer in kernel_file.buffers}
    return {name: _POINTERS[dtype] for name, dtype in pointers.items()}


def _varying(launch: Launch, task: Task, kernel_file: KernelFile) -> tuple[str, ...]:
    """Parameters whose element type each workload binds: code for one must not run for another."""
    declared = {tensor.name: tensor.dtype for tensor in tensors_of(task)}
    declared |= {buffer.name: buffer.dtype for buffer in kernel_file.buffers}
    known = {dtype.value for dtype in DType}
    tensors = ((argument.parameter.name, pointer_name(argument)) for argument in launch.arguments)
    return tuple(name for name, tensor in tensors if tensor in declared and declared[tensor] not in known)


def _refuse_constexpr_pointer(launch: Launch, argument: Argument) -> None:
    if argument.parameter.constexpr:
        name = argument.parameter.name
        message = f"{launch.label}: `{name}` is a tensor and cannot be a `tl.constexpr`."
        raise KernelFileError(message, remedy="Remove the annotation.", line=launch.signature.line)


def _options(launch: Launch, kernel_file: KernelFile, names: Names) -> dict[str, int]:
    options: dict[str, int] = {}
    for name in TRITON_OPTIONS:
        expression = launch.options.get(name)
        if expression is not None:
            options[name] = names.value(expression)
        elif name in kernel_file.knobs:
            options[name] = names[name]
    warps = options.setdefault("num_warps", 4)
    if warps not in (1, 2, 4, 8, 16, 32):
        message = f"{launch.label}: num_warps is {warps}."
        raise KernelFileError(message, remedy="It must be a power of two up to 32.", line=launch.line)
    if options.get("num_ctas", 1) != 1:
        message = f"{launch.label}: `num_ctas` above 1 is not in version 1 of the format yet (version 1.1)."
        raise KernelFileError(message, remedy="Remove it.", line=launch.line)
    return options


def bind_triton(
    launch: Launch,
    task: Task,
    kernel_file: KernelFile,
    workload: Workload,
    names: Names,
    grid: tuple[int, int, int],
) -> BoundLaunch:
    """Bind one Triton launch: its block is `num_warps` warps, and constexprs are not passed."""
    build = build_of(launch, task, kernel_file, workload, names)
    args: list[Arg] = []
    for argument in launch.arguments:
        kind = build.types[argument.parameter.name]
        if kind.startswith("*"):
            args.append(TensorArg(pointer_name(argument) or ""))
        elif kind != "constexpr":
            args.append(IntArg(names.value(argument.expression)))
    return BoundLaunch(
        kernel=build.entry,
        grid=grid,
        block=(WARP * build.options["num_warps"], 1, 1),
        shared=0,
        args=tuple(args),
        line=launch.line,
        cooperative=launch.cooperative,
        prepare=launch.prepare,
    )
