/* What the parts of the compiled scan share, and what Python fills in; structures.py has the same structures. */
#ifndef NEAREST_H
#define NEAREST_H

#include <stdint.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default"))) /* for Python; no other name is seen outside */
#define ROUNDING 0x1p-23 /* of a bound, as a share: encode.OUT of float32 */

enum { FLOAT32, FLOAT16, BFLOAT16, INT8 };             /* of values */
enum { SQ_EUCLIDEAN, INNER_PRODUCT, COSINE };          /* of metrics */

/* Vectors as the caller gave them: strides count elements. sq_norm: of each row, or NULL. */
typedef struct {
    const void *data;
    const double *sq_norm;
    int64_t row_stride, column_stride, d, type;
} Vectors;

/* Encoded rows of a gallery, numbered from `first`; encode.py says what the columns are. terms: of int8 codes. Bits
 * `valid` and `group` are of all rows, NULL where nothing is said. */
typedef struct {
    const uint8_t *codes;
    const float *terms;
    const uint8_t *valid;
    const int64_t *group;
    int64_t bytes, rows, first, type, d;
} Rows;

/* Queries, and what is asked: exclude, a row or group of each, or NULL; most, survivors of one in one of so many parts
 * of the gallery; guess, whether a threshold may be one that only the answer proves. centre to width: how the gallery is
 * encoded (codes.py). What follows is made of them: codes [h, width], the terms beside them [h, 3], what a unit of int8
 * codes is worth, and how a similarity s becomes a cost (scale.py). */
typedef struct {
    Vectors x;
    const int64_t *exclude;
    int64_t h, k, most, parts, guess;
    const float *centre;
    double offset, roundoff;
    int64_t metric, type, width;
    uint8_t *codes;
    float *terms, *step;
    double *floor, *constant, *norm;
} Queries;

/* The survivors of one query in one part of the gallery: which row, the bound of s, and what s is at least. */
typedef struct {
    uint32_t *row;
    float *bound, *lower;
    int64_t count, room;
    int dead; /* more than there may be: not all are there */
    int moved; /* out of the room that all segments had at first, into their own, which begins at `row` */
} Segment;

/* A pair that float64 cannot round, for Python to score. */
typedef struct {
    int64_t query, row;
} Open;

typedef struct {
    Queries q;
    int64_t lanes; /* queries, rounded up to whole vectors */
    uint32_t *panels;
    float *least;      /* [parts, lanes] thresholds of s; NaN lets nothing through */
    float *q_step, *q_error, *q_norm, *q_floor; /* [lanes] */
    int32_t *bias;     /* [lanes] of int8 products of few queries, for which rows are read as unsigned */
    Segment *segment;  /* [parts, h] */
    float **score;     /* [h] of the hopeful, which stand in the query's first segment then */
    void *first;       /* room of all segments */
    int64_t words;     /* 32-bit words of a code */
    int failed;        /* out of memory: any thread may say so, and none takes it back */
} Search;

/* The groups that were met, in a table of 2^n places; `best` is a number that the caller keeps for each. */
typedef struct {
    int64_t *group;
    float *best;
    uint8_t *used;
    int64_t places;
} Groups;

/* A row, or an order-preserving score, to be sorted by, and what goes with it. */
typedef struct {
    uint32_t key, row;
} Entry;

/* score.c */
const float *float_row(const Vectors *vectors, int64_t row, float *room);
void fetch(const Vectors *vectors, int64_t row);
double square(const float *x, int64_t d);
void dots(const float *const *x, const float *y, int64_t d, int count, double *out);
void least_costs(const float *const *x, const float *y, int64_t d, int64_t metric, const double *x_sq, double y_sq,
                 int count, double *out);
float score_pair(double dot, const float *x, const float *y, int64_t d, int64_t metric, double x_sq, double y_sq,
                 int *open);

/* encode.c */
int64_t search_encode(Queries *q);
void search_free_queries(Queries *q);

/* bounds.c */
int groups_new(Groups *groups, int64_t most);
void groups_free(Groups *groups);
int64_t place_of(Groups *groups, int64_t group, int *fresh);

/* A float as a whole number of the same order. */
static inline int32_t ordered(float value) {
    int32_t bits;
    memcpy(&bits, &value, 4);
    return bits ^ (bits >> 31 & 0x7fffffff);
}

float largest(int32_t *key, int64_t n, int64_t k, int64_t slack);
float kth_lower(const Segment *segment, const int64_t *group, int64_t k, Groups *best);
void guess(Search *search, int64_t part, int64_t query, double share);
double cost_of(const Queries *q, int64_t query, double s);
double threshold_of(const Queries *q, int64_t query, double cost);
void compact(const Queries *q, Segment *segment, int64_t query, float least, const int64_t *group, Groups *best,
             float *score);
void tighten(Search *search, const int64_t *group, int64_t part, int64_t query);

/* search.c */
void *reserve(int64_t count, int64_t size);
int widen(Segment *segment, int64_t room);

/* keep.c */
void *borrow(int64_t bytes);
void give_back(void *lent);

/* scan.c, settle.c */
int64_t search_scan(Search *search, const Rows *rows, int64_t part, int64_t from, int64_t to, int64_t start,
                    int64_t stop);
int64_t search_settle(Search *search, const Vectors *gallery, const int64_t *group, int64_t from, int64_t to,
                      uint8_t *proven, Open *open, int64_t room);

/* order.c */
Entry *sort(Entry *entry, Entry *room, int64_t n);

#endif
