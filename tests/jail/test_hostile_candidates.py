"""Texts that attack whoever compiles or runs them, end to end: the outcome, the time it takes, and what is left."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from warpsmith.core.artifact import Artifact
from warpsmith.core.candidate import TranslationUnit
from warpsmith.core.kernel_file import TritonBuild, TritonUnit
from warpsmith.core.outcome import CompileFailed
from warpsmith.sandbox.compile import CompileLimits, compile_cuda, compile_triton, triton_compile
from warpsmith.sandbox.jail.levels import Level

from .conftest import Left
from .levels import here
from .processes import resident

LIMITS = CompileLimits(seconds=6, memory_bytes=1 << 30, output_bytes=1 << 20)
LONGEST = 25.0
"""Seconds for a candidate that its limit of 6 seconds stops, on a machine with other work."""


def doubled(times: int, text: str) -> str:
    """Macros of which the last stands for 2^times copies of a text."""
    steps = [f"#define A{number} A{number - 1} A{number - 1}" for number in range(1, times + 1)]
    return "\n".join([f"#define A0 {text}", *steps, ""])


STORE = 'asm volatile("{.reg .f32 t; fma.rn.f32 t,%0,%0,%0; st.global.f32 [%1],t;}"::"f"(x),"l"(y));'
CUDA = {
    "a macro of 2^40 terms": (
        doubled(40, "+1") + "__global__ void k(int* y) { *y = A40; }\n",
        "more than 6 seconds|memory",
    ),
    "a template that needs 2^30 types": (
        "template <int N, int M> struct T { enum { v = T<N - 1, 2 * M>::v + T<N - 1, 2 * M + 1>::v }; };\n"
        "template <int M> struct T<0, M> { enum { v = M }; };\n"
        "__global__ void k(int* y) { *y = T<30, 0>::v; }\n",
        "more than 6 seconds|memory",
    ),
    "2^15 statements for the assembler": (
        doubled(15, STORE) + "__global__ void k(float* y, float x) { A15 }\n",
        "more than 6 seconds|memory",
    ),
    "a gigabyte of data": (
        "__device__ char t[1 << 30] = {1};\n__global__ void k(char* y) { *y = t[threadIdx.x]; }\n",
        "memory|more than 6 seconds",
    ),
    "30 MB of warnings": (
        doubled(12, "if (*y < 0) *y = 2;") + "__global__ void k(unsigned* y) {\n" + "A12\n" * 100 + "}\n",
        "more than 1 MiB to return|more than 6 seconds",
    ),
    "a type whose name has 2^18 words": (
        "template <class A, class B> struct P {};\n"
        "template <int N> struct R { using t = P<typename R<N - 1>::t, typename R<N - 1>::t>; };\n"
        "template <> struct R<0> { using t = int; };\n__global__ void k() { typename R<18>::t x; x.foo(); }\n",
        "more than 1 MiB to return",
    ),
    "100,000 braces for the assembler": (
        '__global__ void k(int* y) { asm volatile("' + "{" * 100_000 + "}" * 100_000 + '"); *y = 1; }\n',
        "assembler says",
    ),
    "a text of 50 MB": ("__global__ void k() {}\n//" + "x" * 50_000_000, "At most 262144"),
}


def compiled(text: str, limits: CompileLimits = LIMITS) -> Artifact | CompileFailed:
    return compile_cuda(TranslationUnit(text=text, preamble="", appendix="", names=("k",)), "sm_90a", limits=limits)


QUICK = ("a type whose name has 2^18 words", "100,000 braces for the assembler", "a text of 50 MB")


@pytest.mark.parametrize(
    "attack", [name if name in QUICK else pytest.param(name, marks=pytest.mark.full) for name in CUDA]
)
def test_a_text_that_blows_up_a_compiler_fails_in_time_and_leaves_nothing(attack: str, left: Left) -> None:
    text, said = CUDA[attack]
    begin, before = time.monotonic(), resident()
    made = compiled(text)
    assert isinstance(made, CompileFailed), made
    assert any(words in made.message for words in said.split("|")), made.message
    assert time.monotonic() - begin < LONGEST
    assert resident() - before < 256 << 20
    assert isinstance(compiled("__global__ void k(int* y) { *y = 1; }\n"), Artifact)
    assert not left()


REACH = (
    "[c for c in ().__class__.__base__.__subclasses__() if c.__name__ == '_wrap_close'][0].__init__.__globals__"
    "['__builtins__']['__import__']"
)
"""How a text without builtins comes by `import`."""
TRITON = "import triton\nimport triton.language as tl\n\n\n@triton.jit\ndef k(x):\n    tl.store(x, {value})\n"
BUILD = TritonBuild("k", "k", {"x": "*i32"}, {}, ("x",), {"num_warps": 1})


@pytest.fixture
def unscreened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Artifact | CompileFailed]]:
    """Compile a Triton text behind which a line of Python stands that no screen looked at."""

    def compile_it(line: str, level: Level, value: int = 1, limits: CompileLimits = LIMITS) -> Artifact | CompileFailed:
        monkeypatch.setattr(triton_compile, "check_triton", lambda text: None)
        text = f"{TRITON.format(value=value)}\n\nIMPORT = {REACH}\n{line}\n"
        return compile_triton(TritonUnit(text, (BUILD,)), "sm_80", limits=limits, level=here(level))

    yield compile_it
    monkeypatch.undo()
    honest = compile_triton(TritonUnit(TRITON.format(value=7), (BUILD,)), "sm_80")
    assert isinstance(honest, Artifact), honest


def test_such_a_line_is_executed_in_the_compilers_process(unscreened: Callable[..., Artifact | CompileFailed]) -> None:
    """Else the tests below would show nothing."""
    for line in ("X = IMPORT('os').getpid()", "X = 1 // (1 + IMPORT('ctypes').CDLL(None).prctl(3, 0, 0, 0, 0))"):
        assert isinstance(unscreened(line, Level.BUBBLEWRAP), Artifact)
    assert isinstance(unscreened("X = 1 // 0", Level.BUBBLEWRAP), CompileFailed)


CONFINED = (Level.BUBBLEWRAP, Level.LANDLOCK)
_LEFT = "warpsmith-left-by-a-module"


@pytest.mark.full
@pytest.mark.parametrize("level", CONFINED)
@pytest.mark.parametrize(
    "line",
    [
        "X = [IMPORT('os').fork() for _ in range(1000)]",
        "X = IMPORT('subprocess').run(['/bin/sh', '-c', 'touch /tmp/" + _LEFT + "'])",
        "X = IMPORT('os').execv('/bin/true', ['true'])",
        f"X = open('/tmp/{_LEFT}', 'w')",
        f"X = IMPORT('io').open('/tmp/{_LEFT}', 'w').write('x')",
        f"X = IMPORT('io').open('/dev/shm/{_LEFT}', 'w').write('x')",
        f"X = IMPORT('os').symlink('/etc/passwd', '/tmp/{_LEFT}')",
        "X = IMPORT('socket').create_connection(('127.0.0.1', {port}), 1).send(b'x')",
        "X = 1 // (1 + IMPORT('ctypes').CDLL(None).ptrace(16, {pid}, 0, 0))",
        "X = IMPORT('os').kill({pid}, 10)",
        "X = IMPORT('os').kill(-1, 0)",
        "X = IMPORT('io').open('/proc/{pid}/environ').read()",
        "X = IMPORT('io').open('/proc/{pid}/mem', 'wb').write(b'x')",
    ],
)
def test_a_triton_module_past_the_screen_reaches_nothing(
    line: str, level: Level, unscreened: Callable[..., Artifact | CompileFailed], left: Left
) -> None:
    heard: list[int] = []
    earlier = signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(0)
            made = unscreened(
                line.replace("{port}", str(server.getsockname()[1])).replace("{pid}", str(os.getpid())), level
            )
            with pytest.raises(BlockingIOError):
                server.accept()
    finally:
        signal.signal(signal.SIGUSR1, earlier)
    assert isinstance(made, CompileFailed), made
    assert not heard
    assert not [folder for folder in ("/tmp", "/dev/shm") if Path(folder, _LEFT).exists()]
    assert not left()


@pytest.mark.full
@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize(
    "line",
    [
        "X = [IMPORT('threading').Thread(target=IMPORT('time').sleep, args=(60,)).start() for _ in range(20000)]",
        "X = [0] * (1 << 31)",
        "X = [0 for _ in iter(int, 1)]",
        "X = [IMPORT('os').write(2, b'x' * (1 << 20)) for _ in range(10000)]",
        "X = [IMPORT('os').write(number, b'x' * (1 << 20)) for _ in range(10000) for number in range(3, 9)]",
    ],
)
def test_a_triton_module_that_takes_everything_is_stopped(
    line: str, level: Level, unscreened: Callable[..., Artifact | CompileFailed], left: Left
) -> None:
    begin, before = time.monotonic(), resident()
    made = unscreened(line, level)
    assert isinstance(made, CompileFailed), made
    assert time.monotonic() - begin < LONGEST
    assert resident() - before < 256 << 20
    assert not left()


def test_a_process_that_a_module_starts_where_nothing_stops_it_is_ended_with_it(
    unscreened: Callable[..., Artifact | CompileFailed], left: Left
) -> None:
    forked = "X = [0 for _ in iter(int, 1)] if IMPORT('os').fork() else IMPORT('time').sleep(600)"
    assert isinstance(unscreened(forked, Level.RLIMITS, limits=CompileLimits(seconds=2)), CompileFailed)
    assert not left()
