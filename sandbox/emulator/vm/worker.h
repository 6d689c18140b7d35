// A host thread's work: blocks one after another, the warps of a block in turns until all have exited.
#pragma once
#include "async.h"
#include "barriers.h"
#include "samples.h"
#include "still.h"

namespace WS_NS {
namespace {

static void fill(Warp* w, const WsSlot& slot, u64 value) {
    if (slot.width == 8) {
        u64* d = lanes<u64>(w, slot.offset);
        for (u32 i = 0; i < LANES; i++) d[i] = value;
    } else {
        u32* d = lanes<u32>(w, slot.offset);
        for (u32 i = 0; i < LANES; i++) d[i] = u32(value);
    }
}

static u64 special_value(const Worker* k, const Warp* w, u32 which, u32 lane) {
    const WsLaunch* launch = k->launch;
    const u32* block = launch->block;
    u64 thread = thread_of(w, lane), index = u64(k->block_index);
    u32 bit = 1u << lane;
    switch (which) {
        case WS_TID_X: return thread % block[0];
        case WS_TID_Y: return thread / block[0] % block[1];
        case WS_TID_Z: return thread / block[0] / block[1];
        case WS_NTID_X: case WS_NTID_Y: case WS_NTID_Z: return block[which - WS_NTID_X];
        case WS_CTAID_X: return index % launch->grid[0];
        case WS_CTAID_Y: return index / launch->grid[0] % launch->grid[1];
        case WS_CTAID_Z: return index / launch->grid[0] / launch->grid[1];
        case WS_NCTAID_X: case WS_NCTAID_Y: case WS_NCTAID_Z: return launch->grid[which - WS_NCTAID_X];
        case WS_LANEID: return lane;
        case WS_WARPID: return w->index;
        case WS_NWARPID: return k->warp_count;
        case WS_SMID: return index % launch->sms;
        case WS_NSMID: return launch->sms;
        case WS_LANEMASK_EQ: return bit;
        case WS_LANEMASK_LE: return bit | (bit - 1);
        case WS_LANEMASK_LT: return bit - 1;
        case WS_LANEMASK_GE: return ~(bit - 1);
        case WS_LANEMASK_GT: return ~(bit | (bit - 1));
        case WS_DYNAMIC_SHARED: return launch->dynamic_shared;
        case WS_TOTAL_SHARED: return launch->shared_bytes;
    }
    return 0;
}

static bool changes_with_block(u32 which) {
    return (which >= WS_CTAID_X && which <= WS_CTAID_Z) || which == WS_SMID;
}

static void fill_special(Worker* k, Warp* w, const WsSlot& slot) {
    // What changes with the block is the same for all of its threads.
    if (changes_with_block(slot.index)) return fill(w, slot, special_value(k, w, slot.index, 0));
    for (u32 i = 0; i < LANES; i++) {
        u64 value = special_value(k, w, slot.index, i);
        if (slot.width == 8) lanes<u64>(w, slot.offset)[i] = value;
        else lanes<u32>(w, slot.offset)[i] = u32(value);
    }
}

static void fill_constants(Worker* k, Warp* w) {
    const WsLaunch* launch = k->launch;
    for (u32 s = 0; s < launch->slot_count; s++) {
        const WsSlot& slot = launch->slots[s];
        u64 value = slot.bits;
        if (slot.kind == WS_SPECIAL) {
            fill_special(k, w, slot);
            continue;
        }
        if (slot.kind == WS_PARAM) {
            value = 0;
            memcpy(&value, launch->params + slot.index, size_t(slot.bits));
        }
        fill(w, slot, value);
    }
}

static void begin_block(Worker* k) {
    const WsLaunch* launch = k->launch;
    memset(k->barriers, 0, sizeof k->barriers);
    k->live = k->threads;
    k->ordinal = ++*k->ordinals;
    k->round = 0;
    ask_begins(k);
    if (k->races) races_begin(k->races, k->warp_count);
    end_views(k);
    if (k->local_valid) memset(k->local_valid, 0, size_t(k->warp_count) * LANES * launch->local_bytes);
    for (u32 i = 0; i < k->warp_count; i++) {
        Warp* w = &k->warps[i];
        for (u32 s = 0; s < launch->slot_count; s++)
            if (launch->slots[s].kind == WS_SPECIAL && changes_with_block(launch->slots[s].index))
                fill_special(k, w, launch->slots[s]);
        w->alive = lanes_begun(k, i);
        w->active = 0;
        w->pending = w->waiting = w->meeting = w->yielded = 0;
        w->together = 1;
        w->resume = launch->blocks[0].first;
        w->turns = w->divergences = 0;
        w->status = Status::READY;
        forget_copies(w);
    }
}

static void run_warp(Warp* w) {
    const Operation* op = dispatch(w);
    while (op) op = op->run(w, op);
}

static bool blocked(const Warp* w) { return w->status == Status::BLOCKED && !(w->alive & ~(w->waiting | w->meeting)); }

enum class Ended : u32 { DONE, FAULTED, WAITING, YIELDED };

// Backward branches in a row where blocks share the device: waiting loops are what turns are for there.
constexpr u32 SHORT_TURN = 32;

// Blames the first warp that turns in a loop and waits for nobody.
WS_COLD void blame_loop(Worker* k) {
    for (u32 i = 0; i < k->warp_count; i++) {
        Warp* w = &k->warps[i];
        u32 ready = w->alive & ~(w->waiting | w->meeting);
        if (w->status != Status::READY || w->polled || !ready) continue;
        u32 lane = first_lane(ready);
        fail(w, w->code + (w->together ? w->resume : w->position[lane]), WS_DEADLOCK, lane, WS_LOOP_TURNS);
        return;
    }
}

// Lets the block's warps take turns until all have exited or, where other blocks are resident, until all that could
// run waited for something in loops.
static Ended run_warps(Worker* k) {
    u64 seed = k->launch->seed;
    bool shares = k->launch->resident;
    Still still = {};
    for (;; k->round++) {
        u32 done = 0, ran = 0, polled = 0, turned = 0;
        u64 changes = k->changes;
        u32 start = seed ? u32(shuffled(seed + u64(k->block_index) * 977 + k->round) % k->warp_count) : 0;
        for (u32 i = 0; i < k->warp_count; i++) {
            Warp* w = &k->warps[(start + i) % k->warp_count];
            if (w->status == Status::DONE) {
                done++;
                continue;
            }
            if (blocked(w)) continue;
            ran++;
            w->polled = 0;
            if (shares) w->turns = TURN - SHORT_TURN;
            run_warp(w);
            if (k->fault.kind) return Ended::FAULTED;
            turned += w->status == Status::READY;
            polled += w->status == Status::READY && w->polled;
        }
        if (done == k->warp_count) return Ended::DONE;
        if (!ran) {
            deadlock(k);
            return Ended::FAULTED;
        }
        if (turned == ran && polled < ran && turns_for_ever(k, still)) {
            blame_loop(k);
            return Ended::FAULTED;
        }
        // Those who wait for a change go on from it, before the next one hides that they might have.
        if (k->beside && changes != k->changes) {
            k->round++;
            return Ended::YIELDED;
        }
        if (shares && polled == ran) return Ended::WAITING;
    }
}

static u8* zeroed(u64 bytes) {
    void* memory = nullptr;
    if (posix_memalign(&memory, 64, size_t(bytes + 64))) return nullptr;
    memset(memory, 0, size_t(bytes + 64));
    return static_cast<u8*>(memory);
}

static void prepare_code(const WsLaunch* launch, Operation* code, BlockCount* counts, u32* block_at,
                         Handler (*handler_at)(u32, bool, bool)) {
    for (u32 i = 0; i < launch->operation_count; i++) {
        const WsOperation& from = launch->operations[i];
        code[i] = {handler_at(from.handler, launch->checks, launch->count), from.d, from.a, from.b, from.c, from.e,
                   from.list, from.site, from.flags, from.port, from.target, from.bytes, from.imm};
        block_at[i] = ALL;
    }
    for (u32 b = 0; b < launch->block_count; b++) {
        counts[b] = {0, 0, launch->blocks[b].first, launch->blocks[b].instructions};
        block_at[launch->blocks[b].first] = b;
    }
}

static bool prepare_warps(Worker* k) {
    for (u32 i = 0; i < k->warp_count; i++) {
        Warp* w = &k->warps[i];
        w->registers = k->registers + size_t(k->launch->register_bytes) * i;
        w->worker = k;
        w->code = k->code;
        w->index = i;
        w->copies = static_cast<Copies*>(calloc(1, sizeof(Copies)));
        if (!w->copies) return false;
        fill_constants(k, w);
    }
    return true;
}

// Warp instructions this host thread has issued.
WS_INLINE u64 issued(const Worker* k) { return k->spent + u64(FUEL - k->fuel); }

WS_INLINE void raise(u64* most, u64 value) {
    u64 old = __atomic_load_n(most, __ATOMIC_RELAXED);
    while (old < value && !__atomic_compare_exchange_n(most, &old, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

// Adds what this worker's blocks counted to the launch's totals.
static void add_up(Worker* k) {
    WsLaunch* launch = k->launch;
    raise(&launch->heaviest_block, k->heaviest);
    __atomic_sub_fetch(&launch->budget, FUEL - k->fuel, __ATOMIC_RELAXED);
}

// Takes the next block to run; false when none is left.
static bool begin_next(Worker* k) {
    WsLaunch* launch = k->launch;
    s64 position = __atomic_fetch_add(&launch->next_run, 1, __ATOMIC_RELAXED);
    if (position >= launch->run_count) return false;
    if (position > __atomic_load_n(&launch->stop_after, __ATOMIC_RELAXED)) return false;
    k->position = position;
    k->block_index = launch->run[position];
    k->before = issued(k);
    begin_block(k);
    return true;
}

// A block is over; false when it ends the launch.
static bool finish(Worker* k) {
    WsLaunch* launch = k->launch;
    u64 mine = issued(k) - k->before;
    k->heaviest = mine > k->heaviest ? mine : k->heaviest;
    settle(k);
    count_row(k);
    __atomic_add_fetch(&launch->blocks_run, 1, __ATOMIC_RELAXED);
    if (!k->fault.kind) return true;
    s64 stop = __atomic_load_n(&launch->stop_after, __ATOMIC_RELAXED);
    while (k->position < stop && !__atomic_compare_exchange_n(&launch->stop_after, &stop, k->position, false,
                                                              __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return false;
}

static void run_blocks(Worker* k) {
    while (begin_next(k)) {
        run_warps(k);
        if (!finish(k)) return;
    }
}

}  // namespace
}  // namespace WS_NS
