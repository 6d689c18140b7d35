// What a block did to shared memory since its warps last met at one barrier, in short.
//
// Whatever came before that barrier is over for everybody, and within such an epoch nothing orders two threads while
// it stays calm: no other barrier, no meeting of a warp's lanes, no atomic. Then a word that was only read, or touched
// by one thread alone, cannot be part of a race, and one tag a word tells this without a look at its history. The
// accesses are listed meanwhile. When a tag does not settle the matter, or the calm ends, the list is told to the exact
// history (`tell` in calm.h), which then stands as if it had been asked every time.
#pragma once
#include "machine.h"

namespace WS_NS {
namespace {

// A word's tag: the epoch that touched it last, how, and the thread where there was one.
constexpr u32 EPOCH_SHIFT = 12, TAG_READ = 0u << 10, TAG_READ_BY_MANY = 1u << 10, TAG_WRITTEN = 2u << 10;
constexpr u32 TAG_IN_FLIGHT = 3u << 10;  // an asynchronous copy began to write it
constexpr u32 MOST_EPOCHS = 1u << 20, FEW_EPOCHS = 1u << 16;
constexpr u32 MOST_VISITS = 1u << 17;

// `places` of a visit: an index of LanePlaces, or one of these.
constexpr u32 ALL_IN_A_ROW = 0xC0000000u, ALL_AT_ONE = 0xC0000001u, ONE_LANE = 0x80000000u;

struct LanePlaces {
    u32 mask;
    u32 from[LANES];  // of each lane's address from the visit's start
};

enum class Touch : u8 { READ, WRITE, ISSUE };

// A warp's access that the history has not been told.
struct Visit {
    const Operation* op;
    u32 places, start, stamp;
    u16 warp;
    u8 bytes;
    Touch touch;
};

struct Epoch {
    u32 now, block;  // this epoch's number, and that of the block's first
    bool calm;
    u32 touched;     // warps that reached shared memory since everything was over for everybody
    u32* tags;
    Visit* visits;
    LanePlaces* places;
    u32 visit_count, visit_capacity, place_count, place_capacity;
};

// Places that a memory instruction's accesses of this epoch were listed with.
struct Listed {
    const Epoch* epoch;
    u32 number, places;
};

static bool epoch_prepare(Epoch& e, u32 words) {
    // Sixteen lanes' tags may be loaded at once.
    e.tags = static_cast<u32*>(calloc(words + LANES, sizeof(u32)));
    return e.tags;
}

static void epoch_free(Epoch& e) {
    free(e.tags);
    free(e.visits);
    free(e.places);
}

static void epoch_start(Epoch& e) {
    e.calm = true;
    e.touched = e.visit_count = e.place_count = 0;
}

static void epoch_begin_block(Epoch& e, u32 words) {
    if (e.now > MOST_EPOCHS - FEW_EPOCHS) {
        memset(e.tags, 0, words * sizeof(u32));
        e.now = 0;
    }
    e.block = ++e.now;
    epoch_start(e);
}

// Everything so far is over for everybody.
static void epoch_next(Epoch& e) {
    epoch_start(e);
    if (e.now + 1 < MOST_EPOCHS) e.now++;
    else e.calm = false;
}

// Ends the calm (calm.h).
WS_COLD void tell(Worker* k);

// Whether the tags know that an asynchronous copy has begun to write the word and not ended.
WS_INLINE bool in_flight(const Epoch& e, u32 word) {
    u32 tag = e.tags[word];
    return (tag & TAG_IN_FLIGHT) == TAG_IN_FLIGHT && tag >> EPOCH_SHIFT >= e.block;
}

// Whether the block has written the word, as far as the tags know.
WS_INLINE bool known_written(const Epoch& e, u32 word) {
    return e.tags[word] >> EPOCH_SHIFT >= e.block && (e.tags[word] & TAG_IN_FLIGHT) != TAG_IN_FLIGHT;
}

template <class T>
static bool room_for_one(T*& items, u32 count, u32& capacity) {
    if (count < capacity) return true;
    u32 larger = capacity ? 2 * capacity : 256;
    void* grown = realloc(items, size_t(larger) * sizeof(T));
    if (!grown) return false;
    items = static_cast<T*>(grown);
    capacity = larger;
    return true;
}

static u32 list_places(Epoch& e, const u32* from, u32 mask) {
    if (!room_for_one(e.places, e.place_count, e.place_capacity)) abort();
    LanePlaces& places = e.places[e.place_count];
    places.mask = mask;
    memcpy(places.from, from, sizeof places.from);
    return e.place_count++;
}

}  // namespace
}  // namespace WS_NS
