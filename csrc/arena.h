/* All memory of a core, taken once and lent out in blocks of four fixed sizes. */
#ifndef RP_ARENA_H
#define RP_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RP_BLOCK_SIZE 4096 /* a session, a table, a set of ranges */
#define RP_PAGE_SIZE 32768 /* stream data */

typedef struct {
    uint8_t *base;
    size_t object_size;
    uint32_t count, fresh, used, peak; /* `fresh`: objects never lent yet, so never touched */
    void *returned;                    /* last in, first out: the warmest is lent next */
} rp_pool;

void *rp_pool_take(rp_pool *pool); /* null when all is lent; the contents are undefined */
void rp_pool_give(rp_pool *pool, void *object);
bool rp_pool_owns(const rp_pool *pool, const void *object);

typedef struct {
    rp_pool blocks, pages, streams, frames;
    void *memory;
} rp_arena;

typedef struct {
    uint32_t blocks, pages, streams, frames;
    size_t stream_size, frame_size;
} rp_arena_plan;

/* Writers leave half of the pages to what comes in order: so bytes that somebody waits for always find room,
 * and a full arena empties itself. What comes early leaves an eighth to writers, and datagrams, which need
 * not be kept, another one: so neither stops them, however many peers leave it lying here. */
bool rp_arena_may_write(const rp_arena *arena);
bool rp_arena_may_hold_early(const rp_arena *arena);
bool rp_arena_may_hold_loose(const rp_arena *arena);

bool rp_arena_take(rp_arena *arena, const rp_arena_plan *plan);
void rp_arena_free(rp_arena *arena);
uint64_t rp_arena_used(const rp_arena *arena); /* bytes on loan */
uint64_t rp_arena_peak(const rp_arena *arena);

#endif
