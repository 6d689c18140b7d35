"""A schedule's seed means the same to both executors: who comes first is what the order of tickets tells."""

import struct

import numpy as np
import pytest

from warpsmith.sandbox.emulator import launch as vm
from warpsmith.sandbox.emulator.isa import execute
from warpsmith.sandbox.emulator.machine import LaunchSpec, Memory, Options
from warpsmith.sandbox.emulator.program import Module
from warpsmith.sandbox.emulator.ptx import parse_module

THREADS, BLOCKS, ROUNDS = 96, 3, 4
TICKETS = THREADS * BLOCKS * ROUNDS
# Each round the lanes part by a bit of their number, and every side takes a ticket of its own.
MODULE = parse_module(
    f""".version 9.0
.target sm_90a
.address_size 64
.visible .entry k(.param .u64 k_0, .param .u64 k_1) {{
    .reg .pred %p<4>; .reg .b32 %r<16>; .reg .b64 %rd<8>;
    ld.param.u64 %rd0, [k_0]; ld.param.u64 %rd1, [k_1];
    mov.u32 %r0, %tid.x; mov.u32 %r1, %ctaid.x; mad.lo.u32 %r2, %r1, {THREADS}, %r0; mov.u32 %r3, 0;
LOOP:
    shr.u32 %r4, %r0, %r3; and.b32 %r4, %r4, 1; setp.eq.u32 %p0, %r4, 0;
    @%p0 bra LOW;
    atom.global.add.u32 %r5, [%rd0], 1;
    bra.uni JOIN;
LOW:
    atom.global.add.u32 %r5, [%rd0], 1;
JOIN:
    mad.lo.u32 %r6, %r2, {ROUNDS}, %r3; mul.wide.u32 %rd2, %r6, 4; add.s64 %rd2, %rd1, %rd2;
    st.global.u32 [%rd2], %r5;
    add.u32 %r3, %r3, 1; setp.lt.u32 %p1, %r3, {ROUNDS};
    @%p1 bra LOOP;
    ret;
}}"""
)


def written(launch, module: Module, blocks: int, threads: int, count: int, options: Options) -> list[int]:
    """The `count` words that a kernel writes whose parameters are a word of zero and they."""
    memory, word, out = Memory(), np.zeros(1, np.uint32), np.zeros(count, np.uint32)
    params = struct.pack(
        "<QQ",
        memory.allocate("word", word.view(np.uint8), writable=True, initialised=True),
        memory.allocate("out", out.view(np.uint8), writable=True, initialised=False),
    )
    spec = LaunchSpec((blocks, 1, 1), (threads, 1, 1), 0, params)
    assert launch(module, "k", spec, memory, options).fault is None
    return out.tolist()


def tickets(launch, seed: int, *, counters: bool) -> list[int]:
    return written(launch, MODULE, BLOCKS, THREADS, TICKETS, Options(seed=seed, counters=counters))


@pytest.mark.parametrize("counters", [False, True])
def test_both_executors_follow_a_seed_alike(counters: bool) -> None:
    seen = set()
    for seed in range(6):
        expected = tickets(vm.launch, seed, counters=counters)
        assert expected == tickets(execute.launch, seed, counters=counters), seed
        seen.add(tuple(expected))
    assert len(seen) == 6


def test_a_seed_changes_the_sides_of_a_branch_only_where_nothing_is_counted() -> None:
    """What counts keeps to the text, since the numbers must not depend on the seed."""
    counted, free = (
        {
            tuple(np.argsort(tickets(execute.launch, seed, counters=counters))[:16] % (32 * ROUNDS))
            for seed in range(1, 9)
        }
        for counters in (True, False)
    )
    assert len(counted) == 1 < len(free)


TAKES_A_TICKET = "atom.global.add.u32 %r1, [%rd0], 1;"
LAST_OF_THOSE_THAT_STORE = """st{word}.global.u32 [%rd0], %r0; bar.warp.sync -1; ld{word}.global.u32 %r1, [%rd0];
    sub.u32 %r1, %r1, %r0;"""


@pytest.mark.parametrize("launch", [vm.launch, execute.launch])
@pytest.mark.parametrize(
    "body", [TAKES_A_TICKET, *(LAST_OF_THOSE_THAT_STORE.format(word=w) for w in (".volatile", ".relaxed.gpu"))]
)
def test_the_lanes_of_one_instruction_act_in_an_order_of_the_seed(launch, body: str) -> None:
    module = parse_module(
        f""".version 9.0
        .target sm_90a
        .address_size 64
        .visible .entry k(.param .u64 k_0, .param .u64 k_1) {{
        .reg .b32 %r<4>; .reg .b64 %rd<4>; ld.param.u64 %rd0, [k_0]; ld.param.u64 %rd1, [k_1];
        mov.u32 %r0, %tid.x; mul.wide.u32 %rd2, %r0, 4; add.s64 %rd2, %rd1, %rd2;
        {body} st.global.u32 [%rd2], %r1; ret; }}"""
    )

    def told(seed: int, *, counters: bool = False) -> tuple[int, ...]:
        return tuple(written(launch, module, 1, 32, 32, Options(seed=seed, counters=counters)))

    assert told(0) == told(3, counters=True)
    assert set(told(0)) == set(range(32))
    assert len({told(seed) for seed in range(1, 9)}) > 4


TURNS = 12
# Warp 0 brings its turns, each to a barrier of its own; its lanes part on the way. Warp 1 waits for all of them.
HANDED_OVER = parse_module(
    f""".version 9.0
.target sm_90a
.address_size 64
.visible .entry k(.param .u64 k_0) {{
    .reg .pred %p<4>; .reg .b32 %r<8>; .reg .b64 %rd<2>; .shared .align 4 .b32 s[{32 * TURNS}];
    ld.param.u64 %rd0, [k_0]; mov.u32 %r0, %tid.x; setp.lt.u32 %p0, %r0, 32; mov.u32 %r1, 0; mov.u32 %r2, 0;
    mov.u32 %r4, s;
    @!%p0 bra CONSUMER;
PRODUCER:
    and.b32 %r3, %r0, 7; setp.lt.u32 %p1, %r3, %r1;
    @%p1 bra FULL;
    mad.lo.u32 %r6, %r1, 128, %r4; mad.lo.u32 %r6, %r0, 4, %r6; st.shared.u32 [%r6], %r0;
FULL:
    add.u32 %r1, %r1, 1;
    bar.arrive %r1, 64;
    setp.lt.u32 %p2, %r1, {TURNS};
    @%p2 bra PRODUCER;
    ret;
CONSUMER:
    add.u32 %r1, %r1, 1;
    bar.sync %r1, 64;
    setp.lt.u32 %p2, %r1, {TURNS};
    @%p2 bra CONSUMER;
    ld.shared.u32 %r2, [s + 28];
    setp.eq.u32 %p3, %r0, 32;
    @%p3 st.global.u32 [%rd0], %r2;
    ret;
}}"""
)


@pytest.mark.parametrize("launch", [vm.launch, execute.launch])
def test_lanes_a_turn_ahead_arrive_at_the_barrier_of_their_own_turn(launch) -> None:
    for seed in range(1, 30):
        memory, out = Memory(), np.zeros(1, np.uint32)
        params = struct.pack("<Q", memory.allocate("out", out.view(np.uint8), writable=True, initialised=False))
        options = Options(seed=seed, counters=False)
        result = launch(HANDED_OVER, "k", LaunchSpec((1, 1, 1), (64, 1, 1), 0, params), memory, options)
        assert (result.fault, out.item()) == (None, 7), seed
