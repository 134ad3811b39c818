/* Exact scores of the hopeful survivors: window by window of the rows, so that what all queries want of a window is read
 * from memory once, and query by query within it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hopeful.h"

#define NO_ROW UINT32_MAX          /* there are fewer rows */
enum { WINDOW_BYTES = 256 << 10 }; /* of rows as float32: they and the queries stand in the second cache */
enum { WINDOW_SHIFT = 9 };         /* 2^9 rows at most */
enum { PAIRS_AHEAD = 8 };          /* whose rows are fetched from memory */
enum { TOGETHER = 4 };             /* rows that are multiplied with a query at a time */

/* Have room for the queries of a settlement, and for the rows of a window if they have to be copied; 0 where there is
 * none. */
int scoring_new(Scoring *own) {
    int64_t h = own->to - own->from, d = own->d;
    while (own->shift < WINDOW_SHIFT && (8 * d << own->shift) <= WINDOW_BYTES) own->shift++;
    int64_t rows = (int64_t)1 << own->shift;
    int64_t copied = own->gallery->type == FLOAT32 && own->gallery->column_stride == 1 ? 0 : rows;
    own->x = malloc((size_t)(h + rows) * sizeof *own->x);
    own->held = malloc((size_t)((h + copied) * d + 2 * h) * sizeof(float));
    own->x_sq = malloc((size_t)(2 * h + rows) * sizeof(double));
    own->row = malloc((size_t)(3 * rows) * sizeof(uint32_t));
    if (!own->x || !own->held || !own->x_sq || !own->row) return 0;
    own->y = own->x + h;
    own->y_sq = own->x_sq + h;
    own->limit = own->y_sq + rows;
    own->needed = own->held + h * d;
    own->likely = own->needed + h;
    own->copied = own->likely + h;
    own->fetched = own->row + rows;
    for (int64_t at = 0; at < 3 * rows; at++) own->row[at] = NO_ROW;
    return 1;
}

void scoring_free(Scoring *own) {
    free(own->x);
    free(own->held);
    free(own->x_sq);
    free(own->row);
    give_back(own->pair);
}

/* Put what is listed of each query, `count` [h], into the order of windows, and in one of queries: pairs, and one without
 * a query. start: where each window begins. */
static void by_window(Scoring *own, const Entry *listed, const int64_t *count, uint32_t *start) {
    Pair *end = own->pair;
    for (int64_t i = 0; i < own->to - own->from; i++) {
        for (int64_t at = 0; at < count[i]; at++, listed++)
            own->pair[start[listed->key >> own->shift]++] = (Pair){listed->key, listed->row, (int32_t)i};
        end += count[i];
    }
    *end = (Pair){NO_ROW, 0, -1};
}

/* List the survivors of each query that are looked at and have no score. Returns how many they are, -1 where memory is
 * short. */
static int64_t list(const Search *search, Scoring *own) {
    int64_t h = own->to - own->from, total = 0;
    uint32_t last = 0; /* of all rows */
    for (const Segment *segment = search->segment + own->from; segment < search->segment + own->to; segment++) {
        for (int64_t at = 0; at < segment->count; at++) last = segment->row[at] > last ? segment->row[at] : last;
        total += segment->count;
    }
    int64_t windows = (last >> own->shift) + 2;
    give_back(own->pair);
    own->pair = borrow((total + 1) * (int64_t)sizeof(Pair));
    Entry *listed = borrow((total + 1) * (int64_t)sizeof(Entry)), *to = listed;
    int64_t *count = malloc((size_t)h * sizeof(int64_t));
    uint32_t *start = calloc((size_t)windows, sizeof(uint32_t));
    int good = own->pair && listed && count && start;
    for (int64_t i = 0; good && i < h; i++) {
        const Segment *segment = search->segment + own->from + i;
        const float *score = search->score[own->from + i];
        count[i] = 0;
        for (int64_t at = 0; at < segment->count; at++) { /* no branch that could not be foretold */
            float middle = (segment->bound[at] + segment->lower[at]) * 0.5f;
            int likely = !(middle < own->likely[i]);
            int looked_at = isnan(score[at]) & !(segment->bound[at] < own->needed[i]);
            to[count[i]] = (Entry){segment->row[at], (uint32_t)(2 * at + likely)};
            count[i] += looked_at;
            start[(segment->row[at] >> own->shift) + 1] += (uint32_t)looked_at;
        }
        to += count[i];
    }
    if (good) {
        for (int64_t window = 1; window < windows; window++) start[window] += start[window - 1];
        by_window(own, listed, count, start);
        total = to - listed;
    }
    give_back(listed);
    free(count);
    free(start);
    return good ? total : -1;
}

/* Find where a row stands in its window, read as float32 when it is met first. */
static inline int64_t stand(Scoring *own, uint32_t row) {
    int64_t at = row & ((1u << own->shift) - 1);
    if (own->row[at] == row) return at;
    own->row[at] = row;
    own->y[at] = float_row(own->gallery, row, own->copied + at * own->d);
    own->y_sq[at] = own->gallery->sq_norm ? own->gallery->sq_norm[row] : square(own->y[at], own->d);
    return at;
}

/* Of a query's pairs in a window, put those first that are likely or that float32 does not say to be beyond the query's
 * limit. Returns how many they are. */
static int64_t screen(const Search *search, Scoring *own, int64_t i, Pair *run, int64_t count) {
    int64_t kept = 0;
    int held = 0;
    Pair doubtful[TOGETHER];
    for (int64_t n = 0; n < count; n++) {
        if (run[n].place & 1) run[kept++] = run[n];
        else doubtful[held++] = run[n];
        if (held < TOGETHER && (n + 1 < count || !held)) continue;
        const float *y[TOGETHER];
        double y_sq[TOGETHER] = {0.0}, least[TOGETHER];
        for (int at = 0; at < held; at++) {
            int64_t own_row = stand(own, doubtful[at].row);
            y[at] = own->y[own_row];
            y_sq[at] = own->y_sq[own_row];
        }
        least_costs(y, own->x[i], own->d, search->q.metric, y_sq, own->x_sq[i], held, least);
        for (int at = 0; at < held; at++)
            if (!((float)least[at] > own->limit[i])) run[kept++] = doubtful[at];
        held = 0;
    }
    return kept;
}

/* Score a query's pairs in a window. */
static void score_run(Search *search, Scoring *own, int64_t i, Pair *run, int64_t count) {
    int64_t query = own->from + i, d = own->d, at[TOGETHER];
    float *score = search->score[query];
    count = screen(search, own, i, run, count);
    for (int64_t begin = 0; begin < count; begin += TOGETHER) {
        int some = count - begin < TOGETHER ? (int)(count - begin) : TOGETHER, unsure;
        const float *y[TOGETHER];
        double dot[TOGETHER];
        for (int n = 0; n < some; n++) y[n] = own->y[at[n] = stand(own, run[begin + n].row)];
        dots(y, own->x[i], d, some, dot);
        for (int n = 0; n < some; n++) {
            const Pair *pair = run + begin + n;
            score[pair->place >> 1] = score_pair(dot[n], own->x[i], y[n], d, search->q.metric, own->x_sq[i],
                                               own->y_sq[at[n]], &unsure);
            if (unsure && own->opened++ < own->room) own->open[own->opened - 1] = (Open){query, pair->row};
        }
    }
}

/* Fetch the row of a pair, if it was not fetched a little before. */
static void fetch_row(Scoring *own, uint32_t row) {
    uint32_t *known = own->fetched + (row & ((2u << own->shift) - 1));
    if (*known != row) fetch(own->gallery, row);
    *known = row;
}

/* Score what has no score yet, may be among the k first, and is not beyond the limit. */
void score_hopeful(Search *search, Scoring *own) {
    int64_t count = list(search, own), fetched = 0;
    if (count < 0) search->failed = 1;
    for (int64_t begin = 0, end = 0; begin < count; begin = end) {
        uint32_t window = own->pair[begin].row >> own->shift;
        int32_t i = own->pair[begin].query;
        for (; own->pair[end].query == i && own->pair[end].row >> own->shift == window; end++)
            for (; fetched < count && fetched < end + PAIRS_AHEAD; fetched++) fetch_row(own, own->pair[fetched].row);
        score_run(search, own, i, own->pair + begin, end - begin);
    }
}
