"""A kernel file held against its task: every name resolves, and every role is respected."""

from __future__ import annotations

from collections.abc import Iterable

from warpsmith.core.dtype import DType
from warpsmith.core.errors import KernelFileError
from warpsmith.core.expression import Expression
from warpsmith.core.expression_tree import Name
from warpsmith.core.kernel_file.dims import dimension_names, tensors_of
from warpsmith.core.kernel_file.model import Argument, Buffer, Fill, KernelFile, Launch
from warpsmith.core.nearest import did_you_mean
from warpsmith.core.task import Output, Role, Task


def check(kernel_file: KernelFile, task: Task) -> None:
    """Raise KernelFileError where the file does not fit the task."""
    try:
        _Check(kernel_file, task).run()
    except KernelFileError as error:
        if error.file or not kernel_file.file:
            raise
        raise KernelFileError(
            error.message, remedy=error.remedy, line=error.line, column=error.column, file=kernel_file.file
        ) from None


class _Check:
    def __init__(self, kernel_file: KernelFile, task: Task) -> None:
        self.kernel_file, self.task = kernel_file, task
        self.dims = dimension_names(task)
        self.tensors = {tensor.name: tensor for tensor in tensors_of(task)}
        self.buffers = {buffer.name: buffer for buffer in kernel_file.buffers}
        self.presence = tuple(f"has_{name}" for name in self.tensors)
        self.pointers = (*self.tensors, *self.buffers)
        self.integers = (*self.dims, *kernel_file.knobs, *kernel_file.let, "SMS", *self.presence)

    def run(self) -> None:
        kernel_file, task = self.kernel_file, self.task
        if kernel_file.task != task.name:
            message = f"The file is for task `{kernel_file.task}`, not `{task.name}`."
            raise kernel_file.fail(message, f'Write `task = "{task.name}"`.', key="task")
        for name in kernel_file.constants:
            self._constant(name)
        self._shadows()
        self._lets()
        if kernel_file.requires is not None:
            self._expression(kernel_file.requires, self.integers)
        for index, buffer in enumerate(kernel_file.buffers):
            self._buffer(buffer, index)
        for launch in kernel_file.launches:
            self._launch(launch)
        for fill in kernel_file.fills:
            self._fill(fill)
        self._outputs()

    def _constant(self, name: str) -> None:
        if name in self.task.fixed:
            return
        remedy = did_you_mean(name, self.task.fixed) or "This task fixes none: remove `constants`."
        if name in self.dims:
            remedy = f"`{name}` changes from call to call: take it as a parameter `int {name}`. {remedy}"
        message = f"`{name}` is not a fixed dimension of task `{self.task.name}`."
        raise self.kernel_file.fail(message, remedy, key="constants")

    def _shadows(self) -> None:
        taken = {**dict.fromkeys(self.dims, "dimension"), **dict.fromkeys(self.tensors, "tensor")}
        groups: list[tuple[str, str, Iterable[tuple[int, str]]]] = [
            ("tune", "knob", ((0, name) for name in self.kernel_file.knobs)),
            ("let", "named expression", ((0, name) for name in self.kernel_file.let)),
            ("buffer", "buffer", enumerate(self.buffers)),
        ]
        for table, what, names in groups:
            for index, name in names:
                if name in taken or name in self.presence:
                    message = f"The {what} `{name}` has the name of a {taken.get(name, 'presence flag')} of the task."
                    key = "name" if table == "buffer" else name
                    raise self.kernel_file.fail(message, "Rename it.", table=table, index=index, key=key)

    def _lets(self) -> None:
        known = [name for name in self.integers if name not in self.kernel_file.let]
        for name, expression in self.kernel_file.let.items():
            for later in sorted(expression.names & set(self.kernel_file.let) - set(known)):
                message = f"`{later}` is not defined before `{name}`."
                raise expression.fail(message, f"Move `{later}` above `{name}` under [let].")
            self._expression(expression, known)
            known.append(name)

    def _buffer(self, buffer: Buffer, index: int) -> None:
        for extent in buffer.shape:
            self._expression(extent, self.integers)
        if buffer.dtype not in set(DType) and buffer.dtype.removesuffix("_t") not in self.tensors:
            message = f"`{buffer.dtype}` is not an element type."
            remedy = did_you_mean(buffer.dtype, [*DType, *(f"{name}_t" for name in self.tensors)], listed=20)
            raise self.kernel_file.fail(message, remedy, table="buffer", index=index, key="dtype")

    def _launch(self, launch: Launch) -> None:
        names = (*self.integers, "i") if launch.repeat is not None else self.integers
        for extent in launch.grid:
            self._expression(extent, (*names, "RESIDENT"))
        for expression in (*launch.block, *launch.options.values(), launch.shared, launch.when):
            if expression is not None:
                self._expression(expression, names)
        if launch.repeat is not None:
            self._expression(launch.repeat, self.integers)
        for argument in launch.arguments:
            self._argument(launch, argument, names)
        self._aliases(launch)

    def _argument(self, launch: Launch, argument: Argument, names: tuple[str, ...]) -> None:
        name = pointer_name(argument)
        if name is not None and name in self.pointers:
            self._pointer(launch, name)
            return
        if name is None or name in names or argument.expression.column:
            self._expression(argument.expression, names, pointers=True)
            return
        kernel = launch.signature.name
        message = f"{launch.label}: parameter `{name}` of `{kernel}` names nothing the launcher knows."
        if name == "i":
            remedy = "`i` is the index of a launch with `repeat`."
        elif name == "RESIDENT":
            remedy = "`RESIDENT` is known in `grid` only: read `gridDim.x` in the kernel."
        else:
            remedy = f'{did_you_mean(name, (*self.pointers, *names))} Rename it, or add `args = {{ {name} = "..." }}`.'
        raise KernelFileError(message, remedy=remedy, line=launch.signature.line)

    def _aliases(self, launch: Launch) -> None:
        """`const T* __restrict__` reads through a cache that never sees what the same launch writes."""
        written = {pointer_name(argument) for argument in launch.arguments if _writable(argument)} & set(self.pointers)
        for argument in launch.arguments:
            words = argument.parameter.type.split()
            restricted = "__restrict__" in words or "__restrict" in words
            if restricted and not _writable(argument) and pointer_name(argument) in written:
                name = argument.parameter.name
                message = (
                    f"{launch.label}: `{name}` is `const ... __restrict__`, but the same launch writes its memory."
                )
                remedy = f"Remove `__restrict__` from `{name}`: it promises that nobody writes there."
                raise KernelFileError(message, remedy=remedy, line=launch.signature.line)

    def _pointer(self, launch: Launch, name: str) -> None:
        """Prepare launches see static inputs and prepared buffers only."""
        if not launch.prepare:
            return
        tensor, buffer = self.tensors.get(name), self.buffers.get(name)
        if buffer is not None and buffer.prepared:
            return
        if tensor is not None and not isinstance(tensor, Output) and tensor.role is Role.STATIC:
            return
        what = "a buffer without `prepared = true`" if buffer is not None else "not a static input"
        message = f"{launch.label}: `{name}` is {what}."
        raise KernelFileError(
            message, remedy="A prepare launch reads static inputs and prepared buffers.", line=launch.line
        )

    def _fill(self, fill: Fill) -> None:
        outputs = [output.name for output in self.task.outputs]
        if fill.tensor not in outputs and fill.tensor not in self.buffers:
            what = "is an input" if fill.tensor in self.tensors else "is neither an output nor a buffer"
            remedy = did_you_mean(fill.tensor, (*outputs, *self.buffers))
            raise KernelFileError(f"`fill`: `{fill.tensor}` {what}.", remedy=remedy, line=fill.line)
        if fill.tensor in self.buffers and self.buffers[fill.tensor].prepared:
            message = f"`fill`: `{fill.tensor}` is prepared, so it is read-only in a call."
            raise KernelFileError(message, remedy="Use `init` on the buffer.", line=fill.line)
        if fill.when is not None:
            self._expression(fill.when, self.integers)

    def _outputs(self) -> None:
        passed = {pointer_name(argument) for launch in self.kernel_file.launches for argument in launch.arguments}
        for output in self.task.outputs:
            if output.name not in passed:
                message = f"No launch takes the output `{output.name}`."
                remedy = f"Give the kernel that writes it a parameter `{output.name}_t* {output.name}`."
                raise KernelFileError(message, remedy=remedy, line=self.kernel_file.launches[0].line)

    def _expression(self, expression: Expression, names: Iterable[str], *, pointers: bool = False) -> None:
        known = tuple(names)
        for name in sorted(expression.names - set(known)):
            offset = max(expression.text.find(name), 0)
            if name in self.pointers:
                message = f"`{name}` is a tensor or buffer, not an integer."
                remedy = (
                    "Pass the pointer alone and add the offset in the kernel."
                    if pointers
                    else f"`size({name})` is its element's bytes."
                )
                raise expression.fail(message, remedy, offset)
            if name == "RESIDENT":
                raise expression.fail("`RESIDENT` is known in `grid` only.", "Use `SMS`.", offset)
            if name == "i":
                raise expression.fail("`i` is known in a launch with `repeat` only.", "", offset)
            extra = self.pointers if pointers else ()
            raise expression.fail(f"`{name}` is unknown.", did_you_mean(name, (*known, *extra), listed=30), offset)
        for name in sorted(expression.sized - set(self.pointers)):
            message = f"`{name}` in `size({name})` is neither a tensor nor a buffer."
            raise expression.fail(message, did_you_mean(name, self.pointers), max(expression.text.find(name), 0))


def _writable(argument: Argument) -> bool:
    """A pointer whose elements are not const."""
    pointee, star, _ = argument.parameter.type.partition("*")
    return bool(star) and "const" not in pointee.split()


def pointer_name(argument: Argument) -> str | None:
    """The name an argument consists of; None where it is an expression."""
    root = argument.expression.root
    return root.name if isinstance(root, Name) else None
