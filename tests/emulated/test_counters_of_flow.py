"""Instructions, branches, guards, data flow, lines and samples of small kernels, worked out by hand.

Instructions are counted in PTX written here: what a compiler makes of CUDA changes with its version.
"""

import numpy as np
import pytest

from warpsmith.sandbox.counting.sampling import choose_blocks, group_blocks
from warpsmith.sandbox.emulator.dependencies import dependent_steps, steps_of
from warpsmith.sandbox.emulator.ptx import parse_module


def floats(n):
    return np.ones(n, np.float32)


def zeros(n):
    return np.zeros(n, np.int32)


MATMUL = """extern "C" __global__ void k(const float* a, const float* b, float* c, int n, int depth) {
    int i = blockIdx.y * 16 + threadIdx.y, j = blockIdx.x * 16 + threadIdx.x; float s = 0;
    for (int p = 0; p < depth; p++) s += a[i * depth + p] * b[p * n + j];
    c[i * n + j] = s; }"""

HEAD = ".visible .entry k(.param .u64 y) { .reg .b32 %r<9>; .reg .b64 %rd<4>; .reg .f32 %f<9>; .reg .pred %p<4>;"


def test_a_branch_within_the_warp_diverges(count, fresh):
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


def test_a_branch_by_warp_is_uniform(count, fresh):
    body = """mov.u32 %r1, %tid.x; shr.u32 %r1, %r1, 5; setp.eq.u32 %p1, %r1, 1; @%p1 bra END;
        add.u32 %r2, %r1, 1;
        END: ret; }"""
    found = count(HEAD + body, 2, 128, fresh(zeros(1)))
    # 8 warps, of which the second of each block jumps.
    assert (8, 0) == (found.branches.executed, found.branches.divergent)
    assert 8 * 4 + 6 * 1 + 8 * 1 == found.issued


def test_a_loop_with_a_length_for_each_lane_diverges_as_lanes_leave(count, fresh):
    body = """mov.u32 %r1, %tid.x; and.b32 %r1, %r1, 3; mov.u32 %r2, 0;
        LOOP: add.u32 %r2, %r2, 1; setp.le.u32 %p1, %r2, %r1; @%p1 bra LOOP;
        ret; }"""
    found = count(HEAD + body, 1, 32, fresh(zeros(1)))
    # Lanes stay 1, 2, 3 or 4 times, 8 of each: the loop is entered 4 times, by 32, 24, 16 and 8 lanes. After the first
    # three some lanes leave and some stay.
    assert (4, 3) == (found.branches.executed, found.branches.divergent)
    assert 3 + 4 * 3 + 1 == found.issued
    assert 32 * 3 + (32 + 24 + 16 + 8) * 3 + 32 == found.thread_instructions


def test_guards_turn_threads_off_without_a_branch(count, fresh):
    body = """mov.u32 %r1, %tid.x; setp.lt.u32 %p1, %r1, 8; @%p1 mov.u32 %r2, 1; @!%p1 mov.u32 %r2, 2; ret; }"""
    found = count(HEAD + body, 1, 64, fresh(zeros(1)))
    # 5 instructions by 64 threads; of the guarded two, one acts for 8 and the other for 56.
    assert (5 * 64, 3 * 64 + 8 + 56) == (found.thread_instructions, found.active_instructions)
    assert (10, 0) == (found.issued, found.branches.executed)


def test_threads_that_leave_early_do_the_rest_no_more(count, fresh):
    body = """mov.u32 %r1, %tid.x; setp.ge.u32 %p1, %r1, 20; @%p1 ret; add.u32 %r2, %r1, 1; ret; }"""
    found = count(HEAD + body, 1, 64, fresh(zeros(1)))
    # 64 threads do three instructions, of which `ret` acts for 44; 20 do two more, in one warp.
    assert (64 * 3 + 20 * 2, 64 * 2 + 44 + 20 * 2) == (found.thread_instructions, found.active_instructions)
    assert 2 * 3 + 1 * 2 == found.issued


def test_instructions_go_to_their_pipes(count, fresh):
    body = """.reg .b32 %h<3>; .reg .f64 %d<3>;
        mov.u32 %r1, %tid.x; add.u32 %r2, %r1, 1; and.b32 %r3, %r2, 7;
        cvt.rn.f32.u32 %f1, %r1; fma.rn.f32 %f2, %f1, %f1, %f1; mul.f32 %f3, %f2, %f1; ex2.approx.f32 %f4, %f3;
        mov.b32 %h1, 0; fma.rn.f16x2 %h2, %h1, %h1, %h1; mov.f64 %d1, 0d0000000000000000; add.f64 %d2, %d1, %d1;
        shfl.sync.bfly.b32 %r4, %r3, 1, 31, -1; bar.sync 0; ret; }"""
    found = count(HEAD + body, 1, 64, fresh(zeros(1)))
    # Two warps. alu: mov, add, and, mov, mov; sfu: cvt and ex2; control: barrier and return.
    assert {"alu": 10, "fma": 4, "sfu": 4, "half": 2, "fp64": 2, "lsu": 2, "control": 4} == found.warp_instructions


def test_conversions_go_to_the_pipe_of_what_the_assembler_makes_of_them(count, fresh):
    """HADD2.F32, F2FP, a shift and FADD.SAT are no work of the special-function unit; F2I, F2F and FRND are."""
    body = """.reg .b16 %h<5>; .reg .f64 %d<3>;
        mov.f32 %f1, 0f3F800000;
        cvt.rn.f16.f32 %h1, %f1; cvt.rn.bf16.f32 %h2, %f1; cvt.rn.f16x2.f32 %r1, %f1, %f1; cvt.rna.tf32.f32 %r2, %f1;
        cvt.f32.f16 %f2, %h1; cvt.f32.bf16 %f3, %h2; cvt.sat.f32.f32 %f4, %f2;
        cvt.rzi.s32.f32 %r3, %f2; cvt.rzi.ftz.s32.f32 %r4, %f2; cvt.f64.f32 %d1, %f2; cvt.rni.f32.f32 %f5, %f2;
        cvt.rm.f16.f32 %h3, %f1; ret; }"""
    found = count(HEAD + body, 1, 64, fresh(zeros(1)))
    # Two warps. alu: mov, the four that round to nearest, bf16 to fp32; half: fp16 to fp32; fma: the saturation.
    # sfu: two F2I, of which one flushes, F2F to fp64, FRND, and rounding to fp16 in another direction.
    assert {"alu": 2 * 6, "half": 2, "fma": 2, "sfu": 2 * 5, "control": 2} == found.warp_instructions


def test_a_matrix_instruction_does_two_operations_for_each_product(count, fresh):
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


def test_distances_from_what_makes_a_value_to_its_first_use(count, written):
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
def test_dependent_instructions_wait_and_independent_ones_only_issue(count, fresh, body, steps):
    # The branch at the end waits for nothing and takes a slot: 5 in the block, of which 12 cycles are already spent in
    # the first case; `ret` is one more.
    source = f".visible .entry k(.param .u64 y) {{ .reg .f32 %f<10>; {body} bra END; END: ret; }}"
    found = count(source, 1, 64, fresh(zeros(1)))
    expected = {**steps, "issue": steps.get("issue", 0) + ("issue" in steps) + 1}
    assert {name: 2 * value for name, value in expected.items()} == found.dependent_steps


def test_a_loads_user_waits_for_memory_once_where_loads_are_independent(count, written):
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


def test_every_counter_of_a_line_adds_up_to_the_launchs(count, buffer, fresh):
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


UNEVEN = """extern "C" __global__ void k(const float* x, float* y, int heavy) {
    float s = 0; int rounds = blockIdx.x >= heavy ? 9 : 1;
    for (int i = 0; i < rounds; i++) s += x[(blockIdx.x * 16 + i) * 32 + threadIdx.x];
    y[blockIdx.x * 32 + threadIdx.x] = s; }"""


def sampled(count, buffer, fresh, heavy):
    blocks = choose_blocks((64, 1, 1), 16, seed=7)
    x, y = buffer(floats(64 * 16 * 32)), fresh(floats(64 * 32))
    groups = group_blocks((64, 1, 1), blocks).groups
    return count(UNEVEN, 64, 32, x, y, heavy, blocks=blocks, groups=groups)


def test_a_sample_of_equal_blocks_is_exact_and_says_so(count, buffer, fresh):
    found = sampled(count, buffer, fresh, 64)
    # 64 blocks of one warp load 4 sectors each and store 4.
    assert (64 * 4, 64 * 4) == (found.global_load.sectors, found.global_store.sectors)
    assert {0.0} == set(found.sampling_errors.values())
    assert (pytest.approx(256), pytest.approx(256)) == (found.l2.dram_reads, found.l2.dram_writes)
    assert found.blocks_counted < 20
    assert not found.l2.simulated


def test_a_sample_of_uneven_blocks_is_near_and_says_how_near(count, buffer, fresh):
    found = sampled(count, buffer, fresh, 32)
    # Half of the blocks load 4 sectors, half of them 9 times 4.
    truth, error = 32 * 4 + 32 * 36, found.sampling_errors["global_load.sectors"]
    assert 0 < error < 0.1
    assert abs(found.global_load.sectors / truth - 1) < 3 * error
    # Every block stores the same.
    assert (256, 0.0) == (found.global_store.sectors, found.sampling_errors["global_store.sectors"])


PIPELINE = """.visible .entry k(.param .u64 x) { .reg .b32 %r<9>; .reg .b64 %rd<4>; .reg .pred %p;
    .shared .align 16 .b8 s[1024]; ld.param.u64 %rd1, [x]; mov.u32 %r1, s; mov.u32 %r2, 0;
    cp.async.ca.shared.global [%r1], [%rd1], 16; cp.async.commit_group;
    cp.async.ca.shared.global [%r1+16], [%rd1+16], 16; cp.async.commit_group;
    LOOP: cp.async.ca.shared.global [%r1+32], [%rd1+32], 16; cp.async.commit_group;
    cp.async.wait_group DEPTH; ld.shared.u32 %r3, [%r1]; add.u32 %r4, %r4, %r3;
    add.u32 %r2, %r2, 1; setp.lt.u32 %p, %r2, 50; @%p bra LOOP; ret; }"""


def flow(body):
    """Dependent steps where the loop, the second block, runs 50 times."""
    module = parse_module(f".version 8.0\n.target sm_80\n.address_size 64\n{body}")
    return dependent_steps(module.entries[0], steps_of(module.entries[0]), [1.0, 50.0, 1.0])


def test_copies_left_in_flight_are_waited_for_less(count):
    deep, shallow = (flow(PIPELINE.replace("DEPTH", str(depth))) for depth in (2, 0))
    # With two groups in flight a third of each copy's latency is waited for.
    assert shallow["global"] == pytest.approx(3 * deep["global"])
    assert 50 <= shallow["global"] <= 52
