"""Texts that warpsmith's own process reads: too long, too deep, asking for too much. Each is refused in a moment."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from warpsmith import app
from warpsmith.cli.program import run
from warpsmith.core.errors import KernelFileError, TaskError, WarpsmithError
from warpsmith.core.kernel_file import parse_kernel_file
from warpsmith.core.outcome import Verified
from warpsmith.sandbox.emulator.launch import load
from warpsmith.sandbox.emulator.machine import UnsupportedInstruction
from warpsmith.sandbox.emulator.ptx import PtxSyntaxError, parse_module
from warpsmith.sandbox.jail.wire import Packet
from warpsmith.sandbox.screen.source import check_source
from warpsmith.sandbox.screen.triton import check_triton
from warpsmith.tasks import load_task

from .test_wire import heard

SECONDS = 5.0
"""A text of the largest size that is read takes tenths of one."""


def kernel(head: str = "", grid: str = "1", name: str = "k") -> str:
    launch = ["[[launch]]", f'kernel = "{name}"', f'grid = "{grid}"', 'block = "32"']
    lines = [f"// {line}" for line in (*head.splitlines(), 'task = "t"', *launch)]
    return "\n".join(["// /// kernel", *lines, "// ///", "__global__ void k(float* y) {}", ""])


DEPTHS = (60, 300, 1000, 9000, 30_000)
HEADS: dict[str, Callable[[int], str]] = {
    "lists": lambda depth: kernel(f"x = {'[' * depth}{']' * depth}"),
    "tables": lambda depth: kernel(f"x = {'{a=' * depth}1{'}' * depth}"),
    "a key of many parts": lambda depth: kernel(f"a{'.a' * depth} = 1"),
    "a table of many parts": lambda depth: kernel(f"[a{'.a' * depth}]"),
    "an integer of many digits": lambda depth: kernel(f"x = {'9' * depth}"),
    "parentheses of an expression": lambda depth: kernel(grid=f"{'(' * depth}1{')' * depth}"),
    "signs of an expression": lambda depth: kernel(grid=f"{'-' * depth}1"),
    "negations of an expression": lambda depth: kernel(grid=f"{'not ' * depth}1"),
    "calls of an expression": lambda depth: kernel(grid=f"{'min(1,' * depth}1{')' * depth}"),
    "digits of an expression": lambda depth: kernel(grid="9" * depth),
    "parentheses of a name": lambda depth: kernel(name=f"k<{'(' * depth}1{')' * depth}>"),
}


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("what", HEADS)
def test_a_kernel_file_that_nests_deeply_is_refused_at_its_line(what: str, depth: int) -> None:
    begin = time.monotonic()
    with pytest.raises(KernelFileError) as refused:
        parse_kernel_file(HEADS[what](depth))
    assert len(str(refused.value)) < 2500
    assert time.monotonic() - begin < SECONDS


def module(body: str, variable: str = "") -> str:
    return f".version 8.0\n.target sm_90\n.address_size 64\n{variable}\n.visible .entry k() {{\n{body}\nret;\n}}\n"


PTX: dict[str, Callable[[int], str]] = {
    "scopes": lambda depth: module("{" * depth + "}" * depth),
    "an initialiser": lambda depth: module("", f".global .b32 x[1] = {'{' * depth}1{'}' * depth};"),
    "an initialiser's value": lambda depth: module("", f".global .b32 x[1] = {{{'(' * depth}1{')' * depth}}};"),
    "an operand": lambda depth: module(f".reg .b32 %r<2>;\nmov.u32 %r1, {'(' * depth}1{')' * depth};"),
    "a sign": lambda depth: module(f".reg .b32 %r<2>;\nmov.u32 %r1, {'-' * depth}1;"),
    "a vector": lambda depth: module(f".reg .b32 %r<2>;\nmov.b64 {'{' * depth}%r1{'}' * depth}, 1;"),
    "an address": lambda depth: module(f".reg .b32 %r<2>;\nld.global.u32 %r1, {'[' * depth}1{']' * depth};"),
}


@pytest.mark.parametrize("depth", [100, 1000, 30_000])
@pytest.mark.parametrize("what", PTX)
def test_ptx_that_nests_deeply_is_refused(what: str, depth: int) -> None:
    begin = time.monotonic()
    with pytest.raises(PtxSyntaxError):
        parse_module(PTX[what](depth))
    assert time.monotonic() - begin < SECONDS


TRITON = "import triton\nimport triton.language as tl\n\n\n@triton.jit\ndef k(x):\n    tl.store(x, {})\n"
EXPRESSIONS: dict[str, Callable[[int], str]] = {
    "parentheses": lambda depth: "(" * depth + "1" + ")" * depth,
    "signs": lambda depth: "-" * depth + "1",
    "sums": lambda depth: "1+" * depth + "1",
    "attributes": lambda depth: "tl" + ".a" * depth,
    "calls": lambda depth: "tl.a" + "()" * depth,
    "lambdas": lambda depth: "lambda:" * depth + "1",
    "lists": lambda depth: "[" * depth + "]" * depth,
}


@pytest.mark.parametrize("depth", [1000, 9000, 30_000])
@pytest.mark.parametrize("what", EXPRESSIONS)
def test_python_that_nests_deeply_is_refused(what: str, depth: int, tmp_path: Path) -> None:
    begin = time.monotonic()
    assert check_triton(TRITON.format(EXPRESSIONS[what](depth))) is not None
    task = tmp_path / "deep.py"
    task.write_text(f"TASK = {EXPRESSIONS[what](depth)}\n")
    with pytest.raises(TaskError, match=r"deep\.py"):
        load_task(task)
    assert time.monotonic() - begin < SECONDS


@pytest.mark.parametrize("bracket", ["()", "[]", "{}"])
def test_cpp_that_nests_deeply_is_read_in_a_moment(bracket: str) -> None:
    begin = time.monotonic()
    check_source(f"__global__ void k() {{ int x = {bracket[0] * 100_000}1{bracket[1] * 100_000}; }}\n")
    assert time.monotonic() - begin < SECONDS


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
def test_a_message_that_nests_deeply_is_the_end_of_who_sent_it(opened: str, closed: str) -> None:
    header = f'{{"message": {{"a": {opened * 500}1{closed * 500}}}, "sizes": []}}'
    for text in (header, opened * 700):
        found = heard(struct.pack("<Q", len(text)) + text.encode())
        assert isinstance(found, Packet) or "no message" in found


SEED = Path(__file__).parents[2] / "seeds" / "moe_routing_metadata" / "naive.cu"


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ('["1 * 1152921504606846976"]', "bytes|larger|at most"),
        ('["1073741824", "1073741824"]', "bytes|larger|at most"),
        ('["4611686018427387904", 4]', "bytes|larger|at most|64"),
        ('["9223372036854775807 + 1"]', "64"),
        ("[1152921504606846976]", "bytes|larger|at most"),
    ],
)
def test_a_plan_that_asks_for_an_exabyte_is_refused(shape: str, said: str, tmp_path: Path) -> None:
    text = SEED.read_text()
    cut = text.index("// [[launch]]")
    path = tmp_path / "large.cu"
    path.write_text(
        f'{text[:cut]}// [[buffer]]\n// name = "huge"\n// shape = {shape}\n// dtype = "float32"\n//\n{text[cut:]}'
    )
    begin = time.monotonic()
    with pytest.raises(WarpsmithError) as refused:
        app.verify(path, task=None, arch="h200", device="emulator", profiled=False)
    assert any(word in str(refused.value) for word in said.split("|")), refused.value
    assert time.monotonic() - begin < 2 * SECONDS


def test_a_kernel_file_of_50_megabytes_is_refused_and_the_next_one_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "long.cu"
    path.write_text(SEED.read_text() + "//" + "x" * 50_000_000)
    begin = time.monotonic()
    assert 2 == run(["verify", str(path), "--json"])
    assert "at most 262144 are allowed" in json.loads(capsys.readouterr().out)["error"]["message"]
    path.write_text("x" * (70 << 20))
    assert 2 == run(["verify", str(path)])
    assert "more than 67108864 characters" in capsys.readouterr().err
    assert time.monotonic() - begin < 2 * SECONDS
    assert isinstance(app.verify(SEED, task=None, arch="h200", device="emulator", profiled=False).outcome, Verified)


@pytest.mark.parametrize("words", ["", ".u64", ".rn", ".f32.f32.f32", ".s7.s7", ".foo.f32.f32"])
def test_a_conversion_without_its_two_types_is_nobodys_instruction(words: str) -> None:
    text = module(f".reg .f32 %f<3>;\ncvt{words} %f1, %f2;")
    with pytest.raises((UnsupportedInstruction, PtxSyntaxError)):
        load(parse_module(text)).program("k")
