// What a warp's access costs the memory system, counted as Nsight Compute's documentation describes it:
// 32-byte sectors of global and local memory, passes through shared memory's 32 four-byte banks.
#pragma once
#include "machine.h"

namespace WS_NS {
namespace {

// Distinct 32-byte sectors that the active lanes' accesses touch; `seen` has room for two a lane.
static u32 distinct_sectors(const u64* address, u32 mask, u32 bytes, u64* seen) {
    u32 count = 0;
    for (u32 m = mask; m; m &= m - 1) {
        u64 first = address[first_lane(m)] >> 5, last = (address[first_lane(m)] + bytes - 1) >> 5;
        for (u64 sector = first; sector <= last; sector++) {
            u32 i = count;
            while (i && seen[i - 1] != sector) i--;
            if (!i) seen[count++] = sector;
        }
    }
    return count;
}

static u32 sectors_touched(const u64* address, u32 mask, u32 bytes) {
    u64 seen[2 * LANES];
    return distinct_sectors(address, mask, bytes, seen);
}

struct Passes {
    u32 wavefronts, ideal;
};

// Distinct words of one bank cannot be served together; identical words are. Accesses of 8 bytes go by half-warp,
// those of 16 bytes by quarter-warp.
static Passes bank_passes(const u32* address, u32 mask, u32 bytes) {
    u32 group = bytes <= 4 ? 32 : bytes == 8 ? 16 : 8;
    Passes passes = {0, 0};
    for (u32 start = 0; start < LANES; start += group) {
        u32 members = mask >> start & (group == 32 ? ALL : (1u << group) - 1);
        if (!members) continue;
        u32 word_of[32][32];
        u8 words_in[32] = {};
        u32 most = 1;
        for (u32 m = members; m; m &= m - 1) {
            u32 at = address[start + first_lane(m)];
            for (u32 word = at / 4; word <= (at + bytes - 1) / 4; word++) {
                u32 bank = word % 32, i = words_in[bank];
                while (i && word_of[bank][i - 1] != word) i--;
                if (i || words_in[bank] == 32) continue;
                word_of[bank][words_in[bank]++] = word;
                most = words_in[bank] > most ? words_in[bank] : most;
            }
        }
        passes.wavefronts += most;
        passes.ideal++;
    }
    return passes;
}

// Local memory interleaves lanes by four-byte words, so that lanes at one local address touch adjacent words.
static u32 local_sectors(const u64* address, u32 mask, u32 bytes) {
    u32 count = 0;
    for (u32 word = 0; word < (bytes + 3) / 4; word++) {
        u64 place[LANES];
        for (u32 m = mask; m; m &= m - 1) {
            u32 lane = first_lane(m);
            place[lane] = ((address[lane] / 4 + word) * LANES + lane) * 4;
        }
        count += sectors_touched(place, mask, 4);
    }
    return count;
}

// Largest number of lanes on one address.
static u32 most_on_one_address(const u64* address, u32 mask) {
    u32 most = 0;
    for (u32 m = mask; m; m &= m - 1) {
        u32 same = 0;
        for (u32 q = mask; q; q &= q - 1) same += address[first_lane(q)] == address[first_lane(m)];
        most = same > most ? same : most;
    }
    return most;
}

}  // namespace
}  // namespace WS_NS
