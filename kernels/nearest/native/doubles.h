/* Eight values of float64 at a time. */
#ifndef DOUBLES_H
#define DOUBLES_H

#include <string.h>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

typedef float vh __attribute__((vector_size(32)));
typedef double vd __attribute__((vector_size(64)));
typedef double vd4 __attribute__((vector_size(32)));
typedef double vd2 __attribute__((vector_size(16)));
enum { WIDE = 8 };

static inline vd doubles(const float *at) {
#if defined(__AVX512F__)
    return (vd)_mm512_cvtps_pd(_mm256_loadu_ps(at)); /* which the compiler makes of two halves otherwise */
#endif
    vh value;
    memcpy(&value, at, sizeof value);
    return __builtin_convertvector(value, vd);
}

static inline double sum(vd value) {
    vd4 half[2];
    vd2 quarter[2];
    memcpy(half, &value, sizeof value);
    half[0] += half[1];
    memcpy(quarter, half, sizeof quarter);
    quarter[0] += quarter[1];
    return quarter[0][0] + quarter[0][1];
}

#endif
