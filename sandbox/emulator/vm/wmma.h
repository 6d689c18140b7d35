// wmma.load, wmma.mma and wmma.store. The ISA leaves the layout of these fragments to the machine: here element e of
// a fragment of R x C elements, counted by rows, is number e % (R * C / 32) of lane e / (R * C / 32), and registers
// beyond that are unused.
#pragma once
#include "matrix.h"

namespace WS_NS {
namespace {

// The list of a load or store: rows, columns, column-major, bytes an element, then the registers.
struct Fragment {
    u32 rows, columns, by_column, size;
    const u32* registers;
    explicit Fragment(const u32* list)
        : rows(list[0]), columns(list[1]), by_column(list[2]), size(list[3]), registers(list + 4) {}
};

WS_INLINE u8* element(Warp* w, const u32* registers, u32 size, u32 each, u32 index) {
    u32 lane = index / each, place = index % each * size;
    return reinterpret_cast<u8*>(lanes<u32>(w, registers[place / 4]) + lane) + place % 4;
}

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
        Passes passes = bank_passes(narrow, mask, 16);
        counts.wavefronts += passes.wavefronts;
        counts.ideal += passes.ideal;
    }
}

// a: address; b: leading dimension in elements; bytes: the space.
template <bool Write>
static const Operation* move_fragment(Warp* w, const Operation* op) {
    const Operation* next;
    if (!everyone(w, op, next)) return next;
    Worker* k = w->worker;
    Fragment f(k->lists + op->list);
    u32 lane = first_lane(w->active), each = f.rows * f.columns / LANES;
    u64 address[LANES];
    widen_addresses(w, op->a, op->flags & WS_WIDE, op->imm, address);
    u64 start = address[lane], pitch = u64(lanes<u32>(w, op->b)[lane]) * f.size;
    u32 space = op->bytes;
    for (u32 e = 0; e < f.rows * f.columns; e++) {
        u32 line = f.by_column ? e % f.columns : e / f.columns, along = f.by_column ? e / f.columns : e % f.columns;
        u64 at = start + line * pitch + along * f.size;
        Place place;
        Use use = Write ? Use::WRITE : Use::READ;
        if (!reach_one(w, op, e / each, op->bytes, at, f.size, use, place)) return nullptr;
        if (k->checks && !inspect(w, op, e / each, place, at, f.size, use)) return nullptr;
        space = place.space;
        u8* value = element(w, f.registers, f.size, each, e);
        if (Write) memcpy(place.data, value, f.size);
        else memcpy(value, place.data, f.size);
    }
    u32 lines = f.by_column ? f.columns : f.rows, length = f.by_column ? f.rows : f.columns;
    if (k->count) count_fragment(w, op, space, start, pitch, lines, length * f.size, !Write);
    return next;
}

enum WmmaType : u32 { WMMA_F16, WMMA_BF16 };

static f32 read_element(Warp* w, const u32* registers, u32 each, u32 index, bool bf) {
    u16 bits;
    memcpy(&bits, element(w, registers, 2, each, index), 2);
    return bf ? bf16(bits) : f16(bits);
}

// The list: m, n, k, type, half accumulator c, half result d, registers of a, b, c, then those of a, b, c, d.
static const Operation* wmma_multiply(Warp* w, const Operation* op) {
    const Operation* next;
    if (!everyone(w, op, next)) return next;
    const u32* list = w->worker->lists + op->list;
    u32 rows = list[0], columns = list[1], depth = list[2];
    bool bf = list[3] == WMMA_BF16, half_c = list[4], half_d = list[5];
    const u32 *a = list + 9, *b = a + list[6], *c = b + list[7], *d = c + list[8];
    f32 left[32][16], right[16][32], sum[32][32];
    for (u32 e = 0; e < rows * depth; e++) left[e / depth][e % depth] = read_element(w, a, rows * depth / LANES, e, bf);
    for (u32 e = 0; e < depth * columns; e++)
        right[e / columns][e % columns] = read_element(w, b, depth * columns / LANES, e, bf);
    u32 each = rows * columns / LANES;
    for (u32 e = 0; e < rows * columns; e++) {
        f32& to = sum[e / columns][e % columns];
        if (half_c) to = read_element(w, c, each, e, false);
        else memcpy(&to, element(w, c, 4, each, e), 4);
    }
    for (u32 r = 0; r < rows; r++)
        for (u32 k = 0; k < depth; k++)
            for (u32 n = 0; n < columns; n++) sum[r][n] += left[r][k] * right[k][n];
    for (u32 e = 0; e < rows * columns; e++) {
        f32 value = sum[e / columns][e % columns];
        u16 half = to_f16(value);
        if (half_d) memcpy(element(w, d, 2, each, e), &half, 2);
        else memcpy(element(w, d, 4, each, e), &value, 4);
    }
    return next;
}

#define WMMAS                                                                                    \
    SAME("wmma.load", move_fragment<false>) SAME("wmma.store", move_fragment<true>)              \
    SAME("wmma.mma", wmma_multiply)

}  // namespace
}  // namespace WS_NS
