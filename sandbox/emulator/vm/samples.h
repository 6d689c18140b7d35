// What each block counted, where blocks are told apart: everything counted is set beside what it was when the host
// thread's last block ended. The sampling error comes from the differences between blocks.
#pragma once
#include "reach.h"

namespace WS_NS {
namespace {

constexpr u32 COUNTER_WORDS = sizeof(WsCounters) / sizeof(u64);

// Values of a row: warps and lanes by basic block, guarded lanes and divergent branches by instruction, and the
// counters by port.
WS_INLINE u64 row_values(const WsLaunch* launch) {
    return 2 * u64(launch->block_count) + 2 * u64(launch->site_count) + COUNTER_WORDS * u64(launch->port_count);
}

// A port's counters with the accesses of all lanes that were counted apart.
static WsCounters whole_counts(const Port& port) {
    WsCounters counts = port.counts;
    counts.requests += port.uniform + port.contiguous;
    counts.lanes += (port.uniform + port.contiguous) * LANES;
    counts.sectors += port.uniform;
    return counts;
}

WS_INLINE void add_difference(u64* row, u64*& last, u64& place, u64 now) {
    if (now != *last) __atomic_add_fetch(row + place, now - *last, __ATOMIC_RELAXED);
    *last++ = now;
    place++;
}

// Adds what was counted since the last call to the row of the block that ended.
static void count_row(Worker* k) {
    if (!k->last) return;
    const WsLaunch* launch = k->launch;
    u64 *row = launch->rows + launch->row_of[k->position] * row_values(launch), *last = k->last, place = 0;
    for (u32 b = 0; b < launch->block_count; b++) add_difference(row, last, place, k->counts[b].warps);
    for (u32 b = 0; b < launch->block_count; b++) add_difference(row, last, place, k->counts[b].lanes);
    for (u32 s = 0; s < launch->site_count; s++) add_difference(row, last, place, k->guarded_lanes[s]);
    for (u32 s = 0; s < launch->site_count; s++) add_difference(row, last, place, k->divergent[s]);
    for (u32 p = 0; p < launch->port_count; p++) {
        WsCounters counts = whole_counts(k->ports[p]);
        for (u32 i = 0; i < COUNTER_WORDS; i++) add_difference(row, last, place, (&counts.requests)[i]);
    }
}

}  // namespace
}  // namespace WS_NS
