"""CUDA sources: device code kept, `<<<>>>` launches and allocations of the host read into a plan."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from warpsmith.core.errors import KernelFileError
from warpsmith.core.kernel_file.cpp_signatures import cpp_signatures
from warpsmith.core.kernel_file.dims import tensors_of
from warpsmith.core.kernel_file.lexer import CppToken, lex
from warpsmith.core.kernel_file.model import Signature
from warpsmith.core.task import Task
from warpsmith.porting.cpp_entry import check_const, find_entry
from warpsmith.porting.cpp_expressions import lambda_body, matching, shown, split, tree
from warpsmith.porting.cpp_file import CppFile, HostFunction, read_cpp
from warpsmith.porting.cpp_memory import memory_call, scratch_of
from warpsmith.porting.cpp_statements import assigned, closes, kernel_before, qualified, returned, statement_end
from warpsmith.porting.cpp_types import DTYPES, TYPES, size_of
from warpsmith.porting.expressions import OPEN, Memory, Scope, Unresolved, joined, plan, tensor_of
from warpsmith.porting.plan import Plan, Scratch, Step

_CALLED_DEEPEST = 8
_IGNORED = {"cudaDeviceSynchronize", "cudaGetLastError", "cudaFree", "cudaMemcpy", "cudaMemcpyAsync", "printf", "free"}


def read_cuda(text: str, task: Task, bindings: Mapping[str, str], entry: str) -> tuple[Plan, str]:
    """Plan and device code of a CUDA source.

    Raises:
        KernelFileError: it cannot be read, has no kernel, or several host functions launch and none was named.
    """
    file = read_cpp(text)
    signatures = cpp_signatures(lex(file.device).tokens)
    if not signatures:
        remedy = "Import CUDA or Triton sources."
        raise KernelFileError("The file has no `__global__` function.", remedy=remedy, line=1)
    found = Plan()
    reader = _Reader(file, signatures, task, bindings, found)
    reader.read(find_entry(file, entry))
    for name in dict.fromkeys(file.dropped):
        found.notes.append(f"left out: {name}")
    check_const(signatures, task, found)
    return found, file.device


@dataclass(slots=True)
class _Place:
    """Where in the host code the reader is."""

    scope: Scope
    conditions: list[str] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    """Type name of an AT_DISPATCH, or a template parameter, -> what it stands for."""
    loop: bool = False
    depth: int = 0


class _Reader:
    def __init__(
        self,
        file: CppFile,
        signatures: Mapping[str, Signature],
        task: Task,
        bindings: Mapping[str, str],
        found: Plan,
    ) -> None:
        self.file, self.signatures, self.task, self.found = file, signatures, task, found
        self.bindings = bindings
        self.qualified = qualified(lex(file.device).tokens)
        self.returned: list[str] = []

    def _scope(self) -> Scope:
        scope = Scope(self.task, self.bindings, helpers=self.file.helpers, element=size_of, floors=True)
        for name, value in self.file.constants.items():
            scope.assign(name, value)
        return scope

    def read(self, host: HostFunction) -> None:
        self.returned = returned(host.body)
        self._statements(host.body, _Place(self._scope()))
        if not any(step.kernel for step in self.found.steps):
            self.found.ask(host.line, f"`{host.name}` launches nothing that could be read")

    def _statements(self, tokens: Sequence[CppToken], place: _Place) -> None:
        index = 0
        while index < len(tokens):
            text = tokens[index].text
            if text == "{":
                end = matching(tokens, index)
                self._statements(tokens[index + 1 : end], place)
                index = end + 1
            elif text == "if":
                index = self._branch(tokens, index, place)
            elif text in ("for", "while", "do", "switch"):
                body = matching(tokens, index + 1) + 1 if text != "do" else index + 1
                end = statement_end(tokens, body)
                inner = _Place(place.scope, place.conditions, place.aliases, loop=True, depth=place.depth)
                self._statements(tokens[body:end], inner)
                index = end
            else:
                end = statement_end(tokens, index)
                self._statement(tokens[index:end], place)
                index = end

    def _branch(self, tokens: Sequence[CppToken], at: int, place: _Place) -> int:
        opening = at + 1 + (tokens[at + 1].text == "constexpr")
        closing = matching(tokens, opening)
        then_end = statement_end(tokens, closing + 1)
        then, other, end = tokens[closing + 1 : then_end], tokens[:0], then_end
        if then_end < len(tokens) and tokens[then_end].text == "else":
            end = statement_end(tokens, then_end + 1)
            other = tokens[then_end + 1 : end]
        try:
            condition = plan(tree(tokens[opening + 1 : closing]), place.scope)
        except Unresolved as error:
            condition = OPEN
            if self._matters(then) or self._matters(other):
                self._ask(tokens[at], f"the condition `{shown(tokens[opening + 1 : closing])}`: {error.message}", error)
        for body, said in ((then, condition), (other, f"not ({condition})")):
            if self._matters(body):
                inner = _Place(place.scope, [*place.conditions, said], place.aliases, place.loop, place.depth)
                self._statements(body, inner)
            else:
                for name in assigned(body):
                    place.scope.values[name] = None
        if any(token.text == "return" for token in then) and not self._matters(then):
            if condition == OPEN:
                self.found.notes.append(f"line {tokens[at].line}: what follows an early return is launched always")
            else:
                place.conditions = [*place.conditions, f"not ({condition})"]
        return end

    def _matters(self, tokens: Sequence[CppToken]) -> bool:
        """Whether something in it launches, or calls what does."""
        names = {token.text for token in tokens}
        return "<<<" in names or any(
            name in names and any(it.text == "<<<" for it in host.body) for name, host in self.file.hosts.items()
        )

    def _statement(self, tokens: Sequence[CppToken], place: _Place) -> None:
        words = [token.text for token in tokens]
        if (words and words[0].startswith("AT_DISPATCH")) or (lambda_body(tokens) is not None and "<<<" in words):
            self._dispatch(tokens, place)
        elif "<<<" in words:
            self._launch(tokens, place)
        elif words and words[0] in ("TORCH_CHECK", "assert", "AT_ASSERT") and len(words) > 2:
            self._require(tokens, place)
        elif called := memory_call(tokens):
            self._memory_call(called, place)
        elif len(words) > 2 and words[0] in self.file.hosts and words[1] in ("(", "<"):
            self._call(tokens, place)
        elif len(words) > 4 and words[0] == "return" and words[1] in self.file.hosts:
            self._call(tokens[1:], place)
        elif len(words) > 3 and words[1:3] == [".", "zero_"]:
            self._zero(tokens[0], place)
        elif words and words[0] not in ("return", "throw", *_IGNORED):
            self._declare(tokens, place)

    def _dispatch(self, tokens: Sequence[CppToken], place: _Place) -> None:
        """AT_DISPATCH_…(x.scalar_type(), "name", [&] { … scalar_t … }): the element type of `x`."""
        body = lambda_body(tokens)
        if body is None:
            return
        aliases = dict(place.aliases)
        try:
            first = tree(split(tokens[2 : matching(tokens, 1)])[0])
            if isinstance(first, ast.Call) and isinstance(first.func, ast.Attribute):
                aliases["scalar_t"] = f"{tensor_of(first.func.value, place.scope).name}_t"
        except (Unresolved, IndexError) as error:
            self.found.ask(tokens[0].line, f"the type that `{tokens[0].text}` chooses: {error}", "Bind its tensor.")
        inner = _Place(place.scope, place.conditions, aliases, place.loop, place.depth)
        self._statements(tokens[body + 1 : matching(tokens, body)], inner)

    def _call(self, tokens: Sequence[CppToken], place: _Place) -> None:
        """A host function called by another: its launches, with its parameters as they are given."""
        host = self.file.hosts[tokens[0].text]
        opening = next(i for i, token in enumerate(tokens) if token.text == "(")
        if not self._matters(host.body) or place.depth > _CALLED_DEEPEST:
            return
        args = split(tokens[opening + 1 : matching(tokens, opening)])
        inner = self._scope()
        for (_, name), arg in zip(host.parameters, args, strict=False):
            try:
                inner.values[name] = (tree(arg), place.scope)
            except Unresolved:
                inner.values[name] = None
        self._statements(host.body, _Place(inner, list(place.conditions), place.aliases, place.loop, place.depth + 1))

    def _require(self, tokens: Sequence[CppToken], place: _Place) -> None:
        """A check on sizes is the kernel's domain; one on devices and types says nothing here."""
        try:
            said = plan(tree(split(tokens[2 : matching(tokens, 1)])[0]), place.scope)
        except (Unresolved, IndexError):
            return
        if not place.conditions:
            self.found.requires.append(said)

    def _declare(self, tokens: Sequence[CppToken], place: _Place) -> None:
        scope, parts = place.scope, split([token for token in tokens if token.text != ";"])
        for number, part in enumerate(parts):
            words = [token.text for token in part]
            compound = any(
                a.text in "+-*/%|&^" and b.text == "=" and a.column + 1 == b.column for a, b in itertools.pairwise(part)
            )
            equals = words.index("=") if "=" in words else None
            if compound or "++" in "".join(words) or "--" in "".join(words):
                for token in part:
                    if token.text in scope.values:
                        scope.values[token.text] = None
                continue
            if equals is None:
                self._constructed(part, scope, first=number == 0)
            elif part[equals - 1].kind == "identifier":
                self._assign(part[equals - 1], part[equals + 1 :], scope)

    def _constructed(self, part: Sequence[CppToken], scope: Scope, *, first: bool) -> None:
        """`dim3 grid(a, b)`, `dim3 grid{a, b}`."""
        words = [token.text for token in part]
        if first and len(words) > 3 and words[-1] in (")", "}") and part[0].kind == part[1].kind == "identifier":
            opening = 2
            extents = split(part[opening + 1 : matching(part, opening)])
            try:
                scope.assign(words[1], ast.List([tree(it) for it in extents], ast.Load()))
            except Unresolved:
                scope.values[words[1]] = None

    def _assign(self, name: CppToken, value: Sequence[CppToken], scope: Scope) -> None:
        try:
            node = tree(value)
        except Unresolved:
            scope.values[name.text] = None
            return
        if isinstance(node, ast.Call) and _called(node) in _ALLOCATING and node.args:
            self._allocate(name, node, scope)
        elif any(isinstance(it, ast.Name) and it.id == name.text for it in ast.walk(node)):
            try:
                scope.memory[name.text] = tensor_of(node, scope)
            except Unresolved:
                scope.values[name.text] = None
        elif isinstance(node, ast.Call) and _called(node) == "dim3":
            scope.assign(name.text, ast.List(node.args, ast.Load()))
        else:
            scope.assign(name.text, node)

    def _allocate(self, name: CppToken, call: ast.Call, scope: Scope) -> None:
        zero, outputs = "zeros" in _called(call), [it.name for it in self.task.outputs]
        output = self.bindings.get(name.text, name.text)
        if output not in outputs and name.text in self.returned and len(self.returned) == len(outputs):
            output = outputs[self.returned.index(name.text)]
        if output in outputs:
            scope.memory[name.text] = tensor_of(ast.Name(output), Scope(self.task, {}))
            if zero:
                self.found.steps.append(Step("", fill=output))
            return
        try:
            shape, dtype = self._buffer(call, scope)
        except Unresolved as error:
            shape, dtype = [OPEN], "float32"
            self._ask(name, f"the size or type of the buffer `{name.text}`: {error.message}", error)
        self.found.buffers.append(Scratch(name.text, shape, dtype, zero))
        scope.memory[name.text] = Memory(name.text, tuple(shape))

    def _buffer(self, call: ast.Call, scope: Scope) -> tuple[list[str], str]:
        if _called(call).endswith("_like"):
            like = tensor_of(call.args[0], scope)
            return list(like.shape), f"{like.name}_t"
        first = call.args[0]
        shape = [plan(it, scope) for it in (first.elts if isinstance(first, ast.List | ast.Tuple) else [first])]
        if len(call.args) < 2:
            return shape, "float32"
        for node in ast.walk(call.args[1]):
            word = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
            if word in DTYPES:
                return shape, DTYPES[word]
        for node in ast.walk(call.args[1]):
            if isinstance(node, ast.Attribute) and node.attr in ("options", "scalar_type", "dtype"):
                return shape, f"{tensor_of(node.value, scope).name}_t"
        raise Unresolved("its element type cannot be told")

    def _memory_call(self, tokens: Sequence[CppToken], place: _Place) -> None:
        args = split(tokens[2 : matching(tokens, 1)])
        name = next((token for token in reversed(args[0]) if token.kind == "identifier"), None) if args else None
        if name is None:
            return
        if tokens[0].text.startswith("cudaMemset"):
            if len(args) > 1 and [token.text for token in args[1]] == ["0"]:
                self._zero(name, place)
            else:
                self.found.ask(name.line, f"`{name.text}` is set to bytes that are not 0", "A fill has 0 or -1.")
            return
        tensors = {it.name for it in tensors_of(self.task)}
        bound = self.bindings.get(name.text, name.text.removeprefix("d_"))
        if bound in tensors:
            place.scope.memory[name.text] = tensor_of(ast.Name(bound), Scope(self.task, {}))
            return
        found = scratch_of(name.text, args[1], place.scope) if len(args) > 1 else None
        if found is not None:
            self.found.buffers.append(found)
        else:
            self.found.ask(
                name.line,
                f"`{name.text}` is allocated, and is no tensor of the task ({', '.join(sorted(tensors))})",
                f"Bind it, --bind {name.text}=TENSOR, or add a [[buffer]] of that name.",
            )
        place.scope.memory[name.text] = Memory(name.text, tuple(found.shape) if found else ())

    def _zero(self, name: CppToken, place: _Place) -> None:
        try:
            memory = tensor_of(ast.Name(name.text), place.scope)
        except Unresolved as error:
            self._ask(name, f"`{name.text}` is set to zero: {error.message}", error)
        else:
            self.found.steps.append(Step("", fill=memory.name, when=joined(place.conditions)))

    def _launch(self, tokens: Sequence[CppToken], place: _Place) -> None:
        at = next(index for index, token in enumerate(tokens) if token.text == "<<<")
        end = next((i for i in range(at + 1, len(tokens) - 2) if closes(tokens, i)), None)
        name, template = kernel_before(tokens[:at])
        if end is None or name is None or name.text not in self.signatures:
            self.found.ask(tokens[at].line, f"the launch of `{shown(tokens[:at])}` cannot be read", "Write it by hand.")
            return
        if place.loop:
            remedy = "Write `repeat` in its [[launch]]; the index is `i`."
            self.found.ask(name.line, f"`{name.text}` is launched in a loop", remedy)
        signature = self.signatures[name.text]
        config = split(tokens[at + 1 : end])
        step = Step(self.qualified.get(name.text, name.text), when=joined(place.conditions))
        if template:
            step.kernel += f"<{', '.join(self._template(part, place, name) for part in split(template))}>"
        elif signature.template is not None:
            self.found.ask(name.line, f"the template arguments of `{name.text}` are deduced", "Write them out.")
        step.grid, step.block = (
            self._extents(part, place, name, what) for part, what in zip(config, ("grid", "block"), strict=False)
        )
        if len(config) > 2:
            step.shared = self._value(config[2], place, name, "shared memory")
        args = split(tokens[end + 4 : matching(tokens, end + 3)]) if end + 3 < len(tokens) else []
        if len(args) != len(signature.parameters):
            self.found.ask(name.line, f"`{name.text}` is given {len(args)} arguments", "Give one for each parameter.")
        for parameter, arg in zip(signature.parameters, args, strict=False):
            what = f"argument `{parameter.name}` of `{name.text}`"
            pointer = "*" in parameter.type
            said = self._memory(arg, place, name, what) if pointer else self._value(arg, place, name, what)
            if said != parameter.name:
                step.args[parameter.name] = said
        self.found.steps.append(step)

    def _template(self, part: Sequence[CppToken], place: _Place, name: CppToken) -> str:
        text = shown(part)
        text = place.aliases.get(text, TYPES.get(text, text))
        if len(part) == 1 and part[0].kind == "identifier" and part[0].text in place.scope.values:
            value = self._value(part, place, name, f"template argument `{text}`")
            if not value.isdecimal() and value != OPEN:
                remedy = "Make it a knob under [tune]."
                self.found.ask(name.line, f"template argument `{text}` is `{value}`, known only at run time", remedy)
            return value
        return text

    def _extents(self, part: Sequence[CppToken], place: _Place, name: CppToken, what: str) -> list[str]:
        try:
            node, scope = tree(part), place.scope
            while isinstance(node, ast.Name) and (value := scope.values.get(node.id)):
                node, scope = value
            if isinstance(node, ast.Call) and _called(node) == "dim3":
                node = ast.List(node.args, ast.Load())
            return [plan(it, scope) for it in (node.elts if isinstance(node, ast.List) else [node])]
        except Unresolved as error:
            self._ask(name, f"the {what} of `{name.text}`, `{shown(part)}`: {error.message}", error)
            return [OPEN]

    def _memory(self, part: Sequence[CppToken], place: _Place, name: CppToken, what: str) -> str:
        try:
            return tensor_of(tree(part), place.scope).name
        except Unresolved as error:
            self._ask(name, f"{what}, `{shown(part)}`: {error.message}", error)
            return OPEN

    def _value(self, part: Sequence[CppToken], place: _Place, name: CppToken, what: str) -> str:
        try:
            return plan(tree(part), place.scope)
        except Unresolved as error:
            self._ask(name, f"{what}, `{shown(part)}`: {error.message}", error)
            return OPEN

    def _ask(self, token: CppToken, what: str, error: Unresolved) -> None:
        remedy = f"Say what it is: --bind {error.name}=…" if error.name else "Write it into the head block by hand."
        self.found.ask(token.line, what, remedy)


_ALLOCATING = {"empty", "zeros", "empty_like", "zeros_like"}


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
