"""Random programs over shared memory race exactly where happens-before says so, worked out here thread by thread."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from warpsmith.sandbox.emulator.machine import FaultKind

from .conftest import Buffer, Kernel, compiled, out

WARPS, LANES = 3, 32
THREADS = WARPS * LANES
WORDS = 64
KERNEL = """
extern "C" __global__ void interpret(const int* words, const int* meetings, int phases, int* sums) {
    __shared__ UNIT s[64];
    int t = threadIdx.x, sum = 0;
    if (t < 64) s[t] = MAKE(t);
    __syncthreads();
    for (int p = 0; p < phases; p++) {
        int word = words[p * blockDim.x + t];
        if (word >= 1000) s[word - 1000] = MAKE(1000 * p + t);
        else if (word >= 0) sum += SUM(s[word]);
        if (meetings[p] == 1) __syncthreads();
        if (meetings[p] == 2) __syncwarp();
        if (meetings[p] == 3 && t < 64) asm volatile("bar.sync 1, 64;" ::: "memory");
        if (meetings[p] == 4 && t >= 64) __syncwarp();
    }
    sums[t] = sum;
}
"""
UNITS = {
    "int": "#define UNIT int\n#define MAKE(v) (v)\n#define SUM(v) (v)\n",
    "int4": "#define UNIT int4\n#define MAKE(v) make_int4(v, v, v, v)\n#define SUM(v) (v.x + v.y + v.z + v.w)\n",
}
WRITES = 1000
NOBODY, ALL, EACH_WARP, TWO_WARPS, LAST_WARP = range(5)


@st.composite
def phases(draw: st.DrawFn) -> tuple[np.ndarray, list[int]]:
    """What each thread touches in each phase (-1 nothing, 1000 more to write), and who meets behind it."""
    count = draw(st.integers(1, 6))
    words = np.full((count, THREADS), -1, np.int32)
    for phase in range(count):
        for warp in range(WARPS):
            lane = np.arange(LANES)
            row = draw(st.sampled_from([None, lane, lane[::-1], lane // 2, 0 * lane, lane * 2]))
            if row is not None:
                write = WRITES * draw(st.booleans()) if len(set(row.tolist())) == LANES else 0
                base = draw(st.sampled_from([0, 32])) if row.max() < LANES else 0
                words[phase, warp * LANES : (warp + 1) * LANES] = base + row + write
        for _ in range(draw(st.integers(0, 2))):
            word = draw(st.integers(0, WORDS - 1)) + WRITES * draw(st.booleans())
            words[phase, draw(st.integers(0, THREADS - 1))] = word
    return words, draw(st.lists(st.integers(NOBODY, LAST_WARP), min_size=count, max_size=count))


def groups(meeting: int) -> list[range]:
    """Threads that meet with each other."""
    warps = [range(warp * LANES, (warp + 1) * LANES) for warp in range(WARPS)]
    return {NOBODY: [], ALL: [range(THREADS)], EACH_WARP: warps, TWO_WARPS: [range(64)], LAST_WARP: warps[2:]}[meeting]


def races(words: np.ndarray, meetings: list[int]) -> bool:
    """Whether two threads touch a word, one of them to write it, and no chain of meetings lies between."""
    earlier: dict[int, list[tuple[int, int, bool]]] = {}
    # clock[t][u]: phases of thread u that are over for thread t.
    clock = np.zeros((THREADS, THREADS), int)
    for phase, meeting in enumerate(meetings):
        here: list[tuple[int, int, int, bool]] = []
        for thread, code in enumerate(words[phase].tolist()):
            if code >= 0:
                here.append((code % WRITES, thread, phase, code >= WRITES))
        for word, thread, _, write in here:
            for other, when, wrote in earlier.get(word, []):
                if other != thread and (write or wrote) and when >= clock[thread][other]:
                    return True
        for word, thread, when, write in here:
            known = earlier.setdefault(word, [])
            if any(other != thread and (write or wrote) and at == when for other, at, wrote in known):
                return True
            known.append((thread, when, write))
        for group in groups(meeting):
            members = list(group)
            joined = clock[members].max(axis=0)
            joined[members] = phase + 1
            clock[members] = joined
    return False


@settings(max_examples=1000, deadline=None)
@given(phases(), st.sampled_from(list(UNITS)), st.integers(0, 3))
def test_a_race_is_reported_exactly_where_happens_before_has_one(
    program: tuple[np.ndarray, list[int]], unit: str, seed: int
) -> None:
    words, meetings = program
    kernel = Kernel(compiled(UNITS[unit] + KERNEL), "interpret")
    sums = np.zeros(THREADS, np.int32)
    arguments = (Buffer(words), Buffer(np.array(meetings, np.int32)), len(meetings), out(sums))
    fault = kernel.run(1, THREADS, *arguments, seed=seed).fault
    assert races(words, meetings) == (fault is not None and fault.kind is FaultKind.RACE), fault


def test_the_oracle_knows_a_race_from_an_order() -> None:
    write, read = WRITES + 5, 5
    words = np.full((2, THREADS), -1, np.int32)
    words[0, 3], words[1, 40] = write, read
    for meeting, expected in ((NOBODY, True), (EACH_WARP, True), (TWO_WARPS, False), (ALL, False), (LAST_WARP, True)):
        assert expected is races(words, [meeting, NOBODY])
