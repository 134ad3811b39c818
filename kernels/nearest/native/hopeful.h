/* What settle.c asks of hopeful.c. */
#ifndef HOPEFUL_H
#define HOPEFUL_H

#include "nearest.h"

/* A survivor whose score is wanted. place: where it stands among its query's, twice, and whether it is likely. */
typedef struct {
    uint32_t row, place;
    int32_t query;
} Pair;

/* Queries `from` to `to` as float32 with their squared norms; held: room for them. needed: from which bound on a row is
 * looked at. likely: from which middle of its bounds on it is scored; of the others, what costs more than `limit` by
 * float32 is left without a score. pair: what is looked at, window by window and query by query. A window has 2^shift
 * rows; row, y, y_sq, copied: those that were met, at the place of their last bits, and fetched [2 windows]: those that
 * were fetched from memory. */
typedef struct {
    const Vectors *gallery;
    const float **x, **y;
    double *x_sq, *y_sq, *limit;
    float *held, *copied, *needed, *likely;
    Pair *pair;
    uint32_t *row, *fetched;
    int64_t d, from, to, shift, opened, room;
    Open *open;
} Scoring;

int scoring_new(Scoring *own);
void scoring_free(Scoring *own);
void score_hopeful(Search *search, Scoring *own);

#endif
