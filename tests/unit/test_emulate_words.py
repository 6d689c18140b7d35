"""What `warpsmith emulate` is told in words: arguments, sizes, traces, workloads, expectations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warpsmith.core.errors import SettingsError, TaskError
from warpsmith.core.task import Workload
from warpsmith.sandbox.emulator.program import Immediate, Instr, Register
from warpsmith.sandbox.standalone.arguments import TYPES, TensorArgument, ValueArgument, parse_argument
from warpsmith.sandbox.standalone.instruction_text import meaning, spelled
from warpsmith.sandbox.standalone.source_run import parse_size
from warpsmith.sandbox.standalone.tensors import Expectation, Values, hold_against, parse_dump
from warpsmith.sandbox.standalone.trace_request import TraceRequest, parse_trace
from warpsmith.sandbox.standalone.workloads import choose_workload
from warpsmith.tasks import load_task

TINY = Path(__file__).parents[1] / "emulated" / "tiny" / "scaled_sum.py"


def argument(text: str, seed: int = 0) -> TensorArgument | ValueArgument:
    return parse_argument(text, "arg0", np.random.default_rng(seed))


def tensor(text: str) -> TensorArgument:
    found = argument(text)
    assert isinstance(found, TensorArgument)
    return found


# -- arguments ----------------------------------------------------------------------------------------------------


def test_an_input_is_read_only_and_an_output_without_a_value_holds_nothing_yet() -> None:
    x, y, z = tensor("f32[2,3]=arange"), tensor("y:out:f16[4]"), tensor("inout:i32[4]=7")
    assert ("arg0", False, True) == (x.name, x.writable, x.initialised)
    assert [[0, 1, 2], [3, 4, 5]] == x.data.tolist()
    assert ("y", True, False) == (y.name, y.writable, y.initialised)
    assert (True, True, [7, 7, 7, 7]) == (z.writable, z.initialised, z.data.tolist())


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("i32=-2", b"\xfe\xff\xff\xff"),
        ("u8=255", b"\xff"),
        ("f32=1.5", b"\x00\x00\xc0\x3f"),
        ("bf16=1", b"\x80\x3f"),
        ("n:i64=0x10", b"\x10" + bytes(7)),
        ("null", bytes(8)),
        ("bytes=00ff", b"\x00\xff"),
    ],
)
def test_a_scalar_becomes_its_bytes(text: str, data: bytes) -> None:
    found = argument(text)
    assert isinstance(found, ValueArgument)
    assert data == found.data


@pytest.mark.parametrize(
    ("text", "name", "writable"),
    [("out:out:f32[4]", "out", True), ("in:out:f32[4]", "in", True), ("out:in:f32[4]=zero", "out", False)],
)
def test_a_parameter_may_have_the_name_of_a_role(text: str, name: str, writable: bool) -> None:
    found = tensor(text)
    assert (name, writable) == (found.name, found.writable)
    assert argument("out:i32=4").name == "out"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("f33[4]=zero", "no type `f33`"),
        ("f32[4]", "has no value"),
        ("f32", "neither a shape nor a value"),
        ("f32[4,a]=zero", "is no shape"),
        ("f32[-1]=zero", "is no shape"),
        ("f32[4]=many", "no value of f32"),
        ("i32=1.5", "no value of i32"),
        ("u8=256", "does not fit u8"),
        ("n:out:i32=4", "is for tensors"),
        ("x:y:f32[4]=zero", "two names or roles"),
        ("f32[4]=absent.npy", "cannot be read"),
        ("f32[99999999999]=zero", "bytes"),
        ("bytes=xyz", "no bytes"),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused_with_a_remedy(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as refused:
        argument(text)
    assert refused.value.remedy


@given(st.text(max_size=40))
def test_any_text_is_an_argument_or_a_mistake_of_the_user(text: str) -> None:
    try:
        found = argument(text)
    except SettingsError:
        return
    assert found.name


@settings(deadline=None)  # the first case loads torch
@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_bfloat16_is_rounded_to_nearest_even_as_torch_does(value: float) -> None:
    import torch

    bits = TYPES["bf16"].encode(np.array([value]))
    expected = torch.tensor([value], dtype=torch.float32).to(torch.bfloat16).view(torch.uint16).numpy()
    assert expected.tolist() == bits.tolist()


def test_a_file_gives_values_and_must_have_as_many(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(6.0).reshape(2, 3))
    assert [0, 1, 2, 3, 4, 5] == tensor(f"f32[6]={tmp_path / 'x.npy'}").data.tolist()
    with pytest.raises(SettingsError, match="holds 6 elements, the tensor 5"):
        argument(f"f32[5]={tmp_path / 'x.npy'}")


def test_equal_seeds_draw_equal_values() -> None:
    assert argument("i32[9]=random", 3).data.tolist() == argument("i32[9]=random", 3).data.tolist()  # type: ignore[union-attr]
    assert argument("f32[9]=random", 3).data.tolist() != argument("f32[9]=random", 4).data.tolist()  # type: ignore[union-attr]


# -- sizes and traces ---------------------------------------------------------------------------------------------


def test_sizes_are_one_to_three_numbers() -> None:
    assert (4, 1, 1) == parse_size("--grid", "4")
    assert (4, 2, 3) == parse_size("--block", "4,2,3")
    for text in ("", "0", "4,", "1,2,3,4", "x", "-1"):
        with pytest.raises(SettingsError, match="is no size"):
            parse_size("--grid", text)
    with pytest.raises(SettingsError, match="1025 threads"):
        parse_size("--block", "1025")
    assert (1025, 1, 1) == parse_size("--grid", "1025")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("thread=5", TraceRequest(block=(0, 0, 0), thread=(5, 0, 0))),
        ("block=1,2 thread=5,0,1", TraceRequest(block=(1, 2, 0), thread=(5, 0, 1))),
        ("warp=2 block=3", TraceRequest(block=(3, 0, 0), warp=2)),
        ("line=37", TraceRequest(line=37)),
        ("line=37 launch=2", TraceRequest(line=37, launch=2)),
        ("fault", TraceRequest(fault=True)),
    ],
)
def test_a_trace_names_a_thread_a_warp_a_line_or_the_fault(text: str, expected: TraceRequest) -> None:
    assert expected == parse_trace(text)


@pytest.mark.parametrize(
    "text", ["", "thread", "thread=x", "thread=1,2,3,4", "warp=1,2", "line=0", "launch=0 line=3", "block=1"]
)
def test_a_trace_that_cannot_be_read_says_how_to_write_one(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_trace(text)
    assert "line=37" in refused.value.remedy


def test_a_trace_of_what_is_not_there_is_refused() -> None:
    parse_trace("block=3 thread=31").check_shape((4, 1, 1), (32, 1, 1))
    for text, message in (("block=4 thread=0", "no block"), ("thread=32", "no thread"), ("warp=1", "no warp 1")):
        with pytest.raises(SettingsError, match=message):
            parse_trace(text).check_shape((4, 1, 1), (32, 1, 1))


def test_an_instruction_reads_as_the_text_says() -> None:
    target, source = Register(0, "%f1", "f32"), Register(1, "%f2", "f32")
    one = Immediate(0x3F800000, "f32")
    assert "add.rn.f32 %f1, %f2, 1.0" == spelled(Instr("add", ("rn", "f32"), (target, source, one), None, 1, 1))


@pytest.mark.parametrize(
    ("bits", "kind", "text"),
    [
        (0x3FC00000, "f32", "1.5"),
        (0xFFFFFFFF, "s32", "-1"),
        (7, "u32", "7"),
        (1 << 40, "u64", "0x10000000000"),
        (1, "pred", "true"),
        (0x3C004000, "f16x2", "(2, 1)"),
        (0x3F80, "bf16", "1"),
    ],
)
def test_bits_read_as_values_of_their_type(bits: int, kind: str, text: str) -> None:
    assert text == meaning(bits, kind)


# -- workloads ----------------------------------------------------------------------------------------------------


def everything(workload: Workload) -> bool:
    return True


def test_a_workload_is_the_first_inside_or_a_name_or_sizes() -> None:
    task = load_task(str(TINY))
    assert "one element" == choose_workload(task, None, everything).name
    assert "ragged" == choose_workload(task, None, lambda item: item.dims["N"] > 1).name
    assert {"N": 1 << 24, "A": 3} == dict(choose_workload(task, "sixteen", everything).dims)
    assert {"N": 5, "A": 2} == dict(choose_workload(task, "N=5, A=2", everything).dims)


@pytest.mark.parametrize(
    ("text", "message"),
    [("rugged", "has no workload"), ("N=x,A=1", "is no size"), ("N=1,A=1,distribution=odd", "no distribution")],
)
def test_a_workload_that_is_not_there_is_refused(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as refused:
        choose_workload(load_task(str(TINY)), text, everything)
    assert refused.value.remedy


def test_sizes_must_fit_the_task() -> None:
    with pytest.raises(TaskError, match="`A` has no value"):
        choose_workload(load_task(str(TINY)), "N=5", everything)


# -- values -------------------------------------------------------------------------------------------------------


def expected(values: list[float], dtype: str = "float32") -> Expectation:
    return Expectation("y", Path("y.npy"), np.array(values, dtype))


def floats(values: list[float]) -> Values:
    return Values("f32", np.array(values, np.float32), floating=True)


def test_floats_pass_within_the_tolerance_and_integers_when_equal() -> None:
    assert hold_against(floats([3, 4]), expected([3, 4.001]), 1e-3).passed
    report = hold_against(floats([3, 4]), expected([3, 5]), 1e-3)
    assert (False, (1,), 1.0) == (report.passed, report.worst, report.largest)
    whole = Values("i32", np.array([3, 4], np.int32), floating=False)
    assert hold_against(whole, expected([3, 4], "int32"), 1.0).passed
    assert not hold_against(whole, expected([3, 5], "int32"), 1.0).passed


@pytest.mark.parametrize(
    ("got", "want", "passed"),
    [
        (np.nan, np.nan, True),
        (np.inf, np.inf, True),
        (np.nan, 1.0, False),
        (1.0, np.nan, False),
        (np.inf, -np.inf, False),
        (np.inf, 3e38, False),
    ],
)
def test_nan_and_infinity_stand_where_they_should(got: float, want: float, passed: bool) -> None:
    assert passed is hold_against(floats([1, got]), expected([1, want]), 0.5).passed


def test_an_expectation_of_another_size_is_refused() -> None:
    with pytest.raises(SettingsError, match="holds 3 elements; y has 2"):
        hold_against(floats([1, 2]), expected([1, 2, 3]), 0.5)


def test_a_dump_names_a_tensor_and_perhaps_a_file() -> None:
    assert (Path("a.npy"), None) == (parse_dump("y=a.npy").file, parse_dump("y").file)
    for text in ("", "=a.npy", "y=a.txt"):
        with pytest.raises(SettingsError, match="--dump"):
            parse_dump(text)
