// atom of 128 bits: exch and cas. Programs that have one run on one host thread (lower.py), so that plain copies do.
#pragma once
#include "atomics.h"

namespace WS_NS {
namespace {

// a: address; the list: halves of d, of the first and of the second operand, lower first; target: d is kept.
template <bool Compares>
static const Operation* atomic_wide(Warp* w, const Operation* op) {
    constexpr u32 BYTES = 16;
    u64 address[LANES];
    widen_addresses(w, op->a, op->flags & WS_WIDE, op->imm, address);
    if (!reach_lanes(w, op, op->bytes, address, BYTES, Use::UPDATE, w->active)) return nullptr;
    const u32* list = w->worker->lists + op->list;
    in_turn(w, op, [&](u32 lane) {
        u64 old[2], first[2], second[2];
        for (u32 i = 0; i < 2; i++) {
            first[i] = lanes<u64>(w, list[2 + i])[lane];
            second[i] = lanes<u64>(w, list[4 + i])[lane];
        }
        u8* at = w->worker->pointer[lane];
        memcpy(old, at, BYTES);
        if (!Compares || !memcmp(old, first, BYTES)) {
            const u64* next = Compares ? second : first;
            w->worker->changes += memcmp(old, next, BYTES) != 0;
            memcpy(at, next, BYTES);
        }
        for (u32 i = 0; op->target && i < 2; i++) lanes<u64>(w, list[i])[lane] = old[i];
    });
    return op + 1;
}

#define WIDE_ATOMICS SAME("atom.exch.b128", atomic_wide<false>) SAME("atom.cas.b128", atomic_wide<true>)

}  // namespace
}  // namespace WS_NS
