"""Each kind of fault beside a kernel that does the same thing right."""

import numpy as np
import pytest

from warpsmith.sandbox.emulator.machine import FaultKind, UnsupportedInstruction

STORE = """
extern "C" __global__ void store(float* y, int shift) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    y[i + shift] = 1.0f;
}
"""


def test_a_store_inside_the_buffer_is_fine(cuda, fresh):
    y = np.zeros(64, np.float32)
    assert cuda(STORE).run(2, 32, fresh(y), 0).fault is None
    assert (y == 1).all()


def test_a_store_one_element_past_the_end_is_out_of_bounds(cuda, fresh):
    fault = cuda(STORE).run(2, 32, fresh(np.zeros(64, np.float32)), 1).fault
    assert (FaultKind.OUT_OF_BOUNDS, 4, 4, (1, 0, 0), (31, 0, 0), 4) == (
        fault.kind, fault.distance, fault.line, fault.block, fault.thread, fault.size,
    )  # fmt: skip
    assert "4 bytes past its end" in fault.message


def test_a_store_one_byte_past_the_end_is_out_of_bounds(ptx, fresh):
    kernel = ptx(
        """.visible .entry k(.param .u64 y) { .reg .b64 %a; .reg .b16 %h;
        ld.param.u64 %a, [y]; mov.u16 %h, 1; st.global.u8 [%a+7], %h; st.global.u8 [%a+8], %h; ret; }"""
    )
    assert kernel.run(1, 1, fresh(np.zeros(9, np.uint8))).fault is None
    fault = kernel.run(1, 1, fresh(np.zeros(8, np.uint8))).fault
    assert (FaultKind.OUT_OF_BOUNDS, 1) == (fault.kind, fault.distance)


def test_a_store_before_the_start_is_out_of_bounds(cuda, fresh):
    fault = cuda(STORE).run(1, 32, fresh(np.zeros(64, np.float32)), -1).fault
    assert (FaultKind.OUT_OF_BOUNDS, -4) == (fault.kind, fault.distance)


@pytest.mark.parametrize("past", [0, 1])
@pytest.mark.parametrize("checks", [True, False])
def test_a_load_that_moves_between_buffers_is_held_to_each_ones_bounds(cuda, buffer, written, past, checks):
    """The second buffer is the shorter one, and the third pass returns to the first."""
    kernel = cuda(
        """extern "C" __global__ void k(const float* x, const float* y, float* sum, int past) {
            const float* from = x;
            float total = 0;
            #pragma unroll 1
            for (int i = 0; i < 3; i++) {
                total += from[threadIdx.x + (i == 1 ? past : 0)];
                from = i == 0 ? y : x;
            }
            sum[threadIdx.x] = total; }"""
    )
    x, y, total = np.arange(64, dtype=np.float32), np.full(32, 100, np.float32), np.zeros(32, np.float32)
    result = kernel.run(1, 32, buffer(x), buffer(y), written(total), past, checks=checks)
    if past:
        assert (FaultKind.OUT_OF_BOUNDS, (31, 0, 0)) == (result.fault.kind, result.fault.thread)
    else:
        assert result.fault is None
        assert np.array_equal(2 * x[:32] + 100, total)


def test_shared_memory_ends_where_the_launch_says(cuda, fresh):
    kernel = cuda(
        """extern "C" __global__ void k(int* y) { extern __shared__ int s[];
        s[threadIdx.x] = threadIdx.x; __syncthreads(); y[threadIdx.x] = s[blockDim.x - 1 - threadIdx.x]; }"""
    )
    y = np.zeros(64, np.int32)
    assert kernel.run(1, 64, fresh(y), shared=256).fault is None
    assert list(range(63, -1, -1)) == y.tolist()
    fault = kernel.run(1, 64, fresh(y), shared=252).fault
    assert (FaultKind.OUT_OF_BOUNDS, "shared", 4) == (fault.kind, fault.space, fault.distance)


def test_a_write_to_an_input_is_read_only(cuda, buffer, written):
    kernel = cuda("""extern "C" __global__ void k(float* x) { x[threadIdx.x] += 1.0f; }""")
    x = np.zeros(32, np.float32)
    assert kernel.run(1, 32, written(x)).fault is None
    assert FaultKind.READ_ONLY == kernel.run(1, 32, buffer(x)).fault.kind
    assert (x == 1).all()


def test_a_vector_load_must_be_aligned(cuda, buffer, fresh):
    kernel = cuda(
        """extern "C" __global__ void k(const float* x, float4* y, int shift) {
        y[threadIdx.x] = *(const float4*)(x + 4 * threadIdx.x + shift); }"""
    )
    x, y = np.arange(132, dtype=np.float32), np.zeros(128, np.float32)
    assert kernel.run(1, 32, buffer(x), fresh(y), 4).fault is None
    assert kernel.run(1, 32, buffer(x), fresh(y), 4, skew=16).fault is None
    assert FaultKind.MISALIGNED == kernel.run(1, 32, buffer(x), fresh(y), 1).fault.kind
    assert FaultKind.MISALIGNED == kernel.run(1, 32, buffer(x), fresh(y), 4, skew=8).fault.kind


def test_reading_an_output_before_it_is_written_is_uninitialised(cuda, fresh, written):
    kernel = cuda("""extern "C" __global__ void k(float* y) { y[threadIdx.x] = y[threadIdx.x] + 1.0f; }""")
    assert kernel.run(1, 32, written(np.zeros(32, np.float32))).fault is None
    assert FaultKind.UNINITIALISED == kernel.run(1, 32, fresh(np.zeros(32, np.float32))).fault.kind
    assert kernel.run(1, 32, fresh(np.zeros(32, np.float32)), checks=False).fault is None


def test_reading_shared_memory_nobody_wrote_is_uninitialised(cuda, fresh):
    kernel = cuda(
        """extern "C" __global__ void k(int* y, int n) { __shared__ int s[64];
        if (threadIdx.x < n) s[threadIdx.x] = 1; __syncthreads(); y[threadIdx.x] = s[threadIdx.x]; }"""
    )
    y = np.zeros(64, np.int32)
    assert kernel.run(1, 64, fresh(y), 64).fault is None
    fault = kernel.run(1, 64, fresh(y), 63).fault
    assert (FaultKind.UNINITIALISED, "shared", (63, 0, 0)) == (fault.kind, fault.space, fault.thread)


def test_shared_memory_of_the_block_before_does_not_count_as_written(cuda, fresh):
    kernel = cuda(
        """extern "C" __global__ void k(int* y) { __shared__ volatile int s[32];
        if (blockIdx.x == 0) s[threadIdx.x] = 1; y[blockIdx.x * 32 + threadIdx.x] = s[threadIdx.x]; }"""
    )
    assert kernel.run(1, 32, fresh(np.zeros(64, np.int32))).fault is None
    fault = kernel.run(2, 32, fresh(np.zeros(64, np.int32))).fault
    assert (FaultKind.UNINITIALISED, (1, 0, 0)) == (fault.kind, fault.block)


def test_reading_a_local_array_nobody_wrote_is_uninitialised(cuda, buffer, fresh):
    kernel = cuda(
        """extern "C" __global__ void k(const int* x, int* y, int n) { int a[16];
        for (int i = 0; i < n; i++) a[(x[i] * 3) & 15] = i; y[threadIdx.x] = a[x[threadIdx.x] & 15]; }"""
    )
    x, y = np.arange(32, dtype=np.int32), np.zeros(32, np.int32)
    assert kernel.run(1, 32, buffer(x), fresh(y), 16).fault is None
    fault = kernel.run(1, 32, buffer(x), fresh(y), 3).fault
    assert (FaultKind.UNINITIALISED, "local") == (fault.kind, fault.space)


REVERSE = """
extern "C" __global__ void reverse(int* y) {
    __shared__ int s[64];
    s[threadIdx.x] = threadIdx.x;
    BARRIER
    y[threadIdx.x] = s[63 - threadIdx.x];
}
"""


def test_a_missing_barrier_is_a_race_between_two_lines(cuda, fresh):
    def fault(source, **options):
        return cuda(source).run(1, 64, fresh(np.zeros(64, np.int32)), **options).fault

    assert fault(REVERSE.replace("BARRIER", "__syncthreads();")) is None
    missing = REVERSE.replace("BARRIER", "")
    for seed in range(3):
        assert FaultKind.RACE == fault(missing, seed=seed).kind
    cleared = missing.replace("s[threadIdx.x] =", "s[threadIdx.x] = 0; __syncthreads(); s[threadIdx.x] =")
    for seed in range(3):
        found = fault(cleared, seed=seed)
        assert (FaultKind.RACE, {4, 6}) == (found.kind, {found.line, found.other_line})


def test_a_read_of_shared_memory_that_nobody_writes_is_uninitialised_and_not_a_race(cuda, fresh):
    source = REVERSE.replace("BARRIER", "__syncthreads();").replace("s[thread", "if (threadIdx.x) s[thread", 1)
    for seed in range(3):
        found = cuda(source).run(1, 64, fresh(np.zeros(64, np.int32)), seed=seed).fault
        assert (FaultKind.UNINITIALISED, "shared", (63, 0, 0)) == (found.kind, found.space, found.thread)


def test_a_race_names_both_threads(ptx, fresh):
    body = """.visible .entry k(.param .u64 y) {{ .reg .b32 %r<4>; .reg .pred %p; .shared .b32 s;
        mov.u32 %r1, %tid.x; and.b32 %r2, %r1, 31; setp.ge.u32 %p, %r2, {first};
        @%p st.shared.u32 [s], %r1; ret; }}"""

    def fault(threads, first):
        return ptx(body.format(first=first)).run(1, threads, fresh(np.zeros(1, np.int32))).fault

    between_warps, within_one = fault(64, 31), fault(32, 30)
    assert (FaultKind.RACE, (63, 0, 0), (31, 0, 0)) == (
        between_warps.kind,
        between_warps.thread,
        between_warps.other_thread,
    )
    assert (FaultKind.RACE, (31, 0, 0), (30, 0, 0)) == (within_one.kind, within_one.thread, within_one.other_thread)
    assert fault(32, 31) is None


def test_bytes_of_one_word_do_not_race(cuda, fresh):
    kernel = cuda(
        """extern "C" __global__ void k(unsigned char* y) { __shared__ unsigned char s[64];
        int i = threadIdx.x; s[(i % 2) * 32 + i / 2] = i; __syncthreads(); y[i] = s[i]; }"""
    )
    y = np.zeros(64, np.uint8)
    assert kernel.run(1, 64, fresh(y)).fault is None
    assert [*range(0, 64, 2), *range(1, 64, 2)] == y.tolist()


def test_writing_what_others_still_read_is_a_race(cuda, fresh):
    source = """extern "C" __global__ void k(int* y) { __shared__ int s[64]; int i = threadIdx.x, sum = 0;
        for (int r = 0; r < 3; r++) { s[i] = r + i; __syncthreads(); sum += s[63 - i]; BARRIER } y[i] = sum; }"""
    assert cuda(source.replace("BARRIER", "__syncthreads();")).run(1, 64, fresh(np.zeros(64, np.int32))).fault is None
    assert FaultKind.RACE == cuda(source.replace("BARRIER", "")).run(1, 64, fresh(np.zeros(64, np.int32))).fault.kind


def test_atomics_do_not_race_with_each_other_but_with_plain_writes(cuda, fresh):
    source = """extern "C" __global__ void k(int* y) { __shared__ int s; if (threadIdx.x == 0) s = 0;
        __syncthreads(); UPDATE; __syncthreads(); y[threadIdx.x] = s; }"""
    y = np.zeros(96, np.int32)
    assert cuda(source.replace("UPDATE", "atomicAdd(&s, 1)")).run(1, 96, fresh(y)).fault is None
    assert (y == 96).all()
    assert FaultKind.RACE == cuda(source.replace("UPDATE", "s = threadIdx.x")).run(1, 96, fresh(y)).fault.kind


REPLICATED = """extern "C" __global__ void k(TYPE* y) { __shared__ TYPE s[64]; int i = threadIdx.x;
    for (int r = 0; r < 3; r++) { if (i < 96) s[i % 32] = STORED; READ y[i] = s[31 - i % 32]; __syncthreads(); } }"""


@pytest.mark.parametrize("type_name", ["int", "unsigned char", "double", "float4"])
def test_warps_that_store_the_same_bytes_do_not_race(cuda, fresh, type_name):
    def fault(stored, read="__syncthreads();", **options):
        value = f"make_float4({stored}, 1, 2, 3)" if type_name == "float4" else f"({type_name})({stored})"
        source = REPLICATED.replace("STORED", value).replace("TYPE", type_name).replace("READ", read)
        return cuda(source).run(1, 128, fresh(np.zeros(2048, np.uint8)), **options).fault

    for seed in range(4):
        assert fault("i % 32 + r", seed=seed) is None
        assert FaultKind.RACE == fault("i + r", seed=seed).kind, "every warp stores another value"
        assert FaultKind.RACE == fault("i % 32 + r", "", seed=seed).kind, "no barrier before the read"


LANES_STORE = """extern "C" __global__ void k(TYPE* y) { MEMORY int i = threadIdx.x;
    s[i] = 5; __syncthreads(); LANES __syncthreads(); y[i] = s[i]; }"""
everywhere = pytest.mark.parametrize("memory", ["__shared__ TYPE s[32];", "TYPE* s = y;"])


def lanes_store(cuda, fresh, memory, lanes, type_name):
    source = LANES_STORE.replace("MEMORY", memory).replace("LANES", lanes).replace("TYPE", type_name)
    return cuda(source).run(1, 32, fresh(np.zeros(256, np.uint8))).fault


@everywhere
@pytest.mark.parametrize("type_name", ["int", "unsigned char", "double"])
def test_lanes_that_store_unlike_bytes_race_though_one_of_them_stores_what_was_there(cuda, fresh, memory, type_name):
    for lower, upper in ((9, 9), (5, 5)):
        alike = f"if (i == 3 || i == 7) s[20] = i == 3 ? {lower} : {upper};"
        assert lanes_store(cuda, fresh, memory, alike, type_name) is None
    for lower, upper in ((9, 5), (5, 9), (9, 8)):
        unlike = f"if (i == 3 || i == 7) s[20] = i == 3 ? {lower} : {upper};"
        assert FaultKind.RACE == lanes_store(cuda, fresh, memory, unlike, type_name).kind


@everywhere
@pytest.mark.parametrize("type_name", ["int", "unsigned char", "double"])
def test_a_store_is_held_against_what_another_lane_stored_there_and_not_what_it_stores_nearby(
    cuda, fresh, memory, type_name
):
    def fault(value):
        lanes = f"""if (i == 3) s[20] = 9; __threadfence_block();
            if (i == 3 || i == 7) s[i == 3 ? 19 : 20] = i == 3 ? 1 : {value};"""
        return lanes_store(cuda, fresh, memory, lanes, type_name)

    assert fault(9) is None
    for value in (0, 1, 5):
        assert FaultKind.RACE == fault(value).kind


def test_storing_the_same_bytes_over_what_another_warp_still_reads_is_a_race(cuda, fresh):
    source = """extern "C" __global__ void k(int* y) { __shared__ int s; int i = threadIdx.x;
        if (i == 0) s = 5; __syncthreads(); if (i == READER) y[0] = s; BARRIER
        s = 7; __syncthreads(); y[1 + i] = s; }"""
    y = np.zeros(65, np.int32)
    for reader in ("0", "32"):
        honest = source.replace("READER", reader).replace("BARRIER", "__syncthreads();")
        assert cuda(honest).run(1, 64, fresh(y)).fault is None
        assert [5, *[7] * 64] == y.tolist()
        racy = source.replace("READER", reader).replace("BARRIER", "")
        assert FaultKind.RACE == cuda(racy).run(1, 64, fresh(y)).fault.kind


def test_a_trap_is_reported_where_it_is(cuda, buffer):
    kernel = cuda(
        """extern "C" __global__ void k(const int* x) {
        if (x[threadIdx.x] < 0)
            __trap(); }"""
    )
    x = np.zeros(32, np.int32)
    assert kernel.run(1, 32, buffer(x)).fault is None
    x[5] = -1
    fault = kernel.run(1, 32, buffer(x)).fault
    assert (FaultKind.TRAP, (5, 0, 0), 3) == (fault.kind, fault.thread, fault.line)


def test_a_failed_assertion_says_which(cuda, buffer):
    kernel = cuda("""extern "C" __global__ void k(const int* x) { assert(x[threadIdx.x] == 0); }""")
    x = np.zeros(32, np.int32)
    assert kernel.run(1, 32, buffer(x)).fault is None
    x[7] = 1
    fault = kernel.run(1, 32, buffer(x)).fault
    assert (FaultKind.TRAP, (7, 0, 0)) == (fault.kind, fault.thread)
    assert "failed the assertion `x[threadIdx.x] == 0` (" in fault.message
    assert ":1)" in fault.message


def test_printf_is_captured(cuda, buffer):
    kernel = cuda(
        """extern "C" __global__ void k(const int* x) {
        if (threadIdx.x == 3) printf("%d %5.2f %s %%\\n", x[3], 1.5, "text"); }"""
    )
    assert ("42  1.50 text %\n",) == kernel.run(1, 32, buffer(np.full(32, 42, np.int32))).printed


def test_an_endless_loop_ends_with_the_budget(cuda, buffer):
    kernel = cuda("""extern "C" __global__ void k(volatile int* x) { while (x[0] == 0) {} }""")
    assert kernel.run(1, 64, buffer(np.ones(1, np.int32)), budget=100_000).fault is None
    fault = kernel.run(1, 64, buffer(np.zeros(1, np.int32)), budget=100_000).fault
    assert FaultKind.BUDGET == fault.kind


SPIN = """
extern "C" __global__ void k(int* lock, volatile int* count) {
    while (atomicCAS(lock, 0, 1) != 0) {}
    __threadfence();
    *count = *count + 1;
    __threadfence();
    atomicExch(lock, 0);
}
"""


@pytest.mark.parametrize("threads", [32, 96])
def test_a_spin_lock_between_lanes_finishes(cuda, written, threads):
    count = np.zeros(1, np.int32)
    assert cuda(SPIN).run(2, threads, written(np.zeros(1, np.int32)), written(count)).fault is None
    assert 2 * threads == count[0]


def test_an_instruction_outside_the_table_raises_before_anything_runs(ptx, fresh):
    y = np.zeros(1, np.int32)
    kernel = ptx(
        """.visible .entry k(.param .u64 y) { .reg .b64 %a; .reg .b32 %r;
        ld.param.u64 %a, [y]; st.global.u32 [%a], 7; mov.u32 %r, %pm0; ret; }"""
    )
    with pytest.raises(UnsupportedInstruction, match=r"%pm0 .*PTX line 5"):
        kernel.run(1, 1, fresh(y))
    assert 0 == y[0]


def test_the_fault_does_not_depend_on_host_threads(cuda, fresh):
    kernel = cuda(STORE)
    faults = {kernel.run(16, 32, fresh(np.zeros(64, np.float32)), 0, threads=n).fault.block for n in (1, 2, 2, 2)}
    assert {(2, 0, 0)} == faults


def test_a_counter_that_one_thread_clears_before_a_barrier_may_be_counted_by_all(cuda, fresh):
    source = """extern "C" __global__ void count(int* y) {
        if (threadIdx.x == 0) *y = 0;
        __syncthreads();
        atomicAdd(y, 1);
    }"""
    y = np.zeros(1, np.int32)
    assert cuda(source).run(1, 64, fresh(y)).fault is None
    assert [64] == y.tolist()
    found = cuda(source.replace("__syncthreads();", "")).run(1, 64, fresh(y)).fault
    assert FaultKind.RACE == found.kind
