/* Products of UNIT rows with queries, for each type of code and two shapes.
 *
 * panel_*: queries stand in the lanes of one or two vectors; each 32-bit word of a row is spread over the lanes.
 * few_*: up to FEW queries; row and query are multiplied along their words, and the lanes are summed.
 * bias: of int8 products, what is to be added: of each row to a panel's, of each query to a few's. next: the rows that
 * come then, to be fetched from memory, or NULL.
 * panel_* writes to out[row][query], few_* to out[query][row], as float32. Sums run in whatever order: encode.py's proof allows any. */
#ifndef TILES_H
#define TILES_H

#include "vectors.h"

enum { FEW = 4 }; /* queries that few_* multiplies at a time */

#define PANEL(NAME, SUM, STEP, TOTAL)                                                                                  \
    static inline __attribute__((always_inline)) void NAME##_of(                                                       \
        const uint8_t *rows, int64_t bytes, const uint32_t *panel, const int32_t *bias, int64_t words,                 \
        const uint8_t *next, const int vectors, vf (*out)[2]) {                                                        \
        const uint32_t *second = panel + (vectors - 1) * words * LANES;                                                \
        for (int top = 0; top < UNIT; top += BATCH) {                                                                  \
            SUM sum[BATCH][2];                                                                                         \
            const uint8_t *batch = rows + top * bytes;                                                                 \
            _Pragma("GCC unroll 12") for (int row = 0; row < BATCH; row++) sum[row][0] = sum[row][1] = (SUM){0};       \
            for (int64_t word = 0; word < words; word++) {                                                             \
                vu x = load(panel + word * LANES), z = load(second + word * LANES);                                    \
                if (next && word % 16 == 0)                                                                            \
                    for (int row = 0; row < BATCH; row++)                                                              \
                        __builtin_prefetch(next + (top + row) * bytes + 4 * word, 0, 2);                               \
                _Pragma("GCC unroll 12") for (int row = 0; row < BATCH; row++) {                                       \
                    vu y = spread(batch + row * bytes + 4 * word);                                                     \
                    sum[row][0] = STEP(sum[row][0], x, y);                                                             \
                    if (vectors == 2) sum[row][1] = STEP(sum[row][1], z, y);                                           \
                }                                                                                                      \
            }                                                                                                          \
            _Pragma("GCC unroll 12") for (int row = 0; row < BATCH; row++) {                                           \
                out[top + row][0] = __builtin_convertvector(TOTAL(sum[row][0], top + row), vf);                        \
                if (vectors == 2) out[top + row][1] = __builtin_convertvector(TOTAL(sum[row][1], top + row), vf);      \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    static void NAME##_1(const uint8_t *rows, int64_t bytes, const uint32_t *panel, const int32_t *bias,               \
                         int64_t words, const uint8_t *next, vf (*out)[2]) {                                           \
        NAME##_of(rows, bytes, panel, bias, words, next, 1, out);                                                      \
    }                                                                                                                  \
    static void NAME##_2(const uint8_t *rows, int64_t bytes, const uint32_t *panel, const int32_t *bias,               \
                         int64_t words, const uint8_t *next, vf (*out)[2]) {                                           \
        NAME##_of(rows, bytes, panel, bias, words, next, 2, out);                                                      \
    }

#if defined(__AMX_TILE__)
/* By tiles of the matrix unit: 16 rows or words, 64 bytes wide, two of rows by up to two of queries. A panel is as the
 * unit takes it: words down, queries across. */
static void tiles_begin(void) {
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } shape = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
    _tile_loadconfig(&shape);
}
static void tiles_end(void) { _tile_release(); }

#define AMX_PANEL(NAME, MULTIPLY, FINISH)                                                                              \
    static void NAME##_2(const uint8_t *rows, int64_t bytes, const uint32_t *panel, const int32_t *bias,              \
                         int64_t words, const uint8_t *next, vf (*out)[2]) {                                          \
        _tile_zero(0);                                                                                                \
        _tile_zero(1);                                                                                                \
        _tile_zero(2);                                                                                                \
        _tile_zero(3);                                                                                                \
        for (int64_t word = 0; word < words; word += 16) {                                                            \
            _tile_loadd(4, rows + 4 * word, bytes);                                                                   \
            _tile_loadd(6, panel + word * LANES, 64);                                                                 \
            MULTIPLY(0, 4, 6);                                                                                        \
            _tile_loadd(5, rows + 16 * bytes + 4 * word, bytes);                                                      \
            MULTIPLY(2, 5, 6);                                                                                        \
            _tile_loadd(7, panel + (words + word) * LANES, 64);                                                       \
            MULTIPLY(1, 4, 7);                                                                                        \
            MULTIPLY(3, 5, 7);                                                                                        \
        }                                                                                                             \
        _tile_stored(0, &out[0][0], sizeof out[0]);                                                                   \
        _tile_stored(1, &out[0][1], sizeof out[0]);                                                                   \
        _tile_stored(2, &out[16][0], sizeof out[0]);                                                                  \
        _tile_stored(3, &out[16][1], sizeof out[0]);                                                                  \
        FINISH(out, 2)                                                                                                \
    }                                                                                                                 \
    static void NAME##_1(const uint8_t *rows, int64_t bytes, const uint32_t *panel, const int32_t *bias,              \
                         int64_t words, const uint8_t *next, vf (*out)[2]) {                                          \
        _tile_zero(0);                                                                                                \
        _tile_zero(2);                                                                                                \
        for (int64_t word = 0; word < words; word += 16) {                                                            \
            _tile_loadd(4, rows + 4 * word, bytes);                                                                   \
            _tile_loadd(5, rows + 16 * bytes + 4 * word, bytes);                                                      \
            _tile_loadd(6, panel + word * LANES, 64);                                                                 \
            MULTIPLY(0, 4, 6);                                                                                        \
            MULTIPLY(2, 5, 6);                                                                                        \
        }                                                                                                             \
        _tile_stored(0, &out[0][0], sizeof out[0]);                                                                   \
        _tile_stored(2, &out[16][0], sizeof out[0]);                                                                  \
        FINISH(out, 1)                                                                                                \
    }

#define AS_IT_IS(out, vectors) (void)bias, (void)next;
#define TO_FLOAT(out, vectors)                                                                                         \
    (void)bias, (void)next;                                                                                           \
    for (int row = 0; row < UNIT; row++)                                                                              \
        for (int v = 0; v < vectors; v++) out[row][v] = __builtin_convertvector((vi)out[row][v], vf);
AMX_PANEL(panel_bfloat16, _tile_dpbf16ps, AS_IT_IS)
AMX_PANEL(panel_int8, _tile_dpbssd, TO_FLOAT)
#else
static void tiles_begin(void) {}
static void tiles_end(void) {}
#endif

#define SUM_ITSELF(sum, row) (sum)
#define WITH_BIAS(sum, row) ((sum) + bias[row])
PANEL(panel_float32, vf, step_float32, SUM_ITSELF)
#if !defined(__AMX_TILE__)
PANEL(panel_bfloat16, vf, step_bfloat16, SUM_ITSELF)
PANEL(panel_int8, vi, step_panel_int8, WITH_BIAS)
#endif

#define WHOLE(value) (value)
#ifndef AHEAD
#define AHEAD 12288
#endif
/* Rows are read one after the other, as memory is fast; four sums hide the latency of one, and the lanes of four rows
 * are summed together. Here and in panels what comes is fetched into the second cache, which waits for more lines of
 * memory at a time than the first. */
#define FEW_TILE(NAME, SUM, STEP, ROW, FOUR, BIAS)                                                                     \
    static inline __attribute__((always_inline)) void NAME##_of(const uint8_t *rows, int64_t bytes,                   \
                                                               const uint8_t *queries, const int32_t *bias,           \
                                                               const int count, float (*out)[UNIT]) {                 \
        SUM alone[UNIT];                                                                                              \
        for (int row = 0; row < UNIT; row++, rows += bytes) {                                                         \
            SUM sum[4][FEW];                                                                                          \
            int64_t at = 0;                                                                                           \
            _Pragma("GCC unroll 4") for (int query = 0; query < count; query++)                                       \
                sum[1][query] = sum[2][query] = sum[3][query] = (SUM){0};                                             \
            sum[0][0] = sum[0][1] = sum[0][2] = sum[0][3] = (SUM){0};                                                 \
            for (; at + 4 * VECTOR_BYTES <= bytes; at += 4 * VECTOR_BYTES)                                            \
                _Pragma("GCC unroll 4") for (int part = 0; part < 4; part++) {                                        \
                    const int64_t from = at + part * VECTOR_BYTES;                                                    \
                    __builtin_prefetch(rows + from + AHEAD, 0, 2);                                                    \
                    vu y = ROW(load(rows + from));                                                                    \
                    _Pragma("GCC unroll 4") for (int query = 0; query < count; query++)                               \
                        sum[part][query] = STEP(sum[part][query], load(queries + query * bytes + from), y);           \
                }                                                                                                     \
            if (at)                                                                                                   \
                _Pragma("GCC unroll 4") for (int query = 0; query < count; query++)                                   \
                    sum[0][query] = (sum[0][query] + sum[1][query]) + (sum[2][query] + sum[3][query]);                \
            for (; at < bytes; at += VECTOR_BYTES) {                                                                  \
                __builtin_prefetch(rows + at + AHEAD, 0, 2);                                                          \
                vu y = ROW(load(rows + at));                                                                          \
                _Pragma("GCC unroll 4") for (int query = 0; query < count; query++)                                   \
                    sum[0][query] = STEP(sum[0][query], load(queries + query * bytes + at), y);                       \
            }                                                                                                         \
            if (count == 1) alone[row] = sum[0][0];                                                                    \
            else {                                                                                                     \
                float own[4];                                                                                          \
                FOUR(sum[0], BIAS(bias), own);                                                                         \
                _Pragma("GCC unroll 4") for (int query = 0; query < count; query++) out[query][row] = own[query];      \
            }                                                                                                          \
        }                                                                                                              \
        if (count == 1)                                                                                                \
            for (int row = 0; row < UNIT; row += 4) FOUR(alone + row, BIAS(bias)[0] - (vi4){0}, out[0] + row);         \
    }                                                                                                                  \
    static void NAME(const uint8_t *r, int64_t b, const uint8_t *q, const int32_t *i, int count, float (*o)[UNIT]) {  \
        if (count == 1) NAME##_of(r, b, q, i, 1, o);                                                                  \
        if (count == 2) NAME##_of(r, b, q, i, 2, o);                                                                  \
        if (count == 3) NAME##_of(r, b, q, i, 3, o);                                                                  \
        if (count == 4) NAME##_of(r, b, q, i, 4, o);                                                                  \
    }

#define NO_BIAS(bias) ((vi4){0})
#define OWN_BIAS(bias) load_four(bias)
FEW_TILE(few_float32, vf, step_float32, WHOLE, four_floats, NO_BIAS)
FEW_TILE(few_bfloat16, vf, step_bfloat16, WHOLE, four_floats, NO_BIAS)
FEW_TILE(few_int8, vi, step_int8, row_int8, four_ints, OWN_BIAS)

#endif
