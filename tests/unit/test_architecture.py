"""Imports point one way, heavy packages load where they are used, and files stay small."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("agents", "kernels_generated", "profiler", "sandbox", "seeds", "tasks")

ALLOWED: dict[str, set[str]] = {
    "core": set(),
    "settings": {"core"},
    "store": {"core"},
    "tasks": {"core"},
    "seeds": {"core"},
    "profiler": {"core"},
    "agents": {"core", "seeds"},
    "sandbox": {"core", "tasks", "profiler"},
    "kernels_generated": {"core", "tasks", "profiler", "sandbox", "settings"},
    "leaderboard": {"core", "store", "kernels_generated"},
    "gpus": {"core", "settings", "sandbox"},
    "exporting": {"core", "settings", "store", "tasks", "sandbox", "kernels_generated"},
    "silicon": {"core", "settings", "gpus", "tasks", "seeds", "profiler", "sandbox", "kernels_generated", "exporting"},
    "doctor": {"core", "settings", "profiler", "sandbox", "gpus"},
    "acceptor": {"core", "store", "profiler", "agents", "kernels_generated"},
    "app": {
        *("core", "settings", "store", "tasks", "seeds", "profiler", "agents", "sandbox", "kernels_generated"),
        *("leaderboard", "gpus", "doctor", "acceptor"),
    },
    "models": {"core", "settings", "agents"},
    "wiring": {"core", "gpus", "store", "tasks", "seeds", "agents", "acceptor", "app", "models"},
    "runs": {"core", "settings", "gpus", "store", "tasks", "agents", "app", "models", "wiring"},
    "certification": {"core", "settings", "gpus", "store", "kernels_generated", "app"},
    "porting": {"core"},
    "previews": {"core", "seeds", "agents", "sandbox", "app", "models"},
    "cli": {
        *("core", "settings", "store", "tasks", "profiler", "kernels_generated", "leaderboard", "doctor", "app"),
        *("models", "runs", "previews", "certification", "porting", "exporting"),
    },
    "__main__": {"cli"},
}
"""Part of warpsmith -> parts it may import."""

HEAVY = {"torch", "triton", "openai", "anthropic", "ray", "cuda", "pynvml"}
NEVER_TORCH = ("sandbox/emulator/", "src/warpsmith/core/kernel_file/", "src/warpsmith/core/expression")
LONGEST = {".py": 400, ".pyi": 400, ".h": 550, ".cpp": 550}
"""Lines a file may have; tests get a tenth more, and generated tables (`.inc`) are no reading matter."""


@cache
def tracked(*suffixes: str) -> tuple[str, ...]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple(name for name in listed.stdout.split("\0") if name.endswith(suffixes) and (ROOT / name).is_file())


def sources() -> list[str]:
    folders = (*(f"{folder}/" for folder in FOLDERS), "src/")
    # Below seeds/ lie kernels: data in Python's syntax, which nobody imports.
    return [name for name in tracked(".py") if name.startswith(folders) and not re.match(r"seeds/\w+/", name)]


def part_of(name: str) -> str:
    parts = Path(name).with_suffix("").parts
    return parts[2] if parts[0] == "src" else parts[0]


def imports(name: str) -> Iterator[tuple[str, int, bool]]:
    """(module, line, at top level): imports in functions are not at top level, nor those for type checkers only."""
    yield from _imports(ast.parse((ROOT / name).read_text()).body, top=True)


def _imports(body: list[ast.stmt], *, top: bool) -> Iterator[tuple[str, int, bool]]:
    for node in body:
        match node:
            case ast.Import():
                yield from ((alias.name, node.lineno, top) for alias in node.names)
            case ast.ImportFrom(module=str(module), level=0):
                yield from ((f"{module}.{alias.name}", node.lineno, top) for alias in node.names)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                yield from _imports(node.body, top=False)
                yield from _imports(node.orelse, top=top)
            case _:
                inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                blocks = (getattr(node, field, []) for field in ("body", "orelse", "finalbody"))
                nested = [*(item for block in blocks for item in block)]
                for handler in [*getattr(node, "handlers", []), *getattr(node, "cases", [])]:
                    nested += handler.body
                yield from _imports(nested, top=top and not inside)


def is_task_file(name: str) -> bool:
    return name.startswith("tasks/") and len(Path(name).parts) == 3


def runs_elsewhere(name: str) -> bool:
    """What runs where warpsmith is not, exports and what tries them: nothing of warpsmith imports it."""
    return name.startswith("src/warpsmith/exporting/runtime/") or name == "src/warpsmith/silicon/export_child.py"


def test_every_part_imports_only_what_lies_below_it() -> None:
    wrong = [
        f"{name}:{line} imports {module}"
        for name in sources()
        if part_of(name) not in ("__init__",)
        for module, line, _ in imports(name)
        if module.startswith("warpsmith.")
        and module.split(".")[1] != part_of(name)
        and module.split(".")[1] not in ALLOWED[part_of(name)]
    ]
    assert [] == wrong


def test_the_allowed_directions_hold_no_circle() -> None:
    order = list(ALLOWED)
    assert [] == [
        f"{part} -> {other}"
        for part, others in ALLOWED.items()
        for other in others
        if order.index(other) >= order.index(part)
    ]


def test_heavy_packages_are_imported_where_they_are_used() -> None:
    wrong = [
        f"{name}:{line} imports {module}"
        for name in sources()
        for module, line, top in imports(name)
        if top and module.split(".")[0] in HEAVY
        if not (module.split(".")[0] == "torch" and (is_task_file(name) or runs_elsewhere(name)))
    ]
    assert [] == wrong


def test_emulator_kernel_file_and_ptx_know_neither_torch_nor_triton() -> None:
    wrong = [
        f"{name}:{line} imports {module}"
        for name in sources()
        if name.startswith(NEVER_TORCH)
        for module, line, _ in imports(name)
        if module.split(".")[0] in ("torch", "triton")
    ]
    assert [] == wrong


def test_only_settings_reads_the_environment() -> None:
    """A jailed child's program has an environment of its own, which the jail made."""
    readers = {
        name
        for name in sources()
        if not name.endswith("_child.py")
        for node in ast.walk(ast.parse((ROOT / name).read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    }
    assert {"src/warpsmith/settings.py"} == readers


def test_no_file_outgrows_a_reader() -> None:
    lengths = {name: (ROOT / name).read_text().count("\n") for name in tracked(*LONGEST)}
    limits = {name: LONGEST[Path(name).suffix] * (1.1 if name.startswith("tests/") else 1) for name in lengths}
    assert {} == {name: length for name, length in lengths.items() if length > limits[name]}


def test_no_module_is_named_for_having_no_idea() -> None:
    vague = {"utils", "util", "helpers", "helper", "misc", "common", "base"}
    assert [] == [name for name in sources() if Path(name).stem in vague]


@pytest.mark.parametrize("arguments", [["--help"], ["optimize", "--help"], ["tasks", "list", "--json"]])
def test_a_light_command_loads_no_heavy_package(arguments: list[str]) -> None:
    code = "import sys; from warpsmith.cli import main; sys.argv = ['warpsmith', *sys.argv[1:]]; main()"
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    loaded = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in ran.stderr.splitlines() if "|" in line}
    assert "typer" in loaded
    assert set() == loaded & {*HEAVY, "numpy", "pydantic_settings"} - ({"numpy"} if arguments[0] == "tasks" else set())
