"""Functions of the module that are called: copied to their calls, or on a stack where they may call themselves."""

import math
from pathlib import Path

import numpy as np
import pytest

from warpsmith.sandbox.emulator import launch as vm
from warpsmith.sandbox.emulator.isa import execute
from warpsmith.sandbox.emulator.launch import LoadedModule
from warpsmith.sandbox.emulator.machine import FaultKind, LaunchResult, LaunchSpec, Memory, Options

from .conftest import compiled
from .executor import STORE, Executor

SOURCE = Path(__file__).with_name("calls.cu").read_text()
EXECUTORS = pytest.mark.parametrize("executor", [execute, vm], ids=["readable", "vm"])
INDEX = range(32)


@pytest.fixture(scope="module")
def calls() -> LoadedModule:
    return compiled(SOURCE)


def run(executor: object, calls: LoadedModule, name: str, x: np.ndarray, y: np.ndarray) -> LaunchResult:
    memory = Memory()
    first = memory.allocate("x", x.view(np.uint8), writable=False, initialised=True)
    second = memory.allocate("y", y.view(np.uint8), writable=True, initialised=False)
    params = first.to_bytes(8, "little") + second.to_bytes(8, "little")
    spec = LaunchSpec((1, 1, 1), (32, 1, 1), 0, params)
    return executor.launch(calls.module, name, spec, memory, Options(budget=1 << 22))  # type: ignore[attr-defined]


def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def diverging(i: int) -> int:
    total = sum(called(i + k) for k in range(i % 4))
    return total + called(total) if i & 1 else total


def called(v: int) -> int:
    """`one_in_a_thousand` of calls.cu, whose bound is read anew each time."""
    if math.fmod(v, 7) == 3:
        return -1
    i = 0
    while i < math.fmod(v, 5):
        v, i = v + i, i + 1
    return v


EXPECTED = {
    "direct": [2 * i + 1 + (i + 1) * i + 1 for i in INDEX],
    "structures": [j + (j if j == 2 else 6) + 100 * j for j in (i & 7 for i in INDEX)],
    "recursive": [fibonacci(i % 10) + 100 * (i % 2) for i in INDEX],
    "pointers": [(i + 3, i - 3, i * 3)[i % 3] for i in INDEX],
    "diverging": [diverging(i) for i in INDEX],
}


@EXECUTORS
@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_called_function_gives_what_c_says(executor: object, calls: LoadedModule, name: str) -> None:
    x, y = np.arange(33, dtype=np.float32), np.zeros(32, np.float32)
    assert run(executor, calls, name, x, y).fault is None
    assert EXPECTED[name] == y.tolist()


def test_every_activation_has_its_own_variables(calls: LoadedModule) -> None:
    slow, fast = np.zeros(32, np.float32), np.zeros(32, np.float32)
    x = np.zeros(33, np.float32)
    assert [None, None] == [run(executor, calls, "frames", x, y).fault for executor, y in ((execute, slow), (vm, fast))]
    # Depth 1 calls depth 0 with its own second element, which then holds 0 + 1 + 2 + 3: 10 + 6 + 12 + 13.
    assert [6.0, 41.0] == fast[:2].tolist()
    np.testing.assert_array_equal(slow, fast)


def test_the_slow_paths_of_double_functions_are_called(calls: LoadedModule) -> None:
    x, y = np.linspace(0.6, 4.0, 32), np.zeros(32)
    assert run(vm, calls, "slow_paths", x, y).fault is None
    expected = [
        math.sin(a * 1e7) + math.cos(a * 3e8) + a**1.3 + 1 / a + math.sqrt(a) + math.exp(-a) + math.log(a)
        + math.fmod(a, 0.7)
        for a in x
    ]  # fmt: skip
    np.testing.assert_allclose(y, expected, rtol=1e-14)


def test_recursion_without_end_leaves_its_stack(calls: LoadedModule) -> None:
    found = run(vm, calls, "endless", np.zeros(33, np.float32), np.zeros(32, np.float32)).fault
    assert found is not None
    assert (FaultKind.OUT_OF_BOUNDS, "local") == (found.kind, found.space)


IN_REGISTERS = """.func (.reg .b32 r, .reg .pred p) f (.reg .b32 a, .param .b32 b) { .reg .b32 t; ld.param.b32 t, [b];
    add.u32 r, a, t; setp.gt.u32 p, a, 3; @p ret; add.u32 r, r, 100; ret; }"""


def test_parameters_may_be_registers_and_literals(on: Executor) -> None:
    body = f"call (%r1, %p1), f, (%r0, 7); @%p1 add.u32 %r1, %r1, 1000; {STORE} ret;"
    assert [lane + (1007 if lane > 3 else 107) for lane in INDEX] == on.outputs(body, declarations=IN_REGISTERS)


def test_a_guarded_call_is_made_by_the_lanes_whose_guard_holds(on: Executor) -> None:
    body = f"setp.lt.u32 %p2, %r0, 9; mov.u32 %r1, 5; @!%p2 call (%r1, _), f, (%r0, 7); {STORE} ret;"
    declarations = IN_REGISTERS.replace(", .reg .pred p", "").replace("setp.gt.u32 p, a, 3; @p ret;", "")
    assert [5] * 9 == on.outputs(body.replace(", _", ""), 9, declarations)
    assert [lane + 107 for lane in range(9, 32)] == on.outputs(body.replace(", _", ""), 32, declarations)[9:]


BYTES = """.func (.param .align 8 .b8 r[8]) f (.param .align 8 .b8 a[8]) { .reg .b32 t<4>; ld.param.b32 t0, [a];
    ld.param.b32 t1, [a+4]; st.param.b32 [r], t1; st.param.b32 [r+4], t0; ret; }"""


def test_an_argument_stored_as_one_word_may_be_read_as_two(on: Executor) -> None:
    body = f"""{{ .param .align 8 .b8 p[8]; .param .align 8 .b8 q[8]; mov.b64 %rd4, {{%r0, 9}}; st.param.b64 [p], %rd4;
    call (q), f, (p); ld.param.b64 %rd5, [q]; }} mov.b64 {{%r2, %r1}}, %rd5; add.u32 %r1, %r1, %r2; {STORE} ret;"""
    assert [lane + 9 for lane in INDEX] == on.outputs(body, declarations=BYTES)


def test_a_pointer_to_no_function_traps(on: Executor) -> None:
    declarations = ".func f () { ret; }"
    body = "mov.u64 %rd4, f; add.s64 %rd4, %rd4, {}; call %rd4, proto; proto: .callprototype _ (); ret;"
    assert on.run(body.format(0), declarations).fault is None
    assert FaultKind.TRAP == on.fault(body.format(1), declarations).kind
