/* What is left of a scan whose thresholds stay: the pairs within their rows' limits. */
#include <math.h>

#include "nearest.h"

/* List the scored survivors of queries `from` to `to` whose scores are at most their rows' limits, by query, then by
 * row, and leave no survivor for the next rows. Query i is not paired with rows up to `after` + i. Returns how many
 * pairs there are, -1 where there is not room for all or was none for a query's survivors, -2 where a bound is not
 * kept. */
EXPORT int64_t search_pairs(Search *search, int64_t from, int64_t to, const float *limit, int64_t after, int64_t *query,
                     int64_t *row, float *score, int64_t room) {
    const Queries *q = &search->q;
    int64_t found = 0;
    for (int64_t own = from; own < to; own++) {
        Segment *segment = search->segment + own;
        for (int64_t part = 0; part < q->parts; part++)
            if (segment[part * q->h].dead) return -1;
        for (int64_t i = 0; i < segment->count; i++) {
            int64_t number = segment->row[i];
            float cost = search->score[own][i] + 0.0f;
            if (!(cost <= limit[number]) || number <= after + own) continue;
            double bound = segment->bound[i];
            double near = cost_of(q, own, bound + (ROUNDING * fabs(bound) + q->floor[own]));
            if ((float)(near + limit[number]) > cost) return -2;
            if (found == room) return -1;
            query[found] = own;
            row[found] = number;
            score[found++] = cost;
        }
        segment->count = 0;
    }
    return found;
}
