"""How many twins and hand-derived counters there are, by reading the tests."""

from __future__ import annotations

import ast
from pathlib import Path

HERE = Path(__file__).parent


def _nodes(pattern: str) -> list[ast.AST]:
    return [node for path in HERE.glob(pattern) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]


def _calls(nodes: list[ast.AST], method: str) -> int:
    called = [node.func for node in nodes if isinstance(node, ast.Call)]
    return sum(
        isinstance(func, ast.Attribute) and func.attr == method and ast.unparse(func.value) == "bench"
        for func in called
    )


def test_at_least_sixty_kernels_stand_beside_a_bad_twin() -> None:
    nodes = _nodes("checkers/test_*.py")
    assert _calls(nodes, "bad") + _calls(nodes, "faults") >= 60
    assert _calls(nodes, "good") >= 60


def test_at_least_twenty_five_kernels_have_counters_worked_out_by_hand() -> None:
    tests = [node for node in _nodes("test_counters_of_*.py") if isinstance(node, ast.FunctionDef)]
    counted = [test.name for test in tests if test.name.startswith("test_") and "count" in ast.unparse(test.args)]
    assert len(counted) >= 25
