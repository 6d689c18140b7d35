"""Triton modules: jit functions kept, autotune configurations made knobs, launches read from the host functions."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Mapping

from warpsmith.core.errors import KernelFileError
from warpsmith.core.kernel_file.model import TRITON_OPTIONS
from warpsmith.core.task import Task
from warpsmith.porting.expressions import OPEN, Memory, Scope, Unresolved, joined, plan, tensor_of
from warpsmith.porting.extension import parse_python
from warpsmith.porting.plan import Plan, Scratch, Step
from warpsmith.porting.triton_configs import written_out
from warpsmith.porting.triton_text import (
    Kernel,
    allocates,
    called_name,
    config_of,
    device_code,
    item_of,
    keyword_of,
    knob_name,
    launches,
    makes_a_tensor,
    mentions,
    plain,
    positional,
    returned,
    stored,
)

_DTYPES = {
    **dict.fromkeys(("float16", "half"), "float16"),
    **dict.fromkeys(("float32", "float"), "float32"),
    **dict.fromkeys(("int32", "int"), "int32"),
    **dict.fromkeys(("int64", "long"), "int64"),
    **{name: name for name in ("bfloat16", "float64", "int8", "uint8", "int16", "bool")},
}


def read_triton(text: str, task: Task, bindings: Mapping[str, str], entry: str) -> tuple[Plan, str]:
    """Plan and device code of a Triton module.

    Raises:
        KernelFileError: it is no Python, or has no `@triton.jit` function that is launched.
    """
    module, found = parse_python(text), Plan()
    reader = _Reader(module, task, bindings, found)
    if not reader.kernels:
        raise KernelFileError(
            "The file has no `@triton.jit` function.", remedy="Import CUDA or Triton sources.", line=1
        )
    reader.tune()
    reader.read(reader.host(entry))
    return found, device_code(text, module, reader.launched())


class _Reader:
    def __init__(self, module: ast.Module, task: Task, bindings: Mapping[str, str], found: Plan) -> None:
        self.task, self.found, self.bindings = task, found, bindings
        self.kernels: dict[str, Kernel] = {}
        self.hosts: dict[str, ast.FunctionDef] = {}
        self.constants: dict[str, ast.expr] = {}
        self.used: list[str] = []
        for statement in module.body:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                self.constants[statement.targets[0].id] = plain(statement.value)
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef):
                if (kernel := self._kernel(node)) is not None:
                    self.kernels[node.name] = kernel
                else:
                    self.hosts[node.name] = node

    def _kernel(self, node: ast.FunctionDef) -> Kernel | None:
        kernel, jitted = Kernel(node), False
        for decorator in node.decorator_list:
            call = decorator if isinstance(decorator, ast.Call) else None
            name = ast.unparse(call.func if call else decorator).removeprefix("triton.")
            jitted |= name == "jit"
            if name == "autotune" and call:
                kernel.configs = self._configs(call)
            if name == "heuristics" and call:
                values = keyword_of(call, "values") or (call.args[0] if call.args else None)
                for key, value in zip(values.keys, values.values, strict=True) if isinstance(values, ast.Dict) else ():
                    if isinstance(key, ast.Constant) and isinstance(value, ast.Lambda):
                        kernel.heuristics[str(key.value)] = value
        return kernel if jitted else None

    def _configs(self, call: ast.Call) -> list[dict[str, int]]:
        listed = keyword_of(call, "configs") or (call.args[0] if call.args else None)
        configs = []
        for item in written_out(listed, self.constants):
            config = config_of(item)
            if config is None:
                self.found.ask(item.lineno, f"`{ast.unparse(item)[:80]}` is no configuration of literals", _TUNE)
            else:
                configs.append(config)
        if not configs:
            self.found.ask(call.lineno, "the configurations of `@autotune` are not listed as literals", _TUNE)
        if keyword_of(call, "reset_to_zero") or keyword_of(call, "restore_value"):
            self.found.notes.append("reset_to_zero and restore_value are not needed: every call starts from poison.")
        return configs

    def host(self, entry: str) -> ast.FunctionDef:
        """The host function whose launches are meant."""
        launching = [node for node in self.hosts.values() if any(launches(node, self.kernels))]
        if entry:
            launching = [node for node in launching if node.name == entry]
        if len(launching) != 1:
            names = ", ".join(node.name for node in launching) or "none"
            message = f"{len(launching)} host functions launch kernels: {names}."
            remedy = "Name one: --entry NAME." if launching else "Write the head block by hand: docs/kernel-file.md."
            raise KernelFileError(message, remedy=remedy, line=launching[0].lineno if launching else 1)
        return launching[0]

    def tune(self) -> None:
        """Knobs from the configurations: their values, and `where` for the combinations that were listed."""
        tuned = [kernel for kernel in self.kernels.values() if kernel.configs]
        if len(tuned) > 1:
            several = ", ".join(kernel.node.name for kernel in tuned)
            self.found.ask(tuned[1].node.lineno, f"several kernels are autotuned: {several}", _TUNE)
        for kernel in tuned[:1]:
            names = list(dict.fromkeys(name for config in kernel.configs for name in config))
            defaults = {"num_warps": 4, "num_stages": 3, "num_ctas": 1}
            rows = []
            for config in kernel.configs:
                lacking = [name for name in names if name not in config and name not in defaults]
                if lacking:
                    self.found.ask(kernel.node.lineno, f"a configuration gives no {', '.join(lacking)}", _TUNE)
                rows.append({name: config.get(name, defaults.get(name, 0)) for name in names})
            values = {name: list(dict.fromkeys(row[name] for row in rows)) for name in names}
            self.found.tune = {knob_name(name): it for name, it in values.items()}
            free = [name for name in names if len(values[name]) > 1]
            count = len(list(itertools.product(*(values[name] for name in free))))
            if count > len({tuple(row[name] for name in free) for row in rows}):
                told = dict.fromkeys(" and ".join(f"{knob_name(name)} == {row[name]}" for name in free) for row in rows)
                self.found.where = " or ".join(f"({it})" for it in told)

    def read(self, host: ast.FunctionDef) -> None:
        knobs = frozenset(self.found.tune)
        scope = Scope(self.task, self.bindings, knobs=knobs)
        for name, value in self.constants.items():
            scope.assign(name, value)
        self._block(host.body, scope, [], returned(host))
        if not any(step.kernel for step in self.found.steps):
            self.found.ask(host.lineno, f"`{host.name}` launches nothing that could be read")

    def _block(self, body: list[ast.stmt], scope: Scope, conditions: list[str], returned: list[str]) -> None:
        for node in body:
            match node:
                case ast.Assign(targets=[ast.Name(name)], value=ast.Call() as call) if allocates(call):
                    self._allocate(name, call, scope, returned)
                case ast.Assign(targets=[ast.Name(name)], value=value):
                    if isinstance(value, ast.Name) and value.id == name:
                        continue
                    if mentions(value, name) and name not in scope.values:  # x = x.contiguous()
                        self._rebind(name, value, scope)
                    else:
                        scope.assign(name, value)
                case ast.Assign(targets=[ast.Tuple(names)], value=value):
                    for number, target in enumerate(names):
                        if isinstance(target, ast.Name):
                            scope.assign(target.id, item_of(value, number))
                case ast.AugAssign(target=ast.Name(name)):
                    scope.values[name] = None
                case ast.Assert(test=test):
                    self._require(test, scope)
                case ast.If(test=test, body=then, orelse=other):
                    self._branch(test, then, other, scope, conditions, returned)
                case ast.For() | ast.While():
                    if any(launches(node, self.kernels)):
                        remedy = "Write `repeat` in its [[launch]]; the index is `i`."
                        self.found.ask(node.lineno, "a kernel is launched in a loop", remedy)
                case ast.With(body=inner):
                    self._block(inner, scope, conditions, returned)
                case ast.Expr(ast.Call(ast.Attribute(ast.Name(name), "zero_"))):
                    self._zero(name, node, scope)
                case ast.FunctionDef(name=name, body=[ast.Return(value=value)]) if value is not None:
                    scope.assign(name, ast.Lambda(node.args, value))
                case _:
                    for call in launches(node, self.kernels):
                        self._launch(call, scope, conditions)

    def _rebind(self, name: str, value: ast.expr, scope: Scope) -> None:
        """A name given a new value made of itself: the same memory, or nothing that is known."""
        try:
            found = tensor_of(value, scope)
        except Unresolved:
            scope.values[name] = None
        else:
            scope.memory[name] = found

    def _branch(
        self,
        test: ast.expr,
        then: list[ast.stmt],
        other: list[ast.stmt],
        scope: Scope,
        conditions: list[str],
        returned: list[str],
    ) -> None:
        if not any(any(launches(node, self.kernels)) for node in (*then, *other)):
            assigned = {it.id for node in (*then, *other) for it in ast.walk(node) if stored(it)}  # type: ignore[attr-defined]
            for name in assigned:
                scope.values[name] = None
            if any(isinstance(node, ast.Return) for node in then):
                try:
                    conditions.append(f"not ({plan(test, scope)})")
                except Unresolved:
                    self.found.notes.append(f"line {test.lineno}: what follows an early return is launched always.")
            return
        try:
            condition = plan(test, scope)
        except Unresolved as error:
            condition = OPEN
            self._ask(test.lineno, f"the condition `{ast.unparse(test)}` cannot be told: {error.message}", error)
        self._block(then, scope, [*conditions, condition], returned)
        self._block(other, scope, [*conditions, f"not ({condition})"], returned)

    def _require(self, test: ast.expr, scope: Scope) -> None:
        """An assertion on sizes is the kernel's domain; one on devices and strides says nothing here."""
        for part in test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]:
            try:
                self.found.requires.append(plan(part, scope))
            except Unresolved:
                continue

    def _allocate(self, name: str, call: ast.Call, scope: Scope, returned: list[str]) -> None:
        what, like = called_name(call), called_name(call).endswith("_like") or called_name(call).startswith("new_")
        zero = "zeros" in what
        output = self.bindings.get(name, name)
        outputs = {it.name for it in self.task.outputs}
        if output not in outputs and name in returned:
            position = returned.index(name)
            if len(returned) == len(self.task.outputs):
                output = self.task.outputs[position].name
        if output in outputs:
            scope.memory[name] = tensor_of(ast.Name(output), Scope(self.task, {}))
            if zero:
                self.found.steps.append(Step("", fill=output))
            return
        try:
            shape, dtype = self._extents(call, scope, like=like)
        except Unresolved as error:
            shape, dtype = [OPEN], "float32"
            self._ask(call.lineno, f"the size of the buffer `{name}`: {error.message}", error)
        self.found.buffers.append(Scratch(name, shape, dtype, zero))
        scope.memory[name] = Memory(name, tuple(shape))

    def _extents(self, call: ast.Call, scope: Scope, *, like: bool) -> tuple[list[str], str]:
        said = keyword_of(call, "dtype")
        like_what: Memory | None = None
        if like:
            source = (
                call.func.value
                if isinstance(call.func, ast.Attribute) and "new_" in called_name(call)
                else call.args[0]
            )
            like_what = tensor_of(source, scope)
        if like_what and called_name(call).endswith("_like"):
            shape = list(like_what.shape)
        else:
            extents = call.args[0].elts if isinstance(call.args[0], ast.Tuple | ast.List) else positional(call)
            shape = [plan(it, scope) for it in extents]
        return shape, self._dtype(said, like_what, scope)

    def _dtype(self, said: ast.expr | None, like: Memory | None, scope: Scope) -> str:
        if said is None:
            return f"{like.name}_t" if like else "float32"
        if isinstance(said, ast.Attribute) and said.attr == "dtype":
            return f"{tensor_of(said.value, scope).name}_t"
        name = ast.unparse(said).rpartition(".")[2]
        if name not in _DTYPES:
            raise Unresolved(f"`{ast.unparse(said)}` is no element type of a buffer")
        return _DTYPES[name]

    def _zero(self, name: str, node: ast.stmt, scope: Scope) -> None:
        try:
            memory = tensor_of(ast.Name(name), scope)
        except Unresolved as error:
            self._ask(node.lineno, f"`{name}` is set to zero: {error.message}", error)
        else:
            self.found.steps.append(Step("", fill=memory.name))

    def _launch(self, call: ast.Call, scope: Scope, conditions: list[str]) -> None:
        assert isinstance(call.func, ast.Subscript)
        kernel = self.kernels[ast.unparse(call.func.value)]
        self.used.append(kernel.node.name)
        step = Step(kernel.node.name, when=joined(conditions))
        given = self._given(kernel, call)
        names = scope
        for name, value in given.items():  # META of a grid sees every argument by its parameter's name
            if name not in scope.values and name not in self.found.tune:
                names = Scope(**{it: getattr(names, it) for it in Scope.__slots__}) if names is scope else names
                names.values = {**names.values, name: (value, scope)}
        step.grid = self._grid(call.func.slice, names, call.lineno)
        for option in TRITON_OPTIONS:
            said = keyword_of(call, option)
            if said is not None and option not in self.found.tune:
                step.options[option] = self._value(said, scope, call.lineno, f"`{option}`")
        for parameter in kernel.parameters:
            self._argument(kernel, parameter, given.get(parameter.arg), step, scope, names, call.lineno)
        self.found.steps.append(step)

    def _given(self, kernel: Kernel, call: ast.Call) -> dict[str, ast.expr]:
        names = [it.arg for it in kernel.parameters]
        given = dict(zip(names, call.args, strict=False))
        given |= {it.arg: it.value for it in call.keywords if it.arg in names}
        return given

    def _grid(self, node: ast.expr, scope: Scope, line: int) -> list[str]:
        if isinstance(node, ast.Name) and (value := scope.values.get(node.id)):
            node = value[0]
        if isinstance(node, ast.Lambda):
            node = node.body
        extents = node.elts if isinstance(node, ast.Tuple | ast.List) else [node]
        return [self._value(it, scope, line, "the grid") for it in extents]

    def _argument(
        self,
        kernel: Kernel,
        parameter: ast.arg,
        value: ast.expr | None,
        step: Step,
        scope: Scope,
        names: Scope,
        line: int,
    ) -> None:
        name = parameter.arg
        constant = parameter.annotation is not None and ast.unparse(parameter.annotation).endswith("constexpr")
        table = step.constexpr if constant else step.args
        if value is None and name in kernel.heuristics:
            table[name] = self._value(kernel.heuristics[name].body, names, line, f"the heuristic of `{name}`")
            return
        if value is None and knob_name(name) in self.found.tune:
            if knob_name(name) != name:
                table[name] = knob_name(name)
            return
        value = value if value is not None else kernel.default(name)
        if value is None:
            self.found.ask(line, f"`{kernel.node.name}` is given no `{name}`", "Bind it: --bind NAME=EXPRESSION.")
            table[name] = OPEN
            return
        said = self._memory_or_value(value, scope, line, f"argument `{name}` of `{kernel.node.name}`")
        if said != name:
            table[name] = said

    def _memory_or_value(self, node: ast.expr, scope: Scope, line: int, what: str) -> str:
        try:
            return tensor_of(node, scope).name
        except Unresolved as error:
            if makes_a_tensor(node):
                self._ask(line, f"{what}, `{ast.unparse(node)}`: {error.message}", error)
                return OPEN
            if isinstance(node, ast.Constant) and isinstance(node.value, bool):
                return str(int(node.value))
            return self._value(node, scope, line, what)

    def _value(self, node: ast.expr, scope: Scope, line: int, what: str) -> str:
        try:
            return plan(node, scope)
        except Unresolved as error:
            self._ask(line, f"{what}, `{ast.unparse(node)}`: {error.message}", error)
            return OPEN

    def _ask(self, line: int, what: str, error: Unresolved) -> None:
        remedy = f"Say what it is: --bind {error.name}=…" if error.name else "Write it into the head block by hand."
        self.found.ask(line, what, remedy)

    def launched(self) -> set[str]:
        """Launched kernels, and the jit functions they call."""
        wanted, todo = set(self.used), list(self.used)
        while todo:
            for node in ast.walk(self.kernels[todo.pop()].node):
                if isinstance(node, ast.Name) and node.id in self.kernels and node.id not in wanted:
                    wanted.add(node.id)
                    todo.append(node.id)
        return wanted


_TUNE = "Write its knobs under [tune] by hand."
