/* Queries as encode.py has them, which says what the codes and the terms beside them are: all in float64. */
#include <math.h>
#include <stdlib.h>

#include "doubles.h"
#include "nearest.h"

#define UP (1.0 + 0x1p-7)
enum { EXTRA = 5 };        /* columns beside the values of codes that are no int8 */
enum { SAFE_WIDTH = 65000 };
#define SAFE_NORM 0x1p50   /* of the longest vector: beyond it there is no bound */
#define SMALLEST 0x1p-100  /* of a code, and of a step */
#define NEAREST 0x1.8p52   /* added to a small number, and taken away, it rounds to a whole one, of two to the even */

static double product(const double *x, const double *y, int64_t d) {
    vd total[2] = {{0}, {0}};
    double rest = 0.0;
    int64_t at = 0;
    for (; at + 2 * WIDE <= d; at += 2 * WIDE)
        for (int part = 0; part < 2; part++) {
            vd a, b;
            memcpy(&a, x + at + part * WIDE, sizeof a);
            memcpy(&b, y + at + part * WIDE, sizeof b);
            total[part] += a * b;
        }
    for (; at < d; at++) rest += x[at] * y[at];
    return rest + sum(total[0] + total[1]);
}

static uint16_t to_bfloat16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float from_bfloat16(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

/* What a unit of an int8 code is worth. */
static float step_of(const double *x, int64_t d) {
    int32_t most = 0;
    float largest;
    for (int64_t i = 0; i < d; i++) { /* bits of positive numbers are in their order */
        float value = (float)x[i];
        int32_t bits;
        memcpy(&bits, &value, 4);
        bits &= 0x7fffffff;
        most = bits > most ? bits : most;
    }
    memcpy(&largest, &most, 4);
    float step = largest > 0.0f ? largest / 127.0f : 1.0f;
    return step < (float)SMALLEST ? (float)SMALLEST : step;
}

/* Round x [d] to codes of float32 or bfloat16; x becomes what is lost, and `rounded` what they are worth. */
static void round_floats(const Queries *q, uint8_t *codes, double *x, double *rounded) {
    for (int64_t i = 0; i < q->x.d; i++) {
        float value = fabs(x[i]) < SMALLEST ? 0.0f : (float)x[i]; /* so that no processor flushes it unseen */
        if (q->type == BFLOAT16) value = from_bfloat16(((uint16_t *)codes)[i] = to_bfloat16(value));
        else ((float *)codes)[i] = value;
        rounded[i] = value;
        x[i] -= value;
    }
}

static void round_int8(const Queries *q, uint8_t *codes, double *x, double *rounded, double step) {
    for (int64_t i = 0; i < q->x.d; i++) rounded[i] = (x[i] / step + NEAREST) - NEAREST;
    for (int64_t i = 0; i < q->x.d; i++) ((int8_t *)codes)[i] = (int8_t)rounded[i];
    for (int64_t i = 0; i < q->x.d; i++) x[i] -= rounded[i] *= step;
}

/* Write the columns beside the values of codes that are no int8, and read what they keep. */
static void write_terms(const Queries *q, uint8_t *codes, float *terms) {
    for (int64_t i = 0; i < EXTRA; i++) {
        float value = i < 3 ? 1.0f : terms[i - 2];
        if (q->type == BFLOAT16) value = from_bfloat16(((uint16_t *)codes)[q->x.d + i] = to_bfloat16(value));
        else ((float *)codes)[q->x.d + i] = value;
        if (i > 2) terms[i - 2] = value;
    }
}

/* Encode a query; 0 where it is too long. x, rounded: room for its values, held: too, as float32. */
static int encode_one(Queries *q, int64_t query, double from_centre, double *x, double *rounded, float *held) {
    int64_t d = q->x.d, size = q->type == INT8 ? 1 : q->type == BFLOAT16 ? 2 : 4;
    const float *given = float_row(&q->x, query, held);
    uint8_t *codes = q->codes + query * q->width * size;
    float *terms = q->terms + 3 * query;
    int squares = q->metric == SQ_EUCLIDEAN;
    double from_origin, width = (double)q->width, length = sqrt(square(given, d)), norm, kept, lost;
    dots(&given, q->centre, d, 1, &from_origin);
    for (int64_t i = 0; i < d; i++) x[i] = squares ? (double)given[i] - q->centre[i] : given[i];
    norm = sqrt(product(x, x, d));
    if (!(norm <= SAFE_NORM)) return 0;
    q->step[query] = q->type == INT8 ? step_of(x, d) : 1.0f;
    if (q->type == INT8) round_int8(q, codes, x, rounded, q->step[query]);
    else round_floats(q, codes, x, rounded);
    kept = sqrt(product(rounded, rounded, d));
    lost = sqrt(product(x, x, d)) + q->roundoff * kept;
    terms[0] = 1.0f;
    terms[1] = (float)(lost * UP);
    terms[2] = (float)(kept * UP);
    if (q->type != INT8) write_terms(q, codes, terms);
    q->floor[query] = width * 0x1p-50 * (norm * norm + length * (1.0 + from_centre)) + /* of float64 */
                      width * 0x1p-118 * (1.0 + norm) + q->roundoff * q->offset;
    q->constant[query] = squares ? norm * norm : from_origin;
    q->norm[query] = length;
    return 1;
}

EXPORT void search_free_queries(Queries *q) {
    free(q->codes);
    free(q->terms);
    free(q->floor);
}

/* Encode the queries: 1, 0 where memory is short, -1 where one is too long for a bound; `search_free_queries` is to be
 * called whatever this says. */
EXPORT int64_t search_encode(Queries *q) {
    int64_t d = q->x.d, h = q->h, size = q->type == INT8 ? 1 : q->type == BFLOAT16 ? 2 : 4, good = 1;
    double *room = malloc((size_t)(2 * d) * sizeof(double) + (size_t)d * sizeof(float));
    q->codes = calloc((size_t)(h * q->width), (size_t)size);
    q->terms = malloc((size_t)(4 * h) * sizeof(float));
    q->floor = malloc((size_t)(3 * h) * sizeof(double));
    if (!room || !q->codes || !q->terms || !q->floor) return free(room), 0;
    q->step = q->terms + 3 * h;
    q->constant = q->floor + h;
    q->norm = q->constant + h;
    double from_centre = sqrt(square(q->centre, d));
    if (q->width > SAFE_WIDTH) good = -1;
    for (int64_t query = 0; good == 1 && query < h; query++)
        if (!encode_one(q, query, from_centre, room, room + d, (float *)(room + 2 * d))) good = -1;
    free(room);
    return good;
}
