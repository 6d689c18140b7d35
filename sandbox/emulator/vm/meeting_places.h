// What blocks on different host threads did to the same memory: compared when a host thread ends.
//
// Only programs without fences run on several host threads while races are looked for, so that no two blocks are
// ordered and one access of each kind by another block decides.
#pragma once
#include "global_races.h"

namespace WS_NS {
namespace {

static const Past* pasts_of(const Record& r, u32& count) {
    count = r.more ? r.more->count : r.last.who != 0;
    return r.more ? r.more->items : &r.last;
}

// Two accesses of different blocks that collide; those of the earliest blocks.
static void find_collision(const Record& a, const Record& b, const Past*& first, const Past*& second) {
    u32 count_a, count_b;
    const Past *mine = pasts_of(a, count_a), *theirs = pasts_of(b, count_b);
    for (u32 i = 0; i < count_a; i++)
        for (u32 j = 0; j < count_b; j++) {
            const Past *early = &mine[i], *late = &theirs[j];
            if ((early->kind & STRENGTH) == STRONG && (late->kind & STRENGTH) == STRONG) continue;
            if (block_of(early->who) == block_of(late->who)) continue;
            if (block_of(early->who) > block_of(late->who)) {
                early = &theirs[j];
                late = &mine[i];
            }
            if (second && block_of(second->who) <= block_of(late->who)) continue;
            first = early;
            second = late;
        }
}

static void add_records(Record& to, const Record& from) {
    u32 count;
    const Past* pasts = pasts_of(from, count);
    for (u32 i = 0; i < count; i++) {
        if (!to.last.who) {
            to.last = pasts[i];
            continue;
        }
        if (!to.more) {
            to.more = made<Pasts>();
            add_past(to.more, to.last);
        }
        if (!to.more->two_blocks) add_past(to.more, pasts[i]);
    }
}

static void blame_both(WsLaunch* launch, u32 allocation, u64 offset, u32 bytes, const Past& first, const Past& second) {
    s64 position = s64(block_of(second.who)) - 1;
    if (launch->fault.kind && position >= launch->stop_after) return;
    WsFault& fault = launch->fault;
    fault = {};
    fault.kind = WS_RACE;
    fault.detail = WS_UNORDERED;
    fault.site = second.site;
    fault.other_site = first.site;
    fault.thread = thread_in(second.who);
    fault.other_thread = thread_in(first.who);
    fault.block = launch->run[position];
    fault.other_block = launch->run[block_of(first.who) - 1];
    fault.space = WS_GLOBAL;
    fault.size = bytes;
    fault.address = launch->allocations[allocation].address + offset;
    fault.allocation = s64(allocation);
    if (position < launch->stop_after) launch->stop_after = position;
}

static void compare_pages(WsLaunch* launch, u32 allocation, u64 number, Page& all, Page& mine) {
    if (!mine.granules) return;
    if (!all.granules) {
        all = mine;
        mine = {};
        return;
    }
    u32 shift = all.shift < mine.shift ? all.shift : mine.shift;
    if (all.shift > shift) refine(all, shift);
    if (mine.shift > shift) refine(mine, shift);
    for (u32 i = 0; i < PAGE >> shift; i++) {
        Granule &a = all.granules[i], &b = mine.granules[i];
        const Past *first = nullptr, *second = nullptr;
        find_collision(a.written, b.written, first, second);
        find_collision(a.written, b.read, first, second);
        find_collision(a.read, b.written, first, second);
        if (second) blame_both(launch, allocation, number * PAGE + (u64(i) << shift), 1u << shift, *first, *second);
        add_records(a.written, b.written);
        add_records(a.read, b.read);
    }
}

// Compares a host thread's blocks with those of the ones that ended before; one host thread at a time.
static void compare_shadows(WsLaunch* launch, Shadow*& mine) {
    if (mine && launch->threads > 1) {
        auto* all = static_cast<Shadow*>(launch->shadows);
        if (!all) {
            launch->shadows = mine;
            mine = nullptr;
        }
        for (u32 i = 0; all && i < launch->allocation_count; i++)
            for (u64 p = 0; mine[i].pages && p < mine[i].pages_count; p++)
                compare_pages(launch, i, p, all[i].pages[p], mine[i].pages[p]);
    }
    if (++launch->ended < launch->threads) return;
    free_shadows(launch, static_cast<Shadow*>(launch->shadows));
    launch->shadows = nullptr;
}

}  // namespace
}  // namespace WS_NS
