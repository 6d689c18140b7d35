"""Checks that what a task file declares fits together, before anything runs."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from warpsmith.core.dtype import DType
from warpsmith.core.errors import KernelFileError, TaskError
from warpsmith.core.expression import Expression
from warpsmith.core.kernel_file import dims_of
from warpsmith.core.task import Output, Task, Tensor, Workload
from warpsmith.tasks.costs import guarded_cost
from warpsmith.tasks.declared import mistakes

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_RESERVED = frozenset({"SMS", "RESIDENT", "SHARED_MAX", "i"})
_UNITS = ("fp16", "bf16", "tf32", "fp8", "int8", "fp32", "fp64")


def validate(task: Task, text: str) -> None:
    """Check a loaded task.

    Args:
        task: With `path` filled in.
        text: The file it came from, to find the line of what is wrong.

    Raises:
        TaskError: naming file, line and remedy.
    """
    check = _Check(task, _Lines(task.path, text))
    check.types()
    check.names()
    check.dtypes()
    check.callables()
    check.judges()
    check.backward()
    check.workloads()
    check.cost()


@dataclass(frozen=True)
class _Lines:
    """Finds where in the file a declared text stands."""

    path: str
    text: str

    def place(self, needle: object) -> str:
        """`file:line` of a string literal, else of the call of Task."""
        tree = ast.parse(self.text)
        nodes = list(ast.walk(tree))
        literals = [node.lineno for node in nodes if isinstance(node, ast.Constant) and node.value == needle]
        calls = [
            node.lineno
            for node in nodes
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Task"
        ]
        line = min(literals or calls or [1])
        return f"{self.path}:{line}"


@dataclass(frozen=True)
class _Check:
    task: Task
    lines: _Lines

    def fail(self, message: str, remedy: str = "", *, at: object = None) -> TaskError:
        return TaskError(f"{self.lines.place(at)}: {message}", remedy=remedy)

    def types(self) -> None:
        """Every field holds what it is for, so that the other checks can rely on it."""
        found = next(mistakes(self.task), None)
        if found is not None:
            raise self.fail(found.message, found.remedy, at=found.of)

    def names(self) -> None:
        """Names are identifiers, each once; shapes, fixed dimensions and counts refer to what exists."""
        task = self.task
        if not re.match(r"[a-z][a-z0-9_]*\Z", task.name):
            raise self.fail(f"'{task.name}' cannot name a task.", "Use lower-case letters, digits and _.", at=task.name)
        if not _IDENTIFIER.match(task.family):
            raise self.fail(f"'{task.family}' cannot name a family.", "Exports name folders after it.", at=task.name)
        if not task.inputs or not task.outputs:
            raise self.fail("a task has at least one input and one output.")
        names = [item.name for item in self.tensors()] + [*task.dims, *task.derived]
        for name in names:
            if not _IDENTIFIER.match(name):
                raise self.fail(f"'{name}' is no identifier.", "Kernels name tensors and dimensions in C++.", at=name)
            if name in _RESERVED:
                raise self.fail(f"'{name}' means something else in a kernel file.", "Choose another name.", at=name)
        if twice := _repeated(names):
            raise self.fail(f"'{twice}' is declared twice.", "Tensors and dimensions share one name space.", at=twice)
        for name in task.fixed:
            if name not in task.dims:
                raise self.fail(f"fixed names '{name}', which is no dimension.", f"Dimensions: {task.dims}.", at=name)
        if twice := _repeated(task.fixed):
            raise self.fail(f"fixed names '{twice}' twice.", at=twice)
        outputs = {output.name for output in task.outputs}
        for output in task.outputs:
            if output.valid is not None and output.valid not in outputs:
                raise self.fail(f"{output.name} counts rows by '{output.valid}', which is no output.", at=output.valid)

    def dtypes(self) -> None:
        """Every dtype is a known one or bound by each workload."""
        known = {dtype.value for dtype in DType}
        for workload in self.everything():
            for item in self.tensors():
                bound = workload.dtypes.get(item.dtype, item.dtype)
                if bound not in known:
                    remedy = f"Known: {', '.join(sorted(known))}; or bind it by the workload's dtypes."
                    raise self.fail(f"{item.name} has the unknown dtype '{bound}'.", remedy, at=item.dtype)
            for output in self.task.outputs:
                if output.valid and self.task.dtype_of(self.task.tensor(output.valid), workload).is_floating:
                    message = f"{output.name} counts rows by '{output.valid}', which holds no integers."
                    raise self.fail(message, at=output.name)

    def callables(self) -> None:
        """The reference takes the inputs by name; distributions take (dims, generator)."""
        task = self.task
        known = {tensor.name for tensor in task.inputs} | set(task.dims) | set(task.derived)
        known |= {"dtypes", "rows"} if task.rows else {"dtypes"}
        parameters = _parameters(task.reference)
        anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        for name, parameter in parameters.items():
            variadic = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            if name not in known and not variadic and parameter.default is parameter.empty:
                raise self.fail(
                    f"the reference asks for '{name}', which is no input or dimension.", f"There are: {sorted(known)}."
                )
        for tensor in task.inputs:
            if tensor.name not in parameters and not anything:
                raise self.fail(
                    f"the reference does not take the input '{tensor.name}'.", "Its parameters are the input names."
                )
        if not task.make_inputs:
            raise self.fail(
                "a task has at least one distribution.", "make_inputs={'normal': function(dims, generator)}."
            )

    def judges(self) -> None:
        """Rows are a dimension of an output that the reference can be asked for; checks and properties have names."""
        task = self.task
        if task.rows:
            if not any(task.rows in output.shape for output in task.outputs):
                raise self.fail(f"no output has a dimension '{task.rows}' for `rows`.", at=task.rows)
            if "rows" not in _parameters(task.reference):
                raise self.fail("the reference does not take `rows`.", "def reference(..., rows): int64 positions.")
        judged = [name for check in task.checks for name in check.outputs]
        outputs = [output.name for output in task.outputs]
        for name in judged:
            if name not in outputs:
                raise self.fail(f"a check judges '{name}', which is no output.", f"Outputs: {outputs}.", at=name)
        if twice := _repeated([*judged, *(item.name for item in task.properties)]):
            raise self.fail(f"'{twice}' is judged or named twice.", "One check an output, a name each.", at=twice)

    def backward(self) -> None:
        """What a backward task says of its own tensors; the task gate holds it against the forward."""
        declared = self.task.backward
        if declared is None:
            return
        for names, known, kind in (
            (declared.upstream, [item.name for item in self.task.inputs], "input"),
            (declared.gradients, [item.name for item in self.task.outputs], "output"),
        ):
            for name in names:
                if name not in known:
                    raise self.fail(f"backward names '{name}', which is no {kind}.", f"There are: {known}.", at=name)
        if missing := [item.name for item in self.task.outputs if item.name not in declared.gradients]:
            raise self.fail(f"backward does not say whose gradient '{missing[0]}' is.", at=missing[0])
        if not declared.upstream:
            raise self.fail("backward names no incoming gradient.", 'Write upstream={"dy": "y"}.')

    def workloads(self) -> None:
        """Workloads bind every dimension inside the constraints, and name a distribution that exists."""
        task = self.task
        for kind, workloads in (("verify", task.verify), ("bench", task.bench)):
            if not workloads:
                raise self.fail(f"there is no {kind} workload.", f"{kind}=(Workload('name', {{...}}, 'normal'),).")
            if twice := _repeated(workload.name for workload in workloads):
                raise self.fail(f"two {kind} workloads are named '{twice}'.", "Give each its own name.", at=twice)
            for workload in workloads:
                self.workload(workload)

    def workload(self, workload: Workload) -> None:
        task, where = self.task, f"workload '{workload.name}'"
        if not workload.name.strip() or not workload.name.isprintable():
            raise self.fail(
                f"{workload.name!r} cannot name a workload.", "Say in printable words what it is.", at=workload.name
            )
        if set(workload.dims) != set(task.dims):
            remedy = f"It binds {sorted(workload.dims)}, the task has {sorted(task.dims)}."
            raise self.fail(f"{where} does not bind exactly the task's dimensions.", remedy, at=workload.name)
        for name, extent in workload.dims.items():
            if not isinstance(extent, int) or not 0 <= extent < 2**31:
                raise self.fail(f"{where} binds {name} to {extent!r}.", "Use an int below 2**31.", at=workload.name)
        if workload.distribution not in task.make_inputs:
            remedy = f"There are: {', '.join(task.make_inputs)}."
            at = workload.distribution
            raise self.fail(f"{where} names the unknown distribution '{at}'.", remedy, at=at)
        self.expressions(workload)

    def expressions(self, workload: Workload) -> None:
        """Derived dimensions, constraints and shapes evaluate at the workload."""
        task, dims = self.task, dict(workload.dims)
        for name, text in task.derived.items():
            dims[name] = self.value(text, dims, f"the derived dimension {name}")
        for text in task.constraints:
            if not self.value(text, dims, "a constraint"):
                bound = ", ".join(f"{name} = {extent}" for name, extent in dims.items())
                message = f"workload '{workload.name}' breaks the constraint '{text}'."
                raise self.fail(message, f"It binds {bound}.", at=workload.name)
        for item in self.tensors():
            for text in item.shape:
                if self.value(text, dims, f"the shape of {item.name}") < 0:
                    raise self.fail(f"'{text}' is negative at workload '{workload.name}'.", at=text)
            if isinstance(item, Output) and item.valid and not item.shape:
                raise self.fail(f"{item.name} has no rows to count by '{item.valid}'.", at=item.valid)

    def value(self, text: str, dims: Mapping[str, int], what: str) -> int:
        try:
            return Expression.parse(text).evaluate(dims)
        except KernelFileError as error:
            raise self.fail(f"{what}: {error.message}", error.remedy, at=text) from error

    def cost(self) -> None:
        """The cost function gives finite, non-negative work of a known unit at every workload."""
        work = guarded_cost(self.task)
        for workload in self.everything():
            cost = work(dims_of(self.task, workload))
            if cost.unit not in _UNITS:
                raise self.fail(f"'{cost.unit}' is no unit.", f"Units: {', '.join(_UNITS)}.", at=cost.unit)

    def tensors(self) -> tuple[Tensor | Output, ...]:
        return (*self.task.inputs, *self.task.outputs)

    def everything(self) -> tuple[Workload, ...]:
        return (*self.task.verify, *self.task.bench)


def _repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _parameters(function: Callable[..., object]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)
