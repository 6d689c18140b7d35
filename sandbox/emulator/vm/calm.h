// Accesses to shared memory that the tags of epoch.h settle, a whole warp at a time.
#pragma once
#include "races.h"

namespace WS_NS {
namespace {

// Tells the history what happened while nobody asked it. None of it collides.
WS_COLD void tell(Worker* k) {
    Races* r = k->races;
    Epoch& e = r->epoch;
    e.calm = false;
    for (u32 i = 0; i < e.visit_count; i++) {
        const Visit& visit = e.visits[i];
        Warp* w = &k->warps[visit.warp];
        u32 stamp = r->stamp[visit.warp], mask = ALL, lane_bytes = visit.places == ALL_IN_A_ROW ? visit.bytes : 0;
        const u32* from = nullptr;
        if (visit.places < ONE_LANE) {
            mask = e.places[visit.places].mask;
            from = e.places[visit.places].from;
        } else if (visit.places < ALL_IN_A_ROW) {
            mask = 1u << (visit.places & 31);
        }
        r->stamp[visit.warp] = visit.stamp;
        Toucher t = {r, visit.warp, 0, visit.op->site, false, w, visit.op, nullptr, nullptr, 0,
                     visit.touch == Touch::ISSUE};
        for (u32 m = mask; m; m &= m - 1) {
            u32 lane = first_lane(m), at = visit.start + (from ? from[lane] : lane * lane_bytes);
            Collision none;
            t.thread = thread_of(w, lane);
            t.start = at;
            touch(t, at, visit.bytes, visit.touch != Touch::READ, none);
        }
        r->stamp[visit.warp] = stamp;
    }
    e.visit_count = e.place_count = 0;
}

// Whether the exact history knows that the word was written.
WS_COLD bool history_written(const Races* r, u32 word) {
    const Cell& cell = r->words[word];
    return !cell.split && cell.write_stamp > r->base;
}

// Settles one lane's access to one word; `many`: another lane may read it by the same instruction.
WS_INLINE bool settles(Races* r, u32 word, u32 thread, Touch how, bool many) {
    Epoch& e = r->epoch;
    u32 tag = e.tags[word], number = e.now << EPOCH_SHIFT, own = number | TAG_WRITTEN | thread;
    bool here = tag >> EPOCH_SHIFT == e.now;
    if (how != Touch::READ) {
        bool mine = (tag & TAG_IN_FLIGHT) != TAG_READ_BY_MANY && (tag | TAG_IN_FLIGHT) == (own | TAG_IN_FLIGHT);
        if (here && !mine) return false;
        e.tags[word] = how == Touch::ISSUE ? own | TAG_IN_FLIGHT : own;
        return true;
    }
    if (here && tag & TAG_WRITTEN) return tag == own;
    if (!here && !known_written(e, word) && (in_flight(e, word) || !history_written(r, word))) return false;
    bool alone = !many && (!here || tag == (number | TAG_READ | thread));
    e.tags[word] = alone ? number | TAG_READ | thread : number | TAG_READ_BY_MANY;
    return true;
}

#if defined(__AVX512F__)
struct Judged {
    __m512i next;
    __mmask16 changed;
};

// Sixteen lanes' access to a word each; false where the tags do not settle it.
WS_INLINE bool judge(const Races* r, __m512i tag, __m512i word, __mmask16 lanes, u32 thread, bool write, bool apart,
                     Judged& found) {
    const Epoch& e = r->epoch;
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i number = _mm512_maskz_srli_epi32(0xFFFF, tag, EPOCH_SHIFT);
    __mmask16 here = _mm512_mask_cmpeq_epi32_mask(lanes, number, _mm512_set1_epi32(int(e.now)));
    __m512i read = _mm512_add_epi32(_mm512_set1_epi32(int(e.now << EPOCH_SHIFT | TAG_READ | thread)), lane);
    __m512i written = _mm512_or_si512(read, _mm512_set1_epi32(int(TAG_WRITTEN)));
    __mmask16 own_write = _mm512_mask_cmpeq_epi32_mask(here, tag, written);
    __mmask16 own_read = _mm512_mask_cmpeq_epi32_mask(here, tag, read);
    if (write) {
        if (__mmask16(here & ~(own_write | own_read))) return false;
        found = {written, __mmask16(lanes & ~own_write)};
        return true;
    }
    __mmask16 writes = _mm512_mask_test_epi32_mask(here, tag, _mm512_set1_epi32(int(TAG_WRITTEN)));
    if (__mmask16(writes & ~own_write)) return false;
    __mmask16 old = __mmask16(lanes & ~here);
    __mmask16 unknown = _mm512_mask_cmplt_epu32_mask(old, number, _mm512_set1_epi32(int(e.block)));
    __m512i flight = _mm512_set1_epi32(int(TAG_IN_FLIGHT));
    __m512i kind = _mm512_and_si512(tag, flight);
    if (_mm512_mask_cmpeq_epi32_mask(__mmask16(old & ~unknown), kind, flight)) return false;
    if (unknown) {
        u32 words[16];
        _mm512_storeu_si512(words, word);
        for (u32 m = unknown; m; m &= m - 1)
            if (!history_written(r, words[first_lane(m)])) return false;
    }
    __m512i many = _mm512_set1_epi32(int(e.now << EPOCH_SHIFT | TAG_READ_BY_MANY));
    __mmask16 shared = _mm512_mask_cmpneq_epi32_mask(__mmask16(here & ~(writes | own_read)), tag, many);
    found = {apart ? _mm512_mask_mov_epi32(read, shared, many) : many, __mmask16(old | shared)};
    return true;
}

// All lanes, each at the word behind the one before.
WS_INLINE bool settles_row(Races* r, u32 word, u32 thread, bool write) {
    u32* tags = r->epoch.tags + word;
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    Judged judged[2];
    for (u32 half = 0; half < 2; half++) {
        __m512i words = _mm512_add_epi32(_mm512_set1_epi32(int(word + 16 * half)), lane);
        __m512i tag = _mm512_loadu_si512(tags + 16 * half);
        if (!judge(r, tag, words, 0xFFFF, thread + 16 * half, write, true, judged[half])) return false;
    }
    for (u32 half = 0; half < 2; half++)
        _mm512_mask_storeu_epi32(tags + 16 * half, judged[half].changed, judged[half].next);
    return true;
}

// The lanes of `mask`, each at word `word` + from / 4.
WS_INLINE bool settles_lanes(Races* r, u32 word, const u32* from, u32 mask, u32 thread, bool write, bool apart) {
    u32* tags = r->epoch.tags;
    Judged judged[2];
    __m512i words[2];
    for (u32 half = 0; half < 2; half++) {
        __mmask16 lanes = __mmask16(mask >> (16 * half));
        __m512i moved = _mm512_maskz_loadu_epi32(lanes, from + 16 * half);
        // Distances may be negative.
        moved = _mm512_maskz_srai_epi32(0xFFFF, moved, 2);
        words[half] = _mm512_add_epi32(_mm512_set1_epi32(int(word)), moved);
        __m512i tag = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), lanes, words[half], tags, 4);
        if (!judge(r, tag, words[half], lanes, thread + 16 * half, write, apart, judged[half])) return false;
    }
    for (u32 half = 0; half < 2; half++)
        if (judged[half].changed) _mm512_mask_i32scatter_epi32(tags, judged[half].changed, words[half], judged[half].next, 4);
    for (u32 half = 0; write && !apart && half < 2; half++) {
        __mmask16 lanes = __mmask16(mask >> (16 * half));
        __m512i now = _mm512_mask_i32gather_epi32(judged[half].next, lanes, words[half], tags, 4);
        if (_mm512_mask_cmpneq_epi32_mask(lanes, now, judged[half].next)) return false;
    }
    return true;
}
#else
WS_INLINE bool settles_lanes(Races* r, u32 word, const u32* from, u32 mask, u32 thread, bool write, bool apart) {
    for (u32 m = mask; m; m &= m - 1) {
        u32 lane = first_lane(m);
        Touch how = write ? Touch::WRITE : Touch::READ;
        if (!settles(r, word + u32(s32(from[lane]) >> 2), thread + lane, how, !apart)) return false;
    }
    return true;
}

WS_INLINE bool settles_row(Races* r, u32 word, u32 thread, bool write) {
    for (u32 lane = 0; lane < LANES; lane++)
        if (!settles(r, word + lane, thread + lane, write ? Touch::WRITE : Touch::READ, false)) return false;
    return true;
}
#endif

WS_INLINE bool list_visit(Worker* k, Warp* w, const Operation* op, u32 places, u32 start, u32 bytes, Touch how) {
    Epoch& e = k->races->epoch;
    if (__builtin_expect(e.visit_count == e.visit_capacity, 0))
        if (e.visit_count == MOST_VISITS || !room_for_one(e.visits, e.visit_count, e.visit_capacity)) return false;
    e.visits[e.visit_count++] = {op, places, start, k->races->stamp[w->index], u16(w->index), u8(bytes), how};
    e.touched |= 1u << w->index;
    return true;
}

WS_INLINE bool calm_for(const Worker* k, const Operation* op, u32 start, u32 bytes) {
    return k->races->epoch.calm && !(op->flags & WS_SYNCHRONISES) && !((bytes | start) & 3);
}

// An access of all lanes in a row, which lies within shared memory. False: ask the history.
WS_INLINE bool calm_row(Warp* w, const Operation* op, u32 start, u32 bytes, bool write) {
    Worker* k = w->worker;
    if (!calm_for(k, op, start, bytes) || bytes != 4) return false;
    Touch how = write ? Touch::WRITE : Touch::READ;
    return settles_row(k->races, start / 4, thread_of(w, 0), write) && list_visit(k, w, op, ALL_IN_A_ROW, start, 4, how);
}

// A read of all lanes at one place.
WS_INLINE bool calm_at_one(Warp* w, const Operation* op, u32 start, u32 bytes) {
    Worker* k = w->worker;
    if (!calm_for(k, op, start, bytes)) return false;
    Epoch& e = k->races->epoch;
    for (u32 word = start / 4; word < (start + bytes) / 4; word++) {
        if (e.tags[word] >> EPOCH_SHIFT == e.now && e.tags[word] & TAG_WRITTEN) return false;
        if (!settles(k->races, word, thread_of(w, 0), Touch::READ, true)) return false;
    }
    return list_visit(k, w, op, ALL_AT_ONE, start, bytes, Touch::READ);
}

// The lanes of `mask`, each at `start` + from; `apart`: no two at one word. `listed` may hold their places.
static bool calm_lanes(Warp* w, const Operation* op, const u32* from, u32 start, u32 mask, u32 bytes, bool write,
                       bool apart, Listed* listed) {
    Worker* k = w->worker;
    if (!calm_for(k, op, start, bytes)) return false;
    Epoch& e = k->races->epoch;
    for (u32 i = 0; i < bytes / 4; i++)
        if (!settles_lanes(k->races, start / 4 + i, from, mask, thread_of(w, 0), write, apart)) return false;
    Touch how = write ? Touch::WRITE : Touch::READ;
    if (!listed) return list_visit(k, w, op, list_places(e, from, mask), start, bytes, how);
    if (listed->epoch != &e || listed->number != e.now) *listed = {&e, e.now, list_places(e, from, mask)};
    return list_visit(k, w, op, listed->places, start, bytes, how);
}

static bool calm_one(Warp* w, const Operation* op, u32 lane, u32 at, u32 bytes, Touch how) {
    Worker* k = w->worker;
    if (!calm_for(k, op, at, bytes)) return false;
    for (u32 i = 0; i < bytes; i += 4)
        if (!settles(k->races, (at + i) / 4, thread_of(w, lane), how, false)) return false;
    return list_visit(k, w, op, ONE_LANE | lane, at, bytes, how);
}

// Whether a barrier that lets `warps` go on leaves nobody out who reached shared memory or still may.
static bool meets_everybody(const Worker* k, u32 warps) {
    for (u32 i = 0; i < k->warp_count; i++)
        if (!(warps >> i & 1) && (k->warps[i].alive || k->races->epoch.touched >> i & 1)) return false;
    return true;
}

}  // namespace
}  // namespace WS_NS
