// What the time model asks of whole blocks: how much of what a block loads is new to it, how uneven blocks are, and
// how many lanes of all blocks update one address.
#pragma once
#include "trace.h"

namespace WS_NS {
namespace {

// The sectors of one allocation, as one host thread saw them.
struct Seen {
    u32* by_block;  // by 32-byte sector: ordinal of the last block that loaded it
    u64 first;      // number of the allocation's first sector
};

struct Update {
    u64 address, lanes;
    u32 blocks, last;  // blocks that updated it, and the last one's ordinal
};
// Addresses that atomics updated, hashed; in one piece of memory, so that host.cpp frees it without knowing it.
struct Updates {
    u64 capacity, count;
    Update entries[1];
};
// Addresses beyond these are not followed: the busiest is met early.
constexpr u64 MOST_UPDATES = 1 << 20;

static Updates* new_updates(u64 capacity) {
    auto* updates = static_cast<Updates*>(calloc(1, sizeof(Updates) + capacity * sizeof(Update)));
    if (!updates) abort();
    updates->capacity = capacity;
    return updates;
}

static Update* find_update(Updates* updates, u64 address) {
    u64 slot = (address * 0x9E3779B97F4A7C15ull) >> 32;
    for (;; slot++) {
        Update& entry = updates->entries[slot % updates->capacity];
        if (entry.address == address) return &entry;
        if (entry.address) continue;
        if (updates->count >= MOST_UPDATES) return nullptr;
        updates->count++;
        entry.address = address;
        return &entry;
    }
}

static Update* update_of(Updates*& updates, u64 address) {
    if (!updates) updates = new_updates(1024);
    if (2 * updates->count >= updates->capacity && updates->count < MOST_UPDATES) {
        Updates* larger = new_updates(4 * updates->capacity);
        for (u64 i = 0; i < updates->capacity; i++)
            if (updates->entries[i].address)
                *find_update(larger, updates->entries[i].address) = updates->entries[i];
        free(updates);
        updates = larger;
    }
    return find_update(updates, address);
}

// The lanes' atomics to global memory.
static void note_updates(Worker* k, const u64* address, u32 mask) {
    while (mask) {
        u64 at = address[first_lane(mask)];
        u32 same = 0;
        for (u32 m = mask; m; m &= m - 1) same |= u32(address[first_lane(m)] == at) << first_lane(m);
        mask &= ~same;
        Update* update = update_of(k->updates, at);
        if (!update) continue;
        update->lanes += u64(__builtin_popcount(same));
        update->blocks += update->last != k->ordinal;
        update->last = k->ordinal;
    }
}

// Adds this host thread's updates to the launch's and finds the busiest address; one thread at a time.
static void share_updates(WsLaunch* launch, Worker* k) {
    if (!k->updates) return;
    auto* all = static_cast<Updates*>(launch->updates);
    for (u64 i = 0; i < k->updates->capacity; i++) {
        const Update& mine = k->updates->entries[i];
        Update* total = mine.address ? update_of(all, mine.address) : nullptr;
        if (!total) continue;
        total->lanes += mine.lanes;
        total->blocks += mine.blocks;
        bool busier = total->lanes > launch->busiest_lanes;
        if (!busier && (total->lanes < launch->busiest_lanes || total->blocks < launch->busiest_blocks)) continue;
        launch->busiest_lanes = total->lanes;
        launch->busiest_blocks = total->blocks;
    }
    launch->updates = all;
}

static Seen* new_seen(const WsLaunch* launch) {
    auto* seen = static_cast<Seen*>(calloc(launch->allocation_count + 1, sizeof(Seen)));
    for (u32 i = 0; seen && i < launch->allocation_count; i++) {
        const WsAllocation& it = launch->allocations[i];
        seen[i].first = it.address >> 5;
        // Pages of it that no load touches cost nothing.
        seen[i].by_block = static_cast<u32*>(calloc(size_t(it.size / 32 + 2), sizeof(u32)));
        if (!seen[i].by_block) return seen;
    }
    return seen;
}

static bool complete(const WsLaunch* launch, const Seen* seen) {
    for (u32 i = 0; seen && i < launch->allocation_count; i++)
        if (!seen[i].by_block) return false;
    return seen;
}

static void free_seen(const WsLaunch* launch, Seen* seen) {
    for (u32 i = 0; seen && i < launch->allocation_count; i++) free(seen[i].by_block);
    free(seen);
}

// A load of `count` sectors in a row; `seen` is the first one's entry. Most have been loaded before. Returns how many
// are new to the block.
WS_INLINE u32 note_sectors(Worker* k, u32 port, u64 sector, u32* seen, u32 count) {
    if (count == 1) {
        if (__builtin_expect(*seen == k->ordinal, 1)) return 0;
        *seen = k->ordinal;
        ask(k, port, WS_LOADS, sector, 1);
        return 1;
    }
#if defined(__AVX512F__)
    if (count <= 16) {
        __mmask16 wanted = __mmask16((1u << count) - 1);
        __m512i now = _mm512_set1_epi32(s32(k->ordinal));
        __mmask16 fresh = _mm512_mask_cmpneq_epi32_mask(wanted, _mm512_maskz_loadu_epi32(wanted, seen), now);
        if (__builtin_expect(!fresh, 1)) return 0;
        _mm512_mask_storeu_epi32(seen, fresh, now);
        if (fresh == wanted) ask(k, port, WS_LOADS, sector, count);
        else
            for (u32 m = fresh; m; m &= m - 1) ask(k, port, WS_LOADS, sector + first_lane(m), 1);
        return u32(__builtin_popcount(fresh));
    }
#endif
    u32 fresh = 0, ordinal = k->ordinal;
    for (u32 i = 0; i < count; i++) {
        if (seen[i] == ordinal) continue;
        seen[i] = ordinal;
        ask(k, port, WS_LOADS, sector + i, 1);
        fresh++;
    }
    return fresh;
}

// A load of [first, first + bytes) of global memory, in bounds.
WS_INLINE u32 note_load(Worker* k, u32 port, u64 first, u64 bytes) {
    const WsLaunch* launch = k->launch;
    const Seen& seen = k->seen[(first - launch->address_base) >> launch->address_stride_bits];
    u32 count = u32(((first + bytes - 1) >> 5) - (first >> 5)) + 1;
    return note_sectors(k, port, first >> 5, seen.by_block + ((first >> 5) - seen.first), count);
}

#if defined(__AVX512F__)
// Which of the lanes' sectors are new to the block. A lane's access is aligned, so that it lies in one sector.
WS_INLINE u32 new_sectors(const Seen& seen, u64 start, const u64* distance, u32 mask, u32 ordinal) {
    __m512i from = _mm512_set1_epi64(s64(start)), first = _mm512_set1_epi64(s64(seen.first));
    __m512i known = _mm512_set1_epi32(s32(ordinal));
    __mmask16 fresh[2];
    for (u32 half = 0; half < 2; half++) {
        __m512i low = _mm512_add_epi64(_mm512_loadu_si512(distance + 16 * half), from);
        __m512i high = _mm512_add_epi64(_mm512_loadu_si512(distance + 16 * half + 8), from);
        low = _mm512_sub_epi64(_mm512_maskz_srli_epi64(0xFF, low, 5), first);
        high = _mm512_sub_epi64(_mm512_maskz_srli_epi64(0xFF, high, 5), first);
        __m512i sector = _mm512_castsi256_si512(_mm512_maskz_cvtepi64_epi32(0xFF, low));
        sector = _mm512_maskz_inserti64x4(0xFF, sector, _mm512_maskz_cvtepi64_epi32(0xFF, high), 1);
        __mmask16 members = __mmask16(mask >> (16 * half));
        __m512i blocks = _mm512_mask_i32gather_epi32(known, members, sector, seen.by_block, 4);
        fresh[half] = _mm512_cmpneq_epi32_mask(blocks, known);
    }
    return joined(fresh[0], fresh[1]);
}
#else
WS_INLINE u32 new_sectors(const Seen&, u64, const u64*, u32 mask, u32) { return mask; }
#endif

// Each lane's load of `bytes` at `start` + distance, all in the allocation of the first.
WS_INLINE u32 note_loads(Worker* k, u32 port, u64 start, const u64* distance, u32 mask, u32 bytes) {
    const WsLaunch* launch = k->launch;
    u64 any = start + distance[first_lane(mask)], before = 0;
    u32 fresh = 0;
    const Seen& seen = k->seen[(any - launch->address_base) >> launch->address_stride_bits];
    for (u32 m = new_sectors(seen, start, distance, mask, k->ordinal); m; m &= m - 1) {
        u64 at = start + distance[first_lane(m)];
        if (at >> 5 == before) continue;
        fresh += note_load(k, port, at, bytes);
        before = at >> 5;
    }
    return fresh;
}

}  // namespace
}  // namespace WS_NS
