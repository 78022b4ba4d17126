/* A sorted set of half-open ranges [low, high) that knows nothing of packets. It starts with two
 * ranges in place and borrows a block, then a page, as it grows; past that it refuses. */
#ifndef RP_RANGES_H
#define RP_RANGES_H

#include "arena.h"

typedef struct {
    uint64_t low, high;
} rp_range;

typedef struct {
    uint32_t count, capacity;
    union {
        rp_range few[2];
        rp_range *many;
    };
} rp_ranges;

void rp_ranges_init(rp_ranges *set);
void rp_ranges_clear(rp_ranges *set, rp_arena *arena); /* empties it and returns what it borrowed */
const rp_range *rp_ranges_items(const rp_ranges *set);

bool rp_ranges_add(rp_ranges *set, rp_arena *arena, uint64_t low, uint64_t high); /* false: no room */
bool rp_ranges_remove(rp_ranges *set, rp_arena *arena, uint64_t low, uint64_t high);
void rp_ranges_drop_below(rp_ranges *set, rp_arena *arena, uint64_t low);
/* Joins the two neighbours with the smallest gap: for sets that may cover too much, never too little. */
void rp_ranges_merge_nearest(rp_ranges *set);

bool rp_ranges_contains(const rp_ranges *set, uint64_t value);
/* The end of the range that `from` lies in, or `from` itself when it lies in none. */
uint64_t rp_ranges_end(const rp_ranges *set, uint64_t from);
/* The first range at or after `from`: [max(low, from), high). */
bool rp_ranges_next(const rp_ranges *set, uint64_t from, rp_range *out);

#endif
