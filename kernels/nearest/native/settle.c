/* From survivors to scores, as resolve.py has it: what can be among the k first is scored exactly, and no other row can
 * be when the thresholds of the scan are beyond the k-th. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nearest.h"

enum { WINDOW_PAIRS = 1 << 14 }; /* of rows that are scored together for all queries, about */
enum { WINDOW_ROWS = 1 << 15 };  /* of such, at most */
enum { ROWS_AHEAD = 2 };         /* that are fetched from memory */
enum { RUNS = 4 };               /* of survivors in the order of their rows; more are sorted */

/* Put survivors into the order of their rows; 0 where memory is short. */
static int by_row(Segment *segment) {
    int64_t n = segment->count;
    Entry *entry = malloc((size_t)(2 * n) * sizeof(Entry)), *sorted = entry + n;
    float *moved = malloc((size_t)(2 * n) * sizeof(float));
    int good = entry && moved;
    for (int64_t i = 0; good && i < n; i++) entry[i] = (Entry){segment->row[i], (uint32_t)i};
    if (good) sorted = sort(entry, sorted, n);
    for (int64_t i = 0; good && i < n; i++) {
        segment->row[i] = sorted[i].key;
        moved[i] = segment->bound[sorted[i].row];
        moved[n + i] = segment->lower[sorted[i].row];
    }
    if (good) {
        memcpy(segment->bound, moved, (size_t)n * sizeof(float));
        memcpy(segment->lower, moved + n, (size_t)n * sizeof(float));
    }
    free(entry);
    free(moved);
    return good;
}

/* Find the runs of survivors in the order of their rows, as steps of the scan leave them: where each begins, and where
 * the last ends in the rest of start [RUNS + 1]. Returns how many there are, more than RUNS where there are too many. */
static int runs_of(const Segment *segment, int64_t *start) {
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

/* Bring all parts' survivors of a query into its first segment; 0 where they are not all there. */
static int gather(Search *search, int64_t query) {
    const Queries *q = &search->q;
    int64_t total = 0;
    for (int64_t part = 0; part < q->parts; part++) {
        Segment *segment = search->segment + part * q->h + query;
        if (segment->dead) return 0;
        total += segment->count;
    }
    Segment *first = search->segment + query;
    if (total > first->room) {
        void *row = realloc(first->row, (size_t)total * 4), *bound, *lower;
        if (row) first->row = row;
        if ((bound = realloc(first->bound, (size_t)total * 4))) first->bound = bound;
        if ((lower = realloc(first->lower, (size_t)total * 4))) first->lower = lower;
        if (!row || !bound || !lower) return search->failed = 1, 0;
        first->room = total;
    }
    for (int64_t part = 1; part < q->parts; part++) {
        Segment *segment = search->segment + part * q->h + query;
        if (!segment->count) continue; /* perhaps it has no room either */
        memcpy(first->row + first->count, segment->row, (size_t)segment->count * 4);
        memcpy(first->bound + first->count, segment->bound, (size_t)segment->count * 4);
        memcpy(first->lower + first->count, segment->lower, (size_t)segment->count * 4);
        first->count += segment->count;
        segment->count = 0;
    }
    return 1;
}

/* What no row that is not listed costs less than. */
static double cut_of(const Search *search, int64_t query) {
    const Queries *q = &search->q;
    double cut = INFINITY;
    for (int64_t part = 0; part < q->parts; part++) {
        double least = search->least[part * search->lanes + query];
        if (least == -INFINITY) continue;
        double own = cost_of(q, query, least + ROUNDING * fabs(least) + q->floor[query]);
        cut = own < cut ? own : cut;
    }
    return cut;
}

/* Keep the rows that can be among the k first, by a bound of the k-th cost; say whether no other row can. */
static int narrow(Search *search, int64_t query, double limit) {
    float least = (float)threshold_of(&search->q, query, limit);
    double cut = cut_of(search, query);
    if (limit < INFINITY && !isnan(least))
        compact(&search->q, search->segment + query, query, least, NULL, NULL, search->score[query]);
    return cut == INFINITY || (float)cut > (float)limit;
}

/* A survivor whose score is wanted: of which query, its row in the window, and where it stands among the query's. */
typedef struct {
    uint16_t query, row;
    uint32_t place;
} Wanted;

/* Queries `from` to `to` as float32 with their squared norms; held, y: room for them and a row; needed: from which lower bound on a score is wanted. */
typedef struct {
    const Vectors *gallery;
    const float **x;
    double *x_sq, *limit; /* limit: of each query's cost, where `screened` */
    int screened;
    float *held, *y, *needed;
    int64_t *place, *stop, *end, d, from, to, window, opened, room; /* place, stop: [RUNS] of each query */
    Wanted *wanted, *found; /* by row, and as they were found */
    int64_t wanted_room;
    Open *open;
} Scoring;

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
static int window_new(const Search *search, Scoring *own) {
    int64_t rows = 1, pairs = 1;
    for (int64_t query = own->from; query < own->to; query++) {
        const Segment *segment = search->segment + query;
        for (int64_t at = 0; at < segment->count; at++) rows = segment->row[at] < rows ? rows : segment->row[at] + 1;
        pairs += segment->count;
    }
    double window = (double)WINDOW_PAIRS / (double)pairs * (double)rows;
    int64_t most = 4 * pairs + 256 < WINDOW_ROWS ? 4 * pairs + 256 : WINDOW_ROWS; /* few pairs are not worth long lists */
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
        if ((float)least[n] > own->limit[some[n].query])
            search->segment[own->from + some[n].query].bound[some[n].place] = -INFINITY;
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
static void score_hopeful(Search *search, Scoring *own) {
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

/* Bound the k-th cost by the scores that are there; a step more, since float64 may not have told how to round. */
static double kth_score(const Search *search, int64_t query, int32_t *key) {
    float sign = search->q.metric == SQ_EUCLIDEAN ? -1.0f : 1.0f;
    int64_t n = 0;
    for (int64_t i = 0; i < search->segment[query].count; i++)
        if (!isnan(search->score[query][i])) key[n++] = ordered(sign * search->score[query][i]);
    return n < search->q.k ? INFINITY : nextafterf(-largest(key, n, search->q.k, 0), INFINITY);
}

/* Say what the k-th of a query's survivors costs at most, and by which lower bound. */
static double limit_of(Search *search, const int64_t *group, int64_t query, float *kth) {
    Segment *segment = search->segment + query;
    Groups best = {0};
    *kth = -INFINITY;
    if (segment->count >= search->q.k) {
        *kth = group && !groups_new(&best, segment->count) ? NAN : kth_lower(segment, group, search->q.k, &best);
        if (isnan(*kth)) search->failed = 1;
        groups_free(&best);
    }
    return *kth > -INFINITY ? cost_of(&search->q, query, *kth) : INFINITY;
}

static int prepare(Search *search, Scoring *own, const Vectors *queries, const int64_t *group, uint8_t *proven) {
    int64_t d = own->d, start[RUNS + 1];
    for (int64_t query = own->from, i = 0; query < own->to; query++, i++) {
        Segment *segment = search->segment + query;
        if (!gather(search, query)) segment->count = proven[query] = 0;
        else { /* what was guessed is proven by scores */
            int known = narrow(search, query, limit_of(search, group, query, own->needed + i));
            proven[query] = (uint8_t)(known || search->q.guess);
        }
        if (runs_of(segment, start) > (search->q.k > search->q.most ? 1 : RUNS) && !by_row(segment)) search->failed = 1;
        search->score[query] = realloc(search->score[query], (size_t)(segment->count + 1) * sizeof(float));
        if (!search->score[query]) return 0;
        for (int64_t at = 0; at < segment->count; at++) search->score[query][at] = NAN;
        own->x[i] = float_row(queries, query, own->held + i * d);
        own->x_sq[i] = square(own->x[i], d);
        if (group) own->needed[i] = -INFINITY;
    }
    return !search->failed;
}

/* Score the hopeful rows of queries `from` to `to`: first the k whose bounds promise most, whose scores then say which
 * of the others are hopeful. proven: [h]. Returns how many pairs are open; -1 where memory is short. */
EXPORT int64_t search_settle(Search *search, const Vectors *queries, const Vectors *gallery, const int64_t *group,
                      int64_t from, int64_t to, uint8_t *proven, Open *open, int64_t room) {
    int64_t d = queries->d, h = to - from, most = 1;
    Scoring own = {.gallery = gallery, .d = d, .from = from, .to = to, .room = room, .open = open};
    own.x = malloc((size_t)h * sizeof *own.x);
    own.held = malloc((size_t)(h * d) * sizeof(float));
    own.x_sq = malloc((size_t)(2 * h) * sizeof(double));
    own.limit = own.x_sq ? own.x_sq + h : NULL;
    own.y = malloc((size_t)d * sizeof(float));
    own.needed = malloc((size_t)h * sizeof(float));
    own.place = malloc((size_t)(2 * RUNS * h) * sizeof(int64_t));
    own.stop = own.place ? own.place + RUNS * h : NULL;
    int good = own.x && own.held && own.x_sq && own.y && own.needed && own.place;
    good = good && prepare(search, &own, queries, group, proven) && window_new(search, &own);
    for (int64_t query = from; good && query < to; query++)
        most = search->segment[query].count > most ? search->segment[query].count : most;
    int32_t *key = good ? malloc((size_t)most * sizeof(int32_t)) : NULL;
    if (key) {
        score_hopeful(search, &own);
        for (int64_t query = from; query < to && !group; query++) {
            double limit = kth_score(search, query, key);
            if (proven[query]) proven[query] = (uint8_t)narrow(search, query, limit);
            own.needed[query - from] = -INFINITY;
            own.limit[query - from] = limit;
        }
        own.screened = !group;
        if (!group) score_hopeful(search, &own);
    }
    free(key);
    free(own.x);
    free(own.held);
    free(own.x_sq);
    free(own.y);
    free(own.needed);
    free(own.place);
    free(own.end);
    free(own.wanted);
    free(own.found);
    return key && !search->failed ? own.opened : -1;
}

/* Give a pair that was open its score, if it is still hopeful. */
EXPORT void search_patch(Search *search, const Open *open, float score) {
    const Segment *segment = search->segment + open->query;
    for (int64_t at = 0; at < segment->count; at++)
        if (segment->row[at] == open->row) search->score[open->query][at] = score;
}
