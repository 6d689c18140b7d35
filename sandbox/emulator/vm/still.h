// Proof that loops never end: all that a block's warps could change by themselves comes round to what it was.
#pragma once
#include "machine.h"

namespace WS_NS {
namespace {

WS_INLINE u64 stir(u64 hash, const void* from, u64 bytes) {
    const u8* at = static_cast<const u8*>(from);
    for (u64 i = 0; i + 8 <= bytes; i += 8) {
        u64 word;
        memcpy(&word, at + i, 8);
        hash = (hash ^ word) * 0x9E3779B97F4A7C15ull;
        hash ^= hash >> 29;
    }
    return hash;
}

// A number for the registers and positions of a block's warps.
static u64 state_of(const Worker* k, u64 hash) {
    for (u32 j = 0; j < k->warp_count; j++) {
        const Warp* w = &k->warps[j];
        const u32 words[] = {w->alive, w->waiting, w->meeting, w->yielded, w->together, w->together ? w->resume : 0};
        hash = stir(hash, words, sizeof words);
        if (!w->together) hash = stir(hash, w->position, sizeof w->position);
        hash = stir(hash, w->registers, k->launch->register_bytes);
    }
    return hash;
}

// What is known of a block whose warps all turn in loops.
struct Still {
    u64 events, turns, seen;
};
// Turns before anybody looks, and turns after a look in which the state may come round.
constexpr u64 PATIENCE = 16, NEAR = 4;

// Times that a warp changed something, may have, or looked at what others may change.
static u64 events_of(const Worker* k) {
    u64 events = k->changes;
    for (u32 b = 0; b < k->launch->block_count; b++)
        if (k->launch->blocks[b].changes | k->launch->blocks[b].listens) events += k->counts[b].warps;
    return events;
}

// Whether the block's warps, which all ended a turn in a loop, will for ever.
static bool turns_for_ever(const Worker* k, Still& still) {
    u64 events = events_of(k);
    if (events != still.events) still = {events, 0, 0};
    u64 turn = ++still.turns;
    if (turn < PATIENCE) return false;
    u64 look = 1ull << (63 - __builtin_clzll(turn));
    if (turn - look > NEAR) return false;
    u64 state = state_of(k, 1);
    if (turn != look) return state == still.seen;
    still.seen = state;
    return false;
}

}  // namespace
}  // namespace WS_NS
