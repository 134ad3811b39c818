/* Exact scores of listed pairs: float64 with a bound of its error, as score.py has it. */
#include <math.h>
#include <stdlib.h>

#include "doubles.h"
#include "nearest.h"
#include "vectors.h"

static float half_to_float(uint16_t half) {
    uint32_t bits = (uint32_t)(half & 0x7fff) << 13;
    float value;
    memcpy(&value, &bits, 4);
    value *= 0x1p112f;
    return half & 0x8000 ? -value : value;
}

/* Read a row as float32, which all types of values are: where it stands, or copied into `room` [d]. */
const float *float_row(const Vectors *vectors, int64_t row, float *room) {
    int64_t step = vectors->column_stride, at = row * vectors->row_stride;
    if (vectors->type == FLOAT32) {
        const float *from = (const float *)vectors->data + at;
        if (step == 1) return from;
        for (int64_t i = 0; i < vectors->d; i++) room[i] = from[i * step];
    } else if (vectors->type == INT8) {
        const int8_t *from = (const int8_t *)vectors->data + at;
        for (int64_t i = 0; i < vectors->d; i++) room[i] = from[i * step];
    } else {
        const uint16_t *from = (const uint16_t *)vectors->data + at;
        for (int64_t i = 0; i < vectors->d; i++) {
            uint32_t bits = (uint32_t)from[i * step] << 16;
            float value;
            memcpy(&value, &bits, 4);
            room[i] = vectors->type == BFLOAT16 ? value : half_to_float(from[i * step]);
        }
    }
    return room;
}

/* Fetch a row from memory that will be read soon: into the second cache, as tiles.h has it. */
void fetch(const Vectors *vectors, int64_t row) {
    static const int64_t bytes[] = {4, 2, 2, 1};
    int64_t size = bytes[vectors->type], step = vectors->column_stride * size;
    const uint8_t *from = (const uint8_t *)vectors->data + row * vectors->row_stride * size;
    for (int64_t i = 0; i < vectors->d * size && step == size; i += 64) __builtin_prefetch(from + i, 0, 2);
}

/* Multiply up to four vectors with one, which is read once for all of them; parts: sums of one, side by side. */
static inline __attribute__((always_inline)) void dots_of(const float *const *x, const float *y, int64_t d,
                                                          const int count, const int parts, double *out) {
    vd sums[4][4];
    int64_t at = 0;
    for (int i = 0; i < count; i++)
        for (int part = 0; part < parts; part++) sums[i][part] = (vd){0};
    for (; at + parts * WIDE <= d; at += parts * WIDE)
        _Pragma("GCC unroll 4") for (int part = 0; part < parts; part++) {
            vd b = doubles(y + at + part * WIDE);
            _Pragma("GCC unroll 4") for (int i = 0; i < count; i++)
                sums[i][part] += doubles(x[i] + at + part * WIDE) * b;
        }
    for (int i = 0; i < count; i++) {
        for (int part = 1; part < parts; part++) sums[i][0] += sums[i][part];
        out[i] = sum(sums[i][0]);
        for (int64_t rest = at; rest < d; rest++) out[i] += (double)x[i][rest] * y[rest];
    }
}

void dots(const float *const *x, const float *y, int64_t d, int count, double *out) {
    if (count == 1) dots_of(x, y, d, 1, 4, out);
    if (count == 2) dots_of(x, y, d, 2, 4, out);
    if (count == 3) dots_of(x, y, d, 3, 2, out);
    if (count == 4) dots_of(x, y, d, 4, 2, out);
}

/* Multiply up to four vectors with one in float32: sums in whatever order, each off by (d + 16) 2^-23 of both norms'
 * product at most, and by what is flushed. */
static inline __attribute__((always_inline)) void products_of(const float *const *x, const float *y, int64_t d,
                                                              const int count, float *out) {
    vf sums[4][2];
    int64_t at = 0;
    for (int i = 0; i < count; i++) sums[i][0] = sums[i][1] = (vf){0};
    for (; at + 2 * LANES <= d; at += 2 * LANES)
        _Pragma("GCC unroll 2") for (int part = 0; part < 2; part++) {
            vf b = (vf)load(y + at + part * LANES);
            _Pragma("GCC unroll 4") for (int i = 0; i < count; i++)
                sums[i][part] += (vf)load(x[i] + at + part * LANES) * b;
        }
    if (count == 4) {
        vf total[4];
        for (int i = 0; i < 4; i++) total[i] = sums[i][0] + sums[i][1];
        four_floats(total, (vi4){0}, out);
    }
    for (int i = 0; i < count; i++) {
        if (count < 4) out[i] = sum_float(sums[i][0] + sums[i][1]);
        for (int64_t rest = at; rest < d; rest++) out[i] += x[i][rest] * y[rest];
    }
}

/* Bound from below what up to four vectors cost with one: -inf where float32 does not tell. x_sq [4], y_sq: squared
 * norms; out [4]. */
void least_costs(const float *const *x, const float *y, int64_t d, int64_t metric, const double *x_sq, double y_sq,
                 int count, double *out) {
    float dot[4] = {0.0f};
    double margin = 1.125 * 0x1p-23 * (double)(d + 16), tiny = 0x1p-120 * (double)d, share = 0x1p-40 * (double)(d + 16);
    if (count == 4) products_of(x, y, d, 4, dot);
    else
        for (int i = 0; i < count; i++) products_of(x + i, y, d, 1, dot + i);
    for (int i = 0; i < 4; i++) { /* four at once by vectors */
        double norm = sqrt(x_sq[i] * y_sq), most = dot[i] + margin * norm + tiny, least = -most;
        if (metric == SQ_EUCLIDEAN) least = (x_sq[i] + y_sq) * (1.0 - share) - 2.0 * most;
        if (metric == COSINE) least = norm > 0.0 ? -most / norm : -INFINITY;
        least -= fabs(least) * share;
        out[i] = isfinite(dot[i]) && norm < 0x1p200 ? least : -INFINITY;
    }
}

double square(const float *x, int64_t d) {
    double value;
    dots(&x, x, d, 1, &value);
    return value;
}

static double sq_distance(const float *x, const float *y, int64_t d) {
    vd total = {0};
    double rest = 0.0;
    int64_t at = 0;
    for (; at + WIDE <= d; at += WIDE) {
        vd difference = doubles(x + at) - doubles(y + at);
        total += difference * difference;
    }
    for (; at < d; at++) rest += ((double)x[at] - y[at]) * ((double)x[at] - y[at]);
    return rest + sum(total);
}

/* A sum as its float64 and what is left of it. Of n exact terms it is off by n^2 2^-106 of their sizes' sum at most
 * (Ogita, Rump and Oishi, SIAM J. Sci. Comput. 26, 2005). */
typedef struct {
    double whole, rest;
} Sum;

static void add(Sum *sum, double term) { /* Knuth's, in whatever order of sizes */
    double total = sum->whole + term, back = total - sum->whole;
    sum->rest += (sum->whole - (total - back)) + (term - back);
    sum->whole = total;
}

/* Round a score that float64 does not tell how to round. Products of float32 values are exact in float64, so that only
 * sums err. 0 where this does not tell either, as of the very middle between two float32. */
static int closely(const float *from, const float *to, int64_t d, int64_t metric, float *found) {
    Sum dot = {0.0, 0.0}, x_sq = dot, y_sq = dot;
    for (int64_t i = 0; i < d; i++) {
        double x = from[i], y = to[i];
        add(&dot, metric == SQ_EUCLIDEAN ? -2.0 * x * y : x * y);
        add(metric == SQ_EUCLIDEAN ? &dot : &x_sq, x * x);
        add(metric == SQ_EUCLIDEAN ? &dot : &y_sq, y * y);
    }
    double sq = x_sq.whole * y_sq.whole, norm = metric == COSINE ? sqrt(sq) : 1.0;
    double value = (dot.whole + dot.rest) / norm, beyond, size, unit = (double)d * (double)d * 0x1p-106;
    float near = (float)value, low = near <= value ? near : nextafterf(near, -INFINITY);
    float high = nextafterf(low, INFINITY);
    double middle = ((double)low + high) / 2.0;
    if (metric == COSINE) { /* is the product beyond the middle, times both norms? */
        double sq_rest = __builtin_fma(x_sq.whole, y_sq.whole, -sq) + x_sq.whole * y_sq.rest + x_sq.rest * y_sq.whole;
        double rest = (__builtin_fma(-norm, norm, sq) + sq_rest) / (2.0 * norm);
        double at = middle * norm, at_rest = __builtin_fma(middle, norm, -at) + middle * rest;
        beyond = (dot.whole - at) + (dot.rest - at_rest);
        size = norm * 16.0 * (unit + 0x1p-100);
    } else {
        beyond = (dot.whole - middle) + dot.rest;
        size = 16.0 * unit * (metric == SQ_EUCLIDEAN ? 9.0 * (square(from, d) + square(to, d)) : sqrt(sq));
    }
    *found = beyond > 0.0 ? high : low;
    return fabs(beyond) * (1.0 - 0x1p-40) > size && !isinf(low) && !isinf(high);
}

/* Score a pair whose product is known. float64 with a bound of its error says how float32 rounds; *open: it does not.
 * A distance that norms and product do not tell is summed of differences, so that near rows are scored as well as far
 * ones. */
float score_pair(double dot, const float *x, const float *y, int64_t d, int64_t metric, double x_sq, double y_sq,
                 int *open) {
    double share = 4.0 * (double)(d + 8) * 0x1p-53, norm = sqrt(x_sq * y_sq), value = dot, error = norm * share;
    if (metric == SQ_EUCLIDEAN) {
        value = x_sq + y_sq - 2.0 * dot;
        error = (x_sq + y_sq) * share;
    } else if (metric == COSINE) {
        value = norm > 0.0 ? dot / norm : dot;
        error = (norm > 0.0) * share;
    }
    float low = (float)(value - error), high = (float)(value + error);
    if (low != high && metric == SQ_EUCLIDEAN) {
        value = sq_distance(x, y, d);
        low = (float)(value - value * share);
        high = (float)(value + value * share);
    }
    *open = low != high && !closely(x, y, d, metric, &low);
    return low + 0.0f; /* no negative zero, whose bits would sort apart */
}

/* Score pairs `from` to `to` of a list: a row, -1 for none, and a query, which is the pair's number by `c` where `query`
 * is NULL. out: float32, left alone where there is no row. open: 1 where float64 cannot round. Returns 0 where memory is
 * short. */
EXPORT int64_t score_pairs(const Vectors *queries, const Vectors *gallery, int64_t metric, const int64_t *query,
                    const int64_t *row, int64_t c, int64_t from, int64_t to, float *out, uint8_t *open) {
    int64_t d = queries->d, now = -1;
    float *room = malloc((size_t)(2 * d) * sizeof(float));
    const float *x = room;
    double x_sq = 0.0, dot;
    for (int64_t at = from; room && at < to; at++) {
        int64_t next = query ? query[at] : at / c;
        int unsure;
        open[at] = 0;
        if (row[at] < 0) continue;
        if (next != now) {
            x = float_row(queries, now = next, room);
            x_sq = square(x, d);
        }
        if (at + 1 < to && row[at + 1] >= 0) fetch(gallery, row[at + 1]);
        const float *y = float_row(gallery, row[at], room + d);
        dots(&x, y, d, 1, &dot);
        out[at] = score_pair(dot, x, y, d, metric, x_sq, gallery->sq_norm ? gallery->sq_norm[row[at]] : square(y, d),
                             &unsure);
        open[at] = (uint8_t)unsure;
    }
    free(room);
    return room != NULL;
}
