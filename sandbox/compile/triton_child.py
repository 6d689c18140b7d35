"""The jailed program that turns a Triton text into PTX (`jail/child.py` runs it).

The text was screened (`screen/triton.py`) before it came here; what Triton reads of it is proved equal to the screened
syntax tree, and it is never imported: its functions are defined in a namespace that holds Triton and three type names.
No assembler runs here, so this process starts no other (`ptxas_child.py` does).
"""

from __future__ import annotations

import ast
import importlib
import io
import linecache
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from warpsmith.sandbox.compile.triton_ptx import SOURCE, merge
else:
    from triton_ptx import SOURCE, merge

_METADATA = ("shared", "num_warps", "num_ctas", "global_scratch_size", "global_scratch_align", "profile_scratch_size")
_REPORTED = re.compile(re.escape(SOURCE) + r"\W{1,3}(\d+):\d+\W{1,3}(error: .*)")
_MOST_TEXT = 800
_REFUSALS = (RuntimeError, ValueError, TypeError, AssertionError, LookupError, AttributeError, ArithmeticError)
"""What Triton raises about a text where it raises no CompilationError; anything else ends the process."""


class _Folder:
    """Triton's intermediate results in the child's own folder.

    Triton's cache renames files across folders, which the confinement does not allow.
    """

    def __init__(self, key: str, override: bool = False, dump: bool = False) -> None:
        self._folder = Path(os.environ["TMPDIR"], key)
        self._folder.mkdir(exist_ok=True)

    def get_file(self, filename: str) -> str | None:
        path = self._folder / filename
        return str(path) if path.exists() else None

    def get_group(self, filename: str) -> dict[str, str] | None:
        return None

    def put(self, data: object, filename: str, binary: bool = True) -> str:
        path = self._folder / filename
        path.write_bytes(data if isinstance(data, bytes) else str(data).encode())
        return str(path)

    def put_group(self, filename: str, group: dict[str, str]) -> str:
        return ""


class _Failed(Exception):  # noqa: N818 - the candidate's failure, a value in the reply
    def __init__(self, message: str, line: int = 0, build: str = "") -> None:
        super().__init__(message)
        self.message, self.line, self.build = message, line, build


def prepare(setup: dict[str, Any]) -> None:
    """Import Triton, and let it ask its assembler for its version while processes may still be started."""
    scratch = os.environ["TMPDIR"]
    os.environ.update(HOME=scratch, TRITON_HOME=scratch, PATH="/usr/bin:/bin")
    sys.path.append(setup["packages"])
    triton = importlib.import_module("triton")
    importlib.import_module("triton.language.extra.libdevice")
    importlib.import_module("triton.compiler")
    nvidia = importlib.import_module("triton.backends.nvidia.compiler")
    nvidia.get_ptxas_version(setup["capability"])
    triton.knobs.cache.manager_class = _Folder
    # Triton would hash half a gigabyte of itself into the names of what it keeps; the folder is this child's alone.
    cache: Any = importlib.import_module("triton.runtime.cache")
    cache.triton_key = lambda: triton.__version__
    triton.knobs.runtime.add_stages_inspection_hook = _without_assembler


def work(request: dict[str, Any], blobs: list[bytearray]) -> tuple[dict[str, Any], list[bytes]]:
    """Compile every build of a request into one module."""
    errors = os.open(f"{os.environ['TMPDIR']}/errors", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(errors, 2)
    reply: dict[str, Any] = {"message": "", "line": 0, "build": "", "ptx": "", "metadata": []}
    reply["version"] = importlib.import_module("triton").__version__
    try:
        functions, tree = _define(request["text"])
        made = [_build(build, functions, tree, request["capability"], errors) for build in request["builds"]]
        reply["ptx"] = merge([text for text, _ in made], request["names"])
        reply["metadata"] = [metadata for _, metadata in made]
    except _Failed as failed:
        reply |= {"message": failed.message, "line": failed.line, "build": failed.build}
    return reply, []


def _define(text: str) -> tuple[dict[str, Any], ast.Module]:
    """The text's jit functions, and its tree."""
    tree = ast.parse(text, SOURCE)
    # Triton reads sources through `inspect`, which asks here first.
    linecache.cache[SOURCE] = (len(text), None, io.StringIO(text, newline=None).readlines(), SOURCE)
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    rest = ast.Module([node for node in tree.body if node not in imports], [])
    namespace: dict[str, Any] = {
        "__name__": "candidate",
        "__builtins__": {"int": int, "float": float, "bool": bool},
        "triton": importlib.import_module("triton"),
        "tl": importlib.import_module("triton.language"),
        "libdevice": importlib.import_module("triton.language.extra.libdevice"),
    }
    exec(compile(rest, SOURCE, "exec"), namespace)  # noqa: S102 - screened, confined, and no builtins
    functions = {}
    constexpr = namespace["tl"].constexpr
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            # Triton 3.7 wants `X = tl.constexpr(1)`; files may also say `X: tl.constexpr = 1`, as parameters do.
            namespace[node.target.id] = constexpr(namespace[node.target.id])
        if isinstance(node, ast.FunctionDef):
            functions[node.name] = namespace[node.name]
            _prove_same(functions[node.name], node)
    return functions, tree


def _prove_same(function: Any, screened: ast.FunctionDef) -> None:
    """Stop where what Triton will compile is not what was screened."""
    screened.decorator_list = []
    body = function.parse().body
    if len(body) != 1 or ast.dump(body[0]) != ast.dump(screened):
        raise _Failed(f"the text of `{screened.name}` is ambiguous. Write one plain `def` on a line.", screened.lineno)


def _build(
    build: dict[str, Any], functions: dict[str, Any], tree: ast.Module, capability: int, errors: int
) -> tuple[str, dict[str, int]]:
    """PTX and metadata of one specialisation."""
    triton = importlib.import_module("triton")
    compiler = importlib.import_module("triton.compiler")
    backend = importlib.import_module("triton.backends.compiler")
    names = list(build["types"])
    attributes = {(names.index(name),): [["tt.divisibility", 16]] for name in build["divisible_by_16"]}
    source = compiler.ASTSource(functions[build["function"]], build["types"], build["constants"], attributes)
    try:
        made = triton.compile(source, target=backend.GPUTarget("cuda", capability, 32), options=build["options"])
    except triton.compiler.errors.CompilationError as error:
        message, line = _blame(error, functions, tree)
        raise _Failed(message, line, build["entry"]) from error
    except _REFUSALS as error:
        message, line = _reported(errors)
        raise _Failed(message or f"{type(error).__name__}: {error}"[:_MOST_TEXT], line, build["entry"]) from error
    return made.asm["ptx"], {name: int(getattr(made.metadata, name, 0) or 0) for name in _METADATA}


def _without_assembler(*arguments: Any) -> tuple[str, str]:
    """Triton's stage hook: all builds are assembled together afterwards."""
    if arguments:
        arguments[1]["cubin"] = lambda ptx, metadata: b""
    return "", ""


def _blame(error: Any, functions: dict[str, Any], tree: ast.Module) -> tuple[str, int]:
    """Message and line of the innermost error that lies in the candidate."""
    starts = {node.name: node.lineno for node in tree.body if isinstance(node, ast.FunctionDef)}
    sources = {function.src: starts[name] for name, function in functions.items()}
    message, line = "", 0
    inner: BaseException | None = error
    while inner is not None:
        source, node = getattr(inner, "src", None), getattr(inner, "node", None)
        if source in sources and isinstance(node, ast.stmt | ast.expr):
            line = sources[source] + node.lineno - 1
        message = (
            getattr(inner, "error_message", None) or (message if hasattr(inner, "node") else _said(inner)) or message
        )
        inner = inner.__cause__
    return (message or "the kernel does not compile")[:_MOST_TEXT], line


def _said(error: BaseException) -> str:
    """What an error of Python's says; its kind where it says nothing, as running out of memory does."""
    return str(error) or f"{type(error).__name__} while Python computes a constant: it is too large"


def _reported(errors: int) -> tuple[str, int]:
    """The first error that Triton's passes printed about the candidate."""
    os.lseek(errors, 0, os.SEEK_SET)
    found = _REPORTED.search(os.read(errors, 1 << 20).decode("utf-8", "replace"))
    return (found.group(2)[:_MOST_TEXT], int(found.group(1))) if found else ("", 0)
