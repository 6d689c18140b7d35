"""Counters equal what one works out by hand."""

import numpy as np
import pytest

from warpsmith.sandbox.counting.launch import count_launch
from warpsmith.sandbox.emulator.machine import LaunchSpec

COPY = """extern "C" __global__ void k(const TYPE* x, TYPE* y, int stride, int shift) {
    y[threadIdx.x] = x[threadIdx.x * stride + shift]; }"""


@pytest.mark.parametrize(
    ("type_name", "stride", "shift", "sectors"),
    [
        ("float", 1, 0, 4),  # 32 lanes x 4 bytes = 128 bytes = 4 sectors of 32
        ("float", 1, 1, 5),  # 128 bytes from byte 4 of a sector reach into a fifth
        ("float", 0, 0, 1),  # all lanes at one word
        ("float", 8, 0, 32),  # 32 bytes apart: a sector a lane
        ("float", 2, 0, 8),  # every other word of 256 bytes
        ("float4", 1, 0, 16),  # 512 bytes
        ("unsigned char", 1, 0, 1),  # 32 bytes
        ("unsigned short", 1, 15, 3),  # 64 bytes from byte 30: the end of one, a whole one, most of a third
    ],
)
def test_sectors_of_a_warp_load(cuda, buffer, written, type_name, stride, shift, sectors):
    kernel = cuda(COPY.replace("TYPE", type_name))
    x, y = np.zeros(4096, np.uint8), np.zeros(512, np.uint8)
    result = kernel.run(1, 32, buffer(x), written(y), stride, shift)
    load = kernel.site(result, "ld.global")
    assert (1, 32, sectors) == (load.requests, load.lanes, load.sectors)


def test_inactive_lanes_touch_no_sectors(cuda, buffer, written):
    kernel = cuda(
        """extern "C" __global__ void k(const float* x, float* y) {
        if (threadIdx.x % 8 == 0) y[threadIdx.x] = x[threadIdx.x]; }"""
    )
    result = kernel.run(1, 32, buffer(np.zeros(32, np.float32)), written(np.zeros(32, np.float32)))
    load = kernel.site(result, "ld.global")
    # Lanes 0, 8, 16 and 24 are 32 bytes apart.
    assert (1, 4, 4) == (load.requests, load.lanes, load.sectors)


SHARED = """using T = TYPE;
    extern "C" __global__ void k(const int* at, T* y) { extern __shared__ T s[];
    for (int i = threadIdx.x; i < 1024 * 4 / sizeof(T); i += 32) s[i] = T{};
    __syncthreads(); y[threadIdx.x] = s[at[threadIdx.x]]; }"""


@pytest.mark.parametrize(
    ("type_name", "at", "wavefronts", "ideal"),
    [
        ("int", lambda i: i, 1, 1),  # a bank a lane
        ("int", lambda i: 0 * i, 1, 1),  # one word, broadcast
        ("int", lambda i: 2 * i, 2, 1),  # lanes i and i + 16 share a bank
        ("int", lambda i: 32 * i, 32, 1),  # one bank, 32 words
        ("int", lambda i: 32 * (i // 2), 16, 1),  # one bank, 16 words, each for two lanes
        ("int", lambda i: 33 * i % 1024, 1, 1),  # padded rows
        ("int2", lambda i: i, 2, 2),  # 8 bytes: two half-warps
        ("int2", lambda i: 16 * i, 32, 2),  # all of a half-warp in one pair of banks: 16 passes each
        ("int4", lambda i: i, 4, 4),  # 16 bytes: four quarter-warps
        ("unsigned char", lambda i: i, 1, 1),  # four lanes a word
        ("unsigned char", lambda i: 128 * i, 32, 1),  # one bank again
    ],
)
def test_wavefronts_of_a_shared_load(cuda, buffer, written, type_name, at, wavefronts, ideal):
    kernel = cuda(SHARED.replace("TYPE", type_name))
    places = at(np.arange(32, dtype=np.int32)).astype(np.int32)
    result = kernel.run(1, 32, buffer(places), written(np.zeros(512, np.uint8)), shared=4096)
    load = kernel.site(result, "ld.shared")
    assert (1, wavefronts, ideal) == (load.requests, load.wavefronts, load.ideal_wavefronts)


def test_atomics_serialise_by_address(cuda, buffer, written):
    kernel = cuda("""extern "C" __global__ void k(const int* at, int* y) { atomicAdd(&y[at[threadIdx.x]], 1); }""")
    y = np.zeros(32, np.int32)
    places = np.array([0] * 20 + [1] * 8 + [2] * 4, np.int32)
    result = kernel.run(3, 32, buffer(places), written(y))
    site = next(s for s in result.sites.values() if s.atomic_serial)
    # Twenty of each warp's lanes meet at one address, three times over.
    assert (3, 60, [60, 24, 12]) == (site.requests, site.atomic_serial, y[:3].tolist())


def test_blocks_and_instructions_are_counted_by_warp_and_lane(ptx, fresh):
    kernel = ptx(
        """.visible .entry k(.param .u64 y) { .reg .b32 %r<3>; .reg .pred %p;
        mov.u32 %r1, %tid.x; setp.lt.u32 %p, %r1, 8; @%p bra LOW;
        mov.u32 %r2, 1; mov.u32 %r2, 2;
        LOW: ret; }"""
    )
    result = kernel.run(2, 64, fresh(np.zeros(1, np.int32)))
    # Two blocks of two warps; in each first warp eight lanes skip the middle block and meet the others again.
    assert [4, 4, 4] == result.block_warps.tolist()
    assert [128, 112, 128] == result.block_threads.tolist()
    # Blocks of 3, 2 and 1 instructions.
    assert 4 * 3 + 4 * 2 + 4 * 1 == result.warp_instructions
    assert 128 * 3 + 112 * 2 + 128 * 1 == result.thread_instructions


def test_guards_are_counted_where_a_lane_holds(ptx, fresh):
    kernel = ptx(
        """.visible .entry k(.param .u64 y) { .reg .b32 %r<3>; .reg .pred %p;
        mov.u32 %r1, %tid.x; setp.lt.u32 %p, %r1, 8; @%p mov.u32 %r2, 1; @!%p mov.u32 %r2, 2; ret; }"""
    )
    result = kernel.run(1, 64, fresh(np.zeros(1, np.int32)))
    # The first warp holds and does not hold somewhere, the second never holds.
    assert [0, 0, 1, 2, 0] == result.guarded_warps.tolist()


def test_counters_are_the_same_without_checks_and_on_two_threads(cuda, buffer, fresh):
    source = """extern "C" __global__ void k(const float* x, float* y) { __shared__ float s[16][17];
        int i = threadIdx.x % 16, j = threadIdx.x / 16; s[j][i] = x[blockIdx.x * 256 + threadIdx.x]; __syncthreads();
        y[blockIdx.x * 256 + threadIdx.x] = s[i][j] + s[i][0]; }"""
    x = np.arange(2048, dtype=np.float32)
    runs = [
        cuda(source).run(8, 256, buffer(x), fresh(np.zeros(2048, np.float32)), **options)
        for options in ({}, {"checks": False}, {"checks": False, "threads": 2}, {"isa": "portable"})
    ]
    assert all(run.fault is None for run in runs)
    assert all(runs[0].sites == run.sites for run in runs)
    assert all((runs[0].block_threads == run.block_threads).all() for run in runs)


def test_chosen_blocks_run_alone(cuda, fresh):
    y = np.zeros(8, np.int32)
    kernel = cuda("""extern "C" __global__ void k(int* y) { if (threadIdx.x == 0) y[blockIdx.x] = blockIdx.x + 1; }""")
    result = kernel.run(8, 32, fresh(y), blocks=(2, 5))
    assert ([0, 0, 3, 0, 0, 6, 0, 0], 2) == (y.tolist(), result.blocks_run)


def three(shape):
    return (*shape, 1, 1)[:3] if isinstance(shape, tuple) else (shape, 1, 1)


def counted(kernel, result, grid, block, nbytes=1 << 20):
    return count_launch(
        "k", kernel.loaded.module.entry("k"), LaunchSpec(three(grid), three(block), 0, b""), result, nbytes
    )


def test_what_many_threads_read_again_is_new_to_a_block_once(cuda, buffer, fresh):
    kernel = cuda("""extern "C" __global__ void k(const float* x, float* y) { float s = 0;
        for (int i = 0; i < 16; i++) s += x[i]; y[blockIdx.x * 128 + threadIdx.x] = s; }""")
    result = kernel.run(3, 128, buffer(np.ones(16, np.float32)), fresh(np.zeros(384, np.float32)))
    # 16 elements of 4 bytes are 2 sectors, for each of 3 blocks.
    assert 3 * 2 == result.fresh_sectors
    counters = counted(kernel, result, 3, 128)
    # Each of 3 * 4 warps asks 16 times for one sector, or fewer times for the same bytes.
    assert (3 * 2 * 32, 1.0) == (counters.block_unique_load_bytes, counters.heaviest_block)
    assert counters.global_load.sectors > 3 * 2


NAIVE = """extern "C" __global__ void k(const float* a, const float* b, float* c, int n, int depth) {
    int i = blockIdx.y * 16 + threadIdx.y, j = blockIdx.x * 16 + threadIdx.x; float s = 0;
    for (int p = 0; p < depth; p++) s += a[i * depth + p] * b[p * n + j];
    c[i * n + j] = s; }"""


@pytest.mark.parametrize("checks", [True, False])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_block_of_a_naive_gemm_loads_its_rows_and_columns_once(cuda, buffer, fresh, checks, threads):
    kernel = cuda(NAIVE)
    a, b, c = np.ones((32, 64), np.float32), np.ones((64, 48), np.float32), np.zeros((32, 48), np.float32)
    result = kernel.run((3, 2), (16, 16), buffer(a), buffer(b), fresh(c), 48, 64, checks=checks, threads=threads)
    # A block reads 16 rows of 64 floats (8 sectors each) and 64 rows of 16 floats (2 sectors each); there are 6.
    assert 6 * (16 * 8 + 64 * 2) == result.fresh_sectors
    # Each of 8 warps holds two rows: at each of 64 steps 2 sectors of a and 2 of b.
    assert 6 * 8 * 64 * 4 == counted(kernel, result, (3, 2), (16, 16)).global_load.sectors
    sampled = kernel.run((3, 2), (16, 16), buffer(a), buffer(b), fresh(c), 48, 64, blocks=(0, 5))
    assert 6 * (16 * 8 + 64 * 2) * 32 == counted(kernel, sampled, (3, 2), (16, 16)).block_unique_load_bytes


def test_asynchronous_copies_and_scattered_loads_are_new_once_too(ptx, buffer, fresh):
    copies = "".join(f"cp.async.ca.shared.global [%r3], [%rd2+{at}], 16;" for at in (0, 0, 512))
    kernel = ptx(
        f""".visible .entry k(.param .u64 x, .param .u64 y) {{
        .reg .b32 %r<6>; .reg .b64 %rd<4>; .shared .align 16 .b8 s[512];
        ld.param.u64 %rd1, [x]; mov.u32 %r1, %tid.x; shl.b32 %r2, %r1, 4; mov.u32 %r3, s; add.s32 %r3, %r3, %r2;
        cvt.u64.u32 %rd2, %r2; add.s64 %rd2, %rd1, %rd2; {copies} cp.async.wait_all;
        mul.wide.u32 %rd3, %r1, 96; add.s64 %rd3, %rd1, %rd3;
        ld.global.u32 %r4, [%rd3]; ld.global.u32 %r4, [%rd3]; ret; }}"""
    )
    result = kernel.run(1, 32, buffer(np.zeros(4096, np.uint8)), fresh(np.zeros(1, np.int32)))
    # 512 bytes twice and the 512 behind them: 32 sectors. Then every third of sectors 0 to 93, of which those of
    # 0, 3, ..., 30 (11) are known.
    assert 32 + (32 - 11) == result.fresh_sectors


def test_the_heaviest_block_is_told_from_the_mean(ptx, fresh):
    kernel = ptx(
        """.visible .entry k(.param .u64 y) { .reg .b32 %r<3>; .reg .pred %p;
        mov.u32 %r1, %ctaid.x; setp.ne.u32 %p, %r1, 2; @%p bra END;
        mov.u32 %r2, 1; mov.u32 %r2, 2; mov.u32 %r2, 3; mov.u32 %r2, 4;
        END: ret; }"""
    )
    result = kernel.run(4, 64, fresh(np.zeros(1, np.int32)))
    # Two warps a block; block 2 issues 3 + 4 + 1 instructions a warp, the others 3 + 1.
    assert (16, 8 + 8 + 16 + 8) == (result.heaviest_block, result.warp_instructions)
    assert 16 / (40 / 4) == counted(kernel, result, 4, 64).heaviest_block


UPDATES = """extern "C" __global__ void k(int* y, int stride) {
    atomicAdd(&y[blockIdx.x * stride + threadIdx.x / 24], 1); }"""


def test_passes_on_the_busiest_address_grow_with_the_grid_where_blocks_share_it(cuda, written):
    kernel = cuda(UPDATES)
    for threads in (1, 2):
        result = kernel.run(8, 32, written(np.zeros(64, np.int32)), 0, threads=threads)
        # 24 of each block's lanes at one address.
        assert (8 * 24, 8) == (result.busiest_lanes, result.busiest_blocks)
        assert 8 * 24 == counted(kernel, result, 8, 32).atomic_hottest
    sampled = kernel.run(8, 32, written(np.zeros(64, np.int32)), 0, blocks=(0, 3, 7))
    assert 8 * 24 == counted(kernel, sampled, 8, 32).atomic_hottest


def test_passes_on_a_blocks_own_address_do_not_grow_with_the_grid(cuda, written):
    kernel = cuda(UPDATES)
    sampled = kernel.run(8, 32, written(np.zeros(64, np.int32)), 8, blocks=(0, 3, 7))
    assert (24, 1) == (sampled.busiest_lanes, sampled.busiest_blocks)
    assert 24 == counted(kernel, sampled, 8, 32).atomic_hottest


def test_many_addresses_are_followed_at_once(cuda, written):
    kernel = cuda("""extern "C" __global__ void k(int* y) {
        for (int i = threadIdx.x; i < 5000; i += 256) atomicAdd(&y[i], 1);
        if (blockIdx.x == 1) atomicAdd(&y[4321], 1); }""")
    result = kernel.run(3, 256, written(np.zeros(5000, np.int32)))
    # Each block once, and the 256 threads of block 1 once more.
    assert (3 + 256, 3) == (result.busiest_lanes, result.busiest_blocks)


def test_nothing_is_known_of_blocks_where_nobody_counts(cuda, buffer, fresh):
    kernel = cuda("""extern "C" __global__ void k(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x]; }""")
    result = kernel.run(1, 32, buffer(np.ones(32, np.float32)), fresh(np.zeros(32, np.float32)), counters=False)
    assert (None, None) == (result.fresh_sectors, result.busiest_lanes)
