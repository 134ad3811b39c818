/* From survivors to scores, as resolve.py has it: what can be among the k first is scored exactly, and no other row can
 * be when the thresholds of the scan are beyond the k-th. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hopeful.h"

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

static int prepare(Search *search, Scoring *own, const int64_t *group, uint8_t *proven) {
    int64_t d = own->d, start[RUNS + 1];
    for (int64_t query = own->from, i = 0; query < own->to; query++, i++) {
        Segment *segment = search->segment + query;
        if (!gather(search, query)) segment->count = proven[query] = 0;
        else { /* without groups, scores will prove it */
            int known = narrow(search, query, limit_of(search, group, query, own->needed + i));
            proven[query] = (uint8_t)(known || !group);
        }
        if (runs_of(segment, start) > (search->q.k > search->q.most ? 1 : RUNS) && !by_row(segment)) search->failed = 1;
        search->score[query] = realloc(search->score[query], (size_t)(segment->count + 1) * sizeof(float));
        if (!search->score[query]) return 0;
        for (int64_t at = 0; at < segment->count; at++) search->score[query][at] = NAN;
        own->x[i] = float_row(&search->q.x, query, own->held + i * d);
        own->x_sq[i] = square(own->x[i], d);
        if (group) own->needed[i] = -INFINITY;
    }
    return !search->failed;
}

/* Score the hopeful rows of queries `from` to `to`: first the k whose bounds promise most, whose scores then say which
 * of the others are hopeful. proven: [h]. Returns how many pairs are open; -1 where memory is short. */
EXPORT int64_t search_settle(Search *search, const Vectors *gallery, const int64_t *group, int64_t from, int64_t to,
                      uint8_t *proven, Open *open, int64_t room) {
    int64_t d = search->q.x.d, h = to - from, most = 1;
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
    good = good && prepare(search, &own, group, proven) && window_new(search, &own);
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
