// From device addresses to host memory: windows, bounds to the byte, alignment, permission, initialisation.
//
// `reach_lanes` is the general way: any space, each lane by itself. The fast ways in pattern.h end here whenever
// something is unusual, so that faults are found and described in one place.
#pragma once
#include "calm.h"
#include "global_races.h"
#include "sharing.h"
#include "traffic.h"

namespace WS_NS {
namespace {

// Counts and memory traffic pattern of one memory instruction on one host thread.
struct alignas(64) Port {
    WsCounters counts;
    // Global accesses of all lanes that `counts` does not have yet: at one address, which costs one sector, and
    // contiguous ones, whose sectors it has. add_up adds them.
    u64 uniform, contiguous;
    u32 kind, mask;
    u64 low, high;  // extent of the warp's access relative to its first active lane, in bytes: [-low, high)
    u64 misaligned; // bits any lane's distance has set
    // Where the first lane may stand so that the whole access lies in the allocation hit last: [begin, begin + extent).
    u64 begin, extent;
    u8 *data, *valid;  // host addresses of `begin`; valid may be null
    u32 writable;
    u32* seen;  // where that allocation's sector 0 would have its entry in Seen::by_block
    Passes passes[4];   // by the first lane's address modulo 4; ideal is 0 while unknown
    u8 sectors[LANES];  // by the first lane's address modulo 32; 0 while unknown
    u64 noted;          // where the last load was whose sectors were noted
    u32 noted_by;       // for which block; 0 for none
    Listed listed;      // shared memory: where `distance32` is listed
    alignas(64) u64 distance[LANES];   // of each lane's address from the first active lane's
    alignas(64) u32 distance32[LANES];
};

WS_INLINE u64 limit_of(const Worker* k, u32 space) {
    switch (space) {
        case WS_SHARED: return k->shared_bytes;
        case WS_LOCAL: return k->launch->local_bytes;
        case WS_CONST: return k->launch->constant_bytes;
        default: return k->launch->param_bytes;
    }
}

// The nearest allocation, unless the address lies further from all of them than their windows are wide.
WS_COLD void locate(WsFault& fault, const WsLaunch* launch, u64 address, u32 size) {
    u64 least = 1ull << launch->address_stride_bits;
    for (u32 i = 0; i < launch->allocation_count; i++) {
        const WsAllocation& it = launch->allocations[i];
        bool before = address < it.address;
        u64 away = before ? it.address - address : address + size - (it.address + it.size);
        if (!before && address + size <= it.address + it.size) away = 0;
        if (away >= least) continue;
        least = away;
        fault.allocation = s64(i);
        fault.distance = before ? -s64(away) : s64(away);
    }
}

WS_COLD bool bad_access(Warp* w, const Operation* op, WsFaultKind kind, u32 lane, u32 space, u64 address, u32 size) {
    bool first = w->worker->fault.kind == WS_NO_FAULT;
    fail(w, op, kind, lane);
    if (!first) return false;
    WsFault& fault = w->worker->fault;
    const WsLaunch* launch = w->worker->launch;
    fault.space = space;
    fault.address = address;
    fault.size = size;
    if (space == WS_GLOBAL) {
        locate(fault, launch, address, size);
    } else {
        fault.distance = s64(address + size) - s64(limit_of(w->worker, space));
    }
    return false;
}

struct Place {
    u8* data;
    u8* valid;
    u32 space;
    u64 offset;  // within shared or local memory
};

static bool reach_allocation(Warp* w, const Operation* op, u32 lane, u64 address, u32 size, Use use, Place& place) {
    const WsLaunch* launch = w->worker->launch;
    u64 window = (address - launch->address_base) >> launch->address_stride_bits;
    if (address < launch->address_base || window >= launch->allocation_count)
        return bad_access(w, op, WS_OUT_OF_BOUNDS, lane, WS_GLOBAL, address, size);
    const WsAllocation& hit = launch->allocations[window];
    u64 offset = address - hit.address;
    if (address < hit.address || offset + size > hit.size)
        return bad_access(w, op, WS_OUT_OF_BOUNDS, lane, WS_GLOBAL, address, size);
    if (use != Use::READ && !hit.writable) return bad_access(w, op, WS_READ_ONLY, lane, WS_GLOBAL, address, size);
    place = {hit.data + offset, hit.valid ? hit.valid + offset : nullptr, WS_GLOBAL, offset};
    return true;
}

// The space of a generic address, which becomes one in that space.
static u32 space_of(const WsLaunch* launch, u64& address) {
    const u64 windows[] = {launch->shared_window, launch->local_window, launch->const_window, launch->param_window};
    const u32 spaces[] = {WS_SHARED, WS_LOCAL, WS_CONST, WS_KERNEL_PARAM};
    for (u32 i = 0; i < 4; i++)
        if (address - windows[i] < launch->window_bytes) {
            address -= windows[i];
            return spaces[i];
        }
    return WS_GLOBAL;
}

static bool reach_one(Warp* w, const Operation* op, u32 lane, u32 space, u64 address, u32 size, Use use, Place& place) {
    Worker* k = w->worker;
    const WsLaunch* launch = k->launch;
    if (space == WS_GENERIC) space = space_of(launch, address);
    if (address % size) return bad_access(w, op, WS_MISALIGNED, lane, space, address, size);
    if (space == WS_GLOBAL) return reach_allocation(w, op, lane, address, size, use, place);
    if (address + size > limit_of(k, space) || address + size < address)
        return bad_access(w, op, WS_OUT_OF_BOUNDS, lane, space, address, size);
    if (space == WS_SHARED) {
        place = {k->shared + address, nullptr, WS_SHARED, address};
    } else if (space == WS_CONST || space == WS_KERNEL_PARAM) {
        if (use != Use::READ) return bad_access(w, op, WS_READ_ONLY, lane, space, address, size);
        const u8* from = space == WS_CONST ? launch->constants : launch->params;
        place = {const_cast<u8*>(from) + address, nullptr, space, address};
    } else {
        u64 start = (u64(w->index) * LANES + lane) * launch->local_bytes + address;
        place = {k->local + start, k->local_valid ? k->local_valid + start : nullptr, WS_LOCAL, address};
    }
    return true;
}

WS_INLINE bool all_valid(const u8* valid, u64 size) { return !memchr(valid, 0, size); }

// Initialisation and races of one lane's access.
static bool inspect(Warp* w, const Operation* op, u32 lane, const Place& place, u64 address, u32 size, Use use,
                    StoredBytes stored = nullptr) {
    if (place.space == WS_SHARED) {
        Worker* k = w->worker;
        u32 at = u32(place.offset);
        k->storing_from = at - address;
        Toucher toucher = {k->races, w->index, thread_of(w, lane), op->site, use == Use::UPDATE,
                           w, op, stored, nullptr, at, false};
        Collision found;
        if (op->flags & WS_SYNCHRONISES || use == Use::UPDATE) {
            begin_strong(w, op, lane, block_number(k), at, use);
            toucher.atomic = true;
        }
        if (use == Use::UPDATE && !known_written(k->races->epoch, at / 4) &&
            k->races->words[at / 4].write_stamp <= k->races->base) {
            bad_access(w, op, WS_UNINITIALISED, lane, WS_SHARED, at, size);
            return false;
        }
        return touch(toucher, at, size, use != Use::READ, found) || !collide(w, op, lane, found, at, size);
    }
    if (place.space == WS_GLOBAL) {
        w->worker->storing_from = 0;
        if (op->flags & WS_SYNCHRONISES || use == Use::UPDATE) begin_strong(w, op, lane, 0, address, use);
        if (!visit_lane(w, op, lane, address, size, use, stored)) return false;
    }
    if (!place.valid) return true;
    if (use == Use::WRITE) {
        memset(place.valid, 1, size);
        return true;
    }
    if (all_valid(place.valid, size)) return true;
    return bad_access(w, op, WS_UNINITIALISED, lane, place.space,
                      place.space == WS_LOCAL ? place.offset : address, size);
}

// Fills worker->pointer and worker->valid for the active lanes' accesses of `size` bytes at `address[lane]`.
static bool reach_lanes(Warp* w, const Operation* op, u32 space, const u64* address, u32 size, Use use, u32 mask,
                        StoredBytes stored = nullptr) {
    Worker* k = w->worker;
    u64 shared_mask = 0, local_mask = 0, global_mask = 0;
    u32 shared_at[LANES] = {};
    u64 local_at[LANES];
    bool calm = k->checks && space == WS_SHARED && use != Use::UPDATE && k->races->epoch.calm;
    k->storing_shared = nullptr;
    k->storing = address;
    k->storing_from = 0;
    k->storing_bytes = size;
    for (u32 m = mask; m; m &= m - 1) {
        u32 lane = first_lane(m);
        Place place;
        if (!reach_one(w, op, lane, space, address[lane], size, use, place)) return false;
        if (k->checks && !calm && !inspect(w, op, lane, place, address[lane], size, use, stored)) return false;
        k->pointer[lane] = place.data;
        k->valid[lane] = place.valid;
        if (place.space == WS_SHARED) {
            shared_mask |= 1u << lane;
            shared_at[lane] = u32(place.offset);
        } else if (place.space == WS_LOCAL) {
            local_mask |= 1u << lane;
            local_at[lane] = place.offset;
        } else if (place.space == WS_GLOBAL) {
            global_mask |= 1u << lane;
        }
    }
    if (calm && !calm_lanes(w, op, shared_at, 0, mask, size, use == Use::WRITE, false, nullptr))
        for (u32 m = mask; m; m &= m - 1) {
            u32 lane = first_lane(m);
            Place place = {k->pointer[lane], nullptr, WS_SHARED, shared_at[lane]};
            if (!inspect(w, op, lane, place, address[lane], size, use, stored)) return false;
        }
    if (!k->count) return true;
    WsCounters& counts = k->ports[op->port].counts;
    counts.requests++;
    counts.lanes += u64(__builtin_popcount(mask));
    if (global_mask) counts.sectors += sectors_touched(address, u32(global_mask), size);
    if (local_mask) counts.sectors += local_sectors(local_at, u32(local_mask), size);
    if (shared_mask) {
        Passes passes = bank_passes(shared_at, u32(shared_mask), size);
        counts.wavefronts += passes.wavefronts;
        counts.ideal += passes.ideal;
    }
    if (use == Use::READ)
        for (u64 m = global_mask; m; m &= m - 1)
            counts.fresh += note_load(k, op->port, address[first_lane(u32(m))], size);
    else if (global_mask)
        ask_lanes(k, op->port, use == Use::WRITE ? WS_STORES : WS_UPDATES, address, u32(global_mask), size);
    if (use != Use::UPDATE) return true;
    counts.atomic_serial += most_on_one_address(address, mask);
    if (global_mask) note_updates(k, address, u32(global_mask));
    return true;
}

// The lanes' addresses as 64-bit values, offset included.
WS_INLINE void widen_addresses(Warp* w, u32 offset, bool wide, s64 imm, u64* address) {
    if (wide) {
        const u64* source = lanes<u64>(w, offset);
        for (u32 i = 0; i < LANES; i++) address[i] = source[i] + u64(imm);
    } else {
        const u32* source = lanes<u32>(w, offset);
        for (u32 i = 0; i < LANES; i++) address[i] = u32(source[i] + u32(imm));
    }
}

}  // namespace
}  // namespace WS_NS
