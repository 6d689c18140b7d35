// ldmatrix, stmatrix and mma.sync.
//
// Fragments as the PTX ISA lays them out (9.7.14, "Matrix Fragments for mma"): lane 4g + t holds rows g and g + 8.
// A 16-bit A register is therefore eight rows of eight consecutive elements in lane order. Sums run over k in order,
// product and sum rounded apart: the products of 16-bit and tf32 values are exact, so every build gives one answer.
#pragma once
#include "exchange.h"
#include "pattern.h"

namespace WS_NS {
namespace {

// All lanes take part in .aligned instructions.
WS_INLINE bool everyone(Warp* w, const Operation* op, const Operation*& next) {
    next = op + 1;
    if (__builtin_expect(w->active == ALL, 1)) return true;
    if (w->alive != ALL) next = fail(w, op, WS_BARRIER, first_lane(w->active), WS_WARP_NOT_WHOLE);
    else next = wait_for_members(w, op, ALL);
    return false;
}

// a: row addresses; bytes: number of matrices; target: transposed; list: registers. Row r of matrix q comes from
// lane 8q + r.
// What stmatrix writes to the row that `lane` addresses.
static void row_stored(Warp* w, const Operation* op, u32 lane, u8* bytes) {
    const u32* words = lanes<u32>(w, w->worker->lists[op->list + lane / 8]);
    u16 row[8];
    for (u32 i = 0; i < 8; i++) {
        u32 word = op->target ? words[4 * i + lane % 8 / 2] : words[lane % 8 * 4 + i / 2];
        row[i] = (op->target ? lane : i) % 2 ? hi(word) : lo(word);
    }
    memcpy(bytes, row, sizeof row);
}

template <bool Checks, bool Counts, bool Write>
WS_INLINE bool reach_rows(Warp* w, const Operation* op, u8** row) {
    Worker* k = w->worker;
    u32 rows = op->bytes * 8, mask = rows == 32 ? ALL : (1u << rows) - 1;
    u64 exact[LANES];
    widen_addresses(w, op->a, op->flags & WS_WIDE, op->imm, exact);
    u64 bad = 0;
    for (u32 i = 0; i < rows; i++) {
        bad |= (exact[i] & 15) | u64(exact[i] + 16 > k->shared_bytes) | exact[i] >> 32;
        row[i] = k->shared + u32(exact[i]);
    }
    if (Checks || __builtin_expect(bad != 0, 0))
        return reach_lanes(w, op, WS_SHARED, exact, 16, Write ? Use::WRITE : Use::READ, mask, Write ? row_stored : nullptr);
    if (Counts) {
        Port& port = k->ports[op->port];
        u32 narrow[LANES];
        for (u32 i = 0; i < rows; i++) narrow[i] = u32(exact[i]);
        u32 differ = port.mask ^ mask;
        for (u32 i = 0; i < rows; i++) differ |= (narrow[i] - narrow[0]) ^ port.distance32[i];
        if (__builtin_expect(differ != 0, 0)) {
            port.mask = mask;
            for (u32 i = 0; i < rows; i++) port.distance32[i] = narrow[i] - narrow[0];
            port.passes[0] = bank_passes(narrow, mask, 16);
        }
        port.counts.requests++;
        port.counts.lanes += LANES;
        port.counts.wavefronts += port.passes[0].wavefronts;
        port.counts.ideal += port.passes[0].ideal;
    }
    return true;
}

// Whether the part of an ldmatrix's row that goes to `lane` is there for it. The history of shared memory takes the lane
// that gives the row's address for its reader, whose own writes are over for itself alone.
WS_INLINE bool there_for(Warp* w, const Operation* op, Cell& cell, u32 at, u32 lane) {
    Toucher t = {w->worker->races, w->index, thread_of(w, lane), op->site, false, w, op, nullptr, nullptr, at, false};
    Collision found;
    return !collides_with_write(t, cell, false, found) || !collide(w, op, lane, found, at, 4);
}

static bool there_for_all(Warp* w, const Operation* op, u8** row) {
    Worker* k = w->worker;
    Races* r = k->races;
    const Epoch& e = r->epoch;
    u32 words = op->bytes * 32;
    for (u32 i = 0; i < words && e.calm; i++) {
        u32 tag = e.tags[u32(row[i / 4] - k->shared) / 4 + i % 4];
        if (tag >> EPOCH_SHIFT == e.now && tag & TAG_WRITTEN) tell(k);
    }
    for (u32 i = 0; i < words && !e.calm; i++) {
        u32 at = u32(row[i / 4] - k->shared) + 4 * (i % 4), r8 = i / 4 % 8;
        Cell& word = r->words[at / 4];
        Cell* parts = word.split ? r->bytes + size_t(at / 4) * 4 : &word;
        // Transposed, its two elements go to two lanes.
        for (u32 half = 0; half < 2; half++) {
            u32 lane = op->target ? 4 * (2 * (i % 4) + half) + r8 / 2 : 4 * r8 + i % 4;
            for (u32 b = 0; b < (word.split ? 2u : 1u); b++)
                if (!there_for(w, op, parts[word.split ? 2 * half + b : 0], at, lane)) return false;
        }
    }
    return true;
}

template <bool Checks, bool Counts>
struct LoadMatrix {
    static const Operation* run(Warp* w, const Operation* op) {
        const Operation* next;
        if (!everyone(w, op, next)) return next;
        u8* row[LANES];
        if (!reach_rows<Checks, Counts, false>(w, op, row)) return nullptr;
        if (Checks && !there_for_all(w, op, row)) return nullptr;
        u32 words[4][LANES];
        for (u32 q = 0; q < op->bytes; q++) {
            if (!op->target) {
                for (u32 r = 0; r < 8; r++) memcpy(words[q] + 4 * r, row[8 * q + r], 16);
                continue;
            }
            u16 m[8][8];
            for (u32 r = 0; r < 8; r++) memcpy(m[r], row[8 * q + r], 16);
            for (u32 t = 0; t < 4; t++)
                for (u32 g = 0; g < 8; g++) words[q][4 * g + t] = u32(m[2 * t][g]) | u32(m[2 * t + 1][g]) << 16;
        }
        for (u32 q = 0; q < op->bytes; q++)
            memcpy(lanes<u32>(w, w->worker->lists[op->list + q]), words[q], sizeof words[q]);
        return next;
    }
};

template <bool Checks, bool Counts>
struct StoreMatrix {
    static const Operation* run(Warp* w, const Operation* op) {
        const Operation* next;
        if (!everyone(w, op, next)) return next;
        u8* row[LANES];
        if (!reach_rows<Checks, Counts, true>(w, op, row)) return nullptr;
        for (u32 q = 0; q < op->bytes; q++) {
            const u32* words = lanes<u32>(w, w->worker->lists[op->list + q]);
            u16 m[8][8];
            for (u32 i = 0; i < LANES; i++) {
                u32 g = i / 4, t = i % 4 * 2;
                (op->target ? m[t][g] : m[g][t]) = lo(words[i]);
                (op->target ? m[t + 1][g] : m[g][t + 1]) = hi(words[i]);
            }
            for (u32 r = 0; r < 8; r++) memcpy(row[8 * q + r], m[r], 16);
        }
        return next;
    }
};

// movmatrix: lane 4g + t holds elements (g, 2t) and (g, 2t + 1) of an 8x8 matrix of halves, and gets the transposed ones.
static const Operation* transpose_matrix(Warp* w, const Operation* op) {
    const Operation* next;
    if (!everyone(w, op, next)) return next;
    u32 held[LANES], *d = lanes<u32>(w, op->d);
    memcpy(held, lanes<u32>(w, op->a), sizeof held);
    for (u32 i = 0; i < LANES; i++) {
        u32 g = i / 4, t = i % 4 * 2, shift = g % 2 * 16;
        d[i] = (held[t * 4 + g / 2] >> shift & 0xFFFF) | (held[(t + 1) * 4 + g / 2] >> shift & 0xFFFF) << 16;
    }
    return next;
}

// How elements of each type are read from a register's bytes.
struct F16 {
    using Bits = u16;
    using Sum = f32;
    static f32 read(u16 x) { return f16(x); }
};
struct Bf16 {
    using Bits = u16;
    using Sum = f32;
    static f32 read(u16 x) { return bf16(x); }
};
struct Tf32 {
    using Bits = u32;
    using Sum = f32;
    static f32 read(u32 x) { return f32_of(x & 0xFFFFE000u); }
};
template <class T>
struct Int8 {
    using Bits = T;
    using Sum = u32;  // of two's complement bits: sums wrap
    static u32 read(T x) { return u32(s32(x)); }
};

// Sixteen-bit halves are converted in whole registers, which the vector units do at once.
template <class Type>
WS_INLINE void read_register(const u8* bytes, typename Type::Sum* values) {
    using Bits = typename Type::Bits;
    constexpr u32 count = 128 / sizeof(Bits);
    Bits bits[count];
    memcpy(bits, bytes, 128);
#if defined(__F16C__)
    if constexpr (std::is_same<Type, F16>::value) {
        for (u32 i = 0; i < count; i += 8)
            _mm256_storeu_ps(values + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bits + i))));
        return;
    }
#endif
    for (u32 i = 0; i < count; i++) values[i] = Type::read(bits[i]);
}

WS_INLINE s32 saturated(s64 x) { return s32(x > 0x7FFFFFFF ? 0x7FFFFFFF : x < -0x80000000ll ? -0x80000000ll : x); }

#if defined(__AVX512F__)
// The same products and sums in the same order for 16-bit A and B, with every value left in the lane that holds it: lane
// 4g + t sums elements (g, 2t) and (g, 2t + 1). A row's element reaches its four lanes by a shuffle of a quad, a row of B
// all quads by one permutation.
struct FragmentPair {
    __m512 value[2][2];  // [element of the register][upper sixteen lanes]
};

template <class Type>
WS_INLINE FragmentPair read_pairs(Warp* w, u32 offset) {
    FragmentPair pair;
    for (u32 q = 0; q < 2; q++) {
        __m512i word = _mm512_load_si512(lanes<u32>(w, offset) + 16 * q);
        __m512i high = _mm512_maskz_srli_epi32(0xFFFF, word, 16);
        if constexpr (std::is_same<Type, F16>::value) {
            pair.value[0][q] = _mm512_maskz_cvtph_ps(0xFFFF, _mm512_maskz_cvtepi32_epi16(0xFFFF, word));
            pair.value[1][q] = _mm512_maskz_cvtph_ps(0xFFFF, _mm512_maskz_cvtepi32_epi16(0xFFFF, high));
        } else {
            pair.value[0][q] = _mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xFFFF, word, 16));
            pair.value[1][q] = _mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xFFFF, high, 16));
        }
    }
    return pair;
}

// Adds the products of k = 2T and 2T + 1 of eight. sum: [row half][column of the pair][upper lanes].
template <u32 T>
WS_INLINE void add_products(__m512 (&sum)[2][2][2], const FragmentPair (&a)[2], const FragmentPair& b, __m512i columns) {
    for (u32 e = 0; e < 2; e++)
        for (u32 column = 0; column < 2; column++) {
            // Column n of B is in lanes 4n to 4n + 3.
            __m512i index = _mm512_add_epi32(columns, _mm512_set1_epi32(s32(4 * column + T)));
            __m512 row = _mm512_permutex2var_ps(b.value[e][0], index, b.value[e][1]);
            for (u32 half = 0; half < 2; half++)
                for (u32 q = 0; q < 2; q++) {
                    __m512 mine = _mm512_maskz_permute_ps(0xFFFF, a[half].value[e][q], T * 0x55);
                    sum[half][column][q] = _mm512_add_ps(sum[half][column][q], _mm512_mul_ps(row, mine));
                }
        }
}

template <class Type, u32 PARTS>
WS_INLINE void multiply_in_lanes(Warp* w, const u32* list) {
    const u32 *list_a = list + 4, *list_b = list_a + 2 * PARTS, *list_c = list_b + PARTS;
    const __m512i columns = _mm512_set_epi32(24, 16, 8, 0, 24, 16, 8, 0, 24, 16, 8, 0, 24, 16, 8, 0);
    __m512 sum[2][2][2];
    for (u32 i = 0; i < 8; i++) sum[i / 4][i / 2 % 2][i % 2] = _mm512_load_ps(lanes<f32>(w, list_c[i / 2]) + 16 * (i % 2));
    for (u32 part = 0; part < PARTS; part++) {
        FragmentPair a[2] = {read_pairs<Type>(w, list_a[2 * part]), read_pairs<Type>(w, list_a[2 * part + 1])};
        FragmentPair b = read_pairs<Type>(w, list_b[part]);
        add_products<0>(sum, a, b, columns);
        add_products<1>(sum, a, b, columns);
        add_products<2>(sum, a, b, columns);
        add_products<3>(sum, a, b, columns);
    }
    for (u32 i = 0; i < 8; i++) _mm512_store_ps(lanes<f32>(w, list[i / 2]) + 16 * (i % 2), sum[i / 4][i / 2 % 2][i % 2]);
}
#endif

// c, d: 16 x 8; a: 16 x K; b: K x 8, all in registers named by the list: d, a, b, c in the order of the text.
template <class TypeA, class TypeB, u32 K, bool HalfSum, bool Saturates = false>
struct MatrixMultiply {
    using Sum = typename TypeA::Sum;
    // Eight sums of one row; gcc and clang map it to what the instruction set has.
    typedef Sum Row __attribute__((vector_size(8 * sizeof(Sum))));
    static constexpr u32 STEP = 16 / sizeof(typename TypeA::Bits);  // k values in one register
    static constexpr u32 PARTS = K / STEP;
    static constexpr u32 SUMS = HalfSum ? 2 : 4;

    static void read_sums(Warp* w, const u32* list, Sum (*c)[8]) {
        for (u32 half = 0; half < 2; half++) {
            if constexpr (HalfSum) {
                const u32* word = lanes<u32>(w, list[half]);
                for (u32 i = 0; i < LANES; i++) {
                    c[half * 8 + i / 4][i % 4 * 2] = low16(word[i]);
                    c[half * 8 + i / 4][i % 4 * 2 + 1] = high16(word[i]);
                }
            } else {
                const Sum *even = lanes<Sum>(w, list[2 * half]), *odd = lanes<Sum>(w, list[2 * half + 1]);
                Sum* row = c[half * 8];
                for (u32 i = 0; i < LANES; i++) {
                    row[2 * i] = even[i];
                    row[2 * i + 1] = odd[i];
                }
            }
        }
    }

    static void write_sums(Warp* w, const u32* list, const Sum (*c)[8]) {
        for (u32 half = 0; half < 2; half++) {
            const Sum* row = c[half * 8];
            if constexpr (HalfSum) {
                u32* word = lanes<u32>(w, list[half]);
                for (u32 i = 0; i < LANES; i++) word[i] = pack16(to_f16(row[2 * i]), to_f16(row[2 * i + 1]));
            } else {
                Sum *even = lanes<Sum>(w, list[2 * half]), *odd = lanes<Sum>(w, list[2 * half + 1]);
                for (u32 i = 0; i < LANES; i++) {
                    even[i] = row[2 * i];
                    odd[i] = row[2 * i + 1];
                }
            }
        }
    }

    static const Operation* run(Warp* w, const Operation* op) {
        const Operation* next;
        if (!everyone(w, op, next)) return next;
        const u32* list = w->worker->lists + op->list;
#if defined(__AVX512F__)
        constexpr bool halves = std::is_same<TypeA, F16>::value || std::is_same<TypeA, Bf16>::value;
        if constexpr (halves && std::is_same<TypeA, TypeB>::value && !HalfSum) {
            multiply_in_lanes<TypeA, PARTS>(w, list);
            return next;
        }
#endif
        const u32 *list_a = list + SUMS, *list_b = list_a + 2 * PARTS, *list_c = list_b + PARTS;
        alignas(64) Sum a[2][PARTS][8 * STEP], across[PARTS][8][STEP], c[16][8];
        Row b[K];
        for (u32 part = 0; part < PARTS; part++) {
            for (u32 half = 0; half < 2; half++)
                read_register<TypeA>(lanes<u8>(w, list_a[2 * part + half]), a[half][part]);
            read_register<TypeB>(lanes<u8>(w, list_b[part]), across[part][0]);
        }
        for (u32 k = 0; k < K; k++)
            for (u32 n = 0; n < 8; n++) b[k][n] = across[k / STEP][n][k % STEP];
        read_sums(w, list_c, c);
        for (u32 row = 0; row < 16; row++) {
            Row sum = {};
            if (!Saturates) memcpy(&sum, c[row], sizeof sum);
#pragma GCC unroll 16
            for (u32 k = 0; k < K; k++) sum += b[k] * a[row / 8][k / STEP][row % 8 * STEP + k % STEP];
            if constexpr (Saturates)
                for (u32 n = 0; n < 8; n++) sum[n] = u32(saturated(s64(s32(sum[n])) + s32(c[row][n])));
            memcpy(c[row], &sum, sizeof sum);
        }
        write_sums(w, list, c);
        return next;
    }
};

// c, d: 8 x 8; a: 8 x 4; b: 4 x 8 of f64; the list: d, d, a, b, c, c.
static const Operation* multiply_f64(Warp* w, const Operation* op) {
    const Operation* next;
    if (!everyone(w, op, next)) return next;
    const u32* list = w->worker->lists + op->list;
    const f64 *a = lanes<f64>(w, list[2]), *b = lanes<f64>(w, list[3]);
    f64 sum[2][LANES];
    for (u32 e = 0; e < 2; e++) memcpy(sum[e], lanes<f64>(w, list[4 + e]), sizeof sum[e]);
    for (u32 i = 0; i < LANES; i++)
        for (u32 e = 0; e < 2; e++)
            for (u32 k = 0; k < 4; k++) sum[e][i] += a[i / 4 * 4 + k] * b[(i % 4 * 2 + e) * 4 + k];
    for (u32 e = 0; e < 2; e++) memcpy(lanes<f64>(w, list[e]), sum[e], sizeof sum[e]);
    return next;
}

#define MMA(name, A, B, K, H) SAME("mma." name, (&MatrixMultiply<A, B, K, H>::run))
#define MMA_SATURATES(name, A, B, K) SAME("mma." name, (&MatrixMultiply<A, B, K, false, true>::run))
#define MMA_INT8(types, A, B)                                                                               \
    MMA("m16n8k32.s32." types, Int8<A>, Int8<B>, 32, false) MMA("m16n8k16.s32." types, Int8<A>, Int8<B>, 16, false) \
    MMA_SATURATES("m16n8k32.s32." types ".satfinite", Int8<A>, Int8<B>, 32)                                 \
    MMA_SATURATES("m16n8k16.s32." types ".satfinite", Int8<A>, Int8<B>, 16)
#define MATRICES                                                                                             \
    {"ldmatrix", {&LoadMatrix<false, false>::run, &LoadMatrix<false, true>::run, &LoadMatrix<true, false>::run, \
                  &LoadMatrix<true, true>::run}},                                                            \
    {"stmatrix", {&StoreMatrix<false, false>::run, &StoreMatrix<false, true>::run,                           \
                  &StoreMatrix<true, false>::run, &StoreMatrix<true, true>::run}},                           \
    MMA("m16n8k16.f32.f16", F16, F16, 16, false) MMA("m16n8k8.f32.f16", F16, F16, 8, false)                  \
    MMA("m16n8k16.f32.bf16", Bf16, Bf16, 16, false) MMA("m16n8k8.f32.bf16", Bf16, Bf16, 8, false)            \
    MMA("m16n8k16.f16.f16", F16, F16, 16, true) MMA("m16n8k8.f16.f16", F16, F16, 8, true)                    \
    MMA("m16n8k8.f32.tf32", Tf32, Tf32, 8, false) MMA("m16n8k4.f32.tf32", Tf32, Tf32, 4, false)              \
    MMA_INT8("s8.s8", s8, s8) MMA_INT8("u8.u8", u8, u8) MMA_INT8("s8.u8", s8, u8) MMA_INT8("u8.s8", u8, s8)  \
    SAME("mma.m8n8k4.f64.f64", multiply_f64) SAME("movmatrix", transpose_matrix)

}  // namespace
}  // namespace WS_NS
