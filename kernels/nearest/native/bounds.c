/* What bounds say: the k-th of them, the threshold that follows from it, and what is dropped then. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nearest.h"
#include "vectors.h"

enum { SLACK = 64 }; /* one in so many more than k may reach what is found for the k-th: that takes half the steps */

int groups_new(Groups *groups, int64_t most) {
    groups->places = 16;
    while (groups->places < 2 * most) groups->places *= 2;
    groups->group = malloc((size_t)groups->places * sizeof(int64_t));
    groups->best = malloc((size_t)groups->places * sizeof(float));
    groups->used = calloc((size_t)groups->places, 1);
    return groups->group && groups->best && groups->used;
}

void groups_free(Groups *groups) {
    free(groups->group);
    free(groups->best);
    free(groups->used);
}

/* Find a group's place; *fresh: was it not there? */
int64_t place_of(Groups *groups, int64_t group, int *fresh) {
    uint64_t at = (uint64_t)group * 0x9e3779b97f4a7c15u;
    for (at ^= at >> 32;; at++) {
        at &= (uint64_t)groups->places - 1;
        if (!groups->used[at] || groups->group[at] == group) break;
    }
    *fresh = !groups->used[at];
    groups->used[at] = 1;
    groups->group[at] = group;
    return (int64_t)at;
}

/* Turn `ordered` back. */
static float unordered(int32_t bits) {
    float value;
    bits ^= bits >> 31 & 0x7fffffff;
    memcpy(&value, &bits, 4);
    return value;
}

/* Find the k-th largest of n values, 1 <= k <= n, or one of the `slack` that follow it: halving the range and counting,
 * which goes by vectors, is faster than to move values about. */
float largest(int32_t *key, int64_t n, int64_t k, int64_t slack) {
    int32_t least = INT32_MAX, most = INT32_MIN;
    for (int64_t i = 0; i < n; i++) {
        least = key[i] < least ? key[i] : least;
        most = key[i] > most ? key[i] : most;
    }
    int64_t low = least, high = most; /* the k-th is in low..high */
    while (low < high) {
        int32_t middle = (int32_t)((low + high + 1) >> 1), count = 0;
        for (int64_t i = 0; i < n; i++) count += key[i] >= middle;
        if (count >= k && count <= k + slack) { /* then it is the least of these */
            least = INT32_MAX;
            for (int64_t i = 0; i < n; i++) least = (key[i] >= middle) & (key[i] < least) ? key[i] : least;
            return unordered(least);
        }
        if (count > k) low = middle;
        else high = (int64_t)middle - 1;
    }
    return unordered((int32_t)low);
}

/* Find the k-th largest lower bound, or one a little less; of distinct groups exactly, each one's best. -inf
 * where there are fewer, NaN where memory is short. best: the table of groups that is filled meanwhile, or NULL. */
float kth_lower(const Segment *segment, const int64_t *group, int64_t k, Groups *best) {
    int64_t n = segment->count;
    int32_t *key = malloc((size_t)(n + 1) * sizeof(int32_t));
    float found = -INFINITY;
    if (!key) return NAN;
    if (!group) {
        for (int64_t i = 0; i < n; i++) key[i] = ordered(segment->lower[i]);
    } else {
        int fresh;
        for (int64_t i = 0; i < n; i++) {
            int64_t at = place_of(best, group[segment->row[i]], &fresh);
            if (fresh || segment->lower[i] > best->best[at]) best->best[at] = segment->lower[i];
        }
        n = 0;
        for (int64_t at = 0; at < best->places; at++)
            if (best->used[at]) key[n++] = ordered(best->best[at]);
    }
    if (n >= k) found = largest(key, n, k, group ? 0 : k / SLACK);
    free(key);
    return found;
}

double cost_of(const Queries *q, int64_t query, double s) {
    if (q->metric == SQ_EUCLIDEAN) return q->constant[query] - 2.0 * (s - q->offset);
    double score = q->constant[query] + s;
    if (q->metric == COSINE) score = q->norm[query] > 0.0 ? score / q->norm[query] : 0.0;
    return -score;
}

/* Turn a cost into the threshold below which every row's cost is beyond it, also once both are float32. */
double threshold_of(const Queries *q, int64_t query, double cost) {
    cost += fabs(cost) * 0x1p-22 + 0x1p-148;
    double s = q->metric == SQ_EUCLIDEAN ? (q->constant[query] - cost) / 2.0 + q->offset
                                         : -cost * (q->metric == COSINE ? q->norm[query] : 1.0) - q->constant[query];
    s -= q->floor[query];
    return s - 2.0 * ROUNDING * fabs(s);
}

/* Keep survivors whose bound is at least `least` and, where `best` holds groups, what their group's best surely has. */
void compact(const Queries *q, Segment *segment, int64_t query, float least, const int64_t *group, Groups *best,
                    float *score) {
    uint32_t *row = segment->row;
    float *bound = segment->bound, *lower = segment->lower;
    int64_t count = segment->count, kept = 0, i = 0;
    for (; !group && i + LANES <= count; i += LANES) { /* what is written beyond `kept` has been read */
        uint32_t bits = reaching((vf)load(bound + i), spread_float(least));
        vu moved[] = {load(row + i), load(bound + i), load(lower + i), score ? load(score + i) : (vu){0}};
        void *to[] = {row + kept, bound + kept, lower + kept, score ? score + kept : NULL};
        for (int part = 0; part < (score ? 4 : 3); part++) {
            vu own = pressed(moved[part], bits);
            memcpy(to[part], &own, sizeof own);
        }
        kept += __builtin_popcount(bits);
    }
    for (; i < count; i++) { /* without groups no branch that could not be foretold */
        float needed = least;
        if (group && bound[i] >= least) {
            int fresh;
            float own = best->best[place_of(best, group[row[i]], &fresh)];
            if (lower[i] < own) { /* or it is its group's best itself */
                float within = (float)threshold_of(q, query, cost_of(q, query, own));
                needed = within > needed ? within : needed;
            }
        }
        int keep = bound[i] >= needed;
        row[kept] = row[i];
        bound[kept] = bound[i];
        lower[kept] = lower[i];
        if (score) score[kept] = score[i];
        kept += keep;
    }
    segment->count = kept;
}

/* Raise the threshold of a full segment to what its k-th row proves, and drop what is below. Of a group, rows whose
 * bound is below what its best surely has are dropped too. */
void tighten(Search *search, const int64_t *group, int64_t part, int64_t query) {
    const Queries *q = &search->q;
    Segment *segment = search->segment + part * q->h + query;
    float *least = search->least + part * search->lanes + query;
    Groups best = {0};
    if (segment->count < q->k) return;
    float kth = group && !groups_new(&best, segment->count) ? NAN : kth_lower(segment, group, q->k, &best);
    if (isnan(kth)) search->failed = 1;
    if (kth > -INFINITY) {
        float raised = (float)threshold_of(q, query, cost_of(q, query, kth));
        if (raised > *least) *least = raised;
    }
    if (!search->failed) compact(q, segment, query, *least, group, &best, NULL);
    groups_free(&best);
}

/* Raise a threshold, and drop what is below it, when `share` of the rows, from everywhere, has been looked at: to what
 * more of them reach, by the middle of their bounds, than stand among the k first of all rows, but for a chance in a
 * million where rows come in any order. Exact scores prove it in the end, or the query is scanned again. */
void guess(Search *search, int64_t part, int64_t query, double share) {
    const Queries *q = &search->q;
    Segment *segment = search->segment + part * q->h + query;
    float *least = search->least + part * search->lanes + query;
    double found = share * (double)q->k;
    int64_t rank = (int64_t)(found + 5.0 * sqrt(found * (1.0 - share)) + 5.0);
    if (segment->dead || segment->count < rank) return;
    int32_t *key = malloc((size_t)segment->count * sizeof(int32_t));
    if (!key) {
        search->failed = 1;
        return;
    }
    for (int64_t i = 0; i < segment->count; i++) key[i] = ordered((segment->bound[i] + segment->lower[i]) * 0.5f);
    float middle = largest(key, segment->count, rank, rank / SLACK);
    free(key);
    float raised = (float)threshold_of(q, query, cost_of(q, query, middle));
    if (!(raised > *least)) return;
    *least = raised;
    compact(q, segment, query, raised, NULL, NULL, NULL);
}
