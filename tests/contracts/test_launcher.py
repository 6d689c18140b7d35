"""What every Launcher must do: the emulator, the driver's worker over a fake driver, and a GPU where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from warpsmith.core.arch import find_architecture
from warpsmith.core.dtype import DType
from warpsmith.core.plan import BoundBuffer, BoundFill, FloatArg
from warpsmith.core.protocols import Check, Launcher, RunRequest
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.device.launcher import DeviceLauncher
from warpsmith.sandbox.device.messages import Surveyed
from warpsmith.sandbox.device.pool import Pool, survey
from warpsmith.sandbox.device.process import WorkerCommand
from warpsmith.sandbox.emulated import EmulatedLauncher
from warpsmith.sandbox.emulator.jailed import JailedVm
from warpsmith.sandbox.jail.levels import Level

from ..jail.levels import here
from .launchers import FakeGpus, call, closing, empty, ints, step, tensor, triton, values

COUNT = 64


@pytest.fixture(
    scope="module",
    params=[
        *("emulator", *Level, "fake GPU", "fake GPU without VMM"),
        pytest.param("GPU", marks=pytest.mark.gpu),
    ],
)
def launcher(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    folder: Path = tmp_path_factory.mktemp("gpu")
    if request.param == "emulator":
        yield EmulatedLauncher(find_architecture("h200"), budget=1 << 20)
    elif isinstance(request.param, Level):
        vm = JailedVm(here(request.param))
        yield EmulatedLauncher(find_architecture("h200"), budget=1 << 20, execute=vm)
        vm.close()
    elif request.param == "GPU":
        found = survey(WorkerCommand())
        assert isinstance(found, Surveyed), found
        pool = Pool(found.devices)
        yield DeviceLauncher(pool, seconds=2)
        pool.close()
    else:
        options = ("no-vmm",) if "without" in request.param else ()
        yield from closing(FakeGpus(folder, options=options))


def test_a_kernel_writes_its_output(launcher: Launcher) -> None:
    x = ints(*range(100))
    reply = call(launcher, step("copy", "x", "y", 100, grid=4), inputs={"x": x}, outputs={"y": empty(100)})
    assert list(range(100)) == values(reply)
    assert {} == reply.unwritten


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_every_seed_gives_the_same_values(launcher: Launcher, seed: int) -> None:
    x = ints(*range(37))
    reply = call(launcher, step("copy", "x", "y", 37, grid=2), inputs={"x": x}, outputs={"y": empty(37)}, seed=seed)
    assert list(range(37)) == values(reply)


def test_scalars_are_as_wide_as_their_parameters(launcher: Launcher) -> None:
    x, bias = (tensor(np.arange(8, dtype=np.float32) * factor) for factor in (1, 100))
    given = ("x", "bias", "y", FloatArg(2.0), FloatArg(0.5), 8)
    reply = call(launcher, step("scale", *given), inputs={"x": x, "bias": bias}, outputs={"y": empty(8, DType.FLOAT32)})
    assert [102 * i + 0.5 for i in range(8)] == values(reply)


def test_an_absent_tensor_is_a_null_pointer(launcher: Launcher) -> None:
    x = tensor(np.arange(8, dtype=np.float32))
    given = ("x", "bias", "y", FloatArg(2.0), FloatArg(0.5), 8)
    reply = call(launcher, step("scale", *given), inputs={"x": x}, outputs={"y": empty(8, DType.FLOAT32)})
    assert [2 * i + 0.5 for i in range(8)] == values(reply)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_first_byte_that_nothing_wrote_is_named(launcher: Launcher, seed: int) -> None:
    x = ints(*range(COUNT))
    reply = call(launcher, step("copy", "x", "y", 40, grid=2), inputs={"x": x}, outputs={"y": empty(COUNT)}, seed=seed)
    assert list(range(40)) == values(reply)[:40]
    assert {"y": 160} == reply.unwritten


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("where", [COUNT, COUNT + 3, -1], ids=["past the end", "further past it", "before the start"])
def test_a_store_beside_an_output_is_out_of_bounds(launcher: Launcher, where: int, seed: int) -> None:
    reply = call(launcher, step("store_at", "y", where), outputs={"y": empty(COUNT)}, seed=seed)
    assert "OutOfBounds" == getattr(reply.failure, "kind", ""), reply.failure


def test_a_store_far_outside_everything_is_out_of_bounds(launcher: Launcher) -> None:
    reply = call(launcher, step("store_at", "y", 1 << 40), outputs={"y": empty(COUNT)})
    assert ("OutOfBounds", 7) == (getattr(reply.failure, "kind", ""), 7), reply.failure


def test_the_last_element_is_in_bounds(launcher: Launcher) -> None:
    first = step("copy", "x", "y", COUNT, grid=2)
    reply = call(
        launcher,
        first,
        step("store_at", "y", COUNT - 1),
        inputs={"x": ints(*range(COUNT))},
        outputs={"y": empty(COUNT)},
    )
    assert [*range(COUNT - 1), 1] == values(reply)


def test_a_written_input_is_out_of_bounds(launcher: Launcher) -> None:
    reply = call(launcher, step("write_input", "x", "y"), inputs={"x": ints(*range(8))}, outputs={"y": empty(32)})
    assert "OutOfBounds" == getattr(reply.failure, "kind", ""), reply.failure
    assert "x" in getattr(reply.failure, "message", "")


def test_an_input_that_is_an_output_too_starts_with_its_values(launcher: Launcher) -> None:
    y, x = ints(10, 20, 30, 40), ints(*[1] * 32)
    reply = call(launcher, step("add_into", "y", "x"), inputs={"y": y, "x": x}, outputs={"y": y})
    assert [18, 28, 38, 48] == values(reply)
    assert [10, 20, 30, 40] == y.array.tolist()


def test_a_fill_and_an_initialised_buffer_are_part_of_the_call(launcher: Launcher) -> None:
    sums = BoundBuffer("sums", (4,), DType.INT32, init=0)
    steps = (step("add_into", "sums", "x"), BoundFill("y", -1), step("copy", "sums", "y", 3))
    reply = call(launcher, *steps, inputs={"x": ints(*[1] * 32)}, outputs={"y": empty(4)}, buffers=(sums,))
    assert [8, 8, 8, -1] == values(reply)
    assert {} == reply.unwritten


def test_more_dynamic_shared_memory_than_48_kib_is_asked_for(launcher: Launcher) -> None:
    count = 40 * 1024
    x = tensor(np.arange(count, dtype=np.int32))
    reply = call(
        launcher,
        step("reversed", "x", "y", count, block=128, shared=4 * count),
        inputs={"x": x},
        outputs={"y": empty(count)},
    )
    assert list(range(count))[::-1] == values(reply)


def test_a_cooperative_grid_meets_in_the_middle(launcher: Launcher) -> None:
    buffers = (BoundBuffer("arrived", (1,), DType.INT32, init=0), BoundBuffer("parts", (6,), DType.INT32))
    launch = step("spread", "x", "arrived", "parts", "y", grid=6, block=1, cooperative=True)
    reply = call(launcher, launch, inputs={"x": ints(1, 2, 3, 4, 5, 6)}, outputs={"y": empty(6)}, buffers=buffers)
    assert [21] * 6 == values(reply)


def test_what_prepare_wrote_is_given_back_and_can_be_kept(launcher: Launcher) -> None:
    w, x, packed = ints(*range(32)), ints(*range(100, 132)), BoundBuffer("packed", (32,), DType.INT32, prepared=True)
    steps = (step("twice", "w", "packed", prepare=True), step("shifted", "x", "packed", "y"))
    first = call(
        launcher,
        *steps,
        inputs={"w": w, "x": x},
        outputs={"y": empty(32)},
        buffers=(packed,),
        static=frozenset({"w"}),
    )
    assert [100 + 3 * i for i in range(32)] == values(first)
    assert [2 * i for i in range(32)] == first.prepared["packed"].array.tolist()
    other = {"packed": ints(*[5] * 32)}
    again = call(
        launcher,
        *steps,
        inputs={"w": w, "x": x},
        outputs={"y": empty(32)},
        buffers=(packed,),
        static=frozenset({"w"}),
        keep_prepared=other,
    )
    assert [105 + i for i in range(32)] == values(again)


@pytest.mark.parametrize("seed", [0, 1])
def test_prepare_reaches_no_dynamic_input(launcher: Launcher, seed: int) -> None:
    packed = BoundBuffer("packed", (32,), DType.INT32, prepared=True)
    steps = (step("twice", "x", "packed", prepare=True), step("shifted", "x", "packed", "y"))
    reply = call(
        launcher, *steps, inputs={"x": ints(*range(32))}, outputs={"y": empty(32)}, buffers=(packed,), seed=seed
    )
    if reply.failure is None:  # Where nothing can be unmapped, random bytes stand there.
        assert [3 * i for i in range(32)] != values(reply)
    else:
        assert "OutOfBounds" == reply.failure.kind


def test_a_prepared_buffer_is_not_written_afterwards(launcher: Launcher) -> None:
    packed = BoundBuffer("packed", (32,), DType.INT32, prepared=True)
    steps = (step("twice", "w", "packed", prepare=True), step("write_input", "packed", "y"))
    reply = call(
        launcher,
        *steps,
        inputs={"w": ints(*range(32))},
        outputs={"y": empty(32)},
        buffers=(packed,),
        static=frozenset({"w"}),
    )
    assert "OutOfBounds" == getattr(reply.failure, "kind", ""), reply.failure


@pytest.mark.parametrize(
    ("kernel", "expected"), [("misaligned", "Crashed"), ("stop", "Crashed"), ("endless", "OverBudget")]
)
def test_a_kernel_that_does_not_end_well_is_named_and_harms_no_other(
    launcher: Launcher, kernel: str, expected: str
) -> None:
    reply = call(launcher, step(kernel, "y"), outputs={"y": empty(32)})
    assert expected == getattr(reply.failure, "kind", ""), reply.failure
    after = call(launcher, step("copy", "x", "y", 4), inputs={"x": ints(1, 2, 3, 4)}, outputs={"y": empty(4)})
    assert [1, 2, 3, 4] == values(after)


def test_the_budget_that_a_request_names_holds_below_and_above_the_launchers_own() -> None:
    launcher, x, y = EmulatedLauncher(find_architecture("h200"), budget=100), ints(7), empty(1)

    def told(budget: int | None, grid: int) -> str:
        reply = call(launcher, step("copy", "x", "y", 1, grid=grid), inputs={"x": x}, outputs={"y": y}, budget=budget)
        return getattr(reply.failure, "kind", "")

    assert ("", "OverBudget") == (told(None, grid=1), told(None, grid=1000))
    assert ("OverBudget", "") == (told(1000, grid=1000), told(100_000, grid=1000))


def test_a_plan_without_launches_leaves_its_outputs_unwritten(launcher: Launcher) -> None:
    reply = call(launcher, outputs={"y": empty(4)})
    assert (None, {"y": 0}) == (reply.failure, reply.unwritten)


def test_an_empty_tensor_has_an_address_and_no_bytes(launcher: Launcher) -> None:
    reply = call(launcher, step("copy", "x", "y", 0), inputs={"x": empty(0)}, outputs={"y": empty(0)})
    assert [] == values(reply)
    assert {} == reply.unwritten


@pytest.mark.parametrize("rows", [1, 7])
def test_a_triton_kernel_launches_like_any_other(launcher: Launcher, rows: int) -> None:
    """Its shared memory and hidden pointers are the compiler's, its machine code is assembled from the same PTX."""
    builds, workload = triton(rows)
    x = np.linspace(-3, 3, rows * 100, dtype=np.float32).reshape(rows, 100).astype(np.float16)
    request = RunRequest(
        builds.artifact(workload),
        builds.plan(workload),
        {"x": HostTensor(DType.FLOAT16, x.shape, x)},
        {"y": HostTensor(DType.FLOAT16, x.shape, np.zeros_like(x))},
        counters=False,
    )
    reply = launcher.run(request)
    assert (None, {}) == (reply.failure, reply.unwritten)
    raised = np.exp(x.astype(np.float64))
    expected = raised / raised.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(reply.outputs["y"].array.astype(np.float64), expected, rtol=2e-3, atol=1e-5)


def test_a_reply_says_what_was_watched(launcher: Launcher) -> None:
    x = ints(1)
    reply = call(launcher, step("copy", "x", "y", 1), inputs={"x": x}, outputs={"y": empty(1)})
    always = {Check.ALIGNMENT, Check.READ_ONLY, Check.UNWRITTEN, Check.HANGS}
    assert always <= reply.checks
    assert (Check.BOUNDS in reply.checks) != (Check.GUARDS in reply.checks)
    assert isinstance(launcher, EmulatedLauncher) == ({Check.RACES, Check.UNINITIALISED} <= reply.checks)
