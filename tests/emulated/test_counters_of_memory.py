"""Memory traffic of small kernels that one works out by hand; the arithmetic stands beside each number.

A sector has 32 bytes; buffers begin at a sector. Instructions depend on the compiler: test_counters_of_flow.py counts
them in PTX.
"""

import numpy as np
import pytest

from warpsmith.sandbox.emulator.machine import L2


def floats(n):
    return np.ones(n, np.float32)


def zeros(n):
    return np.zeros(n, np.int32)


HEAD = ".visible .entry k(.param .u64 y) { .reg .b32 %r<9>; .reg .b64 %rd<4>; .reg .f32 %f<9>; .reg .pred %p<4>;"

COPY = """extern "C" __global__ void k(const TYPE* x, TYPE* y, int stride, int shift) {
    int i = blockIdx.x * blockDim.x + threadIdx.x; y[i] = x[i * stride + shift]; }"""


def test_a_copy_moves_each_sector_once(count, buffer, fresh):
    found = count(COPY.replace("TYPE", "float"), 4, 128, buffer(floats(512)), fresh(floats(512)), 1, 0)
    # 4 blocks of 4 warps, 128 bytes a warp: 4 sectors.
    assert (16, 16 * 4, 16 * 128) == (found.global_load.requests, found.global_load.sectors, found.global_load.bytes)
    assert (16, 64) == (found.global_store.requests, found.global_store.sectors)
    assert (64, 0, 64) == (found.l2.loads, found.l2.load_hits, found.l2.stores)
    assert (64, 64) == (found.l2.dram_reads, found.l2.dram_writes)
    assert (64 * 32, 128 * 32) == (found.block_unique_load_bytes, found.footprint_bytes)
    assert 64 / 128 == found.l2.hit_rate


def test_sixteen_bytes_a_lane_are_sixteen_sectors_a_request(count, buffer, fresh):
    found = count(COPY.replace("TYPE", "float4"), 2, 64, buffer(floats(512)), fresh(floats(512)), 1, 0)
    # 4 warps of 512 bytes.
    assert (4, 64, 16) == (found.global_load.requests, found.global_load.sectors, found.global_load.sectors_per_request)


def test_lanes_a_sector_apart_take_a_sector_each(count, buffer, fresh):
    found = count(COPY.replace("TYPE", "float"), 1, 64, buffer(floats(512)), fresh(floats(64)), 8, 0)
    # 2 warps x 32 lanes, of 4 bytes of each sector used.
    assert (64, 64 * 4) == (found.global_load.sectors, found.global_load.bytes)
    assert 2 * 4 == found.global_store.sectors


def test_warps_that_share_a_sector_at_their_border_load_it_once(count, buffer, fresh):
    found = count(COPY.replace("TYPE", "float"), 1, 64, buffer(floats(65)), fresh(floats(64)), 1, 1)
    # Each warp's 128 bytes begin at byte 4 of a sector and reach into a fifth; together bytes 4 to 259: sectors 0 to 8.
    assert (10, 9) == (found.global_load.sectors, found.global_load.l1_misses)
    assert (9, 9) == (found.l2.loads, found.l2.dram_reads)


def test_one_word_for_all_comes_from_dram_once_and_to_each_block_once(count, buffer, fresh):
    source = """extern "C" __global__ void k(const float* x, float* y) { y[blockIdx.x * 96 + threadIdx.x] = x[0]; }"""
    found = count(source, 5, 96, buffer(floats(1)), fresh(floats(480)))
    # 3 warps a block, a sector each; the first of a block brings it to L1, the first of all to L2.
    assert (15, 15, 5) == (found.global_load.requests, found.global_load.sectors, found.global_load.l1_misses)
    assert (5, 4, 1) == (found.l2.loads, found.l2.load_hits, found.l2.dram_reads)


TRANSPOSE = """extern "C" __global__ void k(const float* x, float* y) {
    y[threadIdx.x * 32 + threadIdx.y] = x[threadIdx.y * 32 + threadIdx.x]; }"""


def test_a_naive_transpose_stores_a_sector_a_lane(count, buffer, fresh):
    found = count(TRANSPOSE, 1, (32, 32), buffer(floats(1024)), fresh(floats(1024)))
    # 32 warps: rows of 128 bytes come in as 4 sectors, and leave as 32 lanes 128 bytes apart.
    assert (32 * 4, 32 * 32) == (found.global_load.sectors, found.global_store.sectors)
    # 4096 bytes are written in the end.
    assert (1024, 128) == (found.l2.stores, found.l2.dram_writes)


TILE = """extern "C" __global__ void k(const float* x, float* y) { __shared__ float s[32][PITCH];
    s[threadIdx.y][threadIdx.x] = x[threadIdx.y * 32 + threadIdx.x]; __syncthreads();
    y[threadIdx.y * 32 + threadIdx.x] = s[threadIdx.x][threadIdx.y]; }"""


@pytest.mark.parametrize(("pitch", "passes"), [(32, 32), (33, 1), (34, 2), (36, 4)])
def test_columns_of_a_tile_conflict_by_its_pitch(count, buffer, fresh, pitch, passes):
    found = count(TILE.replace("PITCH", str(pitch)), 1, (32, 32), buffer(floats(1024)), fresh(floats(1024)))
    # 32 warps; lane i's bank is i * pitch modulo 32, so that gcd(pitch, 32) lanes meet in each.
    assert (32, 32 * passes, 32) == (
        found.shared_load.requests,
        found.shared_load.wavefronts,
        found.shared_load.ideal_wavefronts,
    )
    assert (32, 32) == (found.shared_store.requests, found.shared_store.wavefronts)
    # One barrier, 32 warps.
    assert 32 == found.barriers


def test_lanes_that_read_one_word_share_a_pass(count, fresh):
    source = """extern "C" __global__ void k(float* y) { __shared__ float s[64]; s[threadIdx.x] = threadIdx.x;
        __syncthreads(); y[threadIdx.x] = s[threadIdx.x % 32 / 16 * 32]; }"""
    found = count(source, 1, 64, fresh(floats(64)))
    # Lanes 0 to 15 read one word and lanes 16 to 31 another of the same bank: 2 passes for each of 2 warps.
    assert (2, 4, 2) == (
        found.shared_load.requests,
        found.shared_load.wavefronts,
        found.shared_load.ideal_wavefronts,
    )


def test_atomics_on_one_word_queue_up(count, written):
    source = """extern "C" __global__ void k(int* y) { atomicMax(&y[0], (int)threadIdx.x); }"""
    found = count(source, 3, 64, written(zeros(1)))
    # 6 warps of 32 lanes, all on one word.
    assert (192, 192, 192) == (found.atomic_lanes, found.atomic_serial, found.atomic_hottest)
    # A request asks for one sector; it is read from DRAM the first time and written in the end.
    assert (6, 6) == (found.global_atomic.requests, found.global_atomic.sectors)
    assert (6, 5, 1, 1) == (found.l2.atomics, found.l2.atomic_hits, found.l2.dram_reads, found.l2.dram_writes)
    assert 0 == found.global_load.requests == found.global_store.requests


def test_a_histogram_of_four_bins_takes_eight_passes_a_request(count, written):
    source = """extern "C" __global__ void k(int* y) { atomicXor(&y[threadIdx.x % 4], 1); }"""
    found = count(source, 2, 128, written(zeros(4)))
    # 8 warps; 32 lanes over 4 words are 8 on each. All 8 warps of 8 lanes meet at each word.
    assert (256, 8 * 8, 64) == (found.atomic_lanes, found.atomic_serial, found.atomic_hottest)


def test_atomics_in_shared_memory_are_not_global_traffic(count, fresh):
    source = """extern "C" __global__ void k(int* y) { __shared__ int s[2]; if (threadIdx.x < 2) s[threadIdx.x] = 0;
        __syncthreads(); atomicAdd(&s[threadIdx.x % 2], 1); __syncthreads();
        if (threadIdx.x < 2) y[threadIdx.x] = s[threadIdx.x]; }"""
    found = count(source, 1, 128, fresh(zeros(2)))
    # 4 warps, 16 lanes on each of two words in different banks.
    assert (4, 4, 4) == (
        found.shared_atomic.requests,
        found.shared_atomic.wavefronts,
        found.shared_atomic.ideal_wavefronts,
    )
    assert (128, 4 * 16, 0) == (found.atomic_lanes, found.atomic_serial, found.global_atomic.requests)


@pytest.mark.parametrize(("pitch", "passes"), [(16, 4), (32, 8), (128, 32), (144, 4)])
def test_rows_of_a_matrix_conflict_by_their_pitch(count, fresh, pitch, passes):
    body = f""".reg .b32 %m<5>; .shared .align 16 .b8 s[4608];
        mov.u32 %r1, %tid.x; mov.u32 %r2, s; mul.lo.u32 %r3, %r1, {pitch}; add.u32 %r3, %r2, %r3;
        ldmatrix.sync.aligned.m8n8.x4.shared.b16 {{%m1,%m2,%m3,%m4}}, [%r3]; ret; }}"""
    found = count(HEAD + body, 1, 32, fresh(zeros(1)), checks=False)
    # 8 rows of 16 bytes make a matrix, which is one pass if they fill the 128 bytes of the banks: rows 32 bytes apart
    # reach each bank twice, rows 128 bytes apart all lie in the same four, rows 144 bytes apart are 4 banks further
    # each.
    assert (1, passes, 4) == (
        found.shared_load.requests,
        found.shared_load.wavefronts,
        found.shared_load.ideal_wavefronts,
    )


def test_an_asynchronous_copy_loads_and_stores(count, buffer):
    source = """.visible .entry k(.param .u64 x) { .reg .b32 %r<4>; .reg .b64 %rd<4>; .shared .align 16 .b8 s[1024];
        ld.param.u64 %rd1, [x]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 16; add.s64 %rd2, %rd1, %rd2;
        mov.u32 %r2, s; shl.b32 %r3, %r1, 4; add.u32 %r2, %r2, %r3;
        cp.async.ca.shared.global [%r2], [%rd2], 16; cp.async.wait_all; ret; }"""
    found = count(source, 1, 64, buffer(floats(256)))
    # 2 warps of 512 bytes: 16 sectors, and four passes of 128 bytes.
    assert (2, 32, 1024) == (found.global_load.requests, found.global_load.sectors, found.global_load.bytes)
    assert (2, 8, 8) == (
        found.shared_store.requests,
        found.shared_store.wavefronts,
        found.shared_store.ideal_wavefronts,
    )
    assert (32, 32) == (found.l2.loads, found.l2.dram_reads)


def test_local_arrays_lie_lane_by_lane(count, fresh):
    source = """.visible .entry k(.param .u64 y) { .reg .b32 %r<4>; .local .align 4 .b8 a[64];
        mov.u32 %r1, 7; st.local.u32 [a], %r1; st.local.u32 [a+32], %r1; ld.local.u32 %r2, [a]; ret; }"""
    found = count(source, 1, 64, fresh(zeros(1)))
    # 2 warps of 3 accesses; a word of all lanes is 128 bytes in a row: 4 sectors.
    assert (6, 24, 6 * 128) == (found.local.requests, found.local.sectors, found.local.bytes)
    assert 0 == found.l2.loads


MATMUL = """extern "C" __global__ void k(const float* a, const float* b, float* c, int n, int depth) {
    int i = blockIdx.y * 16 + threadIdx.y, j = blockIdx.x * 16 + threadIdx.x; float s = 0;
    for (int p = 0; p < depth; p++) s += a[i * depth + p] * b[p * n + j];
    c[i * n + j] = s; }"""


def test_a_naive_product_asks_l2_for_its_rows_and_columns_from_every_block(count, buffer, fresh):
    a, b, c = buffer(floats(32 * 64)), buffer(floats(64 * 48)), fresh(floats(32 * 48))
    found = count(MATMUL, (3, 2), (16, 16), a, b, c, 48, 64)
    # 6 blocks of 8 warps of two rows; each of 64 steps: 2 sectors of a, 2 of b.
    assert 6 * 8 * 64 * 4 == found.global_load.sectors
    # A block needs 16 rows of 256 bytes and 64 rows of 64.
    assert 6 * (16 * 8 + 64 * 2) == found.l2.loads
    # a has 8192 bytes, b 12288.
    assert (8192 + 12288) // 32 == found.l2.dram_reads
    assert 32 * 48 * 4 // 32 == found.l2.dram_writes


RACE = """extern "C" __global__ void k(const float* x, float* y) { float s = 0;
    for (int i = threadIdx.x; i < 2048; i += 32) s += x[i]; y[blockIdx.x * 32 + threadIdx.x] = s; }"""


@pytest.mark.parametrize(
    ("l2", "reads"),
    [
        (L2(16384, ways=128, wave=1), 256),  # x is 8192 bytes, 256 sectors, and stays
        (L2(4096, ways=32, wave=1), 3 * 256),  # half of x stays, and the least recently used half goes first
        (L2(4096, ways=32, wave=3), 256),  # blocks side by side follow each other through x
        (L2(4096, ways=32, wave=2), 2 * 256),  # two side by side, then the third alone
    ],
)
def test_blocks_side_by_side_share_what_a_small_l2_cannot_keep(count, buffer, fresh, l2, reads):
    found = count(RACE, 3, 32, buffer(floats(2048)), fresh(floats(96)), l2=l2)
    assert (3 * 256, reads, 3 * 256 - reads) == (found.l2.loads, found.l2.dram_reads, found.l2.load_hits)


def test_a_set_has_room_for_its_ways_only(count, buffer, fresh):
    source = """extern "C" __global__ void k(const float* x, float* y) { y[blockIdx.x] = x[blockIdx.x % 5 * 32]; }"""
    runs = [
        count(source, 10, 1, buffer(floats(160)), fresh(floats(10)), l2=L2(128 * ways, ways=ways, wave=1))
        for ways in (5, 7)
    ]
    # Five lines of 128 bytes in turn, twice, beside the line or two of y: five ways lose each before it comes round
    # again, seven keep them.
    assert [10, 5] == [found.l2.dram_reads for found in runs]


def test_what_was_written_leaves_l2_each_time_it_must_make_room(count, written):
    source = """extern "C" __global__ void k(float* y) { y[blockIdx.x % 4 * 32] = 1; }"""
    found = count(source, 8, 1, written(floats(128)), l2=L2(256, ways=2, wave=1), checks=False)
    # One sector in each of four lines in turn, twice, through two lines: 8 stores, 6 leave, 2 stay modified.
    assert (8, 8, 0) == (found.l2.stores, found.l2.dram_writes, found.l2.dram_reads)
    kept = count(source, 8, 1, written(floats(128)), l2=L2(512, ways=4, wave=1), checks=False)
    assert 4 == kept.l2.dram_writes


def test_a_permutation_within_a_row_costs_no_more_than_the_row(count, buffer, fresh):
    source = """extern "C" __global__ void k(const int* at, const float* x, float* y) {
        y[threadIdx.x] = x[at[threadIdx.x]]; }"""
    shuffled, scattered = 5 * np.arange(32) % 32, 8 * np.arange(32)
    runs = [
        count(source, 1, 32, buffer(places.astype(np.int32)), buffer(floats(256)), fresh(floats(32)))
        for places in (shuffled, scattered)
    ]
    # 4 sectors of indices; of x the 4 sectors of a row, or one a lane.
    assert [4 + 4, 4 + 32] == [found.global_load.sectors for found in runs]


@pytest.mark.parametrize(("load", "asked"), [("ld.global.f32", 4), ("ld.global.cg.f32", 12)])
def test_loads_that_bypass_l1_ask_l2_each_time(count, buffer, load, asked):
    source = f""".visible .entry k(.param .u64 x) {{ .reg .b32 %r<3>; .reg .b64 %rd<4>; .reg .f32 %f<4>;
        ld.param.u64 %rd1, [x]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 4; add.s64 %rd2, %rd1, %rd2;
        {load} %f1, [%rd2]; {load} %f2, [%rd2]; {load} %f3, [%rd2]; ret; }}"""
    found = count(source, 1, 32, buffer(floats(32)))
    # Three times the same 4 sectors, which come from DRAM once.
    assert (12, asked) == (found.global_load.sectors, found.global_load.l1_misses)
    assert (asked, asked - 4, 4) == (found.l2.loads, found.l2.load_hits, found.l2.dram_reads)


def test_l2_does_not_depend_on_host_threads_or_the_order_of_blocks(count, buffer, fresh):
    a, b = buffer(floats(32 * 64)), buffer(floats(64 * 48))
    runs = [
        count(MATMUL, (3, 2), (16, 16), a, b, fresh(floats(32 * 48)), 48, 64, l2=L2(4096, wave=2), **options).l2
        for options in ({}, {"threads": 2}, {"checks": False}, {"seed": 5})
    ]
    # The seed orders warps within blocks too, which shifts who asks first but not how much is asked.
    assert runs[0] == runs[1] == runs[2]
    assert runs[0].loads == runs[3].loads
