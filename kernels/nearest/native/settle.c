/* From survivors to scores, as resolve.py has it: what can be among the k first is scored exactly, and no other row can
 * be when the thresholds of the scan are beyond the k-th. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hopeful.h"

enum { MORE = 16 }; /* one in so many more than k are scored because of the middle of their bounds */

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
    if (total > first->room && !widen(first, total)) return search->failed = 1, 0;
    for (int64_t part = 1; part < q->parts; part++) {
        Segment *segment = search->segment + part * q->h + query;
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
    for (int64_t i = 0; i < search->segment[query].count; i++) { /* no branch that could not be foretold */
        key[n] = ordered(sign * search->score[query][i]);
        n += !isnan(search->score[query][i]);
    }
    return n < search->q.k ? INFINITY : nextafterf(-largest(key, n, search->q.k, 0), INFINITY);
}

/* Say what the k-th of a query's survivors costs at most, of distinct groups. */
static double limit_of(Search *search, const int64_t *group, int64_t query) {
    Segment *segment = search->segment + query;
    Groups best = {0};
    if (segment->count < search->q.k) return INFINITY;
    float kth = groups_new(&best, segment->count) ? kth_lower(segment, group, search->q.k, &best) : NAN;
    if (isnan(kth)) search->failed = 1;
    groups_free(&best);
    return kth > -INFINITY ? cost_of(&search->q, query, kth) : INFINITY;
}

/* Guess what the k-th of a query's survivors costs: what a few more than k do by the middle of their bounds, which is
 * far nearer to a score than the bounds are. Rows of which float32 proves that they cost more need no score if k scores
 * prove the guess. */
static void guess_limit(const Search *search, Scoring *own, int64_t i, int32_t *key) {
    const Segment *segment = search->segment + own->from + i;
    int64_t rank = search->q.k + search->q.k / MORE + 4;
    own->limit[i] = INFINITY;
    own->needed[i] = own->likely[i] = -INFINITY;
    if (segment->count <= rank) return;
    for (int64_t at = 0; at < segment->count; at++)
        key[at] = ordered((segment->bound[at] + segment->lower[at]) * 0.5f);
    own->likely[i] = largest(key, segment->count, rank, rank / (4 * MORE));
    own->limit[i] = cost_of(&search->q, own->from + i, own->likely[i]);
    own->needed[i] = (float)threshold_of(&search->q, own->from + i, own->limit[i]);
}

static int prepare(Search *search, Scoring *own, const int64_t *group, uint8_t *proven) {
    for (int64_t query = own->from, i = 0; query < own->to; query++, i++) {
        Segment *segment = search->segment + query;
        if (!gather(search, query)) segment->count = proven[query] = 0;
        else proven[query] = (uint8_t)(!group || narrow(search, query, limit_of(search, group, query)));
        search->score[query] = realloc(search->score[query], (size_t)(segment->count + 1) * sizeof(float));
        if (!search->score[query]) return 0;
        for (int64_t at = 0; at < segment->count; at++) search->score[query][at] = NAN;
        own->x[i] = float_row(&search->q.x, query, own->held + i * own->d);
        own->x_sq[i] = square(own->x[i], own->d);
        own->needed[i] = own->likely[i] = -INFINITY;
        own->limit[i] = INFINITY;
    }
    return !search->failed;
}

/* Drop what cannot be among the k first by the scores that are there. Returns 0 where they prove nothing of what has
 * none, in which case all is kept, and what is needed for that is said. */
static int conclude(Search *search, Scoring *own, int64_t i, int32_t *key, uint8_t *proven) {
    int64_t query = own->from + i;
    Segment *segment = search->segment + query;
    double kth = kth_score(search, query, key);
    if (!(kth <= own->limit[i])) { /* the guess was wrong */
        own->limit[i] = kth;
        own->likely[i] = kth < INFINITY ? INFINITY : -INFINITY;
        own->needed[i] = kth < INFINITY ? (float)threshold_of(&search->q, query, kth) : -INFINITY;
        return 0;
    }
    for (int64_t at = 0; at < segment->count; at++)
        segment->bound[at] = isnan(search->score[query][at]) ? -INFINITY : segment->bound[at];
    compact(&search->q, segment, query, -FLT_MAX, NULL, NULL, search->score[query]);
    if (proven[query]) proven[query] = (uint8_t)narrow(search, query, kth);
    own->needed[i] = INFINITY; /* nothing more is */
    return 1;
}

/* Score the hopeful rows of queries `from` to `to`, by a guess of what the k-th costs and, where k scores do not prove
 * it, by what they say instead. proven: [h]. Returns how many pairs are open; -1 where memory is short. */
EXPORT int64_t search_settle(Search *search, const Vectors *gallery, const int64_t *group, int64_t from, int64_t to,
                      uint8_t *proven, Open *open, int64_t room) {
    int64_t h = to - from, most = 1;
    Scoring own = {.gallery = gallery, .d = search->q.x.d, .from = from, .to = to, .room = room, .open = open};
    int good = scoring_new(&own) && prepare(search, &own, group, proven);
    for (int64_t query = from; good && query < to; query++)
        most = search->segment[query].count > most ? search->segment[query].count : most;
    int32_t *key = good ? malloc((size_t)most * sizeof(int32_t)) : NULL;
    if (key) {
        for (int64_t i = 0; i < h && !group; i++) guess_limit(search, &own, i, key);
        score_hopeful(search, &own);
        int all = 1;
        for (int64_t i = 0; i < h && !group; i++) all &= conclude(search, &own, i, key, proven);
        if (!all) score_hopeful(search, &own);
        for (int64_t i = 0; i < h && !all; i++)
            if (own.needed[i] < INFINITY) conclude(search, &own, i, key, proven);
    }
    free(key);
    scoring_free(&own);
    return key && !search->failed ? own.opened : -1;
}

/* Give a pair that was open its score, if it is still hopeful. */
EXPORT void search_patch(Search *search, const Open *open, float score) {
    const Segment *segment = search->segment + open->query;
    for (int64_t at = 0; at < segment->count; at++)
        if (segment->row[at] == open->row) search->score[open->query][at] = score;
}
