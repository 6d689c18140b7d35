// The memory of a host thread: what all its blocks share, and what one block on the device needs.
#pragma once
#include "worker.h"

namespace WS_NS {
namespace {

// Shared by the blocks of one host thread.
struct Common {
    BlockCount* counts;
    Operation* code;
    u32* block_at;
    Port* ports;
    u64 *guarded, *guarded_lanes, *divergent;
    Seen* seen;
    Shadow* shadows;
    Ledger* ledger;
    u32 ordinals;
};

// The blocks on the device, each with a worker; without a limit there is one.
struct Window {
    Worker** workers;
    u32 count, capacity;
};

template <class T>
static bool take(T*& memory, u64 count) {
    memory = reinterpret_cast<T*>(zeroed(sizeof(T) * count));
    return memory;
}

static bool share_among(Common& c, WsLaunch* launch, Handler (*handler_at)(u32, bool, bool)) {
    if (launch->count && !complete(launch, c.seen = new_seen(launch))) return false;
    if (launch->checks) c.shadows = new_shadows(launch);
    if (launch->checks && launch->orders) c.ledger = made<Ledger>();
    if (!take(c.counts, launch->block_count) || !take(c.code, launch->operation_count) ||
        !take(c.block_at, launch->operation_count) || !take(c.ports, launch->port_count) ||
        !take(c.guarded, launch->site_count) || !take(c.guarded_lanes, launch->site_count) ||
        !take(c.divergent, launch->site_count))
        return false;
    prepare_code(launch, c.code, c.counts, c.block_at, handler_at);
    return true;
}

static void release(const WsLaunch* launch, Common& c) {
    if (c.seen) free_seen(launch, c.seen);
    free_shadows(launch, c.shadows);
    free_ledger(c.ledger);
    free(c.counts);
    free(c.code);
    free(c.block_at);
    free(c.ports);
    free(c.guarded);
    free(c.guarded_lanes);
    free(c.divergent);
}

static void release_worker(Worker* k) {
    for (u32 i = 0; k->warps && i < k->warp_count; i++)
        if (k->warps[i].copies) {
            free(k->warps[i].copies->queue);
            free(k->warps[i].copies);
        }
    if (k->views) end_views(k);
    free(k->views);
    free(k->gathered);
    if (k->races) races_free(k->races);
    free(k->races);
    free(k->registers);
    free(k->shared);
    free(k->local);
    free(k->local_valid);
    free(k->warps);
    free(k->updates);
    free(k->last);
    if (k->trace) free(k->trace->entries);
    free(k->trace);
    free(k);
}

// Leaves what the blocks asked of L2 to host.cpp.
static void hand_over(Worker* k) {
    if (!k->trace) return;
    void* first = __atomic_load_n(&k->launch->traces, __ATOMIC_RELAXED);
    do k->trace->next = static_cast<WsTrace*>(first);
    while (!__atomic_compare_exchange_n(&k->launch->traces, &first, static_cast<void*>(k->trace), false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED));
    k->trace = nullptr;
}

static bool fill_worker(Worker* k, Common& c, WsLaunch* launch) {
    k->launch = launch;
    k->counts = c.counts;
    k->code = c.code;
    k->lists = launch->lists;
    k->block_at = c.block_at;
    k->ports = c.ports;
    k->guarded = c.guarded;
    k->guarded_lanes = c.guarded_lanes;
    k->divergent = c.divergent;
    k->seen = c.seen;
    k->ordinals = &c.ordinals;
    k->shared_bytes = launch->shared_bytes;
    k->threads = launch->block[0] * launch->block[1] * launch->block[2];
    k->warp_count = (k->threads + LANES - 1) / LANES;
    k->fuel = FUEL;
    k->checks = launch->checks;
    k->count = launch->count;
    u64 local = u64(launch->local_bytes) * LANES * k->warp_count;
    // Whole words around an access may be read: room behind the end.
    if (!take(k->registers, u64(launch->register_bytes) * k->warp_count) || !take(k->warps, k->warp_count) ||
        !take(k->shared, u64(launch->shared_bytes) + 256) || !take(k->local, local))
        return false;
    if (launch->count && launch->l2_bytes && !(k->trace = static_cast<WsTrace*>(calloc(1, sizeof(WsTrace)))))
        return false;
    // Blocks that share the device mix what they count.
    if (launch->row_count && !launch->resident && !take(k->last, row_values(launch))) return false;
    if (k->checks && local && !take(k->local_valid, local)) return false;
    if (k->checks && (!take(k->races, 1) || !races_prepare(k->races, launch->shared_bytes))) return false;
    k->order = k->races;
    k->shadows = c.shadows;
    k->ledger = c.ledger;
    if (k->ledger && (!take(k->views, u64(k->warp_count) * LANES) || !take(k->gathered, MAX_BARRIERS))) return false;
    return prepare_warps(k);
}

// Null when memory runs out.
static Worker* add_worker(Window& window, Common& c, WsLaunch* launch) {
    if (window.count == window.capacity) {
        u32 capacity = window.capacity ? 2 * window.capacity : 1;
        void* grown = realloc(window.workers, capacity * sizeof(Worker*));
        if (!grown) return nullptr;
        window.workers = static_cast<Worker**>(grown);
        window.capacity = capacity;
    }
    Worker* k = nullptr;
    if (!take(k, 1)) return nullptr;
    if (!fill_worker(k, c, launch)) {
        release_worker(k);
        return nullptr;
    }
    return window.workers[window.count++] = k;
}

static void release(Window& window) {
    for (u32 i = 0; i < window.count; i++) release_worker(window.workers[i]);
    free(window.workers);
}

// Adds what the host thread's blocks counted together.
static void add_counts(WsLaunch* launch, const Common& c) {
    for (u32 b = 0; b < launch->block_count; b++) {
        __atomic_add_fetch(&launch->block_warps[b], c.counts[b].warps, __ATOMIC_RELAXED);
        __atomic_add_fetch(&launch->block_threads[b], c.counts[b].lanes, __ATOMIC_RELAXED);
    }
    for (u32 s = 0; s < launch->site_count; s++) {
        if (c.guarded[s]) __atomic_add_fetch(&launch->guarded_warps[s], c.guarded[s], __ATOMIC_RELAXED);
        if (c.guarded_lanes[s]) __atomic_add_fetch(&launch->guarded_lanes[s], c.guarded_lanes[s], __ATOMIC_RELAXED);
        if (c.divergent[s]) __atomic_add_fetch(&launch->divergent[s], c.divergent[s], __ATOMIC_RELAXED);
    }
    for (u32 p = 0; p < launch->port_count; p++) {
        WsCounters counts = whole_counts(c.ports[p]);
        u64* to = &launch->counters[p].requests;
        for (u32 i = 0; i < COUNTER_WORDS; i++) __atomic_add_fetch(to + i, (&counts.requests)[i], __ATOMIC_RELAXED);
    }
}

}  // namespace
}  // namespace WS_NS
