#include "fifo.h"

#include "chance.h"
#include "check.h"

static rp_arena arena;
static rp_fifo fifo;

static void start(uint32_t pages) {
    CHECK(rp_arena_take(&arena, &(rp_arena_plan){.pages = pages}));
    fifo = (rp_fifo){0};
}

static void finish(void) {
    rp_fifo_clear(&fifo, &arena);
    CHECK_EQUAL(rp_arena_used(&arena), 0);
    rp_arena_free(&arena);
}

static bool put(const char *text) { return rp_fifo_put(&fifo, &arena, (const uint8_t *)text, strlen(text)); }

static void takes(const char *text) {
    uint8_t got[64];
    CHECK_EQUAL(rp_fifo_next_size(&fifo), strlen(text));
    CHECK_EQUAL(rp_fifo_take(&fifo, &arena, got, sizeof got), strlen(text));
    CHECK_BYTES(got, text, strlen(text));
}

static void messages_come_out_whole_and_in_order(void) {
    start(1);
    CHECK(put("one") && put("") && put("three"));
    takes("one");
    CHECK(!rp_fifo_empty(&fifo)); /* an empty message is a message */
    takes("");
    takes("three");
    CHECK(rp_fifo_empty(&fifo));
    finish();
}

static void an_empty_queue_borrows_nothing(void) {
    start(1);
    CHECK(put("x"));
    CHECK_EQUAL(arena.pages.used, 1);
    takes("x");
    CHECK_EQUAL(arena.pages.used, 0);
    CHECK(put("y"));
    takes("y");
    finish();
}

static void without_a_page_or_room_a_message_is_refused(void) {
    static uint8_t big[RP_PAGE_SIZE];
    start(0);
    CHECK(!put("x"));
    rp_arena_free(&arena);
    start(1);
    CHECK(!rp_fifo_put(&fifo, &arena, big, sizeof big - 1));
    CHECK(rp_fifo_put(&fifo, &arena, big, sizeof big - 2));
    CHECK(!put(""));
    CHECK_EQUAL(rp_fifo_take(&fifo, &arena, big, sizeof big), sizeof big - 2);
    finish();
}

static void what_is_too_long_for_the_reader_is_cut(void) {
    uint8_t got[3];
    start(1);
    CHECK(put("hello") && put("next"));
    CHECK_EQUAL(rp_fifo_take(&fifo, &arena, got, sizeof got), 3);
    CHECK_BYTES(got, "hel", 3);
    takes("next");
    finish();
}

/* ---- against a plain list ---- */

static void any_traffic_gives_what_a_list_gives(void) {
    enum { MOST = 4000 };
    static uint16_t sizes[MOST];
    static uint8_t data[3000], got[3000];
    chance c = {1};
    uint32_t first = 0, count = 0, used = 0;
    start(1);
    for (uint32_t i = 0; i < 6000; i++) {
        uint16_t size = (uint16_t)chance_below(&c, i % 50 ? 400 : sizeof data);
        if (chance_below(&c, 2)) {
            memset(data, (int)((first + count) & 0xff), size);
            bool fits = used + 2u + size <= RP_PAGE_SIZE;
            CHECK_EQUAL(rp_fifo_put(&fifo, &arena, data, size), fits);
            if (!fits) continue;
            sizes[(first + count++) % MOST] = size;
            used += 2u + size;
        } else if (count) {
            CHECK_EQUAL(rp_fifo_take(&fifo, &arena, got, sizeof got), sizes[first % MOST]);
            memset(data, (int)(first & 0xff), sizeof data);
            CHECK_BYTES(got, data, sizes[first % MOST]);
            used -= 2u + sizes[first++ % MOST];
            count--;
        }
    }
    finish();
}

int main(void) {
    RUN(messages_come_out_whole_and_in_order);
    RUN(an_empty_queue_borrows_nothing);
    RUN(without_a_page_or_room_a_message_is_refused);
    RUN(what_is_too_long_for_the_reader_is_cut);
    RUN(any_traffic_gives_what_a_list_gives);
    return 0;
}
