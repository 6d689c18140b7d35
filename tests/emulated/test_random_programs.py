"""Random well-formed PTX programs do the same on the readable executor and on every build of the VM."""

from dataclasses import replace

import pytest

from warpsmith.sandbox.emulator.isa.lanes import lane_rows
from warpsmith.sandbox.emulator.machine import UnsupportedInstruction

from ..fuzzing.lane_instructions import generated_rows
from ..fuzzing.programs import Program, random_program
from ..fuzzing.running import disagreement, shrunk, still_fails
from ..fuzzing.warp_instructions import products

QUICK, FULL = 10, 150


def check(seed: int) -> None:
    program = random_program(seed)
    if disagreement(program):
        small = shrunk(program, still_fails)
        pytest.fail(f"program {seed}: {disagreement(small)}\n{small.text}", pytrace=False)


@pytest.mark.parametrize("seed", range(QUICK))
def test_a_random_program_does_the_same_everywhere(seed: int) -> None:
    check(seed)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(QUICK, QUICK + FULL))
def test_many_random_programs_do_the_same_everywhere(seed: int) -> None:
    check(seed)


def test_what_programs_are_made_of_comes_from_the_table() -> None:
    """Left out: rows whose last bits are open, steps that no instruction is alone, and links of carry chains."""
    generated = {row.name for rows in generated_rows().values() for row in rows}
    left_out = {row.name for row in lane_rows().values() if row.exact} - generated
    assert {"set", "addc", "subc", "cvt"} >= {name.split(".")[0] for name in left_out}
    assert {item.a for item in products()} >= {"f16", "bf16", "tf32", "f64", "s8", "u4", "b1"}


def test_a_failing_program_is_made_as_small_as_what_fails() -> None:
    def fails(program: Program) -> bool:
        return "atom" in program.text

    program = next(p for p in map(random_program, range(100)) if fails(p))
    small = shrunk(program, fails)
    assert 1 == small.text.count("atom")
    assert len(small.body.insides[0]) == 1
    assert small.text.count("\n") < program.text.count("\n")


def test_a_program_that_only_one_executor_can_run_is_told() -> None:
    program = random_program(0)
    unknown = replace(
        program.body, texts=(program.body.texts[0], "vadd.s32.u32 %r0, %r1, %r1;" + program.body.texts[1])
    )
    with pytest.raises(UnsupportedInstruction, match="vadd"):
        disagreement(replace(program, body=unknown))
