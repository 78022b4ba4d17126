/* The arena of a fuzz build, which AddressSanitizer sees object by object: what is not on loan must not be
 * touched, nor the gap behind each object; and what was returned is lent again last. The linker puts these
 * in the place of csrc's own (--wrap). */
#ifndef GUARD_H
#define GUARD_H

#include "arena.h"

/* A pool as it was, with what it had lent. */
typedef struct {
    rp_pool pool;
    uint8_t *bytes;
} guard_copy;

void guard_keep(guard_copy *copy, const rp_pool *pool);
/* Puts the bytes back and guards what is not on loan; the pool itself is still as it became. */
void guard_rewind(const guard_copy *copy, const rp_pool *pool);

#endif
