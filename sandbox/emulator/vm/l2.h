// A model of L2, run after a launch over what its blocks asked: lines of four sectors in sets, the least recently used
// one leaves; cold at first. Blocks of one wave take turns entry by entry, waves follow each other.
//
// A load of a sector that is not there has it read from DRAM. A store needs nothing from DRAM; it leaves a modified
// sector, which is written when its line leaves. An atomic reads and modifies.
#pragma once
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "interface.h"

namespace l2 {

constexpr uint32_t SECTORS = 4;  // of 32 bytes, a line
constexpr uint32_t SECTOR_BITS = 5;

struct Line {
    uint64_t tag = ~0ull;
    uint32_t used = 0;
    uint8_t valid = 0, dirty = 0;
};

class Cache {
  public:
    Cache(uint64_t bytes, uint32_t ways, WsL2& counts)
        : ways(ways), sets(std::max<uint64_t>(1, bytes / (32 * SECTORS) / ways)), lines(sets * ways), counts(counts) {}

    // Whether the sector was there.
    bool access(uint64_t sector, bool reads, bool writes) {
        Line& line = find(sector / SECTORS);
        uint8_t bit = uint8_t(1u << sector % SECTORS);
        bool there = line.valid & bit;
        if (reads && !there) counts.fills++;
        line.valid |= bit;
        if (writes) line.dirty |= bit;
        return there;
    }

    uint64_t dirty() const {
        uint64_t sum = 0;
        for (const Line& line : lines) sum += uint64_t(__builtin_popcount(line.dirty));
        return sum;
    }

  private:
    Line& find(uint64_t tag) {
        // Address bits are hashed over the sets, so that no power of two crowds into a few of them.
        Line* set = &lines[(tag * 0x9E3779B97F4A7C15ull >> 20) % sets * ways];
        Line* oldest = set;
        for (uint32_t w = 0; w < ways; w++) {
            if (set[w].tag == tag) {
                set[w].used = ++clock;
                return set[w];
            }
            if (set[w].used < oldest->used) oldest = &set[w];
        }
        counts.written += uint64_t(__builtin_popcount(oldest->dirty));
        *oldest = Line();
        oldest->tag = tag;
        oldest->used = ++clock;
        return *oldest;
    }

    uint32_t ways;
    uint64_t sets;
    std::vector<Line> lines;
    WsL2& counts;
    uint32_t clock = 0;
};

struct Part {  // what one block asked
    uint64_t block;
    const uint64_t *at, *end;
};

inline WsAsks asks_of(uint64_t entry) { return WsAsks(entry >> WS_ASKS_AT & 3); }
inline uint64_t sector_of(uint64_t entry) { return entry & ((1ull << WS_COUNT_AT) - 1); }
inline uint64_t count_of(uint64_t entry) { return entry >> WS_COUNT_AT & ((1u << (WS_ASKS_AT - WS_COUNT_AT)) - 1); }
inline uint32_t port_of(uint64_t entry) { return uint32_t(entry >> WS_PORT_AT); }

// The blocks' entries in order of the blocks; false where some were dropped.
inline bool parts_of(const WsLaunch* launch, std::vector<Part>& parts) {
    for (auto* trace = static_cast<const WsTrace*>(launch->traces); trace; trace = trace->next) {
        if (trace->dropped) return false;
        const uint64_t *at = trace->entries, *end = at + trace->count;
        while (at < end) {
            Part part = {*at & ((1ull << WS_ASKS_AT) - 1), at + 1, at + 1};
            while (part.end < end && asks_of(*part.end) != WS_BEGINS) part.end++;
            at = part.end;
            parts.push_back(part);
        }
    }
    std::sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.block < b.block; });
    return true;
}

inline void run_entry(WsLaunch* launch, Cache& cache, uint64_t entry) {
    WsL2& counts = launch->l2;
    WsAsks asks = asks_of(entry);
    uint64_t before = counts.fills, hits = 0, sectors = count_of(entry);
    for (uint64_t i = 0; i < sectors; i++) hits += cache.access(sector_of(entry) + i, asks != WS_STORES, asks != WS_LOADS);
    if (asks == WS_STORES) counts.stores += sectors;
    if (asks == WS_LOADS) {
        counts.loads += sectors;
        counts.load_hits += hits;
    }
    if (asks == WS_UPDATES) {
        counts.atomics += sectors;
        counts.atomic_hits += hits;
    }
    if (port_of(entry) < launch->port_count) launch->port_misses[port_of(entry)] += counts.fills - before;
}

// Blocks of one wave in turns.
inline void run_wave(WsLaunch* launch, Cache& cache, Part* first, Part* last) {
    for (bool more = true; more;) {
        more = false;
        for (Part* part = first; part < last; part++) {
            if (part->at == part->end) continue;
            run_entry(launch, cache, *part->at++);
            more = true;
        }
    }
}

// Who touched a sector: how many blocks, and the last ones that touched, loaded and modified it.
struct Touched {
    uint32_t blocks, last, load, change;
};

// How many of the blocks touch each sector.
class Sharing {
  public:
    explicit Sharing(const WsLaunch* launch) : launch(launch), table(launch->allocation_count, nullptr) {}
    ~Sharing() {
        for (Touched* sectors : table) std::free(sectors);
    }
    // Null where memory ran out.
    Touched* at(uint64_t sector, uint32_t& allocation) {
        uint32_t bits = uint32_t(launch->address_stride_bits) - SECTOR_BITS;
        allocation = uint32_t(sector >> bits);
        Touched*& sectors = table[allocation];
        const WsAllocation& it = launch->allocations[allocation];
        uint64_t first = (it.address - launch->address_base) >> SECTOR_BITS;
        // Pages of it that nobody touches cost nothing.
        if (!sectors) sectors = static_cast<Touched*>(std::calloc(it.size / 32 + 2, sizeof(Touched)));
        return sectors ? sectors + (sector - first) : nullptr;
    }

  private:
    const WsLaunch* launch;
    std::vector<Touched*> table;
};

template <class Visit>
bool each_sector(Sharing& sharing, const Part& part, Visit visit) {
    for (const uint64_t* at = part.at; at < part.end; at++)
        for (uint64_t i = 0; i < count_of(*at); i++) {
            uint32_t allocation;
            Touched* touched = sharing.at(sector_of(*at) + i, allocation);
            if (!touched) return false;
            visit(*touched, allocation, *at);
        }
    return true;
}

inline bool first_time(uint32_t& last, uint32_t now) {
    bool first = last != now;
    last = now;
    return first;
}

// Counts the sectors that blocks touch by how many blocks touch them.
inline bool count_sharing(WsLaunch* launch, const std::vector<Part>& parts) {
    Sharing sharing(launch);
    uint32_t ordinal = 0;
    for (const Part& part : parts) {
        ordinal++;
        bool enough = each_sector(sharing, part, [&](Touched& touched, uint32_t allocation, uint64_t) {
            launch->distinct[allocation] += !touched.last;
            touched.blocks += first_time(touched.last, ordinal);
        });
        if (!enough) return false;
    }
    for (const Part& part : parts) {
        ordinal++;
        each_sector(sharing, part, [&](Touched& touched, uint32_t allocation, uint64_t entry) {
            uint32_t kind = std::min<uint32_t>(touched.blocks, WS_SHARING) - 1, port = port_of(entry);
            if (first_time(touched.last, ordinal)) launch->allocation_sharing[size_t(allocation) * WS_SHARING + kind]++;
            if (!first_time(asks_of(entry) == WS_LOADS ? touched.load : touched.change, ordinal)) return;
            if (port >= launch->port_count) return;
            launch->port_sharing[size_t(port) * WS_SHARING + kind]++;
            launch->port_allocation[port] = allocation;
        });
    }
    return true;
}

// Fills launch->l2 and what belongs to it.
inline void simulate(WsLaunch* launch) {
    std::vector<Part> parts;
    if (!launch->traces || launch->fault.kind || !parts_of(launch, parts) || !count_sharing(launch, parts)) return;
    Cache cache(launch->l2_bytes, launch->l2_ways, launch->l2);
    for (size_t first = 0, last; first < parts.size(); first = last) {
        int64_t wave = int64_t(parts[first].block) / launch->wave;
        for (last = first; last < parts.size() && int64_t(parts[last].block) / launch->wave == wave;) last++;
        run_wave(launch, cache, &parts[first], &parts[0] + last);
    }
    launch->l2.left_dirty = cache.dirty();
    launch->l2.simulated = 1;
}

inline void release(WsLaunch* launch) {
    for (auto* trace = static_cast<WsTrace*>(launch->traces); trace;) {
        WsTrace* next = trace->next;
        std::free(trace->entries);
        std::free(trace);
        trace = next;
    }
    launch->traces = nullptr;
}

}  // namespace l2
