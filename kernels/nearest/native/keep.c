/* Memory that searches leave to the next one: what a system hands out anew has to be cleared and mapped page by page,
 * which took a tenth of a search for many neighbours. */
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "nearest.h"

enum { KEPT = 4 };                     /* blocks at most */
enum { KEPT_BYTES = 16 << 20 };        /* of one at most */
enum { BEFORE = 64 };                  /* bytes of a block, which say how long it is */

static _Atomic(void *) kept[KEPT];

/* Keep a block: where none is, or in place of one. */
static void keep(void *block) {
    for (int i = 0; i < KEPT; i++) {
        void *none = NULL;
        if (atomic_compare_exchange_strong(kept + i, &none, block)) return;
    }
    free(atomic_exchange(kept, block));
}

/* Lend memory, aligned to 64 bytes, of any content; NULL where it is short. */
void *borrow(int64_t bytes) {
    for (int i = 0; i < KEPT; i++) {
        int64_t *block = atomic_exchange(kept + i, NULL);
        if (block && *block >= bytes) return (uint8_t *)block + BEFORE;
        if (block) keep(block);
    }
    int64_t *block = aligned_alloc(64, (size_t)(bytes / 64 * 64 + 64 + BEFORE));
    if (!block) return NULL;
    *block = bytes;
    return (uint8_t *)block + BEFORE;
}

/* Take back what was lent, or NULL. */
void give_back(void *lent) {
    if (!lent) return;
    int64_t *block = (int64_t *)((uint8_t *)lent - BEFORE);
    if (*block > KEPT_BYTES) free(block);
    else keep(block);
}
