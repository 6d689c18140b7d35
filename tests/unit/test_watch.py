"""Looking on at what PyTorch computes, and erring in it, at no more cost than it takes."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from warpsmith.tasks.jitter import jitter
from warpsmith.tasks.watch import watching

LOADED = """
import sys, torch
{before}
from warpsmith.tasks.jitter import jitter
from warpsmith.tasks.watch import watching
seen = []
with watching(lambda func, args, kwargs, result: seen.append(func)), jitter(0):
    torch.ones(4).exp()
assert seen
print("torch._dynamo" in sys.modules)
"""


@pytest.mark.parametrize(
    ("before", "loaded"), [("", "False"), pytest.param("import torch._dynamo", "True", marks=pytest.mark.full)]
)
def test_pytorchs_compiler_is_loaded_only_where_something_else_loads_it(before: str, loaded: str) -> None:
    """It takes seconds, of every verdict."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(before=before)], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == [loaded]


def steps(x: torch.Tensor) -> torch.Tensor:
    return torch.softmax(x @ x.T, -1).exp() * 3


def test_every_operation_is_told() -> None:
    """Also of a reference that PyTorch compiles, where only its own operations count."""
    for reference in (steps, torch.compile(steps, backend="eager")):
        names: list[str] = []

        def look(func: Any, *told: Any, names: list[str] = names) -> None:
            names.append(func.overloadpacket.__name__)

        with watching(look):
            reference(torch.ones(4, 4))
        assert [name for name in names if name in ("mm", "_softmax", "exp", "mul")] == ["mm", "_softmax", "exp", "mul"]


def test_a_reference_that_pytorch_compiles_errs_as_it_does_uncompiled() -> None:
    """With the same seed by the same places."""
    x = torch.linspace(-1, 1, 64).reshape(8, 8)
    compiled = torch.compile(steps, backend="eager")
    compiled(x)
    with jitter(5):
        erring = steps(x)
    with jitter(5):
        assert torch.equal(compiled(x), erring)
    assert not torch.equal(erring, steps(x))


def test_a_whole_number_errs_by_what_it_was_made_of_alone() -> None:
    """Rounding adds nothing; a code one last place below 25 would be cut off to 24."""
    x = torch.linspace(-100, 100, 1000)
    with jitter(5):
        rounded, floored, parts = (3 * x).round(), torch.div(x, 7, rounding_mode="floor"), (3 * x).round(decimals=1)
    assert torch.equal(rounded, rounded.trunc())
    assert torch.equal(floored, floored.trunc())
    assert not torch.equal(parts, (3 * x).round(decimals=1))
