// The state of a running block: operations, warps, barriers, and what a host thread keeps between blocks.
//
// Register file: 32 lanes a register, lane i at offset + i * width. Registers of up to 32 bits have 4-byte lanes:
// a predicate is 0 or 1, narrower values are extended by their type's signedness and readers look at their low
// bits only. 64-bit registers have 8-byte lanes.
#pragma once
#include <stdlib.h>
#include <string.h>

#include <utility>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "interface.h"
#include "scalar.h"

#define WS_INLINE static inline __attribute__((always_inline))
#define WS_COLD static __attribute__((noinline, cold))

namespace WS_NS {
namespace {

constexpr u32 LANES = 32;
constexpr u32 ALL = 0xFFFFFFFFu;
constexpr u32 MAX_WARPS = 32;
constexpr u32 MAX_BARRIERS = 16;

struct Warp;
struct Operation;
// Executes one operation and returns the next one, or null when the warp cannot go on now.
using Handler = const Operation* (*)(Warp*, const Operation*);

struct alignas(64) Operation {
    Handler run;
    u32 d, a, b, c, e;
    u32 list, site, flags, port, target, bytes;
    s64 imm;
};

enum class Use : u32 { READ, WRITE, UPDATE };

enum class Status : u32 { READY, BLOCKED, DONE, FAULTED };

struct Worker;

struct alignas(64) Warp {
    u8* registers;
    Worker* worker;
    const Operation* code;
    u32 active;        // lanes executing now
    u32 active_count;
    u32 blend;         // a live lane is not active: results must leave it alone
    u32 alive;         // lanes that have not exited
    u32 pending;       // lanes that could run but wait for their turn
    u32 min_pending;   // lowest position among them
    u32 waiting;       // lanes at a block barrier
    u32 meeting;       // lanes waiting for other lanes of this warp
    u32 yielded;       // lanes that had their turn and let others go first
    u32 together;      // every live lane stands at `resume`; position[] is stale
    u32 resume;
    u32 turns;         // backward branches in this turn
    u32 divergences;   // in this block, where the schedule draws what they lead to
    u32 polled;        // the turn ended in a loop that waits for others
    u32 index;
    Status status;
    u32 barrier;          // while together: what `waiting` waits at
    u32 barrier_position; // and the operation that waits
    alignas(64) s32 lane_mask[LANES];   // -1 where active, kept while `blend`
    alignas(64) u32 position[LANES];    // operation a lane goes on with
    alignas(64) u32 barrier_of[LANES];
    alignas(64) u32 barrier_at[LANES];
    alignas(64) u32 meeting_mask[LANES];
    struct Copies* copies;  // asynchronous copies in flight
};

struct Barrier {
    u32 arrived;
    u32 expected;  // 0: every live thread
    u32 warps;     // bit w: warp w has lanes waiting
    u32 waiters;
    u32 count_true, all_true, any_true;  // bar.red
    u32 first_site;
};

// How often a block was entered, and what entering it costs.
struct BlockCount {
    u64 warps, lanes;
    u32 first, instructions;
};

struct Port;
struct Races;

// Everything one host thread needs; blocks run on it one after another.
struct alignas(64) Worker {
    WsLaunch* launch;
    BlockCount* counts;
    Operation* code;
    const u32* lists;
    u32* block_at;  // operation -> block that starts there, or ALL
    Port* ports;
    u64 *guarded, *guarded_lanes, *divergent;
    u8* registers;    // [warp][register_bytes]
    u8* shared;
    u32 shared_bytes;
    u8* local;        // [warp][lane][local_bytes]
    u8* local_valid;
    Warp* warps;
    u32 warp_count, threads;
    u32 live;         // threads of the block that have not exited
    s64 fuel;         // warp instructions until the shared budget is asked again
    s64 block_index, position;
    Races* races;
    struct Order* order;      // the same, for those who ask about order alone
    struct View* views;       // by thread, where the program has fences
    bool views_alike;         // all threads know and have fenced the same
    struct Ledger* ledger;
    struct Shared* gathered;  // by barrier: what threads brought to it
    struct Shadow* shadows;   // by allocation
    // Where the lanes of the store that is being checked write, one of the two.
    const u32* storing_shared;
    const u64* storing;
    u64 storing_from;         // added to those
    u32 storing_bytes;        // of each lane
    Barrier barriers[MAX_BARRIERS];
    WsFault fault;
    WsFault unread;   // the block's first read of shared memory that nobody had written
    u8* pointer[LANES];  // host address of each lane's access, found by reach_lanes
    u8* valid[LANES];
    alignas(64) u32 scratch[LANES];
    bool checks, count;
    u32 ordinal;          // of the block among those this host thread began
    struct Seen* seen;    // by allocation, where counted
    struct Updates* updates;
    WsTrace* trace;        // what the blocks asked of L2, where counted
    u64* last;            // everything counted when the last block ended, where blocks are told apart
    u64 spent;            // warp instructions, without those since the last refuelling
    u64 heaviest;         // most of one block
    u64 before;           // issued when the block began
    u64 round;            // turns of the block's warps so far
    u64 changes;          // atomics that changed a value
    u32* ordinals;        // blocks begun, where several workers share a host thread
    bool begun;           // the block waits in a window for its next turn
    bool beside;          // other blocks do
    u64 quiet;            // turns in a row after which all of a window's blocks waited and nothing had changed
};

template <class T>
WS_INLINE T* lanes(Warp* w, u32 offset) {
    return reinterpret_cast<T*>(w->registers + offset);
}

WS_INLINE u32 first_lane(u32 mask) { return u32(__builtin_ctz(mask)); }

WS_INLINE void expand_mask(Warp* w) {
    for (u32 i = 0; i < LANES; i++) w->lane_mask[i] = -s32(w->active >> i & 1);
}

WS_INLINE void set_active(Warp* w, u32 mask) {
    w->active = mask;
    w->active_count = u32(__builtin_popcount(mask));
    w->blend = w->alive & ~mask;
    if (w->blend) expand_mask(w);
}

#if defined(__AVX512F__)
// The lanes that comparisons of a half or a quarter of them gave, in mask registers. Widening and shifting them instead
// is not safe: GCC 12 may spill a widened mask with sixteen bits and load it back with thirty-two.
WS_INLINE u32 joined(__mmask16 low, __mmask16 high) { return _mm512_kunpackw(high, low); }
WS_INLINE u32 joined(__mmask8 first, __mmask8 second, __mmask8 third, __mmask8 fourth) {
    return joined(_mm512_kunpackb(second, first), _mm512_kunpackb(fourth, third));
}
#endif

// Lanes whose predicate holds.
WS_INLINE u32 mask_of(const u32* predicate) {
#if defined(__AVX512BW__)
    __m512i low = _mm512_load_si512(predicate), high = _mm512_load_si512(predicate + 16);
    return joined(_mm512_test_epi32_mask(low, low), _mm512_test_epi32_mask(high, high));
#elif defined(__AVX2__)
    u32 mask = 0;
    for (u32 q = 0; q < 4; q++) {
        __m256i lane = _mm256_load_si256(reinterpret_cast<const __m256i*>(predicate + 8 * q));
        __m256i zero = _mm256_cmpeq_epi32(lane, _mm256_setzero_si256());
        mask |= u32(_mm256_movemask_ps(_mm256_castsi256_ps(zero))) << (8 * q);
    }
    return ~mask;
#else
    u32 mask = 0;
    for (u32 i = 0; i < LANES; i++) mask |= u32(predicate[i] != 0) << i;
    return mask;
#endif
}

WS_INLINE u32 guard_mask(Warp* w, const Operation* op) {
    u32 mask = mask_of(lanes<u32>(w, op->a));
    return op->flags & WS_NEGATED ? ~mask : mask;
}

// Lanes of a warp that have a thread at all.
WS_INLINE u32 lanes_begun(const Worker* k, u32 warp) {
    u32 threads = k->threads - warp * LANES;
    return threads >= LANES ? ALL : (1u << threads) - 1;
}

// A number that looks random.
static u64 shuffled(u64 x) {
    x ^= x >> 33;
    x *= 0xFF51AFD7ED558CCDull;
    x ^= x >> 33;
    return x * 0xC4CEB9FE1A85EC53ull;
}

// Whether the schedule's seed decides who goes first. Counts do not depend on it, so what counts keeps to the text.
WS_INLINE bool draws_order(const Worker* k) { return k->launch->seed && !k->count; }

// What the seed draws for a warp, the number-th time.
WS_INLINE u64 drawn(const Warp* w, u64 number) {
    const Worker* k = w->worker;
    return shuffled(k->launch->seed * 0x9E3779B97F4A7C15ull + u64(k->block_index) * 977 + (u64(w->index) << 32) + number);
}

// Calls `act` with each active lane. Nothing orders those of an atomic instruction or a strong store, so the seed does: the
// i-th to act is lane i ^ turn.
template <class Act>
WS_INLINE void in_turn(const Warp* w, const Operation* op, Act act) {
    bool any_order = op->flags & WS_SYNCHRONISES && draws_order(w->worker);
    if (u32 turn = any_order ? u32(drawn(w, u64(op->site) << 48) >> 59) : 0) {
        for (u32 i = 0; i < LANES; i++)
            if (w->active >> (i ^ turn) & 1) act(i ^ turn);
        return;
    }
    for (u32 m = w->active; m; m &= m - 1) act(first_lane(m));
}

WS_INLINE u32 thread_of(const Warp* w, u32 lane) { return w->index * LANES + lane; }

static WsFault fault_of(const Warp* w, const Operation* op, WsFaultKind kind, u32 lane) {
    WsFault fault = {};
    fault.kind = kind;
    fault.site = fault.other_site = op->site;
    fault.thread = fault.other_thread = thread_of(w, lane);
    fault.block = fault.other_block = w->worker->block_index;
    fault.allocation = -1;
    return fault;
}

// Ends the launch with a fault; the caller returns its result.
WS_COLD const Operation* fail(Warp* w, const Operation* op, WsFaultKind kind, u32 lane, u32 detail = 0) {
    WsFault& fault = w->worker->fault;
    if (fault.kind == WS_NO_FAULT) {
        fault = fault_of(w, op, kind, lane);
        fault.detail = detail;
    }
    w->status = Status::FAULTED;
    return nullptr;
}

}  // namespace
}  // namespace WS_NS
