/* What settle.c asks of hopeful.c. */
#ifndef HOPEFUL_H
#define HOPEFUL_H

#include "nearest.h"

/* A survivor whose score is wanted: of which query, and where it stands among the query's; whether it is likely. */
typedef struct {
    int32_t query, place, likely;
} Wanted;

/* A row that is fetched from memory, and who wants it. */
typedef struct {
    int64_t row, count;
    Wanted *wanted;
} Fetched;

/* Queries `from` to `to` as float32 with their squared norms; held, y: room for them and a row. needed: from which
 * bound on a row is looked at. likely: from which middle of its bounds on it is scored; of the others, what costs more
 * than `limit` by float32 is left without a score. listed: of all queries, the survivors that are looked at, by row;
 * place: of each, which comes then, and next: its row. */
typedef struct {
    const Vectors *gallery;
    const float **x;
    double *x_sq, *limit;
    float *held, *y, *needed, *likely;
    Entry *listed, **place;
    uint32_t *next; /* [lanes] */
    Wanted *wanted;
    int64_t d, from, to, lanes, opened, room;
    Open *open;
} Scoring;

int scoring_new(Scoring *own);
void scoring_free(Scoring *own);
void score_hopeful(Search *search, Scoring *own);

#endif
