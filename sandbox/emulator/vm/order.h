// Which accesses of a block's threads are over for which others: happens-before at thread granularity.
//
// Every warp stamps its accesses and takes a new stamp at each event that orders. clock[w][v] says which stamps of
// all lanes of warp v are over for all lanes of warp w, so that clock[w][w] moves where the whole warp meets. What a
// meeting of some of a warp's lanes orders stands in `lanes`, and what a thread alone learnt through a flag or a lock
// in the ledger. Barriers join clocks.
// Source of the method: Flanagan and Freund, FastTrack, PLDI 2009, with warps' clocks shared by their lanes.
#pragma once
#include "epoch.h"

namespace WS_NS {
namespace {

struct LaneClock {
    u32 over[LANES][LANES];  // over[i][j]: stamps of lane j below this are over for lane i
};

struct Order {
    u32 now;   // stamps given out
    u32 base;  // stamps up to here belong to earlier blocks
    u32 stamp[MAX_WARPS];
    u32 floor[MAX_WARPS];  // least of clock[w][v]
    u32 clock[MAX_WARPS][MAX_WARPS];
    u32 arrivals[MAX_BARRIERS][MAX_WARPS];
    u32 shared_flags[MAX_WARPS];  // the warp's last stamp before an atomic access or the end of a wait
    u32 warps;
    u32 partial;       // warps of which some lanes met since all did
    LaneClock* lanes;  // by warp; null until some lanes of a warp meet
    Epoch epoch;
};

static void set_floor(Order* r, u32 w) {
    u32 least = ALL;
    for (u32 v = 0; v < r->warps; v++)
        if (r->clock[w][v] < least) least = r->clock[w][v];
    r->floor[w] = least;
}

static void order_begin(Order* r, u32 warps) {
    r->base = r->now++;
    r->warps = warps;
    r->partial = 0;
    for (u32 w = 0; w < warps; w++) {
        r->stamp[w] = r->now;
        for (u32 v = 0; v < warps; v++) r->clock[w][v] = r->now;
        r->floor[w] = r->now;
        r->shared_flags[w] = 0;
    }
    memset(r->arrivals, 0, sizeof r->arrivals);
}

static void publish(Order* r, u32 w, u32* clock) {
    for (u32 v = 0; v < r->warps; v++) clock[v] = r->clock[w][v] > clock[v] ? r->clock[w][v] : clock[v];
    if (r->stamp[w] + 1 > clock[w]) clock[w] = r->stamp[w] + 1;
}

static void acquire(Order* r, u32 w, const u32* clock) {
    for (u32 v = 0; v < r->warps; v++) r->clock[w][v] = clock[v] > r->clock[w][v] ? clock[v] : r->clock[w][v];
    set_floor(r, w);
}

static void order_arrive(Order* r, u32 barrier, u32 w) {
    publish(r, w, r->arrivals[barrier]);
    r->stamp[w] = ++r->now;
}

static void order_release(Order* r, u32 barrier, u32 warps) {
    r->now++;
    for (u32 m = warps; m; m &= m - 1) {
        u32 w = first_lane(m);
        acquire(r, w, r->arrivals[barrier]);
        r->stamp[w] = r->now;
        r->partial &= ~(1u << w);
    }
    memset(r->arrivals[barrier], 0, sizeof r->arrivals[barrier]);
}

static LaneClock& lane_clock(Order* r, u32 w) {
    if (!r->lanes) r->lanes = static_cast<LaneClock*>(calloc(MAX_WARPS, sizeof(LaneClock)));
    if (!r->lanes) abort();
    LaneClock& known = r->lanes[w];
    if (!(r->partial >> w & 1))
        for (u32 i = 0; i < LANES; i++)
            for (u32 j = 0; j < LANES; j++) known.over[i][j] = r->clock[w][w];
    r->partial |= 1u << w;
    return known;
}

// Lanes of one warp met, of the `begun` ones it has: what they did so far is over for each other. Lanes that have exited
// met nobody.
static void order_lanes(Order* r, u32 w, u32 met, u32 begun) {
    if (!(begun & ~met)) {
        r->clock[w][w] = r->stamp[w] + 1;
        r->partial &= ~(1u << w);
        set_floor(r, w);
    } else {
        LaneClock& known = lane_clock(r, w);
        u32 joined[LANES] = {};
        for (u32 m = met; m; m &= m - 1)
            for (u32 j = 0; j < LANES; j++) {
                u32 over = known.over[first_lane(m)][j];
                joined[j] = over > joined[j] ? over : joined[j];
            }
        for (u32 m = met; m; m &= m - 1) joined[first_lane(m)] = r->stamp[w] + 1;
        for (u32 m = met; m; m &= m - 1) memcpy(known.over[first_lane(m)], joined, sizeof joined);
    }
    r->stamp[w] = ++r->now;
}

WS_COLD bool learnt(Worker* k, u32 me, u32 other, u32 stamp);

// Whether what thread `other` of the block did at `stamp` is over for thread `me`.
WS_COLD bool over_apart(Worker* k, const Order* r, u32 me, u32 other, u32 stamp) {
    if (me == other) return true;
    u32 w = me / LANES;
    bool known = w == other / LANES && r->partial >> w & 1;
    if (known && stamp < r->lanes[w].over[me % LANES][other % LANES]) return true;
    return learnt(k, me, other, stamp);
}

WS_INLINE bool over(Worker* k, const Order* r, u32 me, u32 other, u32 stamp) {
    return stamp < r->clock[me / LANES][other / LANES] || over_apart(k, r, me, other, stamp);
}

// The same for what `lanes` of warp v did; all of them or any.
WS_COLD bool lanes_over_apart(Worker* k, const Order* r, u32 me, u32 v, u32 stamp, u32 lanes, bool all) {
    for (u32 m = lanes; m; m &= m - 1)
        if (over_apart(k, r, me, v * LANES + first_lane(m), stamp) != all) return !all;
    return all;
}

WS_INLINE bool lanes_over(Worker* k, const Order* r, u32 me, u32 v, u32 stamp, u32 lanes, bool all) {
    return stamp < r->clock[me / LANES][v] || lanes_over_apart(k, r, me, v, stamp, lanes, all);
}

}  // namespace
}  // namespace WS_NS
