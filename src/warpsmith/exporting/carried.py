"""The Python that an export takes out of a task file: functions, with everything of the file that they name."""

from __future__ import annotations

import ast
import builtins
import dataclasses
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from warpsmith.core.errors import SettingsError

_OURS = "warpsmith."
_PLAIN = (bool, int, float, complex, str, bytes, type(None), tuple, list, dict, set, frozenset)
INTERMEDIATE = '''\
def intermediate(tensor, dtype):
    """Round to the dtype in which a value is stored on the way, and widen again."""
    return tensor.to(getattr(torch, dtype) if isinstance(dtype, str) else dtype).to(tensor.dtype)
'''


def carry(functions: dict[str, Callable[..., Any]], task: str) -> str:
    """Source that defines each function under the given name, importing PyTorch and the standard library alone.

    Raises:
        SettingsError: one names something that cannot be written down; says what, and what to write instead.
    """
    collected = _Collected(task)
    given = {name: collected.take(name, function) for name, function in functions.items()}
    lines = ["from __future__ import annotations", "", *sorted({"import torch", *collected.imports}), ""]
    lines += [f"{name} = {text}" for name, text in collected.constants.items()]
    lines += ["", *("\n" + text.rstrip() + "\n" for text in collected.definitions.values())]
    lines += [f"{name} = {found}" for name, found in given.items() if name != found]
    return "\n".join(lines).strip() + "\n"


class _Collected:
    """What has been found so far, by the name it is called by."""

    def __init__(self, task: str) -> None:
        self.task = task
        self.imports: set[str] = set()
        self.constants: dict[str, str] = {}
        self.definitions: dict[str, str] = {}
        self._owners: dict[str, object] = {}

    def take(self, wanted: str, function: Callable[..., Any]) -> str:
        """Define a function and all it names; answers the name it has in the text."""
        if not isinstance(function, FunctionType):
            raise self._refuse(wanted, "is no plain function", "Write it as a `def` in the task file.")
        if function.__name__ == "<lambda>":
            raise self._refuse(wanted, "is a lambda", "Write it as a `def` in the task file.")
        name = function.__name__ if function.__closure__ is None else wanted.replace(" ", "_")
        if self._owners.get(name) is function:
            return name
        self._claim(name, function)
        text = self._source(function)
        for used in _names(function.__code__):
            if used in function.__globals__:
                self._use(used, function.__globals__[used])
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        self.definitions[name] = self._closed(name, function, text, cells) if cells else text
        return name

    def _closed(self, name: str, function: FunctionType, text: str, cells: dict[str, Any]) -> str:
        """A function inside another: its surroundings become a function that makes it."""
        inside = []
        for free, cell in cells.items():
            value = cell.cell_contents
            if isinstance(value, FunctionType):
                inside.append(f"{free} = {self.take(free, value)}")
            else:
                inside.append(f"{free} = {self._literal(free, value)}")
        body = textwrap.indent("\n".join([*inside, text.rstrip(), f"return {function.__name__}"]), "    ")
        return f"def _make_{name}():\n{body}\n\n\n{name} = _make_{name}()\n"

    def _use(self, name: str, value: object) -> None:
        """Bring along what a function knows under a name."""
        if name == "intermediate" and getattr(value, "__module__", "").startswith(_OURS):
            self._claim(name, value)
            self.definitions.setdefault(name, INTERMEDIATE)
        elif isinstance(value, ModuleType):
            if value.__name__.startswith(_OURS):
                raise self._refuse(name, f"is the module {value.__name__}", "Import its functions by name.")
            module = value.__name__
            self.imports.add(f"import {module}" if module == name else f"import {module} as {name}")
        elif isinstance(value, FunctionType) and _is_ours(value):
            if self.take(name, value) != name:
                raise self._refuse(name, f"is {value.__name__} by another name", "Call it by its own.")
        elif isinstance(value, type) and _is_ours(value):
            self._take_class(name, value)
        elif isinstance(value, FunctionType | BuiltinFunctionType | type):
            self.imports.add(f"from {value.__module__} import {value.__qualname__} as {name}")
        else:
            self._claim(name, value)
            self.constants[name] = self._literal(name, value)

    def _take_class(self, name: str, kind: type) -> None:
        """A named tuple or dataclass; its methods are carried too."""
        if self._owners.get(name) is kind:
            return
        self._claim(name, kind)
        for method in vars(kind).values():
            code = getattr(getattr(method, "fget", method), "__code__", None)
            owner = getattr(method, "fget", method)
            if code is None or code.co_filename != inspect.getsourcefile(kind):
                continue
            for used in _names(code):
                if used in owner.__globals__:
                    self._use(used, owner.__globals__[used])
        if dataclasses.is_dataclass(kind):
            self.imports.add("from dataclasses import dataclass, field")
        if issubclass(kind, tuple):
            self.imports.add("from typing import NamedTuple")
        self.definitions[name] = textwrap.dedent(inspect.getsource(kind))

    def _claim(self, name: str, value: object) -> None:
        owner = self._owners.setdefault(name, value)
        if owner is not value:
            raise self._refuse(name, "means two things in the files it comes from", "Give one of them another name.")

    def _literal(self, name: str, value: object) -> str:
        """A value as Python text."""
        text = repr(value)
        if isinstance(value, _PLAIN):
            try:
                if ast.literal_eval(text) == value:
                    return text
            except (ValueError, SyntaxError):
                pass
        if type(value).__module__ == "torch" and type(value).__name__ == "dtype":
            return text
        raise self._refuse(name, f"is a {type(value).__name__}", "Compute it inside the function.")

    def _source(self, function: FunctionType) -> str:
        try:
            return textwrap.dedent(inspect.getsource(function))
        except (OSError, TypeError) as error:
            raise self._refuse(function.__name__, "has no source", "Write it as a `def` in the task file.") from error

    def _refuse(self, name: str, why: str, remedy: str) -> SettingsError:
        return SettingsError(f"{self.task}: `{name}` cannot be carried into an export: it {why}.", remedy=remedy)


def _is_ours(value: Any) -> bool:
    """Whether it comes from a task file or what stands beside it, and not from an installed package."""
    module = str(getattr(value, "__module__", ""))
    return module.startswith(("warpsmith_task_", _OURS))


def _names(code: CodeType) -> Iterator[str]:
    """Global names that code, and the functions inside it, may read."""
    yield from (name for name in code.co_names if name not in vars(builtins))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def joined(texts: Iterable[str]) -> str:
    """Modules as one: their imports of each other and of the future go, the latter to the top."""
    body: list[str] = []
    for text in texts:
        tree = ast.parse(text)
        gone: set[int] = set()
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and (node.level or node.module == "__future__"):
                gone |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        body += [line for number, line in enumerate(text.splitlines(), 1) if number not in gone]
        body += ["", ""]
    return "from __future__ import annotations\n\n" + "\n".join(body).strip() + "\n"
