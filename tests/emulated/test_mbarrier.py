"""mbarrier on both executors: phases, counts, bytes, copies that arrive, and libcu++'s barrier and pipeline on it."""

import struct
import time

import numpy as np
import pytest

from warpsmith.sandbox.emulator import launch as vm
from warpsmith.sandbox.emulator.isa import execute
from warpsmith.sandbox.emulator.machine import FaultKind, LaunchSpec, Memory, Options

from .conftest import compiled
from .executor import STORE, Executor

BARRIER = ".shared .align 8 .b64 bar;"
BEGIN = "setp.eq.u32 %p1, %r0, 0; mov.u32 %r9, {count}; @%p1 mbarrier.init.shared.b64 [bar], %r9; bar.sync 0;"
WAIT = "W: mbarrier.{test}.shared.b64 %p2, [bar], %rd4; @!%p2 bra W;"


def begin(count: int) -> str:
    return BEGIN.format(count=count)


@pytest.mark.parametrize("test", ["test_wait", "try_wait.acquire.cta"])
def test_everybody_goes_on_once_all_have_arrived(on: Executor, test: str) -> None:
    body = f"""{BARRIER} .shared .b32 seen[64]; {begin(64)} shl.b32 %r2, %r0, 2;
    mov.u32 %r3, seen; add.u32 %r3, %r3, %r2;
    st.shared.u32 [%r3], %r0; mbarrier.arrive.shared.b64 %rd4, [bar]; {WAIT.format(test=test)}
    mov.u32 %r5, 63; sub.u32 %r5, %r5, %r0; shl.b32 %r5, %r5, 2; mov.u32 %r3, seen; add.u32 %r3, %r3, %r5;
    ld.shared.u32 %r1, [%r3]; {STORE} ret;"""
    assert list(range(63, -1, -1)) == on.outputs(body, 64, threads=64)


def test_phases_alternate_and_parity_tells_them(on: Executor) -> None:
    body = f"""{BARRIER} {begin(32)} mov.u32 %r1, 0; mov.u32 %r4, 0;
    N: mbarrier.arrive.shared::cta.b64 _, [bar]; and.b32 %r5, %r4, 1;
    W: mbarrier.try_wait.parity.shared::cta.b64 %p2, [bar], %r5, 1000; @!%p2 bra W;
    add.u32 %r1, %r1, %r5; add.u32 %r4, %r4, 1; setp.lt.u32 %p3, %r4, 5; @%p3 bra N; {STORE} ret;"""
    assert [2] * 32 == on.outputs(body)


def test_an_arrival_counts_for_as_many_as_it_says_and_the_state_knows_what_was_pending(on: Executor) -> None:
    body = f"""{BARRIER} {begin(100)} mov.u32 %r1, 7; @!%p1 bra E; mov.u32 %r5, 99;
    mbarrier.arrive.noComplete.shared.b64 %rd4, [bar], %r5; mbarrier.arrive.shared.b64 %rd5, [bar];
    mbarrier.pending_count.b64 %r1, %rd4; mbarrier.pending_count.b64 %r2, %rd5; mul.lo.u32 %r1, %r1, 1000;
    add.u32 %r1, %r1, %r2; mbarrier.test_wait.shared.b64 %p2, [bar], %rd5; selp.u32 %r2, 1000000, 0, %p2;
    add.u32 %r1, %r1, %r2; E: {STORE} ret;"""
    assert [1_100_001, 7] == on.outputs(body, 2)


def test_who_drops_out_is_not_expected_again(on: Executor) -> None:
    body = f"""{BARRIER} {begin(32)} setp.lt.u32 %p3, %r0, 16; mov.u32 %r1, 3;
    @%p3 mbarrier.arrive_drop.shared.b64 _, [bar]; @%p3 bra E; mbarrier.arrive.shared.b64 %rd4, [bar];
    {WAIT.format(test="test_wait")} mbarrier.arrive.shared.b64 %rd4, [bar];
    V: mbarrier.test_wait.shared.b64 %p2, [bar], %rd4;
    @!%p2 bra V; mov.u32 %r1, 9; E: {STORE} ret;"""
    assert [3] * 16 + [9] * 16 == on.outputs(body)


def test_a_phase_waits_for_its_bytes(on: Executor) -> None:
    body = f"""{BARRIER} {begin(1)} mov.u32 %r1, 0; @!%p1 bra E; mov.u32 %r5, 48;
    mbarrier.arrive.expect_tx.shared.b64 %rd4, [bar], %r5; mbarrier.test_wait.shared.b64 %p2, [bar], %rd4;
    mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [bar], 16;
    mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [bar], 32;
    mbarrier.test_wait.shared.b64 %p3, [bar], %rd4; selp.u32 %r1, 10, 20, %p2; selp.u32 %r2, 1, 2, %p3;
    add.u32 %r1, %r1, %r2; E: {STORE} ret;"""
    assert [21] == on.outputs(body, 1)


def test_a_barrier_may_be_named_by_its_generic_address(on: Executor) -> None:
    body = f"""{BARRIER} mov.u64 %rd6, bar; cvta.shared.u64 %rd6, %rd6; mov.u32 %r1, 5; setp.eq.u32 %p1, %r0, 0;
    @!%p1 bra E; mbarrier.init.b64 [%rd6], 1; mbarrier.arrive.b64 %rd4, [%rd6];
    mbarrier.test_wait.b64 %p2, [%rd6], %rd4;
    selp.u32 %r1, 1, 0, %p2; mbarrier.inval.b64 [%rd6]; E: {STORE} ret;"""
    assert [1, 5] == on.outputs(body, 2)


@pytest.mark.parametrize(
    ("misuse", "kind"),
    [
        ("mov.u32 %r5, 3; mbarrier.arrive.shared.b64 _, [bar], %r5;", FaultKind.BARRIER),
        ("mov.u32 %r5, 2; mbarrier.arrive.noComplete.shared.b64 %rd4, [bar], %r5;", FaultKind.BARRIER),
        ("mbarrier.inval.shared.b64 [bar]; mbarrier.arrive.shared.b64 _, [bar];", FaultKind.BARRIER),
        ("mov.u32 %r5, 0; mbarrier.init.shared.b64 [bar], %r5;", FaultKind.BARRIER),
        ("mbarrier.arrive.shared.b64 _, [bar+16];", FaultKind.OUT_OF_BOUNDS),
        ("mov.u64 %rd6, %rd1; mbarrier.arrive.b64 %rd4, [%rd6];", FaultKind.OUT_OF_BOUNDS),
    ],
)
def test_misuse_of_a_barrier_is_found(on: Executor, misuse: str, kind: FaultKind) -> None:
    assert on.run(f"{BARRIER} {begin(2)} ret;").fault is None
    assert kind == on.fault(f"{BARRIER} {begin(2)} @!%p1 bra E; {misuse} E: ret;").kind


def test_a_barrier_that_nobody_has_initialised_is_found(on: Executor) -> None:
    found = on.fault(f"{BARRIER} mbarrier.arrive.shared.b64 _, [bar]; ret;")
    assert found.kind in (FaultKind.UNINITIALISED, FaultKind.BARRIER)


COPY = """.shared .align 16 .b8 tile[512]; {bar} {begin} mov.u32 %r3, tile; shl.b32 %r2, %r0, 4; add.u32 %r3, %r3, %r2;
    mul.wide.u32 %rd5, %r0, 16; and.b64 %rd5, %rd5, 255; add.s64 %rd5, %rd0, %rd5;
    cp.async.cg.shared.global [%r3], [%rd5], 16{ignore}; cp.async.mbarrier.arrive{noinc}.shared.b64 [bar];
    {arrive} {wait} ld.shared.u32 %r1, [%r3+4]; {store} ret;"""
ARRIVE = "mbarrier.arrive.shared.b64 %rd4, [bar];"


def copying(*, noinc: bool, wait: bool = True, ignore: str = "") -> str:
    waiting = WAIT.format(test="test_wait")
    if noinc:
        waiting = "W: mbarrier.test_wait.parity.shared.b64 %p2, [bar], 0; @!%p2 bra W;"
    return COPY.format(
        bar=BARRIER,
        begin=begin(32),
        noinc=".noinc" if noinc else "",
        arrive="" if noinc else ARRIVE,
        wait=waiting if wait else "",
        store=STORE,
        ignore=ignore,
    )


@pytest.mark.parametrize("noinc", [True, False])
def test_copies_have_arrived_once_the_barrier_that_tracks_them_lets_go(on: Executor, noinc: bool) -> None:
    assert [4 * (lane % 16) + 1 for lane in range(32)] == on.outputs(copying(noinc=noinc))


@pytest.mark.parametrize("noinc", [True, False])
def test_copies_that_nobody_waited_for_are_not_there(on: Executor, noinc: bool) -> None:
    assert FaultKind.UNINITIALISED == on.fault(copying(noinc=noinc, wait=False)).kind


def test_a_copy_whose_source_is_ignored_brings_zeros(on: Executor) -> None:
    body = "setp.lt.u32 %p4, %r0, 5; " + copying(noinc=True, ignore=", %p4")
    assert [0] * 5 + [4 * (lane % 16) + 1 for lane in range(5, 32)] == on.outputs(body)


LIBRARY = """
#include <cooperative_groups.h>
#include <cuda/barrier>
#include <cuda/pipeline>
namespace cg = cooperative_groups;

extern "C" __global__ void pipeline(const float* x, float* y) {
    __shared__ float s[2][128];
    __shared__ cuda::pipeline_shared_state<cuda::thread_scope_block, 2> state;
    auto block = cg::this_thread_block();
    auto pipe = cuda::make_pipeline(block, &state);
    auto fetch = [&](int k) {
        pipe.producer_acquire();
        cuda::memcpy_async(block, s[k & 1], x + 128 * k, cuda::aligned_size_t<16>(512), pipe);
        pipe.producer_commit();
    };
    fetch(0);
    fetch(1);
    float sum = 0;
    for (int k = 0; k < 4; k++) {
        pipe.consumer_wait();
        sum += s[k & 1][threadIdx.x * 7 % 128];
        pipe.consumer_release();
        if (k + 2 < 4) fetch(k + 2);
    }
    y[threadIdx.x] = sum;
}

extern "C" __global__ void barrier(const float* x, float* y) {
    __shared__ cuda::barrier<cuda::thread_scope_block> bar;
    __shared__ float s[128];
    int i = threadIdx.x;
    if (i == 0) init(&bar, blockDim.x);
    __syncthreads();
    float sum = 0;
    for (int k = 0; k < 4; k++) {
        s[i] = x[i + 128 * k];
        auto token = bar.arrive();
        bar.wait(std::move(token));
        sum += s[i * 7 % 128];
        bar.arrive_and_wait();
    }
    y[i] = sum;
    if (i & 1) bar.arrive_and_drop();
    else bar.arrive_and_wait();
}
"""


@pytest.mark.parametrize("executor", [execute, vm], ids=["readable", "vm"])
@pytest.mark.parametrize("name", ["pipeline", "barrier"])
def test_the_library_s_barrier_and_pipeline_run(executor: object, name: str) -> None:
    module = compiled(LIBRARY).module
    x, y = np.arange(512, dtype=np.float32), np.zeros(128, np.float32)
    memory = Memory()
    params = struct.pack(
        "<QQ",
        memory.allocate("x", x.view(np.uint8), writable=False, initialised=True),
        memory.allocate("y", y.view(np.uint8), writable=True, initialised=False),
    )
    spec = LaunchSpec((1, 1, 1), (128, 1, 1), 0, params)
    result = executor.launch(module, name, spec, memory, Options(resident=4))  # type: ignore[attr-defined]
    assert result.fault is None
    np.testing.assert_array_equal(sum(x[128 * k + np.arange(128) * 7 % 128] for k in range(4)), y)


RACE = """.shared .align 8 .b64 bar; .shared .b32 word; setp.eq.u32 %p1, %r0, 0;
    @%p1 mbarrier.init.shared.b64 [bar], 64;
    bar.sync 0; @%p1 st.shared.u32 [word], 7; mbarrier.arrive{order}.shared.b64 %rd4, [bar];
    W: mbarrier.test_wait.shared.b64 %p2, [bar], %rd4; @!%p2 bra W; ld.shared.u32 %r1, [word];
    st.global.u32 [%rd3], %r1;
    ret;"""


@pytest.mark.parametrize(
    ("order", "kind"),
    [
        ("", None),
        (".relaxed.cta", FaultKind.RACE),
    ],
)
def test_arriving_releases_and_waiting_acquires(order: str, kind: FaultKind | None) -> None:
    found = Executor(vm.launch).run(RACE.format(order=order), threads=64).fault
    assert kind == (found.kind if found else None)


STAGES = """
#include <cooperative_groups.h>
#include <cuda/pipeline>

extern "C" __global__ void k(const float* x, float* y, int rounds) {
    __shared__ cuda::pipeline_shared_state<cuda::thread_scope_block, 3> state;
    __shared__ alignas(16) float s[3][128];
    auto block = cooperative_groups::this_thread_block();
    auto pipe = cuda::make_pipeline(block, &state);
    float sum = 0;
    for (int k = 0, fetched = 0; k < rounds; k++) {
        for (; fetched < rounds && fetched < k + 3; fetched++) {
            pipe.producer_acquire();
            cuda::memcpy_async(block, s[fetched % 3], x + 128 * fetched, cuda::aligned_size_t<16>(512), pipe);
            pipe.producer_commit();
        }
        WAIT
        sum += s[k % 3][127 - threadIdx.x];
        RELEASE
    }
    y[threadIdx.x] = sum;
}"""


@pytest.mark.full
def test_a_long_pipeline_is_checked_in_seconds(cuda, buffer, fresh) -> None:
    """Each of 128 threads arrives at six objects in turn, thousands of times in all; one step left out is a race."""
    x, y = np.arange(32 * 128, dtype=np.float32), np.zeros(128, np.float32)
    start = time.process_time()
    kernel = cuda(STAGES.replace("WAIT", "pipe.consumer_wait();").replace("RELEASE", "pipe.consumer_release();"))
    assert kernel.run(1, 128, buffer(x), fresh(y), 32).fault is None
    assert time.process_time() - start < 20
    np.testing.assert_array_equal(x.reshape(32, 128)[:, ::-1].sum(0), y)
    early = cuda(STAGES.replace("WAIT", "").replace("RELEASE", "pipe.consumer_wait(); pipe.consumer_release();"))
    found = early.run(1, 128, buffer(x), fresh(y), 32).fault
    assert found is not None
    assert found.kind in (FaultKind.RACE, FaultKind.UNINITIALISED)
