// What blocks ask of L2, in order: sectors new to the block, sectors stored, sectors that atomics touch. l2.h reads it.
#pragma once
#include "machine.h"
#include "traffic.h"

namespace WS_NS {
namespace {

WS_COLD bool grow(WsTrace* trace) {
    if (trace->dropped) return false;
    u64 capacity = trace->capacity ? 2 * trace->capacity : 4096;
    void* grown = trace->capacity < WS_MOST_ASKED ? realloc(trace->entries, size_t(capacity) * sizeof(u64)) : nullptr;
    if (!grown) {
        trace->dropped = 1;
        trace->count = 0;
        return false;
    }
    trace->entries = static_cast<u64*>(grown);
    trace->capacity = capacity;
    return true;
}

WS_INLINE void append(WsTrace* trace, u64 entry) {
    if (__builtin_expect(trace->count == trace->capacity || trace->dropped, 0) && !grow(trace)) return;
    trace->entries[trace->count++] = entry;
}

// `count` sectors in a row; `sector` is the first one's address over 32.
WS_INLINE void ask(Worker* k, u32 port, WsAsks what, u64 sector, u64 count) {
    if (!k->trace) return;
    port = port < WS_TRACED_PORTS - 1 ? port : u32(WS_TRACED_PORTS - 1);
    sector -= k->launch->address_base >> 5;
    append(k->trace, sector | count << WS_COUNT_AT | u64(what) << WS_ASKS_AT | u64(port) << WS_PORT_AT);
}

static void ask_begins(Worker* k) {
    if (k->trace) append(k->trace, u64(k->block_index) | u64(WS_BEGINS) << WS_ASKS_AT);
}

// The distinct sectors of the lanes' stores or atomics.
static __attribute__((noinline)) void ask_lanes(Worker* k, u32 port, WsAsks what, const u64* address, u32 mask, u32 bytes) {
    if (!k->trace) return;
    u64 seen[2 * LANES];
    u32 count = distinct_sectors(address, mask, bytes, seen);
    for (u32 i = 0; i < count;) {
        u32 run = 1;
        while (i + run < count && run < 32 && seen[i + run] == seen[i] + run) run++;
        ask(k, port, what, seen[i], run);
        i += run;
    }
}

}  // namespace
}  // namespace WS_NS
