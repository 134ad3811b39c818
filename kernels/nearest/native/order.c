/* The total order: by score, then by row, and of a group only its first. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nearest.h"

/* Sort by key, entries of one key as they stand: [n], with room for as many. */
Entry *sort(Entry *entry, Entry *room, int64_t n) {
    if (n <= 32) {
        for (int64_t i = 1; i < n; i++) {
            Entry own = entry[i];
            int64_t j = i;
            for (; j > 0 && entry[j - 1].key > own.key; j--) entry[j] = entry[j - 1];
            entry[j] = own;
        }
        return entry;
    }
    uint32_t start[4][257] = {{0}};
    for (int64_t i = 0; i < n; i++)
        for (int digit = 0; digit < 4; digit++) start[digit][(entry[i].key >> 8 * digit & 255) + 1]++;
    for (int digit = 0; digit < 4; digit++) {
        uint32_t *own = start[digit];
        if (own[(entry->key >> 8 * digit & 255) + 1] == n) continue; /* all have the same */
        for (int i = 0; i < 256; i++) own[i + 1] += own[i];
        for (int64_t i = 0; i < n; i++) room[own[entry[i].key >> 8 * digit & 255]++] = entry[i];
        Entry *other = entry;
        entry = room;
        room = other;
    }
    return entry;
}

/* Put entries of one key, sorted by it, into the order of their rows; room: for as many. */
static void settle_ties(Entry *entry, Entry *room, int64_t n) {
    for (int64_t i = 0, end; i < n; i = end) {
        int inverted = 0;
        for (end = i + 1; end < n && entry[end].key == entry[i].key; end++)
            inverted |= entry[end].row < entry[end - 1].row;
        if (!inverted) continue;
        uint32_t key = entry[i].key;
        for (int64_t at = i; at < end; at++) entry[at].key = entry[at].row;
        Entry *sorted = sort(entry + i, room + i, end - i);
        for (int64_t at = i; at < end; at++) entry[at] = (Entry){key, sorted[at - i].key};
    }
}

/* Order the scored rows of queries `from` to `to` into score and row, [h, k]; a query of whose bounds one is not kept
 * is not proven. Returns 0 where memory is short. */
EXPORT int64_t search_order(Search *search, const int64_t *group, int64_t from, int64_t to, float *score, int64_t *row,
                     uint8_t *proven) {
    const Queries *q = &search->q;
    float sign = q->metric == SQ_EUCLIDEAN ? 1.0f : -1.0f;
    for (int64_t query = from; query < to; query++) {
        Segment *segment = search->segment + query;
        int64_t n = segment->count, filled = 0;
        Entry *room = malloc((size_t)(2 * n + 1) * sizeof(Entry));
        Groups met = {0};
        if (!room || (group && !groups_new(&met, n))) return free(room), groups_free(&met), 0;
        for (int64_t i = 0; i < n; i++) {
            float cost = sign * search->score[query][i] + 0.0f;
            double bound = segment->bound[i];
            double near = cost_of(q, query, bound + (ROUNDING * fabs(bound) + q->floor[query]));
            if ((float)near > cost || cost > (float)cost_of(q, query, segment->lower[i])) proven[query] = 0;
            uint32_t bits;
            memcpy(&bits, &cost, 4);
            room[i] = (Entry){bits & 0x80000000u ? ~bits : bits | 0x80000000u, segment->row[i]};
        }
        Entry *sorted = sort(room, room + n, n);
        settle_ties(sorted, sorted == room ? room + n : room, n);
        for (int64_t i = 0; i < n && filled < q->k; i++) {
            int fresh = 1;
            if (group) place_of(&met, group[sorted[i].row], &fresh);
            if (!fresh) continue;
            uint32_t bits = sorted[i].key & 0x80000000u ? sorted[i].key & 0x7fffffffu : ~sorted[i].key;
            float cost;
            memcpy(&cost, &bits, 4);
            score[query * q->k + filled] = sign * cost + 0.0f;
            row[query * q->k + filled++] = sorted[i].row;
        }
        for (; filled < q->k; filled++) {
            score[query * q->k + filled] = sign * INFINITY;
            row[query * q->k + filled] = -1;
        }
        free(room);
        groups_free(&met);
    }
    return 1;
}

/* Answer queries `from` to `to` in one call: scan `rows` for them, if it is not NULL, score and order. Returns how many
 * pairs are open, in which case all that follows the scan is left to do; -1 where memory is short. */
EXPORT int64_t search_answer(Search *search, const Rows *rows, const Vectors *gallery, const int64_t *group, int64_t from,
                     int64_t to, float *score, int64_t *row, uint8_t *proven) {
    if (rows && !search_scan(search, rows, 0, from, to, 0, rows->rows)) return -1;
    int64_t opened = search_settle(search, gallery, group, from, to, proven, NULL, 0);
    if (opened) return opened;
    return search_order(search, group, from, to, score, row, proven) - 1;
}
