// Who waits where: written down when nobody can go on, or the budget is spent.
#pragma once
#include "worker.h"

namespace WS_NS {
namespace {

// The polling instruction of a waiting loop is the first behind the place where the lanes stand.
static u32 poll_from(const Worker* k, const Warp* w, u32 at) {
    u32 poll = at;
    while (poll < k->launch->operation_count && !(w->code[poll].flags & WS_SYNCHRONISES)) poll++;
    return poll < k->launch->operation_count ? poll : at;
}

static void note_place(Worker* k, const Warp* w, u32 lanes, u32 at, WsWaitKind kind) {
    WsLaunch* launch = k->launch;
    if (launch->waiting_count == WS_MOST_WAITING) return;
    launch->waiting[launch->waiting_count++] = {k->block_index, w->index, w->code[at].site, lanes, kind};
}

// Lanes of a warp that stand at the place of the first of them.
static u32 beside_first(const Warp* w, u32 lanes, bool barrier) {
    if (w->together) return lanes;
    const u32* place = barrier ? w->barrier_at : w->position;
    u32 at = place[first_lane(lanes)], found = 0;
    for (u32 m = lanes; m; m &= m - 1) found |= u32(place[first_lane(m)] == at) << first_lane(m);
    return found;
}

// `running`: what those do who could run.
static void note_warp(Worker* k, const Warp* w, WsWaitKind running) {
    for (u32 left = w->alive; left;) {
        u32 at_barrier = left & w->waiting, for_lanes = left & w->meeting;
        u32 group = beside_first(w, at_barrier ? at_barrier : for_lanes ? for_lanes : left, at_barrier);
        u32 lane = first_lane(group);
        left &= ~group;
        if (at_barrier) {
            note_place(k, w, group, barrier_position(w, lane), WS_AT_BARRIER);
            continue;
        }
        u32 at = w->together ? w->resume : w->position[lane];
        if (for_lanes) note_place(k, w, group, at, WS_FOR_LANES);
        else note_place(k, w, group, running == WS_IN_LOOP ? poll_from(k, w, at) : at, running);
    }
}

static void note_block(Worker* k, WsWaitKind running) {
    for (u32 i = 0; i < k->warp_count; i++) note_warp(k, &k->warps[i], running);
}

static bool hung(const WsFault& fault) { return fault.kind == WS_DEADLOCK || fault.kind == WS_BUDGET; }

static WsWaitKind what_runs(const WsFault& fault) {
    if (fault.kind == WS_BUDGET) return fault.detail == WS_NOTHING_CHANGES ? WS_IN_LOOP : WS_RUNNING;
    return fault.detail == WS_LOOP_WAITS ? WS_IN_LOOP : fault.detail == WS_LOOP_TURNS ? WS_IN_ENDLESS_LOOP : WS_RUNNING;
}

}  // namespace
}  // namespace WS_NS
