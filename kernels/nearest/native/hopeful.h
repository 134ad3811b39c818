/* What settle.c asks of hopeful.c. */
#ifndef HOPEFUL_H
#define HOPEFUL_H

#include "nearest.h"

enum { RUNS = 4 }; /* of survivors in the order of their rows; more are sorted */

/* A survivor whose score is wanted: of which query, its row in the window, and where it stands among the query's. */
typedef struct {
    uint16_t query, row;
    uint32_t place;
} Wanted;

/* Queries `from` to `to` as float32 with their squared norms; held, y: room for them and a row. needed: from which lower
 * bound on a score is wanted. limit: of each query's cost, where `screened`. place, stop: [RUNS] of each query. */
typedef struct {
    const Vectors *gallery;
    const float **x;
    double *x_sq, *limit;
    int screened;
    float *held, *y, *needed;
    int64_t *place, *stop, *end, d, from, to, window, opened, room;
    Wanted *wanted, *found; /* by row, and as they were found */
    int64_t wanted_room;
    Open *open;
} Scoring;

int runs_of(const Segment *segment, int64_t *start);
int window_new(const Search *search, Scoring *own);
void score_hopeful(Search *search, Scoring *own);

#endif
