#include "ranges.h"

#include "chance.h"
#include "check.h"

/* The model: one byte for each number, set when the number is a member. */
enum { DOMAIN = 600 };

static rp_arena arena;
static rp_ranges set;
static uint8_t model[DOMAIN + 1];

static void start(uint32_t blocks, uint32_t pages) {
    CHECK(rp_arena_take(&arena, &(rp_arena_plan){.blocks = blocks, .pages = pages}));
    rp_ranges_init(&set);
    memset(model, 0, sizeof model);
}

static void finish(void) {
    rp_ranges_clear(&set, &arena);
    CHECK_EQUAL(rp_arena_used(&arena), 0);
    rp_arena_free(&arena);
}

static void holds(const char *expected) { /* such as "1-3 5-9" */
    char text[512] = "";
    const rp_range *items = rp_ranges_items(&set);
    for (uint32_t i = 0; i < set.count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%" PRIu64 "-%" PRIu64, i ? " " : "",
                 items[i].low, items[i].high);
    if (strcmp(text, expected) != 0) {
        fprintf(stderr, "the set holds %s, not %s\n", text, expected);
        CHECK(!"as expected");
    }
}

static bool add(uint64_t low, uint64_t high) { return rp_ranges_add(&set, &arena, low, high); }

static bool take_out(uint64_t low, uint64_t high) { return rp_ranges_remove(&set, &arena, low, high); }

static void ranges_that_touch_become_one(void) {
    start(1, 0);
    CHECK(add(10, 20));
    holds("10-20");
    CHECK(add(20, 25));
    CHECK(add(5, 10));
    holds("5-25");
    CHECK(add(30, 31));
    holds("5-25 30-31");
    CHECK(add(26, 30));
    holds("5-25 26-31");
    CHECK(add(25, 26));
    holds("5-31");
    finish();
}

static void a_range_swallows_those_it_covers(void) {
    start(1, 0);
    for (uint64_t low = 10; low < 60; low += 10) CHECK(add(low, low + 2));
    holds("10-12 20-22 30-32 40-42 50-52");
    CHECK(add(15, 45));
    holds("10-12 15-45 50-52");
    CHECK(add(11, 12));
    holds("10-12 15-45 50-52");
    CHECK(add(0, 1000));
    holds("0-1000");
    finish();
}

static void an_empty_range_adds_and_removes_nothing(void) {
    start(0, 0);
    CHECK(add(5, 5));
    CHECK(add(6, 5));
    holds("");
    CHECK(add(1, 9));
    CHECK(take_out(5, 5));
    CHECK(take_out(6, 5));
    holds("1-9");
    finish();
}

static void removing_cuts_and_splits(void) {
    start(1, 0);
    CHECK(add(10, 50));
    CHECK(take_out(20, 30));
    holds("10-20 30-50");
    CHECK(take_out(0, 12));
    holds("12-20 30-50");
    CHECK(take_out(45, 99));
    holds("12-20 30-45");
    CHECK(take_out(18, 33));
    holds("12-18 33-45");
    CHECK(take_out(18, 33));
    CHECK(take_out(12, 45));
    holds("");
    finish();
}

static void dropping_below_cuts_the_range_it_meets(void) {
    start(1, 0);
    CHECK(add(1, 3));
    CHECK(add(5, 9));
    CHECK(add(20, 21));
    rp_ranges_drop_below(&set, &arena, 3);
    holds("5-9 20-21");
    rp_ranges_drop_below(&set, &arena, 6);
    holds("6-9 20-21");
    rp_ranges_drop_below(&set, &arena, 9);
    holds("20-21");
    rp_ranges_drop_below(&set, &arena, 100);
    holds("");
    finish();
}

static void the_nearest_neighbours_are_merged(void) {
    start(1, 0);
    CHECK(add(0, 10));
    rp_ranges_merge_nearest(&set);
    holds("0-10");
    CHECK(add(20, 30));
    CHECK(add(35, 40));
    CHECK(add(50, 60));
    rp_ranges_merge_nearest(&set);
    holds("0-10 20-40 50-60");
    rp_ranges_merge_nearest(&set);
    holds("0-40 50-60");
    rp_ranges_merge_nearest(&set);
    holds("0-60");
    finish();
}

static void numbers_at_the_far_end_are_as_good_as_others(void) {
    const uint64_t top = UINT64_MAX;
    start(1, 0);
    CHECK(add(top - 10, top));
    CHECK(add(top - 20, top - 10));
    CHECK(rp_ranges_contains(&set, top - 1));
    CHECK_EQUAL(rp_ranges_end(&set, top - 15), top);
    CHECK(take_out(top - 5, top));
    CHECK(!rp_ranges_contains(&set, top - 1));
    finish();
}

static void it_grows_by_a_block_then_a_page_and_then_refuses(void) {
    enum { BLOCK = RP_BLOCK_SIZE / sizeof(rp_range), PAGE = RP_PAGE_SIZE / sizeof(rp_range) };
    start(1, 1);
    for (uint64_t i = 0; i < PAGE; i++) {
        CHECK(add(2 * i, 2 * i + 1));
        CHECK_EQUAL(arena.blocks.used, i >= 2 && i < BLOCK);
        CHECK_EQUAL(arena.pages.used, i >= BLOCK);
    }
    CHECK(!add(2 * PAGE, 2 * PAGE + 1));
    CHECK_EQUAL(set.count, PAGE);
    CHECK(add(1, 2)); /* joining needs no room */
    CHECK_EQUAL(set.count, PAGE - 1);
    finish();
}

static void splitting_needs_room_too(void) {
    start(0, 0);
    CHECK(add(0, 10));
    CHECK(add(20, 30));
    CHECK(!take_out(4, 5));
    holds("0-10 20-30");
    CHECK(!add(40, 41));
    CHECK(take_out(0, 4));
    CHECK(take_out(20, 30));
    CHECK(take_out(6, 7));
    holds("4-6 7-10");
    finish();
}

static void what_it_borrowed_goes_back_when_it_is_empty(void) {
    start(1, 0);
    for (uint64_t i = 0; i < 5; i++) CHECK(add(10 * i, 10 * i + 5));
    CHECK_EQUAL(arena.blocks.used, 1);
    rp_ranges_drop_below(&set, &arena, 100);
    CHECK_EQUAL(arena.blocks.used, 0);
    for (uint64_t i = 0; i < 5; i++) CHECK(add(10 * i, 10 * i + 5));
    CHECK(take_out(0, 100));
    CHECK_EQUAL(arena.blocks.used, 0);
    finish();
}

/* ---- against the model ---- */

static void model_set(uint64_t low, uint64_t high, uint8_t value) {
    for (uint64_t i = low; i < high; i++) model[i] = value;
}

static uint64_t model_end(uint64_t from) {
    while (from < DOMAIN && model[from]) from++;
    return from;
}

static bool model_next(uint64_t from, rp_range *out) {
    while (from < DOMAIN && !model[from]) from++;
    *out = (rp_range){from, model_end(from)};
    return from < DOMAIN;
}

static void matches_the_model(void) {
    const rp_range *items = rp_ranges_items(&set);
    uint64_t from = 0;
    rp_range expected;
    for (uint32_t i = 0; i < set.count; i++) {
        CHECK(model_next(from, &expected));
        CHECK(items[i].low == expected.low && items[i].high == expected.high);
        from = expected.high;
    }
    CHECK(!model_next(from, &expected));
}

static void answers_as_the_model(uint64_t at) {
    rp_range got = {0, 0}, expected;
    CHECK_EQUAL(rp_ranges_contains(&set, at), model[at]);
    CHECK_EQUAL(rp_ranges_end(&set, at), model_end(at));
    bool found = rp_ranges_next(&set, at, &got);
    CHECK_EQUAL(found, model_next(at, &expected));
    if (found) CHECK(got.low == expected.low && got.high == expected.high);
}

static void one_operation(chance *c) {
    uint64_t low = chance_below(c, DOMAIN), high = low + chance_below(c, 12);
    if (high > DOMAIN) high = DOMAIN;
    switch (chance_below(c, 100)) {
    default:
        if (add(low, high)) model_set(low, high, 1);
        return;
    case 0 ... 39:
        if (take_out(low, high)) model_set(low, high, 0);
        return;
    case 40 ... 44:
        low = chance_below(c, DOMAIN / 8);
        rp_ranges_drop_below(&set, &arena, low);
        model_set(0, low, 0);
        return;
    }
}

static void any_operations_give_what_the_model_gives(void) {
    chance c = {1};
    for (uint32_t blocks = 0; blocks < 2; blocks++) {
        start(blocks, 0);
        for (int i = 0; i < 20000; i++) {
            one_operation(&c);
            answers_as_the_model(chance_below(&c, DOMAIN));
            if (i % 16 == 0) matches_the_model();
            CHECK(set.count || !rp_arena_used(&arena));
        }
        finish();
    }
}

int main(void) {
    RUN(ranges_that_touch_become_one);
    RUN(a_range_swallows_those_it_covers);
    RUN(an_empty_range_adds_and_removes_nothing);
    RUN(removing_cuts_and_splits);
    RUN(dropping_below_cuts_the_range_it_meets);
    RUN(the_nearest_neighbours_are_merged);
    RUN(numbers_at_the_far_end_are_as_good_as_others);
    RUN(it_grows_by_a_block_then_a_page_and_then_refuses);
    RUN(splitting_needs_room_too);
    RUN(what_it_borrowed_goes_back_when_it_is_empty);
    RUN(any_operations_give_what_the_model_gives);
    return 0;
}
