/* Exact scores of the hopeful survivors: a window of rows at a time for all queries, so that a row is read once. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hopeful.h"

enum { WINDOW_PAIRS = 1 << 14 }; /* of rows that are scored together for all queries, about */
enum { WINDOW_ROWS = 1 << 15 };  /* of such, at most */
enum { ROWS_AHEAD = 2 };         /* that are fetched from memory */

/* Find the runs of survivors in the order of their rows, as steps of the scan leave them: where each begins, and where
 * the last ends in the rest of start [RUNS + 1]. Returns how many there are, more than RUNS where there are too many. */
int runs_of(const Segment *segment, int64_t *start) {
    int64_t n = segment->count;
    int runs = 1;
    start[0] = 0;
    for (int64_t i = 1; i < n; i++)
        if (segment->row[i] < segment->row[i - 1]) {
            if (runs == RUNS) return RUNS + 1;
            start[runs++] = i;
        }
    for (int run = runs; run <= RUNS; run++) start[run] = n;
    return runs;
}

/* Have room for as many that are wanted; 0 where there is none. */
static int wanted_room(Scoring *own, int64_t needed) {
    if (needed <= own->wanted_room) return 1;
    for (int i = 0; i < 2; i++) {
        Wanted **list = i ? &own->found : &own->wanted, *more = realloc(*list, (size_t)(2 * needed) * sizeof(Wanted));
        if (!more) return 0;
        *list = more;
    }
    own->wanted_room = 2 * needed;
    return 1;
}

/* List what is wanted in the window of rows from `base` on, by row; `end` says where each row's ends. Returns the next
 * row after it that any query has, INT64_MAX where there is none. */
static int64_t list_window(Search *search, Scoring *own, int64_t base) {
    int64_t next = INT64_MAX, total = 0, beyond = base + own->window, *end = own->end;
    memset(end, 0, (size_t)(own->window + 1) * sizeof(int64_t));
    for (int64_t i = 0; i < own->to - own->from; i++) {
        const Segment *segment = search->segment + own->from + i;
        const float *score = search->score[own->from + i];
        float needed = own->needed[i];
        for (int64_t run = RUNS * i; run < RUNS * i + RUNS; run++) {
            int64_t at = own->place[run], stop = own->stop[run];
            if (at == stop) continue;
            if (!wanted_room(own, total + own->window + 1)) return search->failed = 1, INT64_MAX;
            for (; at < stop && segment->row[at] < beyond; at++) { /* no branch that could not be foretold */
                int hopeful = isnan(score[at]) & !(segment->lower[at] < needed);
                uint16_t row = (uint16_t)(segment->row[at] - base);
                own->found[total] = (Wanted){(uint16_t)i, row, (uint32_t)at};
                end[row + 1] += hopeful;
                total += hopeful;
            }
            own->place[run] = at;
            if (at < stop && segment->row[at] < next) next = segment->row[at];
        }
    }
    for (int64_t row = 0; row < own->window; row++) end[row + 1] += end[row];
    for (int64_t i = 0; i < total; i++) own->wanted[end[own->found[i].row]++] = own->found[i];
    return next;
}

/* Fetch the first wanted row of a window from `row` on; returns the one after it. */
static int64_t fetch_next(const Scoring *own, int64_t base, int64_t row) {
    while (row < own->window && own->end[row] == (row ? own->end[row - 1] : 0)) row++;
    if (row < own->window) fetch(own->gallery, base + row++);
    return row;
}

/* Choose windows of about as many pairs as a cache holds, and room for one. */
int window_new(const Search *search, Scoring *own) {
    int64_t rows = 1, pairs = 1;
    for (int64_t query = own->from; query < own->to; query++) {
        const Segment *segment = search->segment + query;
        for (int64_t at = 0; at < segment->count; at++) rows = segment->row[at] < rows ? rows : segment->row[at] + 1;
        pairs += segment->count;
    }
    double window = (double)WINDOW_PAIRS / (double)pairs * (double)rows;
    int64_t most = 4 * pairs + 256 < WINDOW_ROWS ? 4 * pairs + 256 : WINDOW_ROWS; /* for few, no long lists */
    own->window = window < (double)most ? (int64_t)window + 1 : most;
    own->end = malloc((size_t)(own->window + 1) * sizeof(int64_t));
    return own->end != NULL;
}

/* Of up to four pairs with a row, keep those that can be within their queries' limits; the others' bounds become -inf.
 * Returns how many are kept. */
static int screen(Search *search, const Scoring *own, const float *y, double y_sq, Wanted *some, int count) {
    const float *x[4];
    double x_sq[4], least[4];
    int kept = 0;
    for (int n = 0; n < count; n++) {
        x[n] = own->x[some[n].query];
        x_sq[n] = own->x_sq[some[n].query];
    }
    least_costs(x, y, own->d, search->q.metric, x_sq, y_sq, count, least);
    for (int n = 0; n < count; n++) {
        Segment *segment = search->segment + own->from + some[n].query;
        if ((float)least[n] > own->limit[some[n].query]) segment->bound[some[n].place] = -INFINITY;
        else some[kept++] = some[n];
    }
    return kept;
}

/* Score a row with the queries that want it. */
static void score_row(Search *search, Scoring *own, int64_t row, Wanted *wanted, int64_t count) {
    const float *y = float_row(own->gallery, row, own->y), *x[4];
    int64_t d = own->d;
    double y_sq = own->gallery->sq_norm ? own->gallery->sq_norm[row] : square(y, d), dot[4];
    for (int64_t begin = 0; begin < count; begin += 4) {
        int some = count - begin < 4 ? (int)(count - begin) : 4, unsure;
        if (own->screened) some = screen(search, own, y, y_sq, wanted + begin, some);
        for (int n = 0; n < some; n++) x[n] = own->x[wanted[begin + n].query];
        dots(x, y, d, some, dot);
        for (int n = 0; n < some; n++) {
            const Wanted *pair = wanted + begin + n;
            int64_t query = own->from + pair->query;
            search->score[query][pair->place] =
                score_pair(dot[n], x[n], y, d, search->q.metric, own->x_sq[pair->query], y_sq, &unsure);
            if (unsure && own->opened++ < own->room) own->open[own->opened - 1] = (Open){query, row};
        }
    }
}

/* Score what has no score yet and whose lower bound is at least what is needed, a window of rows at a time for all
 * queries: a row is read once, and multiplied with four queries at a time. Where there are limits, what float32 says to
 * be beyond them is dropped instead. */
void score_hopeful(Search *search, Scoring *own) {
    int64_t next = 0;
    for (int64_t i = 0; i < own->to - own->from; i++) {
        int64_t start[RUNS + 1];
        runs_of(search->segment + own->from + i, start);
        memcpy(own->place + RUNS * i, start, RUNS * sizeof *start);
        memcpy(own->stop + RUNS * i, start + 1, RUNS * sizeof *start);
    }
    while (next < INT64_MAX) {
        int64_t base = next / own->window * own->window, begin = 0, ahead = 0;
        next = list_window(search, own, base);
        if (search->failed) return;
        for (int64_t row = 0; row < ROWS_AHEAD; row++) ahead = fetch_next(own, base, ahead);
        for (int64_t row = 0; row < own->window; row++) {
            int64_t end = own->end[row];
            if (begin == end) continue;
            ahead = fetch_next(own, base, ahead);
            score_row(search, own, base + row, own->wanted + begin, end - begin);
            begin = end;
        }
    }
    for (int64_t query = own->from; own->screened && query < own->to; query++)
        compact(&search->q, search->segment + query, query, -FLT_MAX, NULL, NULL, search->score[query]);
}
