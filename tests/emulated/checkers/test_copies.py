"""Asynchronous copies to one place: which of two arrives last nobody knows."""

import numpy as np
import pytest

from warpsmith.sandbox.emulator.machine import FaultKind


def kernel(shared: str, body: str, y: str = "float4") -> str:
    return f"""
__device__ void copy(float4* to, const float4* from) {{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::
        "r"((unsigned)__cvta_generic_to_shared(to)), "l"(from) : "memory");
}}
__device__ void commit() {{ asm volatile("cp.async.commit_group;" ::: "memory"); }}
template <int N> __device__ void wait() {{ asm volatile("cp.async.wait_group %0;" :: "n"(N) : "memory"); }}
extern "C" __global__ void k({y}* y, const float4* x) {{
    __shared__ float4 {shared};
    const int i = threadIdx.x;
    {body}
}}"""


PIPELINE = kernel(
    "s[SLOTS][64]",
    """float4 sum = {};
    for (int t = 0; t < 2; t++) { copy(&s[t % SLOTS][i], x + 64 * t + i); commit(); }
    for (int t = 0; t < 6; t++) {
        if (t + 2 < 6) copy(&s[(t + 2) % SLOTS][i], x + 64 * (t + 2) + i);
        commit();
        wait<2>();
        __syncthreads();
        sum.x += s[t % SLOTS][63 - i].x;
        __syncthreads();
    }
    y[i] = sum;""",
)


def test_a_pipeline_needs_a_slot_for_every_tile_on_its_way_and_one_for_that_in_use(bench):
    x = np.arange(6 * 64 * 4, dtype=np.float32)
    y = np.zeros((64, 4), np.float32)
    right = y.copy()
    right[:, 0] = x.reshape(6, 64, 4)[:, ::-1, 0].sum(0)
    for slots in (3, 4):
        bench.good(PIPELINE.replace("SLOTS", str(slots)), 1, 64, y, x, expected=right)
    for slots in (1, 2):
        fault = bench.bad(PIPELINE.replace("SLOTS", str(slots)), 1, 64, y, x)
        assert FaultKind.UNINITIALISED == fault.kind
        assert "an asynchronous copy is still to bring" in fault.message


TWO_THREADS = kernel(
    "s[1]",
    """if (i == 1 || i == OTHER) copy(s, x + (i == 1));
    commit();
    BETWEEN
    if (i == 1) wait<0>();
    __syncthreads();
    wait<0>();
    __syncthreads();
    y[i] = s[0];""",
)


@pytest.mark.parametrize("between", ["", "__syncthreads();"])
@pytest.mark.parametrize("other", [0, 3, 32])
def test_copies_of_two_threads_to_one_place_race_unless_they_bring_the_same(bench, other, between):
    source = TWO_THREADS.replace("OTHER", str(other)).replace("BETWEEN", between)
    unlike, alike = np.arange(8, dtype=np.float32), np.tile(np.arange(4, dtype=np.float32), 2)
    y = np.zeros((64, 4), np.float32)
    bench.good(source, 1, 64, y, alike, expected=np.tile(alike[:4], (64, 1)))
    fault = bench.bad(source, 1, 64, y, unlike)
    assert (FaultKind.RACE, "cp.async") == (fault.kind, fault.opcode[:8])
    after = source.replace("i == 1 ||", "").replace(
        "y[i] =", "if (i == 1) copy(s, x + 1); commit(); wait<0>(); __syncthreads(); y[i] ="
    )
    bench.good(after, 1, 64, y, unlike, expected=np.tile(unlike[4:], (64, 1)))


ONE_THREAD = kernel(
    "s[32]",
    """copy(s + i, x);
    BETWEEN
    copy(s + i, x + 1);
    commit();
    BEHIND
    y[i] = s[i];""",
)


def test_a_threads_groups_arrive_in_their_order_and_copies_of_one_group_in_none(bench):
    def source(between, behind):
        return ONE_THREAD.replace("BETWEEN", between).replace("BEHIND", behind)

    x, y = np.arange(8, dtype=np.float32), np.zeros((32, 4), np.float32)
    second = np.tile(x[4:], (32, 1))
    bench.good(source("commit();", "wait<0>();"), 1, 32, y, x, expected=second)
    bench.good(source("commit(); wait<0>();", "wait<0>();"), 1, 32, y, x, expected=second)
    assert FaultKind.RACE == bench.bad(source("", "wait<0>();"), 1, 32, y, x).kind
    assert FaultKind.UNINITIALISED == bench.bad(source("commit();", "wait<1>();"), 1, 32, y, x).kind


def test_a_later_group_that_brings_a_part_anew_keeps_that_part_alone_in_flight(bench):
    source = kernel(
        "s[32]",
        """copy(s + i, x);
    commit();
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::
        "r"((unsigned)__cvta_generic_to_shared(s + i)), "l"(x + 1) : "memory");
    commit();
    wait<1>();
    float y1 = s[i].y, y0 = EARLY;
    wait<0>();
    y[i] = y1 + s[i].x + y0;""",
        y="float",
    )
    x, y = np.arange(8, dtype=np.float32), np.zeros(32, np.float32)
    bench.good(source.replace("EARLY", "0"), 1, 32, y, x, expected=np.full(32, x[1] + x[4], np.float32))
    assert FaultKind.UNINITIALISED == bench.bad(source.replace("EARLY", "s[i].x"), 1, 32, y, x).kind


def test_copies_that_a_block_never_waited_for_are_not_the_next_blocks(bench):
    source = kernel(
        "s[64]",
        """copy(s + i, x + i);
    commit();
    wait<0>();
    y[64 * blockIdx.x + i] = s[i];
    copy(s + i, x + 63 - i);
    commit();""",
    )
    x, y = np.arange(64 * 4, dtype=np.float32), np.zeros((5 * 64, 4), np.float32)
    bench.good(source, 5, 64, y, x, expected=np.tile(x.reshape(64, 4), (5, 1)))
