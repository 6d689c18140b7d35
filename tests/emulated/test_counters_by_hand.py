"""Small kernels whose counters one works out by hand; the arithmetic stands beside each number.

What depends on the compiler (instructions) is counted in PTX written here, what depends on the source alone (memory,
atomics, barriers) in CUDA. A sector has 32 bytes; buffers begin at a sector unless a test says otherwise.
"""

import numpy as np
import pytest

from warpsmith.core.counters import LaunchCounters
from warpsmith.sandbox.counting import count_launch
from warpsmith.sandbox.emulator.dependencies import dependent_steps, steps_of
from warpsmith.sandbox.emulator.machine import L2, LaunchSpec
from warpsmith.sandbox.emulator.ptx import parse_module
from warpsmith.sandbox.sampling import choose_blocks, group_blocks

ROOMY = L2(1 << 20)


def three(shape):
    return (*shape, 1, 1)[:3] if isinstance(shape, tuple) else (shape, 1, 1)


@pytest.fixture
def count(cuda, ptx):
    """`count(source, grid, block, *arguments)`: counters of CUDA C++ or, where it begins with a dot, of PTX."""

    def run(source, grid, block, *arguments, l2=ROOMY, **options) -> LaunchCounters:
        kernel = ptx(source) if source.lstrip().startswith(".") else cuda(source)
        shared = options.get("shared", 0)
        result = kernel.run(grid, block, *arguments, l2=l2, **options)
        assert result.fault is None, result.fault
        entry = kernel.loaded.module.entry(kernel.name)
        spec = LaunchSpec(three(grid), three(block), shared, b"", options.get("blocks"))
        return count_launch("k", entry, spec, result, 1 << 30)

    return run


def floats(n):
    return np.ones(n, np.float32)


def zeros(n):
    return np.zeros(n, np.int32)


COPY = """extern "C" __global__ void k(const TYPE* x, TYPE* y, int stride, int shift) {
    int i = blockIdx.x * blockDim.x + threadIdx.x; y[i] = x[i * stride + shift]; }"""


def test_1_a_copy_moves_each_sector_once(count, buffer, fresh):
    found = count(COPY.replace("TYPE", "float"), 4, 128, buffer(floats(512)), fresh(floats(512)), 1, 0)
    # 4 blocks of 4 warps, 128 bytes a warp: 4 sectors.
    assert (16, 16 * 4, 16 * 128) == (found.global_load.requests, found.global_load.sectors, found.global_load.bytes)
    assert (16, 64) == (found.global_store.requests, found.global_store.sectors)
    assert (64, 0, 64) == (found.l2.loads, found.l2.load_hits, found.l2.stores)
    assert (64, 64) == (found.l2.dram_reads, found.l2.dram_writes)
    assert (64 * 32, 128 * 32) == (found.block_unique_load_bytes, found.footprint_bytes)
    assert 64 / 128 == found.l2.hit_rate


def test_2_sixteen_bytes_a_lane_are_sixteen_sectors_a_request(count, buffer, fresh):
    found = count(COPY.replace("TYPE", "float4"), 2, 64, buffer(floats(512)), fresh(floats(512)), 1, 0)
    # 4 warps of 512 bytes.
    assert (4, 64, 16) == (found.global_load.requests, found.global_load.sectors, found.global_load.sectors_per_request)


def test_3_lanes_a_sector_apart_take_a_sector_each(count, buffer, fresh):
    found = count(COPY.replace("TYPE", "float"), 1, 64, buffer(floats(512)), fresh(floats(64)), 8, 0)
    # 2 warps x 32 lanes, of 4 bytes of each sector used.
    assert (64, 64 * 4) == (found.global_load.sectors, found.global_load.bytes)
    assert 2 * 4 == found.global_store.sectors


def test_4_warps_that_share_a_sector_at_their_border_load_it_once(count, buffer, fresh):
    found = count(COPY.replace("TYPE", "float"), 1, 64, buffer(floats(65)), fresh(floats(64)), 1, 1)
    # Each warp's 128 bytes begin at byte 4 of a sector and reach into a fifth; together bytes 4 to 259: sectors 0 to 8.
    assert (10, 9) == (found.global_load.sectors, found.global_load.l1_misses)
    assert (9, 9) == (found.l2.loads, found.l2.dram_reads)


def test_5_one_word_for_all_comes_from_dram_once_and_to_each_block_once(count, buffer, fresh):
    source = """extern "C" __global__ void k(const float* x, float* y) { y[blockIdx.x * 96 + threadIdx.x] = x[0]; }"""
    found = count(source, 5, 96, buffer(floats(1)), fresh(floats(480)))
    # 3 warps a block, a sector each; the first of a block brings it to L1, the first of all to L2.
    assert (15, 15, 5) == (found.global_load.requests, found.global_load.sectors, found.global_load.l1_misses)
    assert (5, 4, 1) == (found.l2.loads, found.l2.load_hits, found.l2.dram_reads)


TRANSPOSE = """extern "C" __global__ void k(const float* x, float* y) {
    y[threadIdx.x * 32 + threadIdx.y] = x[threadIdx.y * 32 + threadIdx.x]; }"""


def test_6_a_naive_transpose_stores_a_sector_a_lane(count, buffer, fresh):
    found = count(TRANSPOSE, 1, (32, 32), buffer(floats(1024)), fresh(floats(1024)))
    # 32 warps: rows of 128 bytes come in as 4 sectors, and leave as 32 lanes 128 bytes apart.
    assert (32 * 4, 32 * 32) == (found.global_load.sectors, found.global_store.sectors)
    # 4096 bytes are written in the end.
    assert (1024, 128) == (found.l2.stores, found.l2.dram_writes)


TILE = """extern "C" __global__ void k(const float* x, float* y) { __shared__ float s[32][PITCH];
    s[threadIdx.y][threadIdx.x] = x[threadIdx.y * 32 + threadIdx.x]; __syncthreads();
    y[threadIdx.y * 32 + threadIdx.x] = s[threadIdx.x][threadIdx.y]; }"""


@pytest.mark.parametrize(("pitch", "passes"), [(32, 32), (33, 1), (34, 2), (36, 4)])
def test_7_columns_of_a_tile_conflict_by_its_pitch(count, buffer, fresh, pitch, passes):
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


def test_8_lanes_that_read_one_word_share_a_pass(count, fresh):
    source = """extern "C" __global__ void k(float* y) { __shared__ float s[64]; s[threadIdx.x] = threadIdx.x;
        __syncthreads(); y[threadIdx.x] = s[threadIdx.x % 32 / 16 * 32]; }"""
    found = count(source, 1, 64, fresh(floats(64)))
    # Lanes 0 to 15 read one word and lanes 16 to 31 another of the same bank: 2 passes for each of 2 warps.
    assert (2, 4, 2) == (
        found.shared_load.requests,
        found.shared_load.wavefronts,
        found.shared_load.ideal_wavefronts,
    )


def test_9_atomics_on_one_word_queue_up(count, written):
    source = """extern "C" __global__ void k(int* y) { atomicMax(&y[0], (int)threadIdx.x); }"""
    found = count(source, 3, 64, written(zeros(1)))
    # 6 warps of 32 lanes, all on one word.
    assert (192, 192, 192) == (found.atomic_lanes, found.atomic_serial, found.atomic_hottest)
    # A request asks for one sector; it is read from DRAM the first time and written in the end.
    assert (6, 6) == (found.global_atomic.requests, found.global_atomic.sectors)
    assert (6, 5, 1, 1) == (found.l2.atomics, found.l2.atomic_hits, found.l2.dram_reads, found.l2.dram_writes)
    assert 0 == found.global_load.requests == found.global_store.requests


def test_10_a_histogram_of_four_bins_takes_eight_passes_a_request(count, written):
    source = """extern "C" __global__ void k(int* y) { atomicXor(&y[threadIdx.x % 4], 1); }"""
    found = count(source, 2, 128, written(zeros(4)))
    # 8 warps; 32 lanes over 4 words are 8 on each. All 8 warps of 8 lanes meet at each word.
    assert (256, 8 * 8, 64) == (found.atomic_lanes, found.atomic_serial, found.atomic_hottest)


def test_11_atomics_in_shared_memory_are_not_global_traffic(count, fresh):
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


HEAD = ".visible .entry k(.param .u64 y) { .reg .b32 %r<9>; .reg .b64 %rd<4>; .reg .f32 %f<9>; .reg .pred %p<4>;"


def test_12_a_branch_within_the_warp_diverges(count, fresh):
    body = """mov.u32 %r1, %tid.x; setp.lt.u32 %p1, %r1, 40; @%p1 bra LOW;
        add.u32 %r2, %r1, 1; add.u32 %r2, %r2, 2; bra END;
        LOW: add.u32 %r2, %r1, 3;
        END: ret; }"""
    found = count(HEAD + body, 1, 96, fresh(zeros(1)))
    # Warp 0 jumps, warp 2 does not, warp 1's 8 lower lanes do: 1 of 3 diverges. The bra that ends the middle block is
    # run by warps 1 and 2.
    assert (3 + 2, 1) == (found.branches.executed, found.branches.divergent)
    assert 1 - 1 / 5 == found.branches.efficiency
    # Blocks of 3, 3, 1 and 1 instructions; LOW is entered by warps 0 and 1.
    assert 3 * 3 + 2 * 3 + 2 * 1 + 3 * 1 == found.issued
    # The middle by 24 + 32 threads, LOW by 40.
    assert 96 * 3 + 56 * 3 + 40 * 1 + 96 * 1 == found.thread_instructions


def test_13_a_branch_by_warp_is_uniform(count, fresh):
    body = """mov.u32 %r1, %tid.x; shr.u32 %r1, %r1, 5; setp.eq.u32 %p1, %r1, 1; @%p1 bra END;
        add.u32 %r2, %r1, 1;
        END: ret; }"""
    found = count(HEAD + body, 2, 128, fresh(zeros(1)))
    # 8 warps, of which the second of each block jumps.
    assert (8, 0) == (found.branches.executed, found.branches.divergent)
    assert 8 * 4 + 6 * 1 + 8 * 1 == found.issued


def test_14_a_loop_with_a_length_for_each_lane_diverges_as_lanes_leave(count, fresh):
    body = """mov.u32 %r1, %tid.x; and.b32 %r1, %r1, 3; mov.u32 %r2, 0;
        LOOP: add.u32 %r2, %r2, 1; setp.le.u32 %p1, %r2, %r1; @%p1 bra LOOP;
        ret; }"""
    found = count(HEAD + body, 1, 32, fresh(zeros(1)))
    # Lanes stay 1, 2, 3 or 4 times, 8 of each: the loop is entered 4 times, by 32, 24, 16 and 8 lanes. After the first
    # three some lanes leave and some stay.
    assert (4, 3) == (found.branches.executed, found.branches.divergent)
    assert 3 + 4 * 3 + 1 == found.issued
    assert 32 * 3 + (32 + 24 + 16 + 8) * 3 + 32 == found.thread_instructions


def test_15_guards_turn_threads_off_without_a_branch(count, fresh):
    body = """mov.u32 %r1, %tid.x; setp.lt.u32 %p1, %r1, 8; @%p1 mov.u32 %r2, 1; @!%p1 mov.u32 %r2, 2; ret; }"""
    found = count(HEAD + body, 1, 64, fresh(zeros(1)))
    # 5 instructions by 64 threads; of the guarded two, one acts for 8 and the other for 56.
    assert (5 * 64, 3 * 64 + 8 + 56) == (found.thread_instructions, found.active_instructions)
    assert (10, 0) == (found.issued, found.branches.executed)


def test_16_threads_that_leave_early_do_the_rest_no_more(count, fresh):
    body = """mov.u32 %r1, %tid.x; setp.ge.u32 %p1, %r1, 20; @%p1 ret; add.u32 %r2, %r1, 1; ret; }"""
    found = count(HEAD + body, 1, 64, fresh(zeros(1)))
    # 64 threads do three instructions, of which `ret` acts for 44; 20 do two more, in one warp.
    assert (64 * 3 + 20 * 2, 64 * 2 + 44 + 20 * 2) == (found.thread_instructions, found.active_instructions)
    assert 2 * 3 + 1 * 2 == found.issued


def test_17_instructions_go_to_their_pipes(count, fresh):
    body = """.reg .b32 %h<3>; .reg .f64 %d<3>;
        mov.u32 %r1, %tid.x; add.u32 %r2, %r1, 1; and.b32 %r3, %r2, 7;
        cvt.rn.f32.u32 %f1, %r1; fma.rn.f32 %f2, %f1, %f1, %f1; mul.f32 %f3, %f2, %f1; ex2.approx.f32 %f4, %f3;
        mov.b32 %h1, 0; fma.rn.f16x2 %h2, %h1, %h1, %h1; mov.f64 %d1, 0d0000000000000000; add.f64 %d2, %d1, %d1;
        shfl.sync.bfly.b32 %r4, %r3, 1, 31, -1; bar.sync 0; ret; }"""
    found = count(HEAD + body, 1, 64, fresh(zeros(1)))
    # Two warps. alu: mov, add, and, mov, mov; sfu: cvt and ex2; control: barrier and return.
    assert {"alu": 10, "fma": 4, "sfu": 4, "half": 2, "fp64": 2, "lsu": 2, "control": 4} == found.warp_instructions


def test_18_a_matrix_instruction_does_two_operations_for_each_product(count, fresh):
    body = """.reg .b32 %a<5>; .reg .f32 %c<5>;
        mov.b32 %a1, 0; mov.b32 %a2, 0; mov.b32 %a3, 0; mov.b32 %a4, 0;
        mov.f32 %c1, 0f00000000; mov.f32 %c2, 0f00000000; mov.f32 %c3, 0f00000000; mov.f32 %c4, 0f00000000;
        mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%c1,%c2,%c3,%c4}, {%a1,%a2,%a3,%a4}, {%a1,%a2},
            {%c1,%c2,%c3,%c4};
        mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%c1,%c2,%c3,%c4}, {%a1,%a2}, {%a1}, {%c1,%c2,%c3,%c4};
        ret; }"""
    found = count(HEAD + body, 2, 64, fresh(zeros(1)))
    # 4 warps; 16 x 8 x 16 and 16 x 8 x 8 products.
    assert 4 * 2 == found.warp_instructions["tensor"]
    assert {"bf16": 4 * 2 * (16 * 8 * 16 + 16 * 8 * 8)} == found.tensor_flops


@pytest.mark.parametrize(("pitch", "passes"), [(16, 4), (32, 8), (128, 32), (144, 4)])
def test_19_rows_of_a_matrix_conflict_by_their_pitch(count, fresh, pitch, passes):
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


def test_20_an_asynchronous_copy_loads_and_stores(count, buffer):
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


def test_21_local_arrays_lie_lane_by_lane(count, fresh):
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


def test_22_a_naive_product_asks_l2_for_its_rows_and_columns_from_every_block(count, buffer, fresh):
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
def test_23_blocks_side_by_side_share_what_a_small_l2_cannot_keep(count, buffer, fresh, l2, reads):
    found = count(RACE, 3, 32, buffer(floats(2048)), fresh(floats(96)), l2=l2)
    assert (3 * 256, reads, 3 * 256 - reads) == (found.l2.loads, found.l2.dram_reads, found.l2.load_hits)


def test_24_a_set_has_room_for_its_ways_only(count, buffer, fresh):
    source = """extern "C" __global__ void k(const float* x, float* y) { y[blockIdx.x] = x[blockIdx.x % 5 * 32]; }"""
    runs = [
        count(source, 10, 1, buffer(floats(160)), fresh(floats(10)), l2=L2(128 * ways, ways=ways, wave=1))
        for ways in (5, 7)
    ]
    # Five lines of 128 bytes in turn, twice, beside the line or two of y: five ways lose each before it comes round
    # again, seven keep them.
    assert [10, 5] == [found.l2.dram_reads for found in runs]


def test_25_what_was_written_leaves_l2_each_time_it_must_make_room(count, written):
    source = """extern "C" __global__ void k(float* y) { y[blockIdx.x % 4 * 32] = 1; }"""
    found = count(source, 8, 1, written(floats(128)), l2=L2(256, ways=2, wave=1), checks=False)
    # One sector in each of four lines in turn, twice, through two lines: 8 stores, 6 leave, 2 stay modified.
    assert (8, 8, 0) == (found.l2.stores, found.l2.dram_writes, found.l2.dram_reads)
    kept = count(source, 8, 1, written(floats(128)), l2=L2(512, ways=4, wave=1), checks=False)
    assert 4 == kept.l2.dram_writes


def test_26_a_permutation_within_a_row_costs_no_more_than_the_row(count, buffer, fresh):
    source = """extern "C" __global__ void k(const int* at, const float* x, float* y) {
        y[threadIdx.x] = x[at[threadIdx.x]]; }"""
    shuffled, scattered = 5 * np.arange(32) % 32, 8 * np.arange(32)
    runs = [
        count(source, 1, 32, buffer(places.astype(np.int32)), buffer(floats(256)), fresh(floats(32)))
        for places in (shuffled, scattered)
    ]
    # 4 sectors of indices; of x the 4 sectors of a row, or one a lane.
    assert [4 + 4, 4 + 32] == [found.global_load.sectors for found in runs]


def test_27_distances_from_what_makes_a_value_to_its_first_use(count, written):
    source = """.visible .entry k(.param .u64 x) { .reg .b32 %r<9>; .reg .b64 %rd<4>; .reg .f32 %f<9>;
        ld.param.u64 %rd1, [x];
        ld.global.f32 %f1, [%rd1]; ld.global.f32 %f2, [%rd1+4];
        add.f32 %f3, %f2, %f2; mul.f32 %f4, %f3, %f1;
        st.global.f32 [%rd1], %f4; ret; }"""
    found = count(source, 2, 32, written(floats(8)), checks=False)
    # Two warps. The first load's value is used three instructions on, the second's by the next one.
    assert (4, 2 * (3 + 1), {"2-3": 2, "1": 2}) == (
        found.distances["global"].results,
        found.distances["global"].total,
        found.distances["global"].histogram,
    )
    # ld.param, add and mul are used at once.
    assert (6, 6) == (found.distances["arithmetic"].results, found.distances["arithmetic"].total)


CHAINED = "".join("fma.rn.f32 %f1, %f1, %f1, %f1;" for _ in range(4))
SIDE_BY_SIDE = "".join(f"fma.rn.f32 %f{i}, %f9, %f9, %f9;" for i in range(1, 5))


@pytest.mark.parametrize(
    ("body", "steps"),
    [
        # The first is ready at 0, the fourth waits for three others; three latencies are 12 cycles, more than 4 slots.
        (CHAINED, {"arithmetic": 3}),
        # Four issue slots; nobody waits.
        (SIDE_BY_SIDE, {"issue": 4}),
    ],
)
def test_28_dependent_instructions_wait_and_independent_ones_only_issue(count, fresh, body, steps):
    # The branch at the end waits for nothing and takes a slot: 5 in the block, of which 12 cycles are already spent in
    # the first case; `ret` is one more.
    source = f".visible .entry k(.param .u64 y) {{ .reg .f32 %f<10>; {body} bra END; END: ret; }}"
    found = count(source, 1, 64, fresh(zeros(1)))
    expected = {**steps, "issue": steps.get("issue", 0) + ("issue" in steps) + 1}
    assert {name: 2 * value for name, value in expected.items()} == found.dependent_steps


def test_29_a_loads_user_waits_for_memory_once_where_loads_are_independent(count, written):
    loads = "".join(f"ld.global.f32 %f{i}, [%rd1+{4 * i}];" for i in range(1, 5))
    sums = "add.f32 %f5, %f1, %f2; add.f32 %f6, %f3, %f4; add.f32 %f7, %f5, %f6;"
    chase = "".join("ld.global.u64 %rd1, [%rd1];" for _ in range(4))
    head = ".visible .entry k(.param .u64 x) { .reg .b64 %rd<3>; .reg .f32 %f<9>; ld.param.u64 %rd1, [x];"
    apart = count(f"{head}{loads}{sums} ret; }}", 1, 32, written(floats(8)))
    # Four loads under way when the first sum waits.
    assert (1, 4.0) == (apart.dependent_steps["global"], apart.outstanding_loads)
    # Each load takes its address from the one before; the last one's value nobody waits for. It reads address 0: it
    # cannot run, so its flow alone is looked at.
    module = parse_module(f".version 8.0\n.target sm_80\n.address_size 64\n{head}{chase} ret; }}")
    assert 3 == dependent_steps(module.entries[0], steps_of(module.entries[0]), [1.0])["global"]


def test_30_every_counter_of_a_line_adds_up_to_the_launchs(count, buffer, fresh):
    a, b, c = buffer(floats(32 * 64)), buffer(floats(64 * 48)), fresh(floats(32 * 48))
    found = count(MATMUL, (3, 2), (16, 16), a, b, c, 48, 64)
    lines = found.lines
    assert found.issued == sum(line.warp_instructions for line in lines)
    assert found.active_instructions == sum(line.active_instructions for line in lines)
    assert found.branches.executed == sum(line.branches.executed for line in lines)
    for name in ("global_load", "global_store"):
        for part in ("requests", "sectors", "bytes", "l1_misses", "dram_sectors"):
            assert getattr(getattr(found, name), part) == sum(getattr(getattr(line, name), part) for line in lines)
    # The third line of the source holds the loop: all loads, and none of the stores, which the fourth has.
    by_number = {line.line: line for line in lines}
    assert (found.global_load, found.global_store) == (by_number[3].global_load, by_number[4].global_store)
    assert (640, 192) == (found.global_load.dram_sectors, found.global_store.dram_sectors)


@pytest.mark.parametrize(("load", "asked"), [("ld.global.f32", 4), ("ld.global.cg.f32", 12)])
def test_31_loads_that_bypass_l1_ask_l2_each_time(count, buffer, load, asked):
    source = f""".visible .entry k(.param .u64 x) {{ .reg .b32 %r<3>; .reg .b64 %rd<4>; .reg .f32 %f<4>;
        ld.param.u64 %rd1, [x]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 4; add.s64 %rd2, %rd1, %rd2;
        {load} %f1, [%rd2]; {load} %f2, [%rd2]; {load} %f3, [%rd2]; ret; }}"""
    found = count(source, 1, 32, buffer(floats(32)))
    # Three times the same 4 sectors, which come from DRAM once.
    assert (12, asked) == (found.global_load.sectors, found.global_load.l1_misses)
    assert (asked, asked - 4, 4) == (found.l2.loads, found.l2.load_hits, found.l2.dram_reads)


UNEVEN = """extern "C" __global__ void k(const float* x, float* y, int heavy) {
    float s = 0; int rounds = blockIdx.x >= heavy ? 9 : 1;
    for (int i = 0; i < rounds; i++) s += x[(blockIdx.x * 16 + i) * 32 + threadIdx.x];
    y[blockIdx.x * 32 + threadIdx.x] = s; }"""


def sampled(count, buffer, fresh, heavy):
    blocks = choose_blocks((64, 1, 1), 16, seed=7)
    x, y = buffer(floats(64 * 16 * 32)), fresh(floats(64 * 32))
    groups = group_blocks((64, 1, 1), blocks).groups
    return count(UNEVEN, 64, 32, x, y, heavy, blocks=blocks, groups=groups)


def test_32_a_sample_of_equal_blocks_is_exact_and_says_so(count, buffer, fresh):
    found = sampled(count, buffer, fresh, 64)
    # 64 blocks of one warp load 4 sectors each and store 4.
    assert (64 * 4, 64 * 4) == (found.global_load.sectors, found.global_store.sectors)
    assert {0.0} == set(found.sampling_errors.values())
    assert (pytest.approx(256), pytest.approx(256)) == (found.l2.dram_reads, found.l2.dram_writes)
    assert found.blocks_counted < 20
    assert not found.l2.simulated


def test_33_a_sample_of_uneven_blocks_is_near_and_says_how_near(count, buffer, fresh):
    found = sampled(count, buffer, fresh, 32)
    # Half of the blocks load 4 sectors, half of them 9 times 4.
    truth, error = 32 * 4 + 32 * 36, found.sampling_errors["global_load.sectors"]
    assert 0 < error < 0.1
    assert abs(found.global_load.sectors / truth - 1) < 3 * error
    # Every block stores the same.
    assert (256, 0.0) == (found.global_store.sectors, found.sampling_errors["global_store.sectors"])


def test_34_l2_does_not_depend_on_host_threads_or_the_order_of_blocks(count, buffer, fresh):
    a, b = buffer(floats(32 * 64)), buffer(floats(64 * 48))
    runs = [
        count(MATMUL, (3, 2), (16, 16), a, b, fresh(floats(32 * 48)), 48, 64, l2=L2(4096, wave=2), **options).l2
        for options in ({}, {"threads": 2}, {"checks": False}, {"seed": 5})
    ]
    # The seed orders warps within blocks too, which shifts who asks first but not how much is asked.
    assert runs[0] == runs[1] == runs[2]
    assert runs[0].loads == runs[3].loads


PIPELINE = """.visible .entry k(.param .u64 x) { .reg .b32 %r<9>; .reg .b64 %rd<4>; .reg .pred %p;
    .shared .align 16 .b8 s[1024]; ld.param.u64 %rd1, [x]; mov.u32 %r1, s; mov.u32 %r2, 0;
    cp.async.ca.shared.global [%r1], [%rd1], 16; cp.async.commit_group;
    cp.async.ca.shared.global [%r1+16], [%rd1+16], 16; cp.async.commit_group;
    LOOP: cp.async.ca.shared.global [%r1+32], [%rd1+32], 16; cp.async.commit_group;
    cp.async.wait_group DEPTH; ld.shared.u32 %r3, [%r1]; add.u32 %r4, %r4, %r3;
    add.u32 %r2, %r2, 1; setp.lt.u32 %p, %r2, 50; @%p bra LOOP; ret; }"""


def test_35_copies_left_in_flight_are_waited_for_less(count):
    deep, shallow = (flow(PIPELINE.replace("DEPTH", str(depth))) for depth in (2, 0))
    # With two groups in flight a third of each copy's latency is waited for.
    assert shallow["global"] == pytest.approx(3 * deep["global"])
    assert 50 <= shallow["global"] <= 52


def flow(body):
    """Dependent steps where the loop, the second block, runs 50 times."""
    module = parse_module(f".version 8.0\n.target sm_80\n.address_size 64\n{body}")
    return dependent_steps(module.entries[0], steps_of(module.entries[0]), [1.0, 50.0, 1.0])
