"""What a kernel file says, before any task or workload is known."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

from warpsmith.core.errors import KernelFileError
from warpsmith.core.expression import Expression
from warpsmith.core.kernel_file.head import Head
from warpsmith.core.nearest import did_you_mean

TRITON_OPTIONS = ("num_warps", "num_stages", "num_ctas", "maxnreg")
"""Compile options of a Triton launch; a knob of that name sets it for every launch."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a kernel, as its source declares it."""

    name: str
    type: str
    """C++ text (`const x_t *`), or the annotation of a Triton parameter; empty where there is none."""
    constexpr: bool = False
    """A Triton `tl.constexpr`: compiled in."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A kernel found in the source."""

    name: str
    parameters: tuple[Parameter, ...]
    line: int
    template: tuple[str, ...] | None = None
    """Names of template parameters; None where it is no template."""
    extern_c: bool = False


@dataclass(frozen=True, slots=True)
class Argument:
    """What one parameter receives: the tensor, buffer or integer its expression names."""

    parameter: Parameter
    expression: Expression


@dataclass(frozen=True, slots=True)
class Buffer:
    """A `[[buffer]]`: scratch the launcher allocates and poisons."""

    name: str
    shape: tuple[Expression, ...]
    dtype: str
    """A DType's name, or `<tensor>_t` for the element type of a task tensor."""
    line: int
    init: int | None = None
    prepared: bool = False


@dataclass(frozen=True, slots=True)
class Fill:
    """A `[[launch]]` that is a memset of an output or buffer."""

    tensor: str
    value: int
    """0 or -1: every byte 0x00 or 0xFF."""
    line: int
    when: Expression | None = None


@dataclass(frozen=True, slots=True)
class Launch:
    """A `[[launch]]` or `[[prepare]]` of a kernel."""

    label: str
    """`launch 2` or `prepare 1`, for messages."""
    kernel: str
    """The name expression as written: `gemm<BM, BN>`."""
    signature: Signature
    arguments: tuple[Argument, ...]
    """One for each parameter, in order."""
    grid: tuple[Expression, ...]
    block: tuple[Expression, ...]
    """Empty in a Triton launch: `num_warps` says it."""
    line: int
    shared: Expression | None = None
    when: Expression | None = None
    repeat: Expression | None = None
    cooperative: bool = False
    prepare: bool = False
    options: Mapping[str, Expression] = field(default_factory=dict)
    """Triton compile options: num_warps, num_stages, num_ctas, maxnreg."""


@dataclass(frozen=True, slots=True)
class KernelFile:
    """A parsed kernel file. Everything that needs no task has been checked."""

    text: str = field(repr=False)
    file: str
    language: str
    """`cuda` or `triton`."""
    task: str
    requires: Expression | None
    constants: tuple[str, ...]
    tags: tuple[str, ...]
    knobs: Mapping[str, tuple[int, ...]]
    """Values in file order; the first is the default."""
    where: Expression | None
    let: Mapping[str, Expression]
    buffers: tuple[Buffer, ...]
    steps: tuple[Launch | Fill, ...]
    """The `[[launch]]` steps, in file order."""
    prepares: tuple[Launch, ...]
    """The `[[prepare]]` launches, in file order."""
    signatures: Mapping[str, Signature]
    """Every kernel of the source, by name."""
    head: Head = field(repr=False)

    @property
    def launches(self) -> tuple[Launch, ...]:
        """Kernel launches, prepare launches first."""
        return (*self.prepares, *(step for step in self.steps if isinstance(step, Launch)))

    @property
    def fills(self) -> tuple[Fill, ...]:
        return tuple(step for step in self.steps if isinstance(step, Fill))

    @property
    def uses_resident(self) -> bool:
        """Whether a grid depends on `RESIDENT`, or must not exceed it, known only once the kernel is compiled."""
        return any(
            launch.cooperative or "RESIDENT" in extent.names for launch in self.launches for extent in launch.grid
        )

    def default_knobs(self) -> dict[str, int]:
        """The first value of every knob."""
        return {name: values[0] for name, values in self.knobs.items()}

    def assignments(self) -> tuple[dict[str, int], ...]:
        """Every knob assignment that `where` allows, the default first, then in file order."""
        return tuple(knobs for knobs in self._combinations() if self.where is None or self.where.evaluate(knobs))

    def _combinations(self) -> list[dict[str, int]]:
        return [dict(zip(self.knobs, values, strict=True)) for values in itertools.product(*self.knobs.values())]

    def check_knobs(self, knobs: Mapping[str, int]) -> None:
        """Refuse an assignment that is not one of `assignments()`."""
        for name in knobs:
            if name not in self.knobs:
                raise self.fail(f"There is no knob `{name}`.", did_you_mean(name, self.knobs), table="tune")
        for name, values in self.knobs.items():
            if name not in knobs:
                raise self.fail(f"Knob `{name}` has no value.", f"Give one of {list(values)}.", table="tune", key=name)
            if knobs[name] not in values:
                message = f"Knob `{name}` cannot be {knobs[name]}."
                raise self.fail(message, f"Its values are {list(values)}.", table="tune", key=name)
        if self.where is not None and not self.where.evaluate(knobs):
            shown = ", ".join(f"{name}={value}" for name, value in knobs.items())
            raise self.where.fail(f"`where` excludes {shown}.", "Choose one of the remaining combinations.")

    def fail(
        self, message: str, remedy: str = "", *, line: int = 0, table: str = "", index: int = 0, key: str = ""
    ) -> KernelFileError:
        """Make an error at a line, or at a key of the head block."""
        column = 0
        if not line:
            place = self.head.place(table, index, key)
            line, column = place.line, place.column
        return KernelFileError(message, remedy=remedy, line=line, column=column, file=self.file)
