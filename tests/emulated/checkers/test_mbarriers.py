"""Two warps that hand over a buffer by mbarriers, and what each missing or wrong step leads to."""

import numpy as np
import pytest

from warpsmith.sandbox.emulator.machine import FaultKind

OBJECTS = """
#define AT(p) unsigned(__cvta_generic_to_shared(p))
__device__ void init(unsigned bar, int count) {
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" :: "r"(bar), "r"(count) : "memory");
}
__device__ void arrive(unsigned bar) {
    asm volatile("{.reg .b64 t; mbarrier.arrive.shared.b64 t, [%0];}" :: "r"(bar) : "memory");
}
__device__ bool over(unsigned bar, int parity) {
    unsigned ok;
    asm volatile("{.reg .pred p; mbarrier.try_wait.parity.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p;}"
                 : "=r"(ok) : "r"(bar), "r"(parity) : "memory");
    return ok;
}
"""
HAND_OVER = """
extern "C" __global__ void k(int* y) {
    __shared__ unsigned long long full, empty, again;
    __shared__ int s[32];
    int lane = threadIdx.x % 32;
    if (threadIdx.x == 0) { init(AT(&full), 32); init(AT(&empty), 32); init(AT(&again), 32); }
    __syncthreads();
    if (threadIdx.x < 32) {
        s[lane] = lane;
        arrive(AT(&full));
        WAIT_EMPTY
        s[lane] = 100 + lane;
        arrive(AT(&again));
    } else {
        WAIT_FULL
        int sum = s[(lane + 1) % 32];
        arrive(AT(&empty));
        while (!over(AT(&again), 0)) {}
        y[lane] = sum + s[(lane + 1) % 32];
    }
}
"""
HONEST = {"WAIT_EMPTY": "while (!over(AT(&empty), 0)) {}", "WAIT_FULL": "while (!over(AT(&full), 0)) {}"}
RACES = {
    "the consumer does not wait": {"WAIT_FULL": ""},
    "the producer does not wait": {"WAIT_EMPTY": ""},
    "the producer asks once and goes on": {"WAIT_EMPTY": "over(AT(&empty), 0);"},
    "the producer waits for the phase before, which is over": {"WAIT_EMPTY": "while (!over(AT(&empty), 1)) {}"},
    "the producer waits for its own arrivals": {"WAIT_EMPTY": "while (!over(AT(&full), 0)) {}"},
}
ROUNDS = 6
RING = """
extern "C" __global__ void k(int* y, int rounds) {
    __shared__ unsigned long long full, empty;
    __shared__ int s[32];
    int lane = threadIdx.x % 32;
    if (threadIdx.x == 0) { init(AT(&full), FULL); init(AT(&empty), 32); }
    __syncthreads();
    if (threadIdx.x < 32) {
        for (int r = 0; r < rounds; r++) {
            WAIT_EMPTY
            s[lane] = 32 * r + lane;
            ARRIVE_FULL
        }
    } else {
        int sum = 0;
        for (int r = 0; r < rounds; r++) {
            WAIT_FULL
            sum += s[(lane + 1) % 32];
            ARRIVE_EMPTY
        }
        y[lane] = sum;
    }
}
"""
STEPS = {
    "WAIT_EMPTY": "while (!over(AT(&empty), (r & 1) ^ 1)) {}",
    "ARRIVE_FULL": "arrive(AT(&full));",
    "WAIT_FULL": "while (!over(AT(&full), r & 1)) {}",
    "ARRIVE_EMPTY": "arrive(AT(&empty));",
    "FULL": "32",
}
HANGS = {
    "the consumer waits for the first phase again and again": {"WAIT_FULL": "while (!over(AT(&full), 0)) {}"},
    "the producer waits for the phase that is not over": {"WAIT_EMPTY": "while (!over(AT(&empty), r & 1)) {}"},
    "the producer does not arrive": {"ARRIVE_FULL": ""},
    "one lane of the producer arrives for all": {"ARRIVE_FULL": "if (lane == 0) arrive(AT(&full));"},
    "the consumer does not arrive": {"ARRIVE_EMPTY": ""},
    "more arrivals are expected than threads arrive": {"FULL": "33"},
}


def filled(text: str, steps: dict[str, str]) -> str:
    for step, code in steps.items():
        text = text.replace(step, code)
    return OBJECTS + text


def output() -> np.ndarray:
    return np.zeros(32, np.int32)


NEIGHBOURS = (np.arange(32, dtype=np.int32) + 1) % 32


def test_a_buffer_handed_over_and_back_by_mbarriers_is_fine(bench):
    expected = 2 * NEIGHBOURS + 100
    bench.good(filled(HAND_OVER, HONEST), 1, 64, output(), expected=expected, resident=1)


@pytest.mark.parametrize("twin", RACES)
def test_a_wait_left_out_or_for_another_phase_is_a_race(bench, twin):
    assert FaultKind.RACE == bench.bad(filled(HAND_OVER, HONEST | RACES[twin]), 1, 64, output(), resident=1).kind


def test_a_consumer_that_asks_once_races_where_it_comes_first(bench):
    """Where the producer has arrived already the answer is yes, and nothing is wrong in that run."""
    found = bench.faults(filled(HAND_OVER, HONEST | {"WAIT_FULL": "over(AT(&full), 0);"}), 1, 64, output(), resident=1)
    assert FaultKind.RACE in {fault.kind for fault in found if fault}


def test_a_consumer_that_waits_for_the_other_phase_races_or_hangs(bench):
    """The phase before counts as over until the producer's arrivals complete this one; then the next is waited for."""
    twin = HONEST | {"WAIT_FULL": "while (!over(AT(&full), 1)) {}"}
    found = bench.faults(filled(HAND_OVER, twin), 1, 64, output(), resident=1)
    assert {fault.kind for fault in found if fault} <= {FaultKind.RACE, FaultKind.DEADLOCK}
    assert all(found)


def test_a_ring_whose_sides_wait_for_each_other_is_fine(bench):
    expected = ROUNDS * NEIGHBOURS + 32 * sum(range(ROUNDS))
    bench.good(filled(RING, STEPS), 1, 64, output(), ROUNDS, expected=expected, resident=1)


@pytest.mark.parametrize("twin", HANGS)
def test_a_ring_in_which_somebody_never_arrives_hangs(bench, twin):
    found = bench.bad(filled(RING, STEPS | HANGS[twin]), 1, 64, output(), ROUNDS, resident=1)
    assert FaultKind.DEADLOCK == found.kind
    assert "in a loop that waits (mbarrier.try_wait" in found.message


PHASES = """
extern "C" __global__ void k(int* y) {
    __shared__ unsigned long long full, empty;
    __shared__ int s[96];
    int t = threadIdx.x;
    if (t == 0) { init(AT(&full), 32); init(AT(&empty), COUNT); }
    MADE
    if (t < 32) {
        for (int i = t; i < 96; i += 32) s[i] = i;
        arrive(AT(&full));
        while (!over(AT(&empty), 0)) {}
        for (int i = t; i < 96; i += 32) s[i] = -i;
    } else {
        while (!over(AT(&full), 0)) {}
        y[t - 32] = s[t - 32];
        arrive(AT(&empty));
    }
}
"""


def test_arrivals_of_the_next_phase_are_not_waited_for(bench):
    """An mbarrier that expects two warps of three: the third one's reads may be under way when the phase is over."""
    good = OBJECTS + PHASES.replace("MADE", "__syncthreads();")
    y = np.zeros(96, np.int32)
    bench.good(good.replace("COUNT", "96"), 1, 128, y, expected=np.arange(96, dtype=np.int32))
    assert FaultKind.RACE == bench.bad(good.replace("COUNT", "64"), 1, 128, y).kind


def test_nobody_may_use_an_mbarrier_before_it_is_there(bench):
    text = OBJECTS + PHASES.replace("COUNT", "96").replace("MADE", "")
    found = bench.faults(text, 1, 128, np.zeros(96, np.int32))
    assert all(fault is not None and fault.kind in (FaultKind.RACE, FaultKind.UNINITIALISED) for fault in found), found
