"""A candidate's builds: the first alone, the others several at a time, and what each of them ends in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial

import pytest

from warpsmith.core.arch import find_architecture
from warpsmith.core.artifact import Artifact
from warpsmith.core.errors import ToolchainError
from warpsmith.core.kernel_file import parse_kernel_file
from warpsmith.core.outcome import CompileFailed, Stage
from warpsmith.core.task import Cost, Output, Task, Tensor, Workload
from warpsmith.sandbox.builds import Builds
from warpsmith.sandbox.compile import Unit, compile_unit

TEXT = """// /// kernel
// task = "scaled"
// constants = ["G"]
//
// [[launch]]
// kernel = "scaled"
// grid = "cdiv(N, 256)"
// block = 256
// ///
__global__ void scaled(const x_t* x, y_t* y, int N)
{
    const int n = blockIdx.x * 256 + threadIdx.x;
    if (n < N) y[n] = G * x[n];
}
"""
SCALED = Task(
    name="scaled",
    family="test",
    summary="",
    inputs=(Tensor("x", ("N",), "float32"),),
    outputs=(Output("y", ("N",), "float32"),),
    dims=("N",),
    fixed=("G",),
    reference=lambda x, G: G * x,
    make_inputs={},
    verify=(),
    bench=(),
    cost=lambda dims: Cost(1, 1),
)
GROUPS = (1, 2, 4)
WORKLOADS = tuple(Workload(f"groups of {g}", {"N": 128, "G": g}, "") for g in GROUPS)


@cache
def compiled() -> Artifact:
    made: list[Artifact | CompileFailed] = []
    builds_of(lambda unit, target: made.append(compile_unit(unit, target)) or made[0]).build(WORKLOADS[0])
    assert isinstance(made[0], Artifact), made
    return made[0]


def builds_of(compiler: Callable[[Unit, str], Artifact | CompileFailed], threads: int = 1) -> Builds:
    kernel = parse_kernel_file(TEXT)
    return Builds(kernel, SCALED, kernel.default_knobs(), find_architecture("h200"), compiler, threads=threads)


@dataclass
class Compiler:
    """Answers for each group size by rule, and remembers which were asked for."""

    rule: Callable[[int], Artifact | CompileFailed]
    asked: list[int] = field(default_factory=list)

    def __call__(self, unit: Unit, target: str) -> Artifact | CompileFailed:
        group = next(g for g in GROUPS if f"G = {g};" in unit.preamble)  # type: ignore[union-attr]
        self.asked.append(group)
        return self.rule(group)


def failing(message: str) -> CompileFailed:
    return CompileFailed(stage=Stage.COMPILE, message=message)


def meeting(group: int, *, barrier: threading.Barrier) -> Artifact:
    """All but the first wait for each other."""
    if group != GROUPS[0]:
        barrier.wait()
    return compiled()


def test_all_builds_but_the_first_compile_side_by_side() -> None:
    compiled()
    builds = builds_of(Compiler(partial(meeting, barrier=threading.Barrier(2, timeout=20))), threads=2)
    assert builds.build_all(WORKLOADS) is None
    assert builds.count == len(WORKLOADS)


def test_with_one_thread_they_compile_one_after_another() -> None:
    compiled()
    with pytest.raises(threading.BrokenBarrierError):
        builds_of(Compiler(partial(meeting, barrier=threading.Barrier(2, timeout=0.2)))).build_all(WORKLOADS)


@pytest.mark.parametrize("threads", [1, 4])
def test_nothing_else_is_compiled_where_the_first_build_fails(threads: int) -> None:
    compiler = Compiler(lambda group: failing("no"))
    assert builds_of(compiler, threads).build_all(WORKLOADS) is not None
    assert compiler.asked == [GROUPS[0]]


@pytest.mark.parametrize("threads", [1, 4])
def test_of_several_failures_the_one_that_comes_first_in_the_file_is_told(threads: int) -> None:
    answers = {1: compiled(), 2: failing("the second"), 4: failing("the third")}
    failed = builds_of(Compiler(answers.__getitem__), threads).build_all(WORKLOADS)
    assert isinstance(failed, CompileFailed)
    assert "the second" in failed.message


def test_a_failure_does_not_wait_for_what_still_compiles() -> None:
    released, ended = threading.Event(), threading.Event()

    def answer(group: int) -> Artifact | CompileFailed:
        if group == 4:
            released.wait(60)
            ended.set()
        return failing("the second") if group == 2 else compiled()

    compiled()
    failed = builds_of(Compiler(answer), threads=2).build_all(WORKLOADS)
    assert isinstance(failed, CompileFailed)
    assert not ended.is_set()
    released.set()
    assert ended.wait(60)


def test_a_fault_of_ours_on_another_thread_is_raised() -> None:
    def answer(group: int) -> Artifact:
        if group == 4:
            raise ToolchainError("The disk is full.")
        return compiled()

    compiled()
    with pytest.raises(ToolchainError, match="disk is full"):
        builds_of(Compiler(answer), threads=2).build_all(WORKLOADS)
