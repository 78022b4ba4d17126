#include "arena.h"

#include "chance.h"
#include "check.h"

static rp_arena arena;

/* ASan ends a program that asks for too much, unless it is told not to. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }

static void with_plan(uint32_t blocks, uint32_t pages, uint32_t streams, uint32_t frames) {
    rp_arena_plan plan = {blocks, pages, streams, frames, .stream_size = 300, .frame_size = 40};
    CHECK(rp_arena_take(&arena, &plan));
}

static void a_pool_lends_what_it_has_and_no_more(void) {
    with_plan(3, 0, 0, 0);
    for (int i = 0; i < 3; i++) CHECK(rp_pool_take(&arena.blocks));
    CHECK(!rp_pool_take(&arena.blocks));
    CHECK(!rp_pool_take(&arena.pages));
    rp_arena_free(&arena);
}

static void the_last_returned_is_lent_next(void) {
    with_plan(2, 0, 0, 0);
    void *a = rp_pool_take(&arena.blocks), *b = rp_pool_take(&arena.blocks);
    rp_pool_give(&arena.blocks, a);
    rp_pool_give(&arena.blocks, b);
    CHECK(rp_pool_take(&arena.blocks) == b);
    CHECK(rp_pool_take(&arena.blocks) == a);
    CHECK(!rp_pool_take(&arena.blocks));
    rp_arena_free(&arena);
}

static void returning_nothing_changes_nothing(void) {
    with_plan(1, 0, 0, 0);
    rp_pool_give(&arena.blocks, NULL);
    CHECK_EQUAL(arena.blocks.used, 0);
    CHECK(rp_pool_take(&arena.blocks));
    rp_arena_free(&arena);
}

static void blocks_and_pages_are_aligned_and_objects_fit_their_alignment(void) {
    with_plan(2, 2, 3, 3);
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL((uintptr_t)rp_pool_take(&arena.blocks) % RP_BLOCK_SIZE, 0);
        CHECK_EQUAL((uintptr_t)rp_pool_take(&arena.pages) % RP_BLOCK_SIZE, 0);
    }
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL((uintptr_t)rp_pool_take(&arena.streams) % 16, 0);
        CHECK_EQUAL((uintptr_t)rp_pool_take(&arena.frames) % 16, 0);
    }
    rp_arena_free(&arena);
}

static void fill(void *object, size_t size, int with) { memset(object, with, size); }

static void nothing_that_is_lent_overlaps(void) {
    enum { EACH = 4 };
    struct {
        rp_pool *pool;
        size_t size;
        uint8_t *lent[EACH];
    } kinds[] = {{.pool = &arena.blocks, .size = RP_BLOCK_SIZE},
                 {.pool = &arena.pages, .size = RP_PAGE_SIZE},
                 {.pool = &arena.streams, .size = 300},
                 {.pool = &arena.frames, .size = 40}};
    with_plan(EACH, EACH, EACH, EACH);
    for (int kind = 0; kind < 4; kind++)
        for (int i = 0; i < EACH; i++) {
            kinds[kind].lent[i] = rp_pool_take(kinds[kind].pool);
            fill(kinds[kind].lent[i], kinds[kind].size, kind * EACH + i);
        }
    for (int kind = 0; kind < 4; kind++)
        for (int i = 0; i < EACH; i++)
            for (size_t at = 0; at < kinds[kind].size; at++)
                CHECK_EQUAL(kinds[kind].lent[i][at], kind * EACH + i);
    rp_arena_free(&arena);
}

static void what_is_on_loan_is_counted_in_bytes(void) {
    with_plan(2, 2, 2, 2);
    CHECK_EQUAL(rp_arena_used(&arena), 0);
    void *block = rp_pool_take(&arena.blocks), *page = rp_pool_take(&arena.pages);
    void *stream = rp_pool_take(&arena.streams), *frame = rp_pool_take(&arena.frames);
    CHECK_EQUAL(rp_arena_used(&arena), RP_BLOCK_SIZE + RP_PAGE_SIZE + 304 + 48);
    rp_pool_give(&arena.blocks, block);
    rp_pool_give(&arena.pages, page);
    rp_pool_give(&arena.streams, stream);
    rp_pool_give(&arena.frames, frame);
    CHECK_EQUAL(rp_arena_used(&arena), 0);
    CHECK_EQUAL(rp_arena_peak(&arena), RP_BLOCK_SIZE + RP_PAGE_SIZE + 304 + 48);
    rp_arena_free(&arena);
}

static void lending_and_returning_at_random_never_lends_twice(void) {
    enum { COUNT = 40 };
    uint32_t *lent[COUNT];
    uint32_t held = 0, serial[COUNT];
    chance c = {1};
    with_plan(COUNT, 0, 0, 0);
    for (uint32_t i = 0; i < 20000; i++) {
        if (chance_below(&c, 2) && held < COUNT) {
            lent[held] = rp_pool_take(&arena.blocks);
            CHECK(lent[held]);
            serial[held] = *lent[held] = i;
            held++;
        } else if (held) {
            uint64_t which = chance_below(&c, held--);
            CHECK_EQUAL(*lent[which], serial[which]);
            rp_pool_give(&arena.blocks, lent[which]);
            lent[which] = lent[held];
            serial[which] = serial[held];
        }
        CHECK_EQUAL(arena.blocks.used, held);
    }
    rp_arena_free(&arena);
}

static void each_use_of_pages_leaves_some_to_the_next(void) {
    with_plan(0, 16, 0, 0);
    for (uint32_t used = 0; used <= 16; used++) {
        CHECK_EQUAL(rp_arena_may_hold_loose(&arena), used < 4);
        CHECK_EQUAL(rp_arena_may_hold_early(&arena), used < 6);
        CHECK_EQUAL(rp_arena_may_write(&arena), used < 8);
        CHECK_EQUAL(rp_pool_take(&arena.pages) != NULL, used < 16);
    }
    rp_arena_free(&arena);
}

static void a_freed_arena_lends_nothing(void) {
    with_plan(1, 1, 1, 1);
    rp_arena_free(&arena);
    CHECK(!rp_pool_take(&arena.blocks));
    CHECK_EQUAL(rp_arena_used(&arena), 0);
    rp_arena_free(&arena);
}

static void more_than_there_is_cannot_be_taken(void) {
    rp_arena_plan plan = {.streams = UINT32_MAX, .stream_size = (size_t)1 << 20};
    CHECK(!rp_arena_take(&arena, &plan));
}

int main(void) {
    RUN(a_pool_lends_what_it_has_and_no_more);
    RUN(the_last_returned_is_lent_next);
    RUN(returning_nothing_changes_nothing);
    RUN(blocks_and_pages_are_aligned_and_objects_fit_their_alignment);
    RUN(nothing_that_is_lent_overlaps);
    RUN(what_is_on_loan_is_counted_in_bytes);
    RUN(lending_and_returning_at_random_never_lends_twice);
    RUN(each_use_of_pages_leaves_some_to_the_next);
    RUN(a_freed_arena_lends_nothing);
    RUN(more_than_there_is_cannot_be_taken);
    return 0;
}
