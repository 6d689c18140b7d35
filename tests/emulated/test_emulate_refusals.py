"""What `warpsmith emulate` says to what people get wrong, and to what no device would run."""

from __future__ import annotations

from pathlib import Path

import pytest

from .emulating import LAUNCH, PTX, REVERSE, TINY, Captured, emulate


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--grid", "2"], "--block is missing"),
        (["--grid", "0", *LAUNCH[2:]], "is no size"),
        (["--grid", "2", "--block", "64"], "template over T"),
        (["--grid", "2", "--block", "64", "--kernel", "revers<64>"], "no kernel `revers<64>`"),
        (["--grid", "2", "--block", "64", "--kernel", "reverse<64>"], "takes 4 arguments (x, y, n, a); 0 are given"),
        ([*LAUNCH[:-4], "--arg", "i64=128", "--arg", "f32=1"], "has 8 bytes; the parameter n has 4"),
        ([*LAUNCH, "--trace", "warp=2"], "no warp 2"),
        ([*LAUNCH, "--trace", "block=2 thread=0"], "no block (2, 0, 0)"),
        ([*LAUNCH, "--trace", "thread"], "cannot be read"),
        ([*LAUNCH, "--dump", "z"], "no tensor `z`"),
        ([*LAUNCH, "--expect", "y=absent.npy"], "cannot be read"),
        ([*LAUNCH, "--expect", "z"], "is no NAME=FILE"),
        ([*LAUNCH, "--workload", "x"], "--workload does not fit"),
        (["--block", "64"], "--block does not fit"),
        ([], "has no head block, so it is a plain file"),
    ],
)
def test_what_does_not_fit_a_plain_file_ends_with_2_and_a_remedy(
    arguments: list[str], message: str, reverse: Path, capsys: Captured
) -> None:
    code, found = emulate(capsys, reverse, *arguments)
    assert 2 == code
    assert message in found["error"]["message"]
    assert found["error"]["remedy"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workload", "rugged"], "has no workload"),
        (["--workload", "N=4"], "`A` has no value"),
        (["--knob", "B=3"], "no knob `B`"),
        (["--dump", "x"], "no tensor `x`"),
        (["--trace", "thread=128"], "no thread"),
        (["--arch", "h300"], "h300"),
    ],
)
def test_what_does_not_fit_a_kernel_file_ends_with_2(
    arguments: list[str], message: str, tiny: Path, capsys: Captured
) -> None:
    code, found = emulate(capsys, tiny, "--task", TINY, *arguments)
    assert 2 == code
    assert message in found["error"]["message"]


def test_a_mistake_in_ptx_is_named_by_file_line_and_column(copy: Path, capsys: Captured) -> None:
    copy.write_text(PTX.replace("ld.global.u32 %r1, [%rd3];", "ld.global.u32 %r1, [%rd3;"))
    code, found = emulate(capsys, copy, "--grid", "1", "--block", "32")
    assert (2, str(copy), 11) == (code, found["error"]["file"], found["error"]["line"])
    assert found["error"]["column"]
    copy.write_text(PTX)
    code, found = emulate(capsys, copy, "--grid", "1", "--block", "32", "--kernel", "cpoy")
    assert (2, str(copy)) == (code, found["error"]["file"])


def test_a_launch_the_device_would_refuse_is_over_budget(reverse: Path, capsys: Captured) -> None:
    code, found = emulate(capsys, reverse, *LAUNCH, "--shared", "300000")
    assert (1, "OverBudget") == (code, found["outcome"])
    reverse.write_text(REVERSE.replace("if (i < n) y[i]", "while (n) ((volatile float*)y)[i]"))
    code, found = emulate(capsys, reverse, *LAUNCH, "--budget", "1000")
    assert (1, "OverBudget") == (code, found["outcome"])


def test_a_grid_of_more_blocks_than_are_run_is_over_budget_at_once(tiny: Path, reverse: Path, capsys: Captured) -> None:
    """Their order alone would take more memory than many machines have."""
    code, found = emulate(capsys, reverse, "--grid", "2147483647", *LAUNCH[2:])
    assert (1, "OverBudget") == (code, found["outcome"])
    assert "2,147,483,647 blocks, more than the 67,108,864" in found["message"]
    tiny.write_text(tiny.read_text().replace('"cdiv(N, 128)"', '"2147483647"'))
    code, found = emulate(capsys, tiny, "--task", TINY)
    assert (1, "OverBudget", []) == (code, found["outcome"], found["outputs"])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--budget", value) for value in ("0", "-1", "nan", "9223372036854775807", "many")),
        *(("--tolerance", value) for value in ("-1", "nan", "inf", "1e400", "some")),
        *(("--trace-limit", value) for value in ("0", "1e9", "9223372036854775807")),
        *(("--shared", value) for value in ("-1", "1.5")),
        *(("--seed", value) for value in ("-1", "nan")),
    ],
)
def test_a_number_that_is_none_is_refused_by_the_name_of_its_option(
    option: str, value: str, reverse: Path, capsys: Captured
) -> None:
    code, found = emulate(capsys, reverse, *LAUNCH, option, value)
    assert (2, "UsageError") == (code, found["error"]["kind"])
    assert option in found["error"]["message"]
    assert found["error"]["remedy"]


@pytest.mark.parametrize("name", ["absent.ptx", "absent.cu"])
def test_a_missing_file_is_told_before_what_its_options_lack(name: str, tmp_path: Path, capsys: Captured) -> None:
    for options in (["--grid", "1"], ["--block", "1"], []):
        code, found = emulate(capsys, tmp_path / name, *options)
        assert 2 == code
        assert name in found["error"]["message"], options


def test_a_launch_that_the_device_refuses_shows_no_outputs(reverse: Path, capsys: Captured) -> None:
    code, found = emulate(capsys, reverse, *LAUNCH, "--shared", "999999")
    assert (1, "OverBudget", []) == (code, found["outcome"], found["outputs"])
