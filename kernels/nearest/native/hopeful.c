/* Exact scores of the hopeful survivors: row by row for all queries, so that a row is read once. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hopeful.h"
#include "vectors.h"

#define NO_ROW UINT32_MAX  /* there are fewer rows */
enum { ROWS_AHEAD = 4 };   /* that are fetched from memory */
enum { TOGETHER = 4 };     /* queries that are multiplied with a row at a time */

/* Have room for the queries of a settlement; 0 where there is none. */
int scoring_new(Scoring *own) {
    int64_t h = own->to - own->from, d = own->d;
    own->lanes = (h + LANES - 1) / LANES * LANES;
    own->x = malloc((size_t)h * sizeof *own->x);
    own->held = malloc((size_t)(h * d + d + 2 * h) * sizeof(float));
    own->x_sq = malloc((size_t)(2 * h) * sizeof(double));
    own->place = malloc((size_t)h * sizeof *own->place);
    own->next = malloc((size_t)own->lanes * sizeof(uint32_t));
    own->wanted = malloc((size_t)((ROWS_AHEAD + 1) * h) * sizeof(Wanted));
    if (!own->x || !own->held || !own->x_sq || !own->place || !own->next || !own->wanted) return 0;
    own->y = own->held + h * d;
    own->needed = own->y + d;
    own->likely = own->needed + h;
    own->limit = own->x_sq + h;
    return 1;
}

void scoring_free(Scoring *own) {
    free(own->x);
    free(own->held);
    free(own->x_sq);
    give_back(own->listed);
    free(own->place);
    free(own->next);
    free(own->wanted);
}

/* List the survivors of each query that are looked at and have no score by their rows, an entry without a row after
 * each list: what is read row by row for all queries stands close together. Returns 0 where memory is short. */
static int list(const Search *search, Scoring *own) {
    int64_t h = own->to - own->from, total = 0, most = 0;
    for (const Segment *segment = search->segment + own->from; segment < search->segment + own->to; segment++) {
        total += segment->count + 1;
        most = segment->count > most ? segment->count : most;
    }
    give_back(own->listed);
    own->listed = borrow((total + most) * (int64_t)sizeof(Entry));
    if (!own->listed) return 0;
    for (int64_t i = 0; i < own->lanes; i++) own->next[i] = NO_ROW;
    Entry *to = own->listed, *room = to + total;
    for (int64_t i = 0; i < h; i++) {
        const Segment *segment = search->segment + own->from + i;
        const float *score = search->score[own->from + i];
        int64_t n = 0;
        for (int64_t at = 0; at < segment->count; at++) { /* no branch that could not be foretold */
            float middle = (segment->bound[at] + segment->lower[at]) * 0.5f;
            int likely = !(middle < own->likely[i]);
            to[n] = (Entry){segment->row[at], (uint32_t)(2 * at + likely)};
            n += isnan(score[at]) & !(segment->bound[at] < own->needed[i]);
        }
        const Entry *sorted = sort(to, room, n);
        if (sorted != to) memcpy(to, sorted, (size_t)n * sizeof(Entry));
        to[n].key = NO_ROW;
        own->place[i] = to;
        own->next[i] = to->key;
        to += n + 1;
    }
    return 1;
}

/* Find the next row that any query looks at, and who does; fetch it. Returns 0 where there is none. */
static int find_next(Scoring *own, Fetched *found) {
    uint32_t row = NO_ROW;
    for (int64_t i = 0; i < own->lanes; i++) row = own->next[i] < row ? own->next[i] : row;
    if (row == NO_ROW) return 0;
    fetch(own->gallery, row);
    found->row = row;
    found->count = 0;
    for (int64_t lane = 0; lane < own->lanes; lane += LANES)
        for (uint32_t bits = equal(load(own->next + lane), spread(&row)); bits; bits &= bits - 1) {
            int64_t i = lane + __builtin_ctz(bits);
            uint32_t place = own->place[i]++->row;
            found->wanted[found->count++] = (Wanted){(int32_t)i, (int32_t)(place >> 1), place & 1};
            own->next[i] = own->place[i]->key;
        }
    return 1;
}

/* Of pairs with a row, put those first that are likely or that float32 does not say to be beyond their queries' limits.
 * Returns how many they are. */
static int64_t screen(const Search *search, const Scoring *own, const float *y, double y_sq, Wanted *wanted,
                      int64_t count) {
    int64_t kept = 0;
    int held = 0;
    Wanted doubtful[TOGETHER];
    for (int64_t n = 0; n < count; n++) {
        if (wanted[n].likely) wanted[kept++] = wanted[n];
        else doubtful[held++] = wanted[n];
        if (held < TOGETHER && (n + 1 < count || !held)) continue;
        const float *x[TOGETHER];
        double x_sq[TOGETHER] = {0.0}, least[TOGETHER];
        for (int i = 0; i < held; i++) {
            x[i] = own->x[doubtful[i].query];
            x_sq[i] = own->x_sq[doubtful[i].query];
        }
        least_costs(x, y, own->d, search->q.metric, x_sq, y_sq, held, least);
        for (int i = 0; i < held; i++)
            if (!((float)least[i] > own->limit[doubtful[i].query])) wanted[kept++] = doubtful[i];
        held = 0;
    }
    return kept;
}

/* Score a row with the queries that want it. */
static void score_row(Search *search, Scoring *own, const Fetched *fetched) {
    const float *y = float_row(own->gallery, fetched->row, own->y), *x[TOGETHER];
    int64_t d = own->d;
    double y_sq = own->gallery->sq_norm ? own->gallery->sq_norm[fetched->row] : square(y, d), dot[TOGETHER];
    int64_t count = screen(search, own, y, y_sq, fetched->wanted, fetched->count);
    for (int64_t begin = 0; begin < count; begin += TOGETHER) {
        int some = count - begin < TOGETHER ? (int)(count - begin) : TOGETHER, unsure;
        for (int n = 0; n < some; n++) x[n] = own->x[fetched->wanted[begin + n].query];
        dots(x, y, d, some, dot);
        for (int n = 0; n < some; n++) {
            const Wanted *pair = fetched->wanted + begin + n;
            int64_t query = own->from + pair->query;
            search->score[query][pair->place] =
                score_pair(dot[n], x[n], y, d, search->q.metric, own->x_sq[pair->query], y_sq, &unsure);
            if (unsure && own->opened++ < own->room) own->open[own->opened - 1] = (Open){query, fetched->row};
        }
    }
}

/* Score what has no score yet, may be among the k first, and is not beyond the limit: row by row, each as it is wanted
 * by queries whose survivors come in the order of rows. */
void score_hopeful(Search *search, Scoring *own) {
    int64_t h = own->to - own->from, found = 0, scored = 0;
    Fetched ring[ROWS_AHEAD + 1];
    for (int64_t slot = 0; slot <= ROWS_AHEAD; slot++) ring[slot].wanted = own->wanted + slot * h;
    if (!list(search, own)) {
        search->failed = 1;
        return;
    }
    for (int more = 1; more || scored < found;) {
        more = more && find_next(own, ring + found % (ROWS_AHEAD + 1));
        found += more;
        if (found - scored > (more ? ROWS_AHEAD : 0)) score_row(search, own, ring + scored++ % (ROWS_AHEAD + 1));
    }
}
