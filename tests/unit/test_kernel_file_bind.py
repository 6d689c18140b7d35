"""Kernel files held against a task and bound to workloads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from warpsmith.core.dtype import DType
from warpsmith.core.errors import KernelFileError, TaskError
from warpsmith.core.kernel_file import (
    bind,
    build_key,
    dims_of,
    inside_domain,
    parse_kernel_file,
    tensor_shape,
    triton_builds,
)
from warpsmith.core.plan import BoundFill, BoundLaunch, BoundPlan, IntArg, TensorArg
from warpsmith.core.task import Cost, Output, Role, Task, Tensor, Workload

TEXT = (Path(__file__).parent / "kernel_files" / "scale_rows.cu").read_text()
SOFTMAX = (Path(__file__).parents[2] / "examples" / "softmax.py").read_text()
EVEN = Workload("even", {"M": 5, "N": 128, "G": 2}, "normal", dtypes={"T": "bfloat16"})
RAGGED = Workload("ragged", {"M": 5, "N": 130, "G": 2}, "normal", dtypes={"T": "bfloat16"})


def scale_rows() -> Task:
    return Task(
        name="scale_rows",
        family="test",
        summary="Rows over their sums.",
        inputs=(Tensor("x", ("M", "N"), "T"), Tensor("w", ("N",), "float16", Role.STATIC, optional=True)),
        outputs=(Output("y", ("M", "N"), "T"),),
        dims=("M", "N"),
        reference=lambda x, w: x * w,
        make_inputs={},
        verify=(RAGGED,),
        bench=(EVEN,),
        cost=lambda dims: Cost(1, 1),
        fixed=("G",),
        derived={"HALF": "N // 2"},
        constraints=("G > 0", "N % G == 0"),
    )


TASK = scale_rows()


def bound(text: str = TEXT, workload: Workload = EVEN, **options: Mapping[str, int] | int) -> BoundPlan:
    kernel_file = parse_kernel_file(text, file="scale_rows.cu")
    return bind(kernel_file, TASK, workload, kernel_file.default_knobs(), sms=132, **options)  # type: ignore[arg-type]


def refusal(old: str, new: str, workload: Workload = EVEN) -> str:
    assert old in TEXT
    with pytest.raises(KernelFileError) as caught:
        bound(TEXT.replace(old, new, 1), workload)
    return str(caught.value)


def test_a_plan_holds_buffers_prepare_launches_fills_and_repeats_in_order() -> None:
    plan = bound()
    assert [(buffer.name, buffer.shape, buffer.dtype, buffer.init) for buffer in plan.buffers] == [
        ("partial", (5, 2), DType.FLOAT32, 0),
        ("packed", (128,), DType.FLOAT16, None),
    ]
    kinds = [step.kernel if isinstance(step, BoundLaunch) else step.tensor for step in plan.steps]
    assert kinds == ["pack", "y", "sums<BM>", "scale", "scale", "scale"]
    assert plan.steps[1] == BoundFill("y", 0)
    assert [launch.prepare for launch in plan.launches] == [True, False, False, False, False]


def test_a_launch_has_every_number() -> None:
    sums = bound().launches[1]
    assert (sums.grid, sums.block, sums.shared) == ((2, 3, 1), (64, 2, 1), 512)
    assert sums.args == (TensorArg("x"), TensorArg("partial"), IntArg(5), IntArg(128))


def test_the_repeat_index_reaches_the_arguments() -> None:
    arguments = [launch.args[-2:] for launch in bound().launches[2:]]
    assert arguments == [(IntArg(0), IntArg(2)), (IntArg(2), IntArg(2)), (IntArg(4), IntArg(1))]


def test_an_empty_grid_is_skipped_and_a_buffer_may_have_no_bytes() -> None:
    plan = bound(workload=replace(EVEN, dims={"M": 0, "N": 128, "G": 2}))
    assert plan.buffers[0].nbytes == 0
    assert [launch.kernel for launch in plan.launches] == ["pack"]


def test_requires_decides_what_a_kernel_claims() -> None:
    kernel_file = parse_kernel_file(TEXT)
    knobs = kernel_file.default_knobs()
    assert inside_domain(kernel_file, TASK, EVEN, knobs, 132)
    assert not inside_domain(kernel_file, TASK, RAGGED, knobs, 132)
    assert "`requires` does not hold. The kernel does not claim this workload." in refusal(
        "scale_rows", "scale_rows", RAGGED
    )


def test_an_absent_tensor_is_seen_by_has() -> None:
    text = TEXT.replace('// when = "M > 0"', '// when = "has_w"')
    kernel_file = parse_kernel_file(text)
    with_w = bind(kernel_file, TASK, EVEN, kernel_file.default_knobs(), sms=132)
    alone = replace(EVEN, absent=frozenset({"w"}))
    without = bind(kernel_file, TASK, alone, kernel_file.default_knobs(), sms=132)
    assert (3, 0) == tuple(sum(launch.kernel == "scale" for launch in plan.launches) for plan in (with_w, without))


def test_resident_is_the_grid_of_a_persistent_kernel() -> None:
    persistent = TEXT.replace('grid = ["TILES", "cdiv(M, BM)"]', 'grid = "min(TILES, RESIDENT)"')
    kernel_file = parse_kernel_file(persistent)
    assert kernel_file.uses_resident
    assert bound(persistent, resident={"sums<BM>": 1}).launches[1].grid == (1, 1, 1)
    with pytest.raises(ValueError, match="resident"):
        bound(persistent)


@pytest.mark.parametrize(
    ("expected", "old", "new"),
    [
        (
            "scale_rows.cu:2:4: The file is for task `other`, not `scale_rows`. Write `task = \"scale_rows\"`.",
            'task = "scale_rows"',
            'task = "other"',
        ),
        (
            "scale_rows.cu:4:4: `M` is not a fixed dimension of task `scale_rows`. `M` changes from call to call: "
            "take it as a parameter `int M`.",
            '["G"]',
            '["M"]',
        ),
        ("The named expression `HALF` has the name of a dimension of the task. Rename it.", 'TILES = "c', 'HALF = "c'),
        ("The buffer `x` has the name of a tensor of the task.", 'name = "partial"', 'name = "x"'),
        ("scale_rows.cu:3:16: In `NN % 4 == 0`: `NN` is unknown. Did you mean `N`?", "N % 4", "NN % 4"),
        ("`TILES` is not defined before `EARLY`. Move `TILES` above `EARLY` under [let].", "// TILES =",
         '// EARLY = "TILES"\n// TILES ='),
        ("`RESIDENT` is known in `grid` only. Use `SMS`.", '"M > 0"', '"RESIDENT > 0"'),
        ("`i` is known in a launch with `repeat` only.", '"TILES", "cdiv(M, BM)"', '"i"'),
        ("`x` is a tensor or buffer, not an integer. `size(x)` is its element's bytes.", '"THREADS * ', '"x * '),
        ("`u` in `size(u)` is neither a tensor nor a buffer.", "size(partial)", "size(u)"),
        (
            "scale_rows.cu:52: prepare 1: parameter `v` of `pack` names nothing the launcher knows. Known are: ",
            "const w_t* w,", "const w_t* v,",
        ),
        ("`fill`: `x` is an input.", 'fill = "y"', 'fill = "x"'),
        ("`fill`: `packed` is prepared, so it is read-only in a call. Use `init`", 'fill = "y"', 'fill = "packed"'),
        (
            "prepare 1: `x` is not a static input. A prepare launch reads static inputs and prepared buffers.",
            "const w_t* w,", "const x_t* x,",
        ),
        ("prepare 1: `partial` is a buffer without `prepared = true`.", "packed, int N)\n{", "partial, int N)\n{"),
        (
            "No launch takes the output `y`. Give the kernel that writes it a parameter `y_t* y`.",
            "y_t* y, int TILES", "int HALF, int TILES",
        ),
        ("`q_t` is not an element type.", 'dtype = "w_t"', 'dtype = "q_t"'),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_task_is_named(expected: str, old: str, new: str) -> None:
    assert expected in refusal(old, new)


def test_memory_a_launch_writes_is_not_read_through_const_restrict() -> None:
    text = TEXT.replace("args = {", 'args = { again = "partial",')
    promised = text.replace("const float* partial, y_t* y", "const float* __restrict__ partial, float* again, y_t* y")
    with pytest.raises(KernelFileError) as caught:
        bound(promised)
    assert str(caught.value) == (
        "scale_rows.cu:73: launch 2: `partial` is `const ... __restrict__`, but the same launch writes its memory. "
        "Remove `__restrict__` from `partial`: it promises that nobody writes there."
    )
    assert bound(promised.replace("__restrict__ partial, float* again", "partial, float* again")).launches


@pytest.mark.parametrize(
    ("expected", "old", "new"),
    [
        ("launch 1: a block of 2048 threads. At most 1024", '["BN", "BM"]', "[1024, 2]"),
        ("launch 1: block x is 0. It may be 1 to 1024.", '["BN", "BM"]', '"BN - 64"'),
        ("launch 1: block z is 65. It may be 1 to 64.", '["BN", "BM"]', "[1, 1, 65]"),
        ("launch 1: grid y is 65536. It may be 0 to 65535: put the longest axis first.", '"cdiv(M, BM)"', "65536"),
        ("launch 1: grid x is -1. It may be 0 to 2147483647.", '"TILES", "cdiv', '"-1", "cdiv'),
        (
            "launch 1: 262144 bytes of dynamic shared memory; the target has 232448.",
            '"THREADS * size(partial)"',
            "262144",
        ),
        ("`repeat` is 1000. It may be 0 to 256.", '"cdiv(M, 2)"', "1000"),
        ("One call takes more than 256 launches. Loop inside a kernel.", '"cdiv(M, 2)"', "256"),
        ("Buffer `partial` has the extent -1.", '["M", "TILES"]', '["-1"]'),
        ("The buffers up to `partial` (1000000000,) need 4000000000 bytes; at most", '["M", "TILES"]', "[1000000000]"),
        ("`*` gives 25000000000000000000", '["M", "TILES"]', '["M * 5000000000 * 1000000000"]'),
        ("does not fit `int first`. Declare the parameter `long long`.", '"2 * i"', '"3000000000 + i"'),
        ("workload `even`: In `cdiv(N, BN - 64)`: `cdiv` divides 128 by zero.", '"cdiv(N, BN)"', '"cdiv(N, BN - 64)"'),
    ],
)
def test_limits_are_checked_before_anything_runs(expected: str, old: str, new: str) -> None:
    message = refusal(old, new)
    assert expected in message
    assert "workload `even`" in message


def test_a_knob_assignment_is_one_of_the_file() -> None:
    kernel_file = parse_kernel_file(TEXT)
    for knobs, expected in (
        ({"BM": 3, "BN": 64}, "Knob `BM` cannot be 3. Its values are [2, 4]."),
        ({"BM": 2}, "Knob `BN` has no value. Give one of [64, 32]."),
        ({"BM": 4, "BN": 64}, "`where` excludes BM=4, BN=64."),
        ({"BM": 2, "BN": 64, "BK": 1}, "There is no knob `BK`. Known are: BM, BN."),
    ):
        with pytest.raises(KernelFileError) as caught:
            bind(kernel_file, TASK, EVEN, knobs, sms=132)
        assert expected in str(caught.value)


def test_dimensions_are_checked_and_derived() -> None:
    assert dims_of(TASK, EVEN) == {"M": 5, "N": 128, "G": 2, "HALF": 64}
    assert tensor_shape(TASK.tensor("x"), dims_of(TASK, EVEN)) == (5, 128)
    for dims, expected in (
        ({"M": 5, "N": 128}, "dimension `G` has no value"),
        ({"M": 5, "N": 129, "G": 2}, "`N % G == 0` does not hold with M=5, N=129, G=2, HALF=64"),
        ({"M": -5, "N": 128, "G": 2}, "dimension `M` is -5"),
        ({"M": 5, "N": 128, "G": 2, "HALF": 1}, "there is no dimension `HALF`"),
    ):
        with pytest.raises(TaskError) as caught:
            dims_of(TASK, replace(EVEN, dims=dims))
        assert expected in str(caught.value)


def test_a_build_key_changes_with_what_is_compiled_in_and_nothing_else() -> None:
    kernel_file = parse_kernel_file(TEXT)
    knobs = kernel_file.default_knobs()
    key = build_key(kernel_file, TASK, EVEN, knobs)
    assert key == build_key(kernel_file, TASK, replace(EVEN, dims={"M": 9, "N": 64, "G": 2}), knobs)
    assert key != build_key(kernel_file, TASK, replace(EVEN, dims={"M": 5, "N": 128, "G": 4}), knobs)
    assert key != build_key(kernel_file, TASK, replace(EVEN, dtypes={"T": "float16"}), knobs)
    assert key != build_key(kernel_file, TASK, EVEN, {"BM": 2, "BN": 32})


def softmax_task() -> Task:
    inputs, outputs = (Tensor("x", ("M", "N"), "float16"),), (Output("y", ("M", "N"), "float16"),)
    return replace(TASK, name="row_softmax", inputs=inputs, outputs=outputs, fixed=(), derived={}, constraints=())


def test_a_triton_launch_compiles_its_constexprs_in_and_passes_the_rest() -> None:
    kernel_file, task = parse_kernel_file(SOFTMAX), softmax_task()
    workload = Workload("w", {"M": 48, "N": 100}, "normal")
    (build,) = triton_builds(kernel_file, task, workload, {"num_warps": 8, "ROWS": 2})
    assert build.constants == {"N": 100, "ROWS": 2, "BLOCK": 128}
    assert build.types["x"] == "*fp16"
    assert build.divisible_by_16 == ("x", "y", "M")
    launch = bind(kernel_file, task, workload, {"num_warps": 8, "ROWS": 2}, sms=132).launches[0]
    assert (launch.kernel, launch.grid, launch.block) == (build.entry, (24, 1, 1), (256, 1, 1))
    assert launch.args == (TensorArg("x"), TensorArg("y"), IntArg(48))


def test_element_types_and_wide_integers_that_workloads_bind_make_builds_of_their_own() -> None:
    kernel_file, workload = parse_kernel_file(SOFTMAX), Workload("w", {"M": 48, "N": 100}, "normal")
    inputs, outputs = (Tensor("x", ("M", "N"), "T"),), (Output("y", ("M", "N"), "float32"),)
    task = replace(softmax_task(), inputs=inputs, outputs=outputs)

    def entry(dtype: str, rows: int = 48) -> str:
        bound = replace(workload, dims={"M": rows, "N": 100}, dtypes={"T": dtype})
        (build,) = triton_builds(kernel_file, task, bound, {"num_warps": 8, "ROWS": 2})
        return build.entry

    assert entry("float16").endswith("x: *fp16]")
    assert 3 == len({entry("float16"), entry("bfloat16"), entry("float16", 1 << 31)})


def test_triton_specialises_on_divisibility_and_one_and_the_build_key_says_so() -> None:
    kernel_file, task = parse_kernel_file(SOFTMAX), softmax_task()
    knobs = kernel_file.default_knobs()

    def key(rows: int) -> str:
        return build_key(kernel_file, task, Workload("w", {"M": rows, "N": 100}, "normal"), knobs)

    assert key(48) == key(64)
    assert len({key(48), key(49), key(1)}) == 3
    one = Workload("one", {"M": 1, "N": 100}, "normal")
    assert bind(kernel_file, task, one, knobs, sms=132).launches[0].args == (TensorArg("x"), TensorArg("y"))
