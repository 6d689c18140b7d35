// Where the elements of a warp's matrix fragments lie, and how their bits are read: isa/fragments.py in C++.
#pragma once
#include "matrix.h"

namespace WS_NS {
namespace {

enum ElementType : u32 {
    E_F16, E_BF16, E_TF32, E_E4M3, E_E5M2, E_F32, E_F64, E_S8, E_U8, E_S4, E_U4, E_B1, E_S32
};
constexpr u32 ELEMENT_BITS[] = {16, 16, 32, 8, 8, 32, 64, 8, 8, 4, 4, 1, 32};
enum Layout : u32 { LEFT, RIGHT, SUMS, LINEAR };
struct Spot { u32 row, column; };

// A fragment as an operation's list describes it: element type, layout, rows, columns, registers; then their places.
struct Fragment {
    u32 type, layout, rows, columns, count;
    const u32* registers;
    static constexpr u32 WORDS = 5;

    Fragment(const u32* words, const u32* places)
        : type(words[0]), layout(words[1]), rows(words[2]), columns(words[3]), count(words[4]), registers(places) {}
    u32 bits() const { return ELEMENT_BITS[type]; }
    u32 per() const { return bits() < 32 ? 32 / bits() : 1; }
    u32 slots() const { return count * per(); }
    // Elements of one lane; registers beyond them hold some again.
    u32 each() const { return rows * columns / LANES; }

    Spot spot(u32 lane, u32 slot) const {
        u32 per = this->per(), reg = slot / per, e = slot % per, groups = rows / 8;
        switch (layout) {
            case LEFT: return {lane / 4 + 8 * (reg % groups), reg / groups * 4 * per + lane % 4 * per + e};
            case RIGHT: return {reg * 4 * per + lane % 4 * per + e, lane / 4};
            case SUMS:
                return {lane / 4 + 8 * (slot / 2 % groups), 8 * (slot / 2 / groups) + lane % 4 * 2 + slot % 2};
            default: return {(slot * LANES + lane) / columns, (slot * LANES + lane) % columns};
        }
    }
    u64 read(Warp* w, u32 lane, u32 slot) const {
        u32 bits = this->bits();
        if (bits == 64) return lanes<u64>(w, registers[slot])[lane];
        u32 word = lanes<u32>(w, registers[slot / per()])[lane];
        return bits == 32 ? word : word >> slot % per() * bits & ((1u << bits) - 1);
    }
    void write(Warp* w, u32 lane, u32 slot, u64 value) const {
        u32 bits = this->bits();
        if (bits == 64) {
            lanes<u64>(w, registers[slot])[lane] = value;
            return;
        }
        u32& word = lanes<u32>(w, registers[slot / per()])[lane];
        if (bits == 32) {
            word = u32(value);
            return;
        }
        u32 shift = slot % per() * bits, mask = ((1u << bits) - 1) << shift;
        word = (word & ~mask) | (u32(value) << shift & mask);
    }
};

// The spots of a layout, worked out once by each host thread: [slot][lane].
struct Spots {
    static constexpr u32 MOST = 32 * 256, KEPT = 16;  // 1 << (32 - 28)
    u32 key;
    u8 row[MOST], column[MOST];

    static const Spots& of(const Fragment& f) {
        static thread_local Spots kept[KEPT];
        u32 key = f.layout | f.per() << 2 | f.rows << 8 | f.columns << 14;
        Spots& spots = kept[key * 2654435761u >> 28];
        if (spots.key == key) return spots;
        spots.key = key;
        for (u32 slot = 0; slot < f.each(); slot++)
            for (u32 lane = 0; lane < LANES; lane++) {
                Spot at = f.spot(lane, slot);
                spots.row[slot * LANES + lane] = u8(at.row);
                spots.column[slot * LANES + lane] = u8(at.column);
            }
        return spots;
    }
};

template <class Number>
static Number number_of(u32 type, u64 bits) {
    switch (type) {
        case E_F16: return Number(f16(u16(bits)));
        case E_BF16: return Number(bf16(u16(bits)));
        case E_TF32: return Number(Tf32::read(u32(bits)));
        case E_E4M3: return Number(e4m3(u8(bits)));
        case E_E5M2: return Number(e5m2(u8(bits)));
        case E_F32: return Number(f32_of(u32(bits)));
        case E_F64: return Number(f64_of(bits));
        case E_S8: return Number(s8(bits));
        case E_S4: return Number(s32(u32(bits) << 28) >> 28);
        case E_S32: return Number(s32(bits));
        default: return Number(bits);
    }
}

// matrix[row * pitch + column] = the elements.
template <class Number>
static void gather(Warp* w, const Fragment& f, Number* matrix, u32 pitch) {
    const Spots& spots = Spots::of(f);
    auto fill = [&](auto number) {
        u32 bits = f.bits(), per = f.per();
        for (u32 slot = 0; slot < f.each(); slot++) {
            const u8 *row = spots.row + slot * LANES, *column = spots.column + slot * LANES;
            if (bits == 64) {
                const u64* words = lanes<u64>(w, f.registers[slot]);
                for (u32 lane = 0; lane < LANES; lane++) matrix[row[lane] * pitch + column[lane]] = number(words[lane]);
                continue;
            }
            const u32* words = lanes<u32>(w, f.registers[slot / per]);
            u32 shift = slot % per * bits, mask = bits == 32 ? ALL : (1u << bits) - 1;
            Number found[LANES];
            for (u32 lane = 0; lane < LANES; lane++) found[lane] = number(words[lane] >> shift & mask);
            for (u32 lane = 0; lane < LANES; lane++) matrix[row[lane] * pitch + column[lane]] = found[lane];
        }
    };
    switch (f.type) {
        case E_F16: return fill([](u64 bits) { return number_of<Number>(E_F16, bits); });
        case E_BF16: return fill([](u64 bits) { return number_of<Number>(E_BF16, bits); });
        case E_F32: return fill([](u64 bits) { return number_of<Number>(E_F32, bits); });
        default: return fill([&](u64 bits) { return number_of<Number>(f.type, bits); });
    }
}

static u64 bits_of_sum(u32 type, f32 sum) { return type == E_F16 ? u64(to_f16(sum)) : u64(bits_of(sum)); }
static u64 bits_of_sum(u32, f64 sum) { return bits_of(sum); }
static u64 bits_of_sum(u32, s64 sum) { return u64(u32(sum)); }

template <class Number>
static void scatter(Warp* w, const Fragment& f, const Number* matrix, u32 pitch) {
    const Spots& spots = Spots::of(f);
    for (u32 slot = 0; slot < f.slots(); slot++) {
        u32 from = slot % f.each() * LANES;
        for (u32 lane = 0; lane < LANES; lane++)
            f.write(w, lane, slot, bits_of_sum(f.type, matrix[spots.row[from + lane] * pitch + spots.column[from + lane]]));
    }
}

}  // namespace
}  // namespace WS_NS
