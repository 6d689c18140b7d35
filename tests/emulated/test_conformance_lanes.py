"""Every lane row's C++ expression gives what its Python meaning says, on edge and random operands."""

import ctypes
import random
import subprocess
from pathlib import Path

import numpy as np
import pytest

from warpsmith.sandbox.emulator import vm
from warpsmith.sandbox.emulator.isa.lanes import lane_rows
from warpsmith.sandbox.emulator.isa.number import BF16, F16, F32, F64, FORMATS, Format
from warpsmith.sandbox.emulator.isa.row import LaneRow

WIDTHS = {"pred": 1, "f32": 32, "f64": 64} | {f"{s}{w}": w for s in "us" for w in (8, 16, 32, 64)}
SAMPLES = 160

EDGES = {
    1: (0, 1),
    8: (0, 1, 0x7F, 0x80, 0xFF),
    16: (0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x3C00, 0xBC00, 0x7C00, 0xFC00, 0x7C01, 0x0400, 0x03FF, 0x7BFF, 0x3F80, 0x7F80),
    32: (
        *(0, 1, 2, 31, 32, 33, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x3F800000, 0xBF800000, 0x7F800000, 0xFF800000),
        *(0x7FC00000, 0xFF800001, 0x00800000, 0x007FFFFF, 0x80000001, 0x7F7FFFFF, 0x4F000000, 0xCF000000, 0x4F800000),
        *(0x3F000000, 0x3FC00000, 0xC0200000, 0x477FE000, 0x477FEFFF, 0x477FF000, 0x38800000, 0x33800000, 0x33000000),
        *(0x4EFFFFFF, 0x5F000000, 0x43E00000, 0x43E80001, 0x47600000),
    ),
    64: (
        *(0, 1, 63, 64, 1 << 31, 1 << 32, 1 << 63, (1 << 63) - 1, (1 << 64) - 1, 0x3FF0000000000000),
        *(0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000000, 0x000FFFFFFFFFFFFF, 0x0010000000000000),
        *(0x43E0000000000000, 0xC3E0000000000000, 0x41DFFFFFFFC00000, 0x3FE0000000000000, 0x36A0000000000000),
        *(0x47EFFFFFFFFFFFFF, 0x3FF0000010000000, 0x3FF0000030000000, 0x40EFFE0000000000),
    ),
}


def operand(width: int, rng: random.Random) -> int:
    """An edge value, any bits, a value of everyday size, or a small integer."""
    choice = rng.randrange(4)
    if choice == 0:
        return rng.choice(EDGES[width])
    if choice == 1:
        return rng.getrandbits(width)
    if choice == 2 and width == 16:
        return rng.choice((F16, BF16)).from_float(rng.choice((1, 2**-5, 2**-14)) * rng.uniform(-8, 8))
    if choice == 2 and width == 32 and rng.randrange(3) == 0:
        return operand(16, rng) << 16 | operand(16, rng)
    if choice == 2 and width == 32:
        return F32.from_float(rng.uniform(-40, 40))
    if choice == 2 and width == 64:
        return F64.from_float(rng.uniform(-4e9, 4e9))
    return rng.randrange(1 << min(width, 7))


def operands(row: LaneRow) -> np.ndarray:
    rng = random.Random(row.name)
    return np.array([[operand(WIDTHS[kind], rng) for _ in range(SAMPLES)] for kind in row.args], np.uint64)


def result_format(row: LaneRow) -> Format | None:
    """The floating format of the result, where NaNs of any payload agree."""
    if row.result in FORMATS:
        return FORMATS[row.result]
    return None


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory, sanitizers: list[str]) -> ctypes.CDLL:
    library = tmp_path_factory.mktemp("lanes") / "lanes.so"
    source = Path(__file__).with_name("lane_harness.cpp")
    headers = Path(vm.__file__).parent
    flags = [
        "-std=c++17",
        "-O1",
        "-ffp-contract=off",
        "-fno-math-errno",
        "-shared",
        "-fPIC",
        "-Wall",
        "-Wno-unused-function",
        *sanitizers,
    ]
    subprocess.run(["g++", *flags, "-I", headers, "-o", library, source], check=True)
    loaded = ctypes.CDLL(str(library))
    loaded.row_name.restype = ctypes.c_char_p
    return loaded


def run(compiled: ctypes.CDLL, index: int, samples: np.ndarray) -> list[int]:
    results = np.zeros(samples.shape[1], np.uint64)
    pointer = ctypes.POINTER(ctypes.c_uint64)
    compiled.row_run(index, samples.ctypes.data_as(pointer), results.ctypes.data_as(pointer), len(results))
    return results.tolist()


def agree(row: LaneRow, expected: int, got: int) -> bool:
    if expected == got:
        return True
    form = result_format(row)
    if form is None:
        return not row.exact and abs(expected - got) <= 1
    if form.is_nan(expected) or form.is_nan(got):
        return form.is_nan(expected) and form.is_nan(got)
    return not row.exact and abs(expected - got) <= 1


def test_the_compiled_rows_are_the_table(compiled: ctypes.CDLL) -> None:
    assert list(lane_rows()) == [compiled.row_name(i).decode() for i in range(compiled.row_count())]


@pytest.mark.parametrize(("index", "row"), list(enumerate(lane_rows().values())), ids=lane_rows())
def test_the_cpp_text_of_a_row_gives_what_its_meaning_says(index: int, row: LaneRow, compiled: ctypes.CDLL) -> None:
    samples = operands(row)
    wrong = [
        f"{row.name}{tuple(map(hex, column))}: meaning {expected:#x}, C++ {got:#x}"
        for column, got in zip(samples.T.tolist(), run(compiled, index, samples), strict=True)
        if not agree(row, expected := row.meaning(*column), got)
    ]
    assert [] == wrong
