/* The scan: for each unit of rows and each block of queries a tile of bounds, compared with the queries' thresholds;
 * what reaches one is appended to its query's own segment. A threshold tightens when its segment is full. */
#include <math.h>
#include <stdlib.h>

#include "nearest.h"
#include "tiles.h"

#define UP (1.0 + 0x1p-7)
enum { FIRST = 64 };    /* one unit in so many is scanned before the others: more of them cost memory's speed */
enum { FINER = 4 };     /* with many queries and neighbours, when nothing waits for memory: so many times more a step */
enum { SAMPLE = 2 };    /* of the neighbours, at least so many should be among the rows of the first of these steps */
enum { STEPS = 8 };     /* at most */

/* Give a segment twice its room, as far as there may be. */
static int grow(Search *search, Segment *segment) {
    int64_t room = 2 * segment->room, most = search->q.most;
    return widen(segment, room < most ? room : most);
}

/* Bounds of |w| and |w - w'| of the row that stands here. */
static void row_errors(const Rows *rows, int64_t row, float *norm, float *error) {
    if (rows->type == INT8) {
        *norm = rows->terms[4 * row + 2];
        *error = rows->terms[4 * row + 3];
        return;
    }
    const uint8_t *code = rows->codes + row * rows->bytes;
    if (rows->type == FLOAT32) {
        memcpy(norm, code + 4 * (rows->d + 3), 4);
        memcpy(error, code + 4 * (rows->d + 4), 4);
        return;
    }
    uint16_t half[2];
    memcpy(half, code + 2 * (rows->d + 3), 4);
    uint32_t bits[2] = {(uint32_t)half[0] << 16, (uint32_t)half[1] << 16};
    memcpy(norm, &bits[0], 4);
    memcpy(error, &bits[1], 4);
}

/* Make room in a full segment, by a higher threshold or more memory; 0 where there is none for this bound. */
static __attribute__((noinline)) int make_room(Search *search, const Rows *rows, int64_t part, int64_t query,
                                               float bound) {
    Segment *segment = search->segment + part * search->q.h + query;
    float *least = search->least + part * search->lanes + query;
    tighten(search, rows->group, part, query);
    if (4 * segment->count > 3 * segment->room) {
        if (segment->room < search->q.most && !grow(search, segment)) search->failed = 1;
        if (segment->count == segment->room) {
            segment->dead = 1;
            *least = NAN;
        }
    }
    return bound >= *least;
}

/* Append a row to the segment of a query whose threshold its bound reaches. lower: what s is at least. */
static inline void append(Search *search, const Rows *rows, int64_t part, int64_t query, int64_t row, float bound,
                          float lower) {
    const int64_t *exclude = search->q.exclude;
    int64_t number = rows->first + row;
    Segment *segment = search->segment + part * search->q.h + query;
    if (exclude && exclude[query] >= 0 && exclude[query] == (rows->group ? rows->group[number] : number)) return;
    if (segment->count == segment->room && !make_room(search, rows, part, query, bound)) return;
    segment->row[segment->count] = (uint32_t)number;
    segment->bound[segment->count] = bound;
    segment->lower[segment->count++] = lower;
}

/* What the roundings of a row's bound take from s at most, beside the errors of the codes: of squares. */
static inline float rounding_of(const Search *search, float norm) {
    return search->q.metric == SQ_EUCLIDEAN ? (float)(2.0 * search->q.roundoff * UP * UP) * norm * norm : 0.0f;
}

/* Append what of a row's bounds has reached the thresholds of these lanes, whose bits `hits` are. */
static inline void append_hits(Search *search, const Rows *rows, int64_t part, int64_t lane, int64_t row, vf bound,
                               uint32_t hits) {
    float norm, error, bounds[LANES], lowers[LANES];
    row_errors(rows, row, &norm, &error);
    vf q_error = (vf)load(search->q_error + lane), q_norm = (vf)load(search->q_norm + lane);
    vf floor = (vf)load(search->q_floor + lane), rounding = spread_float(rounding_of(search, norm));
    vf slack = q_error * spread_float(norm) + q_norm * spread_float(error);
    slack = slack * (float)(2.0 * UP * UP * UP) + rounding + floor;
    /* Of float32, too: each sum and product here errs by 2^-24 at most, and UP once more covers that of the slack. */
    vf size = (vf)((vu)bound & 0x7fffffffu);
    vf lower = bound - slack - size * 0x1p-21f - spread_float(0x1p-120f);
    memcpy(bounds, &bound, sizeof bounds);
    memcpy(lowers, &lower, sizeof lowers);
    for (; hits; hits &= hits - 1) {
        int at = __builtin_ctz(hits);
        append(search, rows, part, lane + at, row, bounds[at], lowers[at]);
    }
}

/* Compare a tile with the thresholds of its queries, in these lanes: of all rows first, since which of them reach one
 * cannot be foretold. number: which rows they are, NULL for `row` and those after it. */
static void compare(Search *search, const Rows *rows, int64_t part, int64_t lane, int vectors, vf (*tile)[2],
                    int64_t row, const int64_t *number, int count, uint32_t valid) {
    const float *least = search->least + part * search->lanes + lane;
    for (int v = 0; v < vectors; v++, lane += LANES, least += LANES) {
        vf threshold = (vf)load(least), step = (vf)load(search->q_step + lane);
        vf q_error = (vf)load(search->q_error + lane), q_norm = (vf)load(search->q_norm + lane);
        uint32_t any = 0;
        for (int i = 0; i < count; i++) {
            if (rows->type == INT8) {
                const float *term = rows->terms + 4 * (number ? number[i] : row + i);
                vf rest = spread_float(term[1]) + spread_float(term[2]) * q_error + spread_float(term[3]) * q_norm;
                tile[i][v] = rest + tile[i][v] * step * spread_float(term[0]);
            }
            any |= (uint32_t)(reaching(tile[i][v], threshold) != 0) << i;
        }
        for (any &= valid; any; any &= any - 1) { /* thresholds may rise meanwhile */
            int i = __builtin_ctz(any);
            uint32_t hits = reaching(tile[i][v], (vf)load(least));
            append_hits(search, rows, part, lane, number ? number[i] : row + i, tile[i][v], hits);
        }
    }
}

/* Compare the products of a unit of rows with a few queries, four rows at a time. */
static void compare_few(Search *search, const Rows *rows, int64_t part, int64_t query, int some,
                        const float (*product)[UNIT], int64_t row, const int64_t *number, int count, uint32_t valid) {
    vf4 term[4][UNIT / 4], bound[UNIT / 4];
    for (int at = 0; rows->type == INT8 && at < UNIT; at += 4) {
        const float *own[4];
        for (int i = 0; i < 4; i++)
            own[i] = rows->terms + 4 * (!number ? row + at + i : at + i < count ? number[at + i] : number[0]);
        for (int i = 0; i < 4; i++) term[i][at / 4] = (vf4){own[0][i], own[1][i], own[2][i], own[3][i]};
    }
    for (; some > 0; some--, query++, product++) {
        const float *least = search->least + part * search->lanes + query;
        float threshold = *least, step = search->q_step[query];
        float q_error = search->q_error[query], q_norm = search->q_norm[query];
        vi4 hits = {0};
        memcpy(bound, product, sizeof bound);
        for (int at = 0; at < UNIT / 4; at++) {
            if (rows->type == INT8)
                bound[at] = term[1][at] + term[2][at] * q_error + term[3][at] * q_norm + bound[at] * step * term[0][at];
            hits |= bound[at] >= threshold;
        }
        uint64_t any[2];
        memcpy(any, &hits, sizeof any);
        if (__builtin_expect(!(any[0] | any[1]), 1)) continue;
        for (int i = 0; i < count; i++) { /* the threshold may rise meanwhile */
            int64_t own = number ? number[i] : row + i;
            float is = bound[i / 4][i % 4], norm, error;
            if (!(is >= *least && valid >> i & 1)) continue;
            row_errors(rows, own, &norm, &error);
            float slack = (q_error * norm + q_norm * error) * (float)(2.0 * UP * UP * UP) + rounding_of(search, norm);
            slack += search->q_floor[query];
            append(search, rows, part, query, own, is, is - slack - fabsf(is) * 0x1p-21f - 0x1p-120f);
        }
    }
}

/* Multiply a unit of rows with the queries from lane `from` to `to`, and keep what reaches its threshold. next: the
 * codes that are multiplied then. */
static void unit(Search *search, const Rows *rows, int64_t part, int64_t from, int64_t to, const uint8_t *codes,
                 const uint8_t *next, int64_t row, const int64_t *number, int count, uint32_t valid) {
    if (!search->panels) {
        float few[FEW][UNIT];
        for (int64_t query = from; query < to && query < search->q.h; query += FEW) {
            int64_t some = search->q.h - query < FEW ? search->q.h - query : FEW;
            const uint8_t *x = search->q.codes + query * rows->bytes;
            if (rows->type == FLOAT32) few_float32(codes, rows->bytes, x, search->bias + query, (int)some, few);
            if (rows->type == BFLOAT16) few_bfloat16(codes, rows->bytes, x, search->bias + query, (int)some, few);
            if (rows->type == INT8) few_int8(codes, rows->bytes, x, search->bias + query, (int)some, few);
            compare_few(search, rows, part, query, (int)some, few, row, number, count, valid);
        }
        return;
    }
    vf tile[UNIT][2];
    int32_t bias[UNIT] = {0};
    for (int i = 0; i < UNIT && rows->type == INT8; i++) bias[i] = row_bias(codes + i * rows->bytes, rows->bytes);
    for (int64_t lane = from; lane < to; lane += 2 * LANES, next = NULL) { /* one of them fetches what comes next */
        int vectors = to - lane > LANES ? 2 : 1;
        const uint32_t *panel = search->panels + lane * search->words;
        void (*multiply)(const uint8_t *, int64_t, const uint32_t *, const int32_t *, int64_t, const uint8_t *,
                         vf(*)[2]) =
            rows->type == FLOAT32    ? (vectors == 2 ? panel_float32_2 : panel_float32_1)
            : rows->type == BFLOAT16 ? (vectors == 2 ? panel_bfloat16_2 : panel_bfloat16_1)
                                     : (vectors == 2 ? panel_int8_2 : panel_int8_1);
        multiply(codes, rows->bytes, panel, bias, search->words, next, tile);
        compare(search, rows, part, lane, vectors, tile, row, number, count, valid);
    }
}

static uint32_t bits_of(const Rows *rows, int64_t row, int count) {
    uint32_t all = count == 32 ? 0xffffffffu : (1u << count) - 1;
    int64_t number = rows->first + row, byte = number / 8;
    uint64_t bits = 0;
    if (!rows->valid) return all;
    for (int at = 0; byte <= (number + count - 1) / 8; at += 8) bits |= (uint64_t)rows->valid[byte++] << at;
    return (uint32_t)(bits >> number % 8) & all;
}

/* Say whether fewer than half of the rows are valid. */
static int sparse(const Rows *rows, int64_t start, int64_t stop) {
    int64_t first = (rows->first + start + 7) / 8, last = (rows->first + stop) / 8, count = 0;
    if (!rows->valid) return 0;
    for (int64_t byte = first; byte < last; byte++) count += __builtin_popcount(rows->valid[byte]);
    return 2 * count < 8 * (last - first);
}

/* List by which steps units are scanned: every so many-th of all, then of what is left. The first lets all rows
 * through, so that with many queries and neighbours it is as short as a guess allows, and steps between sharpen it.
 * Returns how many steps. */
static int steps_of(const Search *search, int64_t step[STEPS]) {
    const Queries *q = &search->q;
    int count = 0;
    if (q->k <= q->most && q->guess && search->panels) {
        int64_t first = FINER;
        while (first * FINER * SAMPLE <= q->k && first < 1 << 2 * (STEPS - 2)) first *= FINER;
        for (; first > 1; first /= FINER) step[count++] = first;
    } else if (q->k <= q->most) step[count++] = FIRST;
    step[count++] = 1;
    return count;
}

/* Scan rows start to stop for the queries from lane `from` to `to`, a multiple of LANES, as one part of the gallery.
 * Some units come first, from everywhere, so that thresholds are of use also where like rows stand together, and may be
 * guessed from them. Where thresholds stay, rows come in their order. Valid rows among many that are not, and the last
 * rows, are copied together. Returns 0 where memory is short. */
EXPORT int64_t search_scan(Search *search, const Rows *rows, int64_t part, int64_t from, int64_t to, int64_t start,
                    int64_t stop) {
    uint8_t *together = reserve(UNIT, rows->bytes);
    int64_t number[UNIT], bytes = rows->bytes, step[STEPS], units = (stop - start + UNIT - 1) / UNIT;
    int64_t end = to < search->q.h ? to : search->q.h;
    int held = 0, gathered = sparse(rows, start, stop), fresh = 1, steps = steps_of(search, step);
    if (!together) return 0;
    for (int64_t query = from; query < end; query++)
        fresh &= search->segment[part * search->q.h + query].count == 0;
    tiles_begin();
    for (int turn = 0; turn < steps; turn++) {
        for (int64_t at = 0; at < units && !search->failed; at += step[turn]) {
            if (turn && at % step[turn - 1] == 0) continue; /* each step is a part of the one before */
            int64_t row = start + UNIT * at;
            int count = stop - row < UNIT ? (int)(stop - row) : UNIT;
            uint32_t valid = bits_of(rows, row, count);
            if (!gathered && count == UNIT) {
                const uint8_t *codes = rows->codes + row * bytes;
                int64_t next = at + step[turn];
                if (turn && next % step[turn - 1] == 0) next += step[turn];
                const uint8_t *then = codes + (next < units ? next - at : 0) * UNIT * bytes;
                if (valid) unit(search, rows, part, from, to, codes, then, row, NULL, count, valid);
                continue;
            }
            for (; valid; valid &= valid - 1) {
                number[held] = row + __builtin_ctz(valid);
                memcpy(together + held * bytes, rows->codes + number[held] * bytes, (size_t)bytes);
                if (++held == UNIT) {
                    unit(search, rows, part, from, to, together, together, 0, number, held, 0xffffffffu);
                    held = 0;
                }
            }
        }
        for (int64_t query = from; search->q.guess && fresh && turn + 1 < steps && query < end; query++)
            guess(search, part, query, 1.0 / (double)step[turn]);
    }
    if (held) unit(search, rows, part, from, to, together, together, 0, number, held, 0xffffffffu);
    tiles_end();
    free(together);
    return !search->failed;
}
