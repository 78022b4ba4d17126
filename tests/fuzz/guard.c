#include "guard.h"

#include <sanitizer/asan_interface.h>
#include <stdlib.h>
#include <string.h>

enum { GAP = 64 }; /* behind each object; a multiple of what packets' records are aligned to */

void *__real_rp_pool_take(rp_pool *pool);
void __real_rp_pool_give(rp_pool *pool, void *object);
bool __real_rp_arena_take(rp_arena *arena, const rp_arena_plan *plan);

void *__wrap_rp_pool_take(rp_pool *pool);
void __wrap_rp_pool_give(rp_pool *pool, void *object);
bool __wrap_rp_arena_take(rp_arena *arena, const rp_arena_plan *plan);

static void lock(const void *object, size_t size) { __asan_poison_memory_region(object, size); }

static void unlock(const rp_pool *pool, const void *object) {
    __asan_unpoison_memory_region(object, pool->object_size - GAP);
}

/* ---- what csrc calls ---- */

void *__wrap_rp_pool_take(rp_pool *pool) {
    void *returned = pool->returned;
    bool fresh = pool->fresh < pool->count;
    if (fresh) pool->returned = NULL; /* so that whoever still uses what it returned is noticed */
    if (!fresh && returned) unlock(pool, returned);
    void *object = __real_rp_pool_take(pool);
    if (fresh) {
        pool->returned = returned;
        unlock(pool, object);
    }
    return object;
}

void __wrap_rp_pool_give(rp_pool *pool, void *object) {
    __real_rp_pool_give(pool, object);
    if (object) lock(object, pool->object_size);
}

static uint8_t *widen(rp_pool *pool, uint8_t *memory) {
    pool->base = memory;
    pool->object_size += GAP;
    return memory + pool->object_size * pool->count;
}

static size_t widened(const rp_pool *pool) { return (pool->object_size + GAP) * pool->count; }

bool __wrap_rp_arena_take(rp_arena *arena, const rp_arena_plan *plan) {
    if (!__real_rp_arena_take(arena, plan)) return false;
    size_t total =
        widened(&arena->pages) + widened(&arena->blocks) + widened(&arena->streams) + widened(&arena->frames);
    free(arena->memory);
    total = (total + GAP - 1) / GAP * GAP;
    arena->memory = aligned_alloc(GAP, total);
    if (!arena->memory) return false;
    uint8_t *p = arena->memory;
    p = widen(&arena->pages, p);
    p = widen(&arena->blocks, p);
    p = widen(&arena->streams, p);
    widen(&arena->frames, p);
    lock(arena->memory, total);
    return true;
}

/* ---- as it was ---- */

static size_t touched(const rp_pool *pool) { return pool->fresh * pool->object_size; }

static void lock_what_is_not_lent(const rp_pool *pool) {
    for (uint32_t i = 0; i < pool->fresh; i++) lock(pool->base + (i + 1) * pool->object_size - GAP, GAP);
    for (void *object = pool->returned, *next; object; object = next) {
        memcpy(&next, object, sizeof next);
        lock(object, pool->object_size);
    }
}

void guard_keep(guard_copy *copy, const rp_pool *pool) {
    copy->pool = *pool;
    copy->bytes = malloc(touched(pool) + 1);
    __asan_unpoison_memory_region(pool->base, touched(pool));
    memcpy(copy->bytes, pool->base, touched(pool));
    lock_what_is_not_lent(pool);
}

void guard_rewind(const guard_copy *copy, const rp_pool *pool) {
    size_t then = touched(&copy->pool);
    lock(pool->base, touched(pool));
    __asan_unpoison_memory_region(pool->base, then);
    memcpy(pool->base, copy->bytes, then);
    lock_what_is_not_lent(&copy->pool);
}
