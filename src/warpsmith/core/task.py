"""What to compute: tensors with symbolic shapes, workloads, tolerance and cost. Torch-free itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from warpsmith.core.dtype import DType


class Role(StrEnum):
    """How an input behaves from call to call."""

    DYNAMIC = "dynamic"
    """New values every call: activations."""
    STATIC = "static"
    """The same over many calls: weights. A `[[prepare]]` launch may read it."""
    HOST = "host"
    """Metadata the host knows before the launch."""
    INPLACE = "inplace"
    """Read and overwritten."""


def _as_texts(shape: Any) -> Any:
    """A shape whose numbers are expressions, too."""
    if not isinstance(shape, tuple):
        return shape
    return tuple(str(extent) if isinstance(extent, int) else extent for extent in shape)


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input."""

    name: str
    shape: tuple[str, ...]
    """One integer expression a dimension: `("M", "K")`, `("K // 8", "N")`; a number may be one: `("M", 3)`."""
    dtype: str
    """A DType's name, or a dtype variable each workload binds."""
    role: Role = Role.DYNAMIC
    optional: bool = False
    """May be absent: a null pointer, and `has_<name>` is 0."""
    unordered: bool = False
    """Its last dimension is a set: the order in it makes no difference to the result."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", _as_texts(self.shape))
        if self.role in {*Role}:
            object.__setattr__(self, "role", Role(self.role))


@dataclass(frozen=True, slots=True)
class Output:
    """A result."""

    name: str
    shape: tuple[str, ...]
    dtype: str
    valid: str | None = None
    """Name of an output holding how many leading rows count, for data-dependent sizes."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", _as_texts(self.shape))


@dataclass(frozen=True, slots=True)
class Workload:
    """One binding of the task's dimensions and dtypes, and an input distribution."""

    name: str
    dims: Mapping[str, int]
    distribution: str
    source: str = ""
    """Where the shape comes from: a model's layer, a paper's table."""
    dtypes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Dtype variable -> DType's name."""
    absent: frozenset[str] = frozenset()
    """Optional inputs that are not given. Loading a task fills it in, from what the distribution draws."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Error at most `k` times the honest result's, plus a floor; see the gate in the design."""

    k: float = 3.0
    floor: float = 1e-3
    """Added to k x the honest relative L2 error; below what half-precision accumulation shows."""
    floor_largest: float = 4e-3
    """Added to k x the honest largest error over the output's RMS."""

    def __post_init__(self) -> None:
        for name in ("k", "floor", "floor_largest"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value < float("inf"):
                raise ValueError(f"{name} of a tolerance is {value!r}; give a finite number, 0 or more")


@dataclass(frozen=True, slots=True)
class Cost:
    """Work that any correct kernel must do for one workload."""

    flops: float
    bytes: float
    """Every input byte read once and every output byte written once."""
    unit: str = "fp16"
    """Fastest unit that may do the flops honestly: `fp16 bf16 tf32 fp8 int8` (tensor cores), `fp32`, `fp64`."""

    @property
    def work(self) -> float:
        """Operations and bytes together: what it takes to try a workload grows with it."""
        return self.flops + self.bytes


@dataclass(frozen=True, slots=True)
class Check:
    """Judges outputs of which several are right: a choice among ties, any order of rows, a draw.

    Those outputs are then not compared with the reference's.
    """

    outputs: tuple[str, ...]
    says: str
    """What must hold, for the report: `the ids are distinct and their scores sum to the best sum within 1e-3`."""
    judge: Callable[..., Mapping[str, Any]]
    """`judge(got, expected, inputs, dims)`, and `rows` if its signature asks for it.

    `got` and `inputs` are torch tensors by name in their declared dtypes, `expected` the oracle's (float64 or
    integers), `dims` a mapping. Returns a bool tensor an output, of its shape, true where it is wrong; or, so that the
    report can tell what is broken, a mapping from reasons to such tensors: `{"repeated in its row": ..., ...}`. Where
    the task has `rows`, `got` and `expected` hold those rows only.
    """


@dataclass(frozen=True, slots=True)
class Property:
    """How outputs answer a change of the inputs, whatever the values: linearity, permutation, causality, block sums."""

    name: str
    """What holds, for the report: `later tokens do not change earlier rows`."""
    change: Callable[..., Any]
    """`change(inputs, dims, generator)` gives the changed inputs by name and anything `pairs` needs to know of the
    change, as a tuple of two. It may alter the given tensors, which are copies."""
    pairs: Callable[..., Mapping[str, Any]]
    """`pairs(first, second, known)`: outputs by name of both runs and what `change` told; gives, by output name, two
    tensors that must agree within the tolerance (exactly, where integers)."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a user would run today besides PyTorch itself: a library's own kernel for the task."""

    name: str
    """`torchao int4`, `vllm marlin`."""
    package: str
    """What must be importable; where it is not, the baseline is named as absent."""
    run: Callable[..., Any]
    """`run(...)` on CUDA tensors in their declared dtypes and on dimensions, by name: those its signature asks for.
    Imports `package` itself. Returns the outputs as `reference` does, or some of them by name."""
    prepare: Callable[..., Mapping[str, Any]] | None = None
    """`prepare(...)`, called likewise: packs static inputs once, outside the time; what it returns goes to `run`."""
    note: str = ""
    """What it does not do just as the task says; empty: its outputs must agree with the reference's."""


@dataclass(frozen=True, slots=True)
class Backward:
    """Says that a task computes gradients of another one, the forward.

    Its other inputs are inputs of the forward under the same names; its dimensions are the forward's.
    """

    of: str
    """The forward: the name of a task that ships, or a task file beside this one."""
    upstream: Mapping[str, str]
    """Input of this task -> the forward's output whose incoming gradient it is; every floating output has one."""
    gradients: Mapping[str, str]
    """Output of this task -> the forward's input whose gradient it is."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a kernel must compute, how it is checked, and at which sizes it is timed."""

    name: str
    family: str
    """Folder of the task file: `quantized_gemm`."""
    summary: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Output, ...]
    dims: tuple[str, ...]
    """Free dimensions, in the order a person would say them."""
    reference: Callable[..., Any]
    """Plain PyTorch on tensors by name, and dimensions by name where its signature asks for them.
    Returns a tensor, or a mapping from output name to tensor. Floating inputs arrive as float64 (oracle)
    or float32 (honest result)."""
    make_inputs: Mapping[str, Callable[..., Mapping[str, Any]]]
    """Distribution name -> function(dims, generator) giving the input tensors by name, in their declared dtypes."""
    verify: tuple[Workload, ...]
    bench: tuple[Workload, ...]
    cost: Callable[[Mapping[str, int]], Cost]
    fixed: tuple[str, ...] = ()
    """Dimensions a kernel may have compiled in."""
    derived: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Further dimensions as expressions over `dims`."""
    tolerance: Tolerance = Tolerance()
    constraints: tuple[str, ...] = ()
    """Expressions that hold for every legal binding: `K % G == 0`."""
    rows: str = ""
    """A dimension along which the reference can be evaluated in part, so that large sizes can be checked by a sample:
    it then takes `rows`, int64 positions along it, and returns outputs of those only."""
    exact_cost: Callable[[Mapping[str, int], Mapping[str, Any]], Cost] | None = None
    """`exact_cost(dims, inputs)`, where the work depends on values (how many neighbours, which experts); `cost` is then
    the most it can be. Inputs are torch tensors by name."""
    checks: tuple[Check, ...] = ()
    properties: tuple[Property, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    """Timed beside PyTorch eager and torch.compile, which every task has."""
    backward: Backward | None = None
    """Where it computes gradients of another task: a kernel of that one then has them, too."""
    path: str = ""
    """Where it was loaded from."""
    source_digest: str = ""
    """Digest of the task file's text; a verdict belongs to it."""

    @property
    def static_inputs(self) -> frozenset[str]:
        """Names of inputs whose values stay over many calls: what a prepare launch may read."""
        return frozenset(tensor.name for tensor in self.inputs if tensor.role is Role.STATIC)

    @property
    def judged(self) -> frozenset[str]:
        """Names of the outputs that a check of the task's own judges."""
        return frozenset(name for check in self.checks for name in check.outputs)

    def dtype_of(self, tensor: Tensor | Output, workload: Workload) -> DType:
        """The element type of a tensor under a workload's dtype binding."""
        return DType(workload.dtypes.get(tensor.dtype, tensor.dtype))

    @property
    def optional(self) -> frozenset[str]:
        """Names of the inputs that may be absent."""
        return frozenset(tensor.name for tensor in self.inputs if tensor.optional)

    def tensor(self, name: str) -> Tensor | Output:
        """Find an input or output by name; KeyError where there is none."""
        tensors: tuple[Tensor | Output, ...] = (*self.inputs, *self.outputs)
        for item in tensors:
            if item.name == name:
                return item
        raise KeyError(name)
