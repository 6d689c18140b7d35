"""Counters equal what one works out by hand."""

import numpy as np
import pytest

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
