/* The few primitives that differ between processors: vectors of 32-bit lanes, and the step of a dot product, in which
 * every lane multiplies one value of float32, two of bfloat16 or four of int8. All else is written once on top. */
#ifndef VECTORS_H
#define VECTORS_H

#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
enum { VECTOR_BYTES = 64 };
#elif defined(__AVX2__)
enum { VECTOR_BYTES = 32 };
#else
enum { VECTOR_BYTES = 16 };
#endif
enum { LANES = VECTOR_BYTES / 4 };

/* Rows of the gallery that are multiplied together, and how many of them at a time in registers. */
#if defined(__AMX_TILE__)
enum { UNIT = 32, BATCH = 8 };
#elif defined(__AVX512F__)
enum { UNIT = 12, BATCH = 12 };
#else
enum { UNIT = 4, BATCH = 4 };
#endif

typedef float vf __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t vi __attribute__((vector_size(VECTOR_BYTES)));
typedef uint32_t vu __attribute__((vector_size(VECTOR_BYTES)));
typedef int16_t vs __attribute__((vector_size(VECTOR_BYTES)));
typedef float vf4 __attribute__((vector_size(16)));
typedef int32_t vi4 __attribute__((vector_size(16)));

static inline vu load(const void *at) {
    vu value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline vu spread(const void *at) {
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word - (vu){0};
}

static inline vf spread_float(float value) { return value - (vf){0}; }

/* float32: one product. */
static inline vf step_float32(vf sum, vu x, vu y) { return sum + (vf)x * (vf)y; }

/* bfloat16: two products, each exact in float32. */
static inline vf step_bfloat16(vf sum, vu x, vu y) {
#if defined(__AVX512BF16__)
    return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)y);
#else
    sum += (vf)(x << 16) * (vf)(y << 16);
    return sum + (vf)(x & 0xffff0000u) * (vf)(y & 0xffff0000u);
#endif
}

/* int8: four products, exact. Where rows are read as unsigned, UNSIGNED is added to each of their values. */
#if defined(__AVX512VNNI__)
enum { UNSIGNED = 128 };
#else
enum { UNSIGNED = 0 };
#endif

static inline vi step_int8(vi sum, vu x, vu y) {
#if defined(__AVX512VNNI__)
    return (vi)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)y, (__m512i)x);
#elif defined(__AVX512BW__)
    vs even = ((vs)x << 8) >> 8, odd = (vs)x >> 8, y_even = ((vs)y << 8) >> 8, y_odd = (vs)y >> 8;
    return sum + (vi)_mm512_madd_epi16((__m512i)even, (__m512i)y_even) + (vi)_mm512_madd_epi16((__m512i)odd, (__m512i)y_odd);
#elif defined(__AVX2__)
    vs even = ((vs)x << 8) >> 8, odd = (vs)x >> 8, y_even = ((vs)y << 8) >> 8, y_odd = (vs)y >> 8;
    return sum + (vi)_mm256_madd_epi16((__m256i)even, (__m256i)y_even) + (vi)_mm256_madd_epi16((__m256i)odd, (__m256i)y_odd);
#elif defined(__ARM_FEATURE_DOTPROD)
    return (vi)vdotq_s32((int32x4_t)sum, (int8x16_t)x, (int8x16_t)y);
#else
    for (int left = 24; left >= 0; left -= 8) sum += (((vi)x << left) >> 24) * (((vi)y << left) >> 24);
    return sum;
#endif
}

/* As `step_int8`, of queries in a panel, whose signs PANEL_SIGNS turns, so that they are read as unsigned, and of a row
 * as it is: to turn a row's signs takes as long as to multiply it. `row_bias` says what to add then. */
#if defined(__AVX512VNNI__) && !defined(__AMX_TILE__)
#define PANEL_SIGNS 0x80808080u
static inline vi step_panel_int8(vi sum, vu x, vu y) {
    return (vi)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)x, (__m512i)y);
}
static inline int32_t row_bias(const uint8_t *row, int64_t bytes) {
    vi sum = {0};
    vu ones = 0x01010101u - (vu){0};
    for (int64_t at = 0; at < bytes; at += VECTOR_BYTES) sum = step_panel_int8(sum, ones, load(row + at));
    return -128 * _mm512_reduce_add_epi32((__m512i)sum);
}
#else
#define PANEL_SIGNS 0u
#define step_panel_int8 step_int8
static inline int32_t row_bias(const uint8_t *row, int64_t bytes) { return (void)row, (void)bytes, 0; }
#endif

/* A row's values as `step_int8` takes them. */
static inline vu row_int8(vu y) {
#if defined(__AVX512VNNI__)
    __asm__("" : "+v"(y)); /* else the compiler turns the signs in a register of one word, and spreads that: slower */
    y ^= 0x80808080u;
#endif
    return y;
}

/* The lanes in which a bound reaches its threshold, as bits. */
static inline uint32_t reaching(vf bound, vf least) {
#if defined(__AVX512F__)
    return _mm512_cmp_ps_mask((__m512)bound, (__m512)least, _CMP_GE_OQ);
#elif defined(__AVX2__)
    return (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps((__m256)bound, (__m256)least, _CMP_GE_OQ));
#else
    vi hit = bound >= least;
    uint32_t bits = 0;
    for (int lane = 0; lane < LANES; lane++) bits |= (uint32_t)(hit[lane] & 1) << lane;
    return bits;
#endif
}

/* The lanes in which two vectors are equal, as bits. */
static inline uint32_t equal(vu x, vu y) {
#if defined(__AVX512F__)
    return _mm512_cmpeq_epi32_mask((__m512i)x, (__m512i)y);
#elif defined(__AVX2__)
    return (uint32_t)_mm256_movemask_ps((__m256)(x == y));
#else
    vi hit = x == y;
    uint32_t bits = 0;
    for (int lane = 0; lane < LANES; lane++) bits |= (uint32_t)(hit[lane] & 1) << lane;
    return bits;
#endif
}

/* Put the lanes that have a bit first, in their order; what follows them is anything. */
static inline vu pressed(vu value, uint32_t bits) {
#if defined(__AVX512F__)
    return (vu)_mm512_maskz_compress_epi32((__mmask16)bits, (__m512i)value);
#else
    vu found = {0};
    for (int lane = 0, at = 0; lane < LANES; lane++) {
        found[at] = value[lane];
        at += bits >> lane & 1 && at < LANES - 1;
    }
    return found;
#endif
}

static inline float sum_float(vf value) {
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps((__m512)value);
#else
    float sum = 0.0f;
    for (int lane = 0; lane < LANES; lane++) sum += value[lane];
    return sum;
#endif
}

static inline vi4 load_four(const int32_t *at) {
    vi4 value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* Sum the lanes of four vectors, each with its own of `more`. */
#if defined(__AVX2__)
#if defined(__AVX512F__)
#define LOW_32(x, y) (vi) _mm512_unpacklo_epi32((__m512i)(x), (__m512i)(y))
#define HIGH_32(x, y) (vi) _mm512_unpackhi_epi32((__m512i)(x), (__m512i)(y))
#define LOW_64(x, y) (vi) _mm512_unpacklo_epi64((__m512i)(x), (__m512i)(y))
#define HIGH_64(x, y) (vi) _mm512_unpackhi_epi64((__m512i)(x), (__m512i)(y))
#else
#define LOW_32(x, y) (vi) _mm256_unpacklo_epi32((__m256i)(x), (__m256i)(y))
#define HIGH_32(x, y) (vi) _mm256_unpackhi_epi32((__m256i)(x), (__m256i)(y))
#define LOW_64(x, y) (vi) _mm256_unpacklo_epi64((__m256i)(x), (__m256i)(y))
#define HIGH_64(x, y) (vi) _mm256_unpackhi_epi64((__m256i)(x), (__m256i)(y))
#endif
#define FOUR(NAME, SUM, OF_FOUR)                                                                                       \
    static inline void NAME(const SUM *of, vi4 more, float *out) {                                                    \
        SUM a = (SUM)LOW_32(of[0], of[1]) + (SUM)HIGH_32(of[0], of[1]);                                               \
        SUM b = (SUM)LOW_32(of[2], of[3]) + (SUM)HIGH_32(of[2], of[3]);                                               \
        SUM c = (SUM)LOW_64(a, b) + (SUM)HIGH_64(a, b); /* of each vector's quarter the sum, side by side */          \
        OF_FOUR part[LANES / 4], sum;                                                                                 \
        memcpy(part, &c, sizeof c);                                                                                   \
        sum = part[0] + part[1];                                                                                      \
        if (LANES == 16) sum += part[LANES / 4 - 2] + part[LANES / 4 - 1];                                            \
        vf4 found = __builtin_convertvector(sum + __builtin_convertvector(more, OF_FOUR), vf4);                          \
        memcpy(out, &found, sizeof found);                                                                            \
    }
#else
#define FOUR(NAME, SUM, OF_FOUR)                                                                                       \
    static inline void NAME(const SUM *of, vi4 more, float *out) {                                                    \
        OF_FOUR sum = __builtin_convertvector(more, OF_FOUR);                                                         \
        for (int i = 0; i < 4; i++) {                                                                                 \
            for (int lane = 0; lane < LANES; lane++) sum[i] += of[i][lane];                                           \
            out[i] = (float)sum[i];                                                                                   \
        }                                                                                                             \
    }
#endif
FOUR(four_floats, vf, vf4)
FOUR(four_ints, vi, vi4)

#endif
