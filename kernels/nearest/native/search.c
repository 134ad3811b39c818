/* A search: its queries, encoded and rearranged, their thresholds and the room for survivors. */
#include <math.h>
#include <stdlib.h>

#include "nearest.h"
#include "vectors.h"

#define UP (1.0 + 0x1p-7)
enum { MOST_FEW = 8 }; /* queries; more stand in lanes */

EXPORT int64_t search_lanes(void) { return LANES; }

EXPORT void search_free(Search *search) {
    if (!search) return;
    for (int64_t i = 0; search->segment && i < search->q.h * search->q.parts; i++) {
        if (search->segment[i].moved) free(search->segment[i].row);
    }
    give_back(search->first);
    for (int64_t i = 0; search->score && i < search->q.h; i++) free(search->score[i]);
    search_free_queries(&search->q);
    free(search->panels);
    free(search->least);
    free(search->q_step);
    free(search->bias);
    free(search->segment);
    free(search->score);
    free(search);
}

void *reserve(int64_t count, int64_t size) {
    int64_t bytes = (count * size + VECTOR_BYTES) / 64 * 64 + 64;
    void *room = aligned_alloc(64, (size_t)bytes);
    if (room) memset(room, 0, (size_t)bytes);
    return room;
}

static void place_in(Segment *segment, void *block, int64_t room) {
    segment->row = block;
    segment->bound = (float *)block + room;
    segment->lower = (float *)block + 2 * room;
    segment->room = room;
}

/* Give a segment more room; 0 where memory is short. */
int widen(Segment *segment, int64_t room) {
    void *block = malloc((size_t)(3 * room) * 4);
    Segment before = *segment;
    if (!block) return 0;
    place_in(segment, block, room);
    memcpy(segment->row, before.row, (size_t)before.count * 4);
    memcpy(segment->bound, before.bound, (size_t)before.count * 4);
    memcpy(segment->lower, before.lower, (size_t)before.count * 4);
    if (before.moved) free(before.row);
    segment->moved = 1;
    return 1;
}

/* Give all segments the room that they have at first; 0 where memory is short. */
static int segments_new(Search *search) {
    const Queries *q = &search->q;
    int64_t count = q->h * q->parts, room = q->k > q->most ? 128 : (q->guess ? 4 : 2) * q->k + 128;
    room = room < q->most ? room : q->most;
    search->segment = calloc((size_t)count, sizeof(Segment));
    search->first = borrow(3 * 4 * room * count);
    for (int64_t i = 0; search->segment && search->first && i < count; i++)
        place_in(search->segment + i, (uint32_t *)search->first + 3 * room * i, room);
    return search->segment && search->first;
}

/* Rearrange the queries into panels [lanes / LANES, words, LANES]. */
static void pack(Search *search, int64_t bytes, uint32_t signs) {
    for (int64_t query = 0; query < search->q.h; query++) {
        const uint8_t *from = search->q.codes + query * bytes;
        uint32_t *to = search->panels + query / LANES * LANES * search->words + query % LANES;
        for (int64_t word = 0; word < search->words; word++) {
            uint32_t own;
            memcpy(&own, from + 4 * word, 4);
            to[word * LANES] = own ^ signs;
        }
    }
}

/* Begin a search, and encode its queries; NULL where memory is short or, as `unbounded` says then, a query too long. A k
 * beyond `most` asks for all rows within their limits: those stand in the rows' codes (encode.py), so that every
 * threshold is that of the cost 0 and stays there. */
EXPORT Search *search_new(const Queries *asked, int64_t *unbounded) {
    Search *search = calloc(1, sizeof *search);
    if (!search) return NULL;
    Queries *queries = &search->q;
    *queries = *asked;
    int64_t encoded = search_encode(queries);
    *unbounded = encoded < 0;
    if (encoded <= 0) return search_free(search), NULL;
    int64_t type = queries->type, bytes = queries->width * (type == INT8 ? 1 : type == BFLOAT16 ? 2 : 4);
    int64_t h = queries->h, lanes = search->lanes = (h + LANES - 1) / LANES * LANES;
    search->words = bytes / 4;
    search->least = reserve(queries->parts * lanes, 4);
    search->q_step = reserve(4 * lanes, 4);
    search->bias = reserve(lanes, 4);
    search->score = calloc((size_t)h, sizeof(float *));
    if (h > MOST_FEW) search->panels = reserve(lanes * search->words, 4);
    if (!search->least || !search->q_step || !search->bias || !segments_new(search) || !search->score ||
        (h > MOST_FEW && !search->panels)) {
        search_free(search);
        return NULL;
    }
    search->q_error = search->q_step + lanes;
    search->q_norm = search->q_error + lanes;
    search->q_floor = search->q_norm + lanes;
    for (int64_t i = 0; i < queries->parts * lanes; i++) {
        int64_t query = i % lanes;
        search->least[i] = query >= h                   ? NAN
                           : queries->k > queries->most ? (float)threshold_of(queries, query, 0.0)
                                                        : -INFINITY;
    }
    for (int64_t query = 0; query < h; query++) {
        search->q_step[query] = queries->step[query];
        search->q_error[query] = queries->terms[3 * query + 1];
        search->q_norm[query] = queries->terms[3 * query + 2];
        search->q_floor[query] = (float)(queries->floor[query] * UP); /* or infinite: then nothing is bounded */
        int32_t sum = 0;
        for (int64_t at = 0; type == INT8 && at < bytes; at++) sum += (int8_t)queries->codes[query * bytes + at];
        search->bias[query] = -UNSIGNED * sum;
    }
    if (search->panels) pack(search, bytes, type == INT8 ? PANEL_SIGNS : 0);
    return search;
}
