#include "pages.h"

#include "chance.h"
#include "check.h"

enum { P = RP_PAGE_SIZE };

static rp_arena arena;
static rp_pages window;

static void start(uint32_t blocks, uint32_t pages) {
    CHECK(rp_arena_take(&arena, &(rp_arena_plan){.blocks = blocks, .pages = pages}));
    rp_pages_init(&window);
}

static void finish(void) {
    rp_pages_clear(&window, &arena);
    CHECK_EQUAL(rp_arena_used(&arena), 0);
    rp_arena_free(&arena);
}

static size_t put(uint64_t offset, const char *text) {
    return rp_pages_write(&window, &arena, offset, (const uint8_t *)text, strlen(text));
}

static void reads(uint64_t offset, const char *text) {
    uint8_t got[64];
    CHECK_EQUAL(rp_pages_read(&window, offset, got, strlen(text)), strlen(text));
    CHECK_BYTES(got, text, strlen(text));
}

static void bytes_come_back_from_where_they_were_put(void) {
    start(1, 2);
    CHECK_EQUAL(put(5, "hello"), 5);
    reads(5, "hello");
    reads(7, "llo");
    CHECK_EQUAL(put(P - 2, "over the edge"), 13);
    reads(P - 2, "over the edge");
    reads(5, "hello");
    finish();
}

static void few_bytes_cost_one_page_and_no_table(void) {
    start(0, 2);
    CHECK_EQUAL(put(7 * (uint64_t)P, "far along"), 9);
    CHECK_EQUAL(arena.pages.used, 1);
    CHECK_EQUAL(put(8 * (uint64_t)P, "next page"), 0); /* needs a table, and there is no block */
    reads(7 * (uint64_t)P, "far along");
    finish();
}

static void what_was_never_put_cannot_be_read(void) {
    uint8_t got[8];
    start(1, 2);
    CHECK_EQUAL(rp_pages_read(&window, 0, got, sizeof got), 0);
    CHECK_EQUAL(put(0, "x"), 1);
    CHECK_EQUAL(rp_pages_read(&window, P - 4, got, sizeof got), 4);
    CHECK_EQUAL(rp_pages_read(&window, P, got, sizeof got), 0);
    finish();
}

static void a_page_goes_back_once_the_window_has_passed_it(void) {
    start(1, 3);
    CHECK_EQUAL(put(0, "a"), 1);
    CHECK_EQUAL(put(P, "b"), 1);
    CHECK_EQUAL(put(2 * P, "c"), 1);
    rp_pages_release_below(&window, &arena, P - 1);
    CHECK_EQUAL(arena.pages.used, 3);
    rp_pages_release_below(&window, &arena, P);
    CHECK_EQUAL(arena.pages.used, 2);
    reads(P, "b");
    rp_pages_release_below(&window, &arena, 3 * P);
    CHECK_EQUAL(rp_arena_used(&arena), 0); /* the table as well */
    CHECK_EQUAL(put(3 * P, "d"), 1);
    CHECK_EQUAL(arena.blocks.used, 0);
    finish();
}

static void releasing_backwards_changes_nothing(void) {
    start(1, 3);
    CHECK_EQUAL(put(5 * P, "x"), 1);
    rp_pages_release_below(&window, &arena, 5 * P);
    rp_pages_release_below(&window, &arena, 2 * P);
    reads(5 * P, "x");
    finish();
}

static void at_rest_nothing_is_held(void) {
    start(1, 3);
    CHECK_EQUAL(put(P + 5, "abc"), 3);
    CHECK_EQUAL(put(2 * P, "abc"), 3);
    CHECK(rp_pages_holds(&window, P) && rp_pages_holds(&window, 2 * P + 9));
    CHECK(!rp_pages_holds(&window, 0) && !rp_pages_holds(&window, 3 * P));
    rp_pages_rest(&window, &arena, 2 * P + 3);
    CHECK_EQUAL(rp_arena_used(&arena), 0);
    CHECK(!rp_pages_holds(&window, 2 * P));
    CHECK_EQUAL(put(2 * P + 3, "def"), 3); /* goes on in the middle of a page */
    reads(2 * P + 3, "def");
    finish();
}

static void a_writer_is_told_how_much_fitted(void) {
    static uint8_t data[4 * P];
    start(1, 2);
    CHECK_EQUAL(rp_pages_write(&window, &arena, 100, data, sizeof data), 2 * P - 100);
    CHECK_EQUAL(rp_pages_write(&window, &arena, 100, data, 2 * P), 2 * P - 100);
    rp_pages_release_below(&window, &arena, P);
    CHECK_EQUAL(rp_pages_write(&window, &arena, 2 * P, data, sizeof data), P);
    finish();
}

static void the_widest_window_holds_every_byte(void) {
    const uint64_t start_at = 12345 * (uint64_t)P + 777, pages = RP_MAX_STREAM_WINDOW / P;
    start(1, 512);
    rp_pages_release_below(&window, &arena, start_at);
    for (uint64_t i = 0; i <= pages; i++) { /* a byte in each page that the window touches */
        uint64_t at = start_at + i * P - (i == pages ? 1 : 0);
        uint8_t byte = (uint8_t)(i * 7);
        CHECK_EQUAL(rp_pages_write(&window, &arena, at, &byte, 1), 1);
    }
    CHECK_EQUAL(arena.pages.used, 512);
    for (uint64_t i = 0; i <= pages; i++) {
        uint8_t got;
        CHECK_EQUAL(rp_pages_read(&window, start_at + i * P - (i == pages ? 1 : 0), &got, 1), 1);
        CHECK_EQUAL(got, (uint8_t)(i * 7));
    }
    finish();
}

static void lent_pages_are_read_where_they_are_and_counted_when_they_go_back(void) {
    static uint8_t data[3 * P + 5];
    start(1, 1);
    chance c = {2};
    chance_fill(&c, data, sizeof data);
    CHECK_EQUAL(put(P - 3, "own"), 3);
    CHECK_EQUAL(rp_pages_lend(&window, &arena, P, data, sizeof data), 3 * P);
    CHECK_EQUAL(arena.pages.used, 1);
    data[P + 9] ^= 1;
    uint8_t got[20];
    CHECK_EQUAL(rp_pages_read(&window, 2 * P, got, sizeof got), sizeof got);
    CHECK_BYTES(got, data + P, sizeof got);
    rp_pages_release_below(&window, &arena, 3 * P);
    CHECK_EQUAL(arena.pages.used, 0);
    CHECK_EQUAL(window.lent, 1);
    CHECK_EQUAL(rp_pages_count_returned(&window), 2);
    rp_pages_release_below(&window, &arena, 4 * P);
    CHECK_EQUAL(rp_pages_count_returned(&window), 3);
    CHECK_EQUAL(rp_pages_count_returned(&window), 0); /* all was told */
    finish();
}

static void what_is_lent_when_all_is_cleared_counts_as_returned(void) {
    static uint8_t data[2 * P];
    start(1, 1);
    CHECK_EQUAL(rp_pages_lend(&window, &arena, 0, data, sizeof data), 2 * P);
    rp_pages_clear(&window, &arena);
    CHECK_EQUAL(window.lent, 0);
    CHECK_EQUAL(rp_pages_count_returned(&window), 2);
    finish();
}

static void without_a_block_for_the_table_one_page_is_lent(void) {
    static uint8_t data[3 * P];
    start(0, 1);
    CHECK_EQUAL(rp_pages_lend(&window, &arena, 0, data, sizeof data), P);
    rp_pages_release_below(&window, &arena, P);
    CHECK_EQUAL(rp_pages_count_returned(&window), 1);
    finish();
}

/* ---- against a flat buffer that slides along ---- */

enum { SPAN = 6 * P };

typedef struct {
    uint64_t low;
    uint8_t flat[SPAN], known[SPAN];
} flat_model;

static flat_model model;

static void model_release(uint64_t low) {
    size_t gone = (size_t)(low - model.low);
    memmove(model.flat, model.flat + gone, SPAN - gone);
    memmove(model.known, model.known + gone, SPAN - gone);
    memset(model.known + SPAN - gone, 0, gone);
    model.low = low;
}

static void write_both(chance *c) {
    static uint8_t data[P + 1];
    size_t at = chance_below(c, SPAN), size = chance_below(c, sizeof data);
    if (size > SPAN - at) size = SPAN - at;
    memset(data, (int)chance_below(c, 256), size);
    size_t done = rp_pages_write(&window, &arena, model.low + at, data, size);
    CHECK(done <= size);
    memcpy(model.flat + at, data, done);
    memset(model.known + at, 1, done);
}

static void read_both(chance *c) {
    static uint8_t got[P + 1];
    size_t at = chance_below(c, SPAN), size = chance_below(c, sizeof got), known = 0;
    while (known < size && at + known < SPAN && model.known[at + known]) known++;
    CHECK_EQUAL(rp_pages_read(&window, model.low + at, got, known), known);
    CHECK_BYTES(got, model.flat + at, known);
}

static void any_operations_give_what_a_flat_buffer_gives(void) {
    chance c = {1};
    for (uint32_t pages = 3; pages <= 8; pages++) {
        start(1, pages);
        memset(&model, 0, sizeof model);
        for (int i = 0; i < 600; i++) {
            write_both(&c);
            read_both(&c);
            if (chance_below(&c, 6) == 0) {
                model_release(model.low + chance_below(&c, 2 * P));
                rp_pages_release_below(&window, &arena, model.low);
            }
        }
        finish();
    }
}

int main(void) {
    RUN(bytes_come_back_from_where_they_were_put);
    RUN(few_bytes_cost_one_page_and_no_table);
    RUN(what_was_never_put_cannot_be_read);
    RUN(a_page_goes_back_once_the_window_has_passed_it);
    RUN(releasing_backwards_changes_nothing);
    RUN(at_rest_nothing_is_held);
    RUN(a_writer_is_told_how_much_fitted);
    RUN(lent_pages_are_read_where_they_are_and_counted_when_they_go_back);
    RUN(what_is_lent_when_all_is_cleared_counts_as_returned);
    RUN(without_a_block_for_the_table_one_page_is_lent);
    RUN(the_widest_window_holds_every_byte);
    RUN(any_operations_give_what_a_flat_buffer_gives);
    return 0;
}
