"""What a Triton kernel file may say: honest kernels pass, whatever could run Python at compile time does not."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warpsmith.sandbox.screen.source import SourceProblem
from warpsmith.sandbox.screen.triton import check_triton

EXAMPLES = Path(__file__).parents[2] / "examples"
WORDS = [*"xytl.()[],=+1:", "tl", "triton", "load", "__class__", "getattr", "lambda", "import"]
HEAD = "import triton\nimport triton.language as tl\n\n\n"


def problem(text: str) -> SourceProblem:
    found = check_triton(text)
    assert found is not None, f"accepted: {text}"
    return found


def kernel(body: str) -> str:
    """A file whose kernel has one statement, on line 7."""
    return f"{HEAD}@triton.jit\ndef k(x, y, N, B: tl.constexpr):\n    {body}\n"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_the_examples_pass(path: Path) -> None:
    assert check_triton(path.read_text()) is None


@pytest.mark.parametrize(
    "body",
    [
        "tl.store(y, tl.load(x).to(tl.float32).to(y.dtype.element_ty))",
        "tl.store(y, tl.trans(tl.load(x)) + tl.load(x).T)",
        "tl.store(y, tl.max(tl.load(x), axis=0) if B > 1 else float('-inf'))",
        "for i in tl.range(0, N, num_stages=2): tl.store(y + i, -tl.load(x + i))",
        "while N > 0: N = N - triton.cdiv(N, B)",
        "tl.atomic_add(y, tl.math.exp2(tl.load(x)), sem='relaxed')",
        "_ = x.shape[0]",
        "a, b = tl.split(tl.load(x))",
        "tl.store(y, tl.extra.cuda.libdevice.tanh(tl.load(x)))",
    ],
)
def test_honest_statements_pass(body: str) -> None:
    assert check_triton(kernel(body)) is None


def test_helpers_constants_and_libdevice_pass() -> None:
    text = (
        HEAD + "from triton.language.extra import libdevice\n"
        "LOG2E: tl.constexpr = 1.44\nEPSILON = tl.constexpr(-1e-5)\n"
        "@triton.jit\ndef add(a, b):\n    return a + b\n"
        "@triton.jit\ndef k(x, y, SCALE: tl.constexpr = 2):\n"
        "    tl.store(y, tl.reduce(libdevice.tanh(tl.load(x)) * LOG2E * SCALE + EPSILON, 0, add))\n"
    )
    assert check_triton(text) is None


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ("__import__('os').system('id')", "`.system` is not available"),
        ("__import__('os')", "`__import__` is not available"),
        ("tl.load.__globals__", "`.__globals__`"),
        ("x.dtype.__class__.__mro__", "`.__class__`"),
        ("getattr(x, 'shape')", "`getattr` is not available"),
        ("getattr(tl, 'load')(x)", "has no name"),
        ("eval('1')", "`eval` is not available"),
        ("open('/etc/passwd')", "`open` is not available"),
        ("print(N)", "`print` is not available"),
        ("tl.device_print('x', N)", "`tl.device_print`"),
        ("tl.inline_asm_elementwise('brkpt;', '=r', [], tl.int32, True, 1)", "`tl.inline_asm_elementwise`"),
        ("tl.core.builtins", "`tl.core`"),
        ("tl.extra.cuda.utils", "`tl.extra`"),
        ("triton.runtime.driver", "`triton.runtime`"),
        ("triton.jit(x)", "`triton.jit`"),
        ("f = tl", "`tl` alone"),
        ("tl = x", "cannot be assigned"),
        ("tl.load = x", "cannot be assigned"),
        ("range = x", "cannot be assigned"),
        ("x(1)", "cannot be called"),
        ("(tl.load if B else tl.store)(x)", "has no name"),
        ("[f(x) for f in (tl.load,)]", "a comprehension"),
        ("f = lambda: 1", "a lambda"),
        ("import os", "an import inside a kernel"),
        ("a = f'{N!r}'", "an f-string"),
        ("a: print(1) = 2", "annotate"),
        ("a = b'x'", "literal"),
        ("tl.store(y, *x)", "a `*`"),
        ("tl.store(y, **x)", "a `**`"),
        ("def inner(): pass", "a function inside"),
        ("global N", "Global"),
        ("undefined + 1", "`undefined` is not defined"),
        ("while True: pass", "no condition that can change"),
    ],
)
def test_a_trick_in_a_kernel_is_refused_at_its_line(body: str, part: str) -> None:
    found = problem(kernel(body))
    assert part in found.message
    assert (7, True) == (found.line, bool(found.remedy))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("import os\n", "`import os`"),
        ("import triton.language as triton\n", "not available"),
        ("from triton import *\n", "not available"),
        ("import triton.runtime\n", "not available"),
        ("print('imported')\n", "host code"),
        ("if True:\n    pass\n", "host code"),
        ("class A:\n    pass\n", "host code"),
        ("X: tl.constexpr = f()\n", "only literal constants"),
        ("X = [1]\n", "only literal constants"),
        ("X = 4\n", "a Python variable"),
        ("tl = tl.constexpr(1)\n", "cannot name a constant"),
        ("@triton.constexpr_function\ndef f(n):\n    return n\n", "would run on the host"),
        ("@triton.autotune([], [])\n@triton.jit\ndef k(x):\n    pass\n", "would run on the host"),
        ("@triton.jit(noinline=True)\ndef k(x):\n    pass\n", "would run on the host"),
        ("def f(x):\n    return x\n", "host functions"),
        ("@triton.jit\ndef k(x=print(1)):\n    pass\n", "a default"),
        ("@triton.jit\ndef k(x: print(1)):\n    pass\n", "the annotation of `x`"),
        ("@triton.jit\ndef k(x) -> print(1):\n    pass\n", "annotates what it returns"),
        ("@triton.jit\ndef k(*x):\n    pass\n", "any number of parameters"),
        ("@triton.jit\ndef k(tl):\n    pass\n", "hides"),
        ("@triton.jit\ndef tl(x):\n    pass\n", "cannot name a kernel"),
        ("@triton.jit\ndef k(x):\n    k(x)\n", "`k` may call itself"),
        ("@triton.jit\ndef k(x):\n    f(x)\n@triton.jit\ndef f(x):\n    k(x)\n", "`k` may call itself"),
        ("x = 1\ry = 2\n", "character"),
        ("# a\x0cb\n", "character"),
        ("def (\n", "does not parse"),
        ("X = " + "-" * 500 + "1\n", ""),
        ("#" * 300_000, "characters"),
    ],
)
def test_code_around_kernels_is_refused(text: str, part: str) -> None:
    assert part in problem(text).message


def test_functions_that_share_a_helper_are_no_recursion() -> None:
    helper = "@triton.jit\ndef f(x):\n    return x\n"
    text = f"{helper}@triton.jit\ndef g(x):\n    return f(f(x))\n@triton.jit\ndef k(x):\n    g(f(x))\n"
    assert check_triton(text) is None


def test_a_clock_behind_a_module_is_refused_as_a_clock() -> None:
    assert problem(kernel("tl.extra.cuda.globaltimer()")).remedy == "Kernels must not read clocks."


def test_a_refusal_offers_the_name_that_is_there() -> None:
    assert "Did you mean `load`?" in problem(kernel("tl.laod(x)")).remedy
    assert "libdevice.tanh" in problem(kernel("tl.math.tanh(x)")).remedy
    assert "x.to(tl.float32)" in problem(kernel("tl.load(x).astype(tl.float32)")).remedy


@given(st.lists(st.sampled_from(WORDS)))
@settings(max_examples=200, deadline=1000)
def test_any_text_is_judged_and_no_hidden_attribute_passes(words: list[str]) -> None:
    body = " ".join(words)
    found = check_triton(kernel(body or "pass"))
    assert found is not None or not {"__class__", "getattr", "lambda", "import"} & set(words)
