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

// Where a fragment's lines lie in host memory, if all of them are in one place and nothing need be checked of each
// element; null asks for the careful way, which finds the fault if there is one.
static u8* reach_lines(Warp* w, const Operation* op, u32& space, u64 start, u64 pitch, u32 lines, u32 bytes, u32 size,
                       bool write) {
    Worker* k = w->worker;
    const WsLaunch* launch = k->launch;
    if ((start | pitch) % size || pitch > 1ull << 32) return nullptr;
    u64 length = (lines - 1) * pitch + bytes;
    space = op->bytes == WS_GENERIC ? space_of(launch, start) : op->bytes;
    if (space == WS_SHARED)
        return !k->checks && start <= k->shared_bytes && length <= k->shared_bytes - start ? k->shared + start : nullptr;
    u64 window = (start - launch->address_base) >> launch->address_stride_bits;
    if (space != WS_GLOBAL || start < launch->address_base || window >= launch->allocation_count) return nullptr;
    const WsAllocation& hit = launch->allocations[window];
    u64 offset = start - hit.address;
    if (start < hit.address || offset > hit.size || length > hit.size - offset) return nullptr;
    if (write ? !hit.writable || k->checks : hit.writable && k->checks) return nullptr;
    if (k->checks && hit.valid)
        for (u32 i = 0; i < lines; i++)
            if (!all_valid(hit.valid + offset + i * pitch, bytes)) return nullptr;
    return hit.data + offset;
}

// Moves what lies at `data`, line by line, into the fragment's registers or out of them.
template <bool Write, class Element>
static void move_lines(Warp* w, const Fragment& f, u8* data, u64 pitch, bool by_column) {
    using Word = std::conditional_t<sizeof(Element) == 8, u64, u32>;
    const Spots& spots = Spots::of(f);
    u32 size = sizeof(Element), per = f.per(), slots = Write ? f.each() : f.slots();
    for (u32 slot = 0; slot < slots; slot++) {
        Word* words = lanes<Word>(w, f.registers[slot / per]);
        u32 shift = slot % per * size * 8;
        Word mask = Word(Word(Element(~Element(0))) << shift);
        const u8* row = spots.row + slot % f.each() * LANES;
        const u8* column = spots.column + slot % f.each() * LANES;
        for (u32 lane = 0; lane < LANES; lane++) {
            u64 line = by_column ? column[lane] : row[lane], along = by_column ? row[lane] : column[lane];
            u8* place = data + line * pitch + along * size;
            Element value = Element(words[lane] >> shift);
            if (Write) {
                memcpy(place, &value, sizeof value);
            } else {
                memcpy(&value, place, sizeof value);
                words[lane] = Word((words[lane] & ~mask) | Word(value) << shift);
            }
        }
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
    u32 lines = by_column ? f.columns : f.rows, length = by_column ? f.rows : f.columns;
    u8* whole = bits < 8 ? nullptr : reach_lines(w, op, space, start, pitch, lines, length * size, size, Write);
    if (whole) {
        switch (size) {
            case 1: move_lines<Write, u8>(w, f, whole, pitch, by_column); break;
            case 2: move_lines<Write, u16>(w, f, whole, pitch, by_column); break;
            case 4: move_lines<Write, u32>(w, f, whole, pitch, by_column); break;
            default: move_lines<Write, u64>(w, f, whole, pitch, by_column);
        }
        if (k->count) count_fragment(w, op, space, start, pitch, lines, length * bits / 8, !Write);
        return next;
    }
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
    if (k->count) count_fragment(w, op, space, start, pitch, lines, length * bits / 8, !Write);
    return next;
}

#define WMMAS SAME("wmma.load", move_fragment<false>) SAME("wmma.store", move_fragment<true>)

}  // namespace
}  // namespace WS_NS
