// wmma.load and wmma.store: fragments to and from memory.
#pragma once
#include "fragments.h"

namespace WS_NS {
namespace {

static void count_fragment(Warp* w, const Operation* op, u32 space, u64 start, u64 pitch, u32 lines, u32 bytes,
                           bool reads) {
    WsCounters& counts = w->worker->ports[op->port].counts;
    counts.requests++;
    counts.lanes += LANES;
    u64 address[LANES] = {};
    u32 mask = lines == LANES ? ALL : (1u << lines) - 1;
    for (u32 i = 0; i < lines; i++) address[i] = start + i * pitch;
    if (space != WS_SHARED) {
        counts.sectors += sectors_touched(address, mask, bytes);
        if (space != WS_GLOBAL) return;
        for (u32 i = 0; i < lines && reads; i++) counts.fresh += note_load(w->worker, op->port, address[i], bytes);
        if (!reads) ask_lanes(w->worker, op->port, WS_STORES, address, mask, bytes);
        return;
    }
    for (u32 part = 0; part < bytes; part += 16) {
        u32 narrow[LANES];
        for (u32 i = 0; i < lines; i++) narrow[i] = u32(address[i]) + part;
        Passes passes = bank_passes(narrow, mask, bytes < 16 ? bytes : 16);
        counts.wavefronts += passes.wavefronts;
        counts.ideal += passes.ideal;
    }
}

// a: address; b: leading dimension in elements; bytes: the space; list: 1 where columns are contiguous, the fragment.
template <bool Write>
static const Operation* move_fragment(Warp* w, const Operation* op) {
    const Operation* next;
    if (!everyone(w, op, next)) return next;
    Worker* k = w->worker;
    const u32* list = k->lists + op->list;
    bool by_column = list[0];
    Fragment f(list + 1, list + 1 + Fragment::WORDS);
    u32 first = first_lane(w->active), bits = f.bits();
    u64 address[LANES];
    widen_addresses(w, op->a, op->flags & WS_WIDE, op->imm, address);
    u64 start = address[first], pitch = u64(lanes<u32>(w, op->b)[first]) * bits / 8;
    // Elements of less than a byte move a register at a time.
    u32 step = bits < 8 ? f.per() : 1, size = bits < 8 ? 4 : bits / 8, space = op->bytes;
    u32 slots = Write ? f.each() : f.slots();
    for (u32 slot = 0; slot < slots; slot += step)
        for (u32 lane = 0; lane < LANES; lane++) {
            Spot spot = f.spot(lane, slot % f.each());
            u32 line = by_column ? spot.column : spot.row, along = by_column ? spot.row : spot.column;
            u64 at = start + line * pitch + u64(along) * bits / 8;
            Place place;
            Use use = Write ? Use::WRITE : Use::READ;
            if (!reach_one(w, op, lane, op->bytes, at, size, use, place)) return nullptr;
            if (k->checks && !inspect(w, op, lane, place, at, size, use)) return nullptr;
            space = place.space;
            u64 value = 0;
            if (Write) {
                value = f.read(w, lane, slot);
                memcpy(place.data, &value, size);
            } else {
                memcpy(&value, place.data, size);
                if (bits < 8) lanes<u32>(w, f.registers[slot / step])[lane] = u32(value);
                else f.write(w, lane, slot, value);
            }
        }
    u32 lines = by_column ? f.columns : f.rows, length = by_column ? f.rows : f.columns;
    if (k->count) count_fragment(w, op, space, start, pitch, lines, length * bits / 8, !Write);
    return next;
}

#define WMMAS SAME("wmma.load", move_fragment<false>) SAME("wmma.store", move_fragment<true>)

}  // namespace
}  // namespace WS_NS
