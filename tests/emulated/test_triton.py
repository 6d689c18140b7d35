"""Triton kernel files from text to verdict: honest ones are verified, their bad twins end where they should."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from warpsmith import app
from warpsmith.core.artifact import Artifact
from warpsmith.core.kernel_file import TritonBuild, TritonUnit
from warpsmith.core.outcome import CompileFailed, Outcome, OutOfBounds, Unsupported, Verified
from warpsmith.core.protocols import Evaluation
from warpsmith.sandbox.compile import CompileCache, CompileLimits, compile_triton
from warpsmith.sandbox.compile.triton_ptx import merge
from warpsmith.sandbox.emulator.ptx import parse_module
from warpsmith.sandbox.gate.stages import read_candidate
from warpsmith.tasks import load_task

EXAMPLES = Path(__file__).parents[2] / "examples"
TASKS = EXAMPLES / "tasks"
HEAD = "import triton\nimport triton.language as tl\n\n\n"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


def evaluate(task: str, text: str, cache: Path, arch: str = "sm_80", *, profiled: bool = False) -> Evaluation:
    gate = app.gate(load_task(TASKS / f"{task}.py"), arch=arch, cache=cache, profiled=profiled)
    return gate.evaluate(read_candidate(text), seed=3)


def verdict(task: str, text: str, cache: Path, arch: str = "sm_80") -> Outcome:
    return evaluate(task, text, cache, arch).outcome


def example(name: str, *changes: tuple[str, str]) -> str:
    """An example's text with words replaced, each of which must be there."""
    text = (EXAMPLES / f"{name}.py").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), start=1) if part in line)


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("row_softmax", "softmax"),
        pytest.param("matmul", "matmul", marks=pytest.mark.full),
        pytest.param("layer_norm", "layer_norm", marks=pytest.mark.full),
    ],
)
def test_an_example_is_verified(task: str, name: str, cache: Path) -> None:
    assert isinstance(outcome := verdict(task, example(name), cache), Verified), outcome


@pytest.mark.full
def test_flash_attention_is_verified_in_both_half_precisions_at_an_odd_length(cache: Path) -> None:
    task = load_task(EXAMPLES / "tasks" / "causal_attention.py")
    assert {("float16", 77), ("bfloat16", 77)} < {(item.dtypes["T"], item.dims["S"]) for item in task.verify}
    gate = app.gate(task, arch="sm_80", cache=cache, profiled=False)
    outcome = gate.evaluate(read_candidate(example("flash_attention")), seed=3).outcome
    assert isinstance(outcome, Verified), outcome
    forgetful = example("flash_attention", ("total * shrink + ", "total + "))
    assert "Wrong" == gate.evaluate(read_candidate(forgetful), seed=3).outcome.kind


def test_a_verified_kernel_has_a_modelled_time(cache: Path) -> None:
    evaluation = evaluate("row_softmax", example("softmax"), cache, profiled=True)
    assert evaluation.profile is not None
    assert evaluation.profile.workloads[0].duration is not None
    assert evaluation.toolchain.startswith("triton 3.")


def test_windows_line_ends_change_nothing(cache: Path) -> None:
    text = example("softmax").replace("\n", "\r\n")
    assert isinstance(outcome := verdict("row_softmax", text, cache), Verified), outcome


def test_a_load_without_its_mask_is_out_of_bounds_at_its_line(cache: Path) -> None:
    text = example("matmul", (", mask=(rows < M)[:, None] & (ks < K)[None, :], other=0.0", ""))
    outcome = verdict("matmul", text, cache)
    assert isinstance(outcome, OutOfBounds), outcome
    assert (line_of(text, "left = tl.load"), "odd sizes") == (outcome.line, outcome.workload)


def test_a_store_without_its_mask_is_out_of_bounds_at_its_line(cache: Path) -> None:
    text = example("layer_norm", (".element_ty), mask=mask)", ".element_ty))"))
    outcome = verdict("layer_norm", text, cache)
    assert isinstance(outcome, OutOfBounds), outcome
    assert line_of(text, "tl.store") == outcome.line


def test_an_error_in_a_helper_names_the_helpers_line(cache: Path) -> None:
    text = example("layer_norm", ("/ N\n", "/ tl.load(N)\n"))
    outcome = verdict("layer_norm", text, cache)
    assert isinstance(outcome, CompileFailed), outcome
    assert line_of(text, "tl.load(N)") == outcome.line


def test_tensor_cores_of_hopper_are_unsupported_and_an_older_target_is_offered(cache: Path) -> None:
    outcome = verdict("matmul", example("matmul"), cache, arch="sm_90")
    assert isinstance(outcome, Unsupported), outcome
    assert "--arch sm_80" in outcome.message


@pytest.mark.full
def test_a_kernel_without_tensor_cores_is_verified_for_hopper_too(cache: Path) -> None:
    assert isinstance(outcome := verdict("row_softmax", example("softmax"), cache, arch="sm_90"), Verified), outcome


def test_stages_that_no_multiprocessor_holds_are_over_budget(cache: Path) -> None:
    text = example("matmul", ("BK = [32]", "BK = [128]"), ("num_stages = [3, 2]", "num_stages = [8]"))
    outcome = verdict("matmul", text, cache)
    assert "OverBudget" == outcome.kind, outcome


def test_a_trick_of_the_host_ends_in_the_screen(cache: Path) -> None:
    text = example("softmax", ("cols = tl.arange(0, BLOCK)", "cols = tl.arange.__globals__"))
    outcome = verdict("row_softmax", text, cache)
    assert ("Rejected", line_of(text, "__globals__")) == (outcome.kind, getattr(outcome, "line", None))


def build(function: str = "k", number: int = 0, **constants: int) -> TritonBuild:
    types = {"x": "*i32", **dict.fromkeys(constants, "constexpr")}
    return TritonBuild(f"{function}[{number}]", function, types, constants, ("x",), {"num_warps": 1})


def compiled(text: str, *builds: TritonBuild, limits: CompileLimits | None = None) -> Artifact | CompileFailed:
    return compile_triton(TritonUnit(HEAD + text, builds or (build(),)), "sm_80", limits=limits)


def failed(text: str, *builds: TritonBuild, limits: CompileLimits | None = None) -> CompileFailed:
    result = compiled(text, *builds, limits=limits)
    assert isinstance(result, CompileFailed)
    return result


def test_builds_share_one_module_and_equal_builds_give_equal_bytes() -> None:
    text = "@triton.jit\ndef k(x, B: tl.constexpr):\n    tl.store(x + tl.arange(0, B), tl.cumsum(tl.arange(0, B)))\n"
    first = compiled(text, build(number=1, B=64), build(number=2, B=128))
    assert isinstance(first, Artifact)
    assert {"k[1]": "k_0", "k[2]": "k_1"} == first.entries
    assert {"k_0", "k_1"} == {entry.name for entry in parse_module(first.ptx).entries}
    assert {(32, 2)} == {(item.max_threads, item.hidden_pointers) for item in first.resources.values()}
    assert all(item.registers > 0 for item in first.resources.values())
    assert first == compiled(text, build(number=1, B=64), build(number=2, B=128))


def test_the_cache_answers_for_the_same_unit_only(tmp_path: Path) -> None:
    text = HEAD + "@triton.jit\ndef k(x):\n    tl.store(x, 1)\n"
    cache = CompileCache(tmp_path)
    first = compile_triton(TritonUnit(text, (build(),)), "sm_80", cache)
    assert first == compile_triton(TritonUnit(text, (build(),)), "sm_80", cache, CompileLimits(seconds=0))
    assert 1 == sum(1 for _ in tmp_path.rglob("*.json"))


def test_an_error_has_the_candidates_line_and_the_builds_name() -> None:
    found = failed("@triton.jit\ndef k(x):\n    a = tl.arange(0, 8)\n    tl.store(x, a + tl.arange(0, 16))\n")
    assert (8, ("while compiling k[0]",)) == (found.line, found.details)
    assert "k[0]" not in found.message


def test_an_error_names_no_folder_of_this_machine() -> None:
    found = failed("@triton.jit\ndef k(x):\n    tl.static_assert(False, 'no')\n")
    assert (7, False) == (found.line, str(Path(os.__file__).parent) in found.message)


def test_constants_may_be_written_in_both_ways() -> None:
    text = "A: tl.constexpr = 2\nB = tl.constexpr(-3)\n\n@triton.jit\ndef k(x):\n    tl.store(x, A * B)\n"
    assert isinstance(compiled(text), Artifact)


def test_a_compilation_without_end_is_stopped() -> None:
    text = "@triton.jit\ndef k(x):\n    for i in tl.static_range(0, 100000000):\n        tl.store(x + i, i)\n"
    assert "more than 2 seconds" in failed(text, limits=CompileLimits(seconds=2)).message


def test_blank_lines_in_a_docstring_are_harmless() -> None:
    text = '@triton.jit\ndef k(x):\n    """Stores.\n   \n    One.\n    """\n    tl.store(x, 1)\n'
    assert isinstance(compiled(text), Artifact)


MODULE = """\
.version 8.7
.target sm_80
.address_size 64
.extern .shared .align {align} .b8 global_smem[];
.global .align 4 .b8 table[4] = {{1, 2, 3, {last}}};
.visible .entry k(.param .u64 k_param_0)
{{
.reg .b64 %rd<3>;
.loc 2 170 27 // standard.py:170:27 @[ standard.py:191:40 @[ candidate.py:22:29 ] ]
mov.b64 %rd1, table;
.loc 1 30 5 // candidate.py:30:5
ret;
}}
.file 1 "/somewhere/candidate.py"
.file 2 "/elsewhere/standard.py"
.section .debug_abbrev
{{
.b8 1
}}
"""


def test_merged_modules_keep_their_own_tables_and_the_candidates_lines() -> None:
    text = merge([MODULE.format(align=16, last=4), MODULE.format(align=128, last=5)], ["a", "b"])
    module = parse_module(text)
    assert [("a", b"\1\2\3\4"), ("b", b"\1\2\3\5")] == [
        (entry.name, next(item.init for item in entry.variables if "table" in item.name)) for entry in module.entries
    ]
    assert {(22, 30)} == {tuple(item.line for item in entry.instructions) for entry in module.entries}
    assert [128] == [item.align for item in module.variables if item.space == "shared"]


def test_a_text_with_two_entries_is_not_merged() -> None:
    two = MODULE.format(align=16, last=4) + ".visible .entry evil() { ret; }\n"
    with pytest.raises(ValueError, match="exactly one entry"):
        merge([two], ["a"])
