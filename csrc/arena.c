#include "arena.h"

#include <stdlib.h>
#include <string.h>

void *rp_pool_take(rp_pool *pool) {
    void *object = pool->returned;
    if (object) {
        memcpy(&pool->returned, object, sizeof pool->returned);
    } else {
        if (pool->fresh == pool->count) return NULL;
        object = pool->base + (size_t)pool->fresh++ * pool->object_size;
    }
    if (++pool->used > pool->peak) pool->peak = pool->used;
    return object;
}

void rp_pool_give(rp_pool *pool, void *object) {
    if (!object) return;
    memcpy(object, &pool->returned, sizeof pool->returned);
    pool->returned = object;
    pool->used--;
}

bool rp_pool_owns(const rp_pool *pool, const void *object) {
    const uint8_t *p = object;
    return p >= pool->base && p < pool->base + pool->object_size * pool->count;
}

static uint8_t *pool_init(rp_pool *pool, uint8_t *memory, size_t object_size, uint32_t count) {
    *pool = (rp_pool){.base = memory, .object_size = object_size, .count = count};
    return memory + object_size * count;
}

/* calloc hands out pages that the system has not touched: a large arena costs nothing until used. */
bool rp_arena_take(rp_arena *arena, const rp_arena_plan *plan) {
    size_t stream_size = (plan->stream_size + 15) & ~(size_t)15,
           frame_size = (plan->frame_size + 15) & ~(size_t)15;
    size_t total = (size_t)plan->blocks * RP_BLOCK_SIZE + (size_t)plan->pages * RP_PAGE_SIZE +
                   plan->streams * stream_size + plan->frames * frame_size + RP_BLOCK_SIZE;
    arena->memory = calloc(1, total);
    if (!arena->memory) return false;
    uint8_t *p =
        (uint8_t *)(((uintptr_t)arena->memory + RP_BLOCK_SIZE - 1) & ~(uintptr_t)(RP_BLOCK_SIZE - 1));
    p = pool_init(&arena->pages, p, RP_PAGE_SIZE, plan->pages);
    p = pool_init(&arena->blocks, p, RP_BLOCK_SIZE, plan->blocks);
    p = pool_init(&arena->streams, p, stream_size, plan->streams);
    pool_init(&arena->frames, p, frame_size, plan->frames);
    return true;
}

static bool fuller_than(const rp_arena *arena, uint32_t eighths) {
    return (uint64_t)arena->pages.used * 8 >= (uint64_t)arena->pages.count * eighths;
}

bool rp_arena_may_write(const rp_arena *arena) { return !fuller_than(arena, 4); }

bool rp_arena_may_hold_early(const rp_arena *arena) { return !fuller_than(arena, 3); }

bool rp_arena_may_hold_loose(const rp_arena *arena) { return !fuller_than(arena, 2); }

void rp_arena_free(rp_arena *arena) {
    free(arena->memory);
    memset(arena, 0, sizeof *arena);
}

static uint64_t bytes(const rp_arena *arena, bool peak) {
    const rp_pool *pools[] = {&arena->blocks, &arena->pages, &arena->streams, &arena->frames};
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof pools / sizeof *pools; i++)
        sum += (uint64_t)(peak ? pools[i]->peak : pools[i]->used) * pools[i]->object_size;
    return sum;
}

uint64_t rp_arena_used(const rp_arena *arena) { return bytes(arena, false); }

uint64_t rp_arena_peak(const rp_arena *arena) { return bytes(arena, true); }
