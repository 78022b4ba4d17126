/* Any operations on a set of ranges, against one byte for each number. */
#include "check.h"
#include "input.h"
#include "ranges.h"

enum { DOMAIN = 1000, MOST_COMBS = 2, MOST_BYTES = 160 }; /* more single numbers than a block holds */

static rp_arena arena;
static rp_ranges set;
static uint8_t model[DOMAIN + 1];
static int combs;

static void model_set(uint64_t low, uint64_t high, uint8_t value) {
    if (low < high) memset(model + low, value, (size_t)(high - low));
}

static uint64_t first_that_is(uint8_t value, uint64_t from) {
    const uint8_t *found = from < DOMAIN ? memchr(model + from, value, (size_t)(DOMAIN - from)) : NULL;
    return found ? (uint64_t)(found - model) : DOMAIN;
}

static uint64_t end_of(uint64_t from) { return first_that_is(0, from); }

static uint64_t next_from(uint64_t from) { return first_that_is(1, from); }

static void matches_the_model(void) {
    const rp_range *items = rp_ranges_items(&set);
    uint64_t from = next_from(0);
    for (uint32_t i = 0; i < set.count; i++) {
        CHECK_EQUAL(items[i].low, from);
        CHECK_EQUAL(items[i].high, end_of(from));
        from = next_from(items[i].high);
    }
    CHECK_EQUAL(from, DOMAIN);
}

static void add(uint64_t low, uint64_t high) {
    if (rp_ranges_add(&set, &arena, low, high)) model_set(low, high, 1);
}

static void take_out(uint64_t low, uint64_t high) {
    if (rp_ranges_remove(&set, &arena, low, high)) model_set(low, high, 0);
}

static void drop_below(uint64_t low) {
    rp_ranges_drop_below(&set, &arena, low);
    model_set(0, low, 0);
}

/* The smallest gap, the first of equals, is closed. */
static void merge_nearest(void) {
    uint64_t best = DOMAIN + 1, at = 0, from = end_of(next_from(0));
    for (uint64_t next = next_from(from); next < DOMAIN; from = end_of(next), next = next_from(from))
        if (next - from < best) {
            best = next - from;
            at = from;
        }
    rp_ranges_merge_nearest(&set);
    if (best <= DOMAIN) model_set(at, at + best, 1);
}

/* Many single numbers at once: a few of these fill whatever can be borrowed. */
static void comb(uint64_t low, uint64_t teeth) {
    if (combs++ == MOST_COMBS) return;
    for (uint64_t i = 0; i < teeth && low + 2 * i < DOMAIN; i++) add(low + 2 * i, low + 2 * i + 1);
}

static void ask(uint64_t at) {
    rp_range got;
    CHECK_EQUAL(rp_ranges_contains(&set, at), model[at]);
    CHECK_EQUAL(rp_ranges_end(&set, at), end_of(at));
    bool found = rp_ranges_next(&set, at, &got);
    uint64_t next = next_from(at);
    CHECK_EQUAL(found, next < DOMAIN);
    if (found) CHECK(got.low == next && got.high == end_of(next));
}

static void operate(input *in) {
    uint8_t what = input_byte(in);
    uint64_t low = input_number(in, 2) % DOMAIN, high = low + input_byte(in);
    if (high > DOMAIN) high = DOMAIN;
    switch (what % 8) {
    case 0:
    case 1:
        add(low, high);
        break;
    case 2:
        take_out(low, high);
        break;
    case 3:
        take_out(low, low + 1 < DOMAIN ? low + 1 : DOMAIN);
        break;
    case 4:
        drop_below(low / 8);
        break;
    case 5:
        merge_nearest();
        break;
    case 6:
        comb(low, 2 * (high - low));
        break;
    default:
        ask(low);
    }
}

/* As if never lent from, and holding so many. */
static void lend(rp_pool *pool, uint32_t count) {
    pool->count = count;
    pool->fresh = 0;
    pool->returned = NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size < MOST_BYTES ? size : MOST_BYTES};
    uint8_t means = input_byte(&in);
    rp_arena_plan plan = {.blocks = 1, .pages = 1};
    if (!arena.memory) CHECK(rp_arena_take(&arena, &plan));
    lend(&arena.blocks, means & 1); /* with and without something to borrow */
    lend(&arena.pages, means >> 1 & 1);
    rp_ranges_init(&set);
    combs = 0;
    memset(model, 0, sizeof model);
    while (in.left) {
        operate(&in);
        CHECK(set.count || !rp_arena_used(&arena));
    }
    matches_the_model();
    rp_ranges_clear(&set, &arena);
    CHECK_EQUAL(rp_arena_used(&arena), 0);
    return 0;
}
