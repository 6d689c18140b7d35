// Blocks on the device at the same time, taking turns: what waits for another block in a loop lets it run.
//
// One block runs until all its warps wait in loops; then others begin beside it, as many as are resident, and all take
// turns. What hangs is told from what waits by proof: after a turn of every block that changed no memory, all
// registers and positions are what they were after an earlier one, so that they come round for ever.
#pragma once
#include "storage.h"
#include "waiting.h"

namespace WS_NS {
namespace {

// Tells which turn's state to compare with (Brent's cycle detection).
struct Watch {
    u64 seen, turns, limit, changes;
};

// A number for all that the waiting blocks could change by themselves.
static u64 state_of(const Window& window) {
    u64 hash = 1;
    for (u32 i = 0; i < window.count; i++)
        if (window.workers[i]->begun) hash = state_of(window.workers[i], hash);
    return hash;
}

// Times that anything was changed, or may have been.
static u64 changes_of(const Window& window) {
    const WsLaunch* launch = window.workers[0]->launch;
    u64 changes = u64(launch->blocks_run);
    for (u32 i = 0; i < window.count; i++) changes += window.workers[i]->changes;
    for (u32 b = 0; b < launch->block_count; b++)
        if (launch->blocks[b].changes) changes += window.workers[0]->counts[b].warps;
    return changes;
}

// Whether no block will ever go on.
static bool hangs(const Window& window, Watch& watch) {
    u64 changes = changes_of(window);
    if (changes != watch.changes) {
        watch = {0, 0, 1, changes};
        return false;
    }
    u64 state = state_of(window);
    if (watch.turns && state == watch.seen) return true;
    if (watch.turns++ < watch.limit) return false;
    watch.seen = state;
    watch.limit = 2 * watch.turns;
    return false;
}

// Blames the first waiting loop.
static void blame(Worker* k) {
    for (u32 i = 0; i < k->warp_count; i++) {
        Warp* w = &k->warps[i];
        u32 ready = w->alive & ~(w->waiting | w->meeting);
        if (!ready) continue;
        u32 lane = first_lane(ready), at = w->together ? w->resume : w->position[lane];
        fail(w, w->code + poll_from(k, w, at), WS_DEADLOCK, lane, WS_LOOP_WAITS);
        return;
    }
}

// Runs one worker's blocks until one waits or lets others go first, or none is left; false when the launch ends.
static bool advance(Worker* k, bool beside, bool& yields) {
    k->beside = beside;
    while (k->begun || (k->begun = begin_next(k))) {
        Ended ended = run_warps(k);
        yields |= ended == Ended::YIELDED;
        if (ended == Ended::WAITING || ended == Ended::YIELDED) return true;
        k->begun = false;
        if (!finish(k)) return false;
    }
    return true;
}

// False when memory ran out.
static bool run_window(Window& window, Common& common) {
    WsLaunch* launch = window.workers[0]->launch;
    Watch watch = {0, 0, 1, 0};
    for (u32 from = 0;;) {
        u32 waiting = 0, begun = 0;
        bool yields = false;
        for (u32 i = 0; i < window.count; i++) begun += window.workers[i]->begun;
        for (u32 i = from; i < window.count; i++) {
            Worker* k = window.workers[i];
            begun -= k->begun;
            if (!advance(k, begun, yields)) return true;
            begun += k->begun;
        }
        for (u32 i = 0; i < window.count; i++) waiting += window.workers[i]->begun;
        if (!waiting) return true;
        from = 0;
        if (yields) continue;
        bool full = waiting < window.count || window.count >= launch->resident || launch->next_run >= launch->run_count;
        if (full) {
            bool hang = hangs(window, watch);
            for (u32 i = 0; i < window.count; i++) window.workers[i]->quiet = watch.turns;
            if (!hang) continue;
            Worker* k = window.workers[0];
            for (u32 i = 0; !k->begun; i++) k = window.workers[i];
            blame(k);
            finish(k);
            return true;
        }
        // All wait: as many again begin.
        from = window.count;
        for (u32 i = 0; i < from && window.count < launch->resident; i++)
            if (!add_worker(window, common, launch)) return false;
    }
}

}  // namespace
}  // namespace WS_NS
