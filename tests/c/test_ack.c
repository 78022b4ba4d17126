#include "ack.h"

#include "chance.h"
#include "check.h"
#include "wire.h"

static rp_arena arena;
static rp_ack ack;

static void start(uint32_t blocks) {
    CHECK(rp_arena_take(&arena, &(rp_arena_plan){.blocks = blocks}));
    rp_ack_init(&ack);
}

static void finish(void) {
    rp_ack_clear(&ack, &arena);
    CHECK_EQUAL(rp_arena_used(&arena), 0);
    rp_arena_free(&arena);
}

static bool received(uint64_t number, uint64_t now) {
    return rp_ack_received(&ack, &arena, number, true, now);
}

static void one_packet_may_wait_for_company(void) {
    start(0);
    CHECK(!received(0, 100));
    CHECK(!ack.due);
    CHECK_EQUAL(ack.deadline, 100 + RP_MAX_ACK_DELAY);
    finish();
}

static void the_second_packet_makes_it_due(void) {
    start(0);
    received(0, 100);
    received(1, 200);
    CHECK(ack.due);
    CHECK_EQUAL(ack.deadline, 100 + RP_MAX_ACK_DELAY); /* the first one's */
    finish();
}

static void a_gap_makes_it_due_at_once(void) {
    start(0);
    received(0, 100);
    uint8_t out[64];
    CHECK(rp_ack_write(&ack, out, sizeof out, 100));
    CHECK(!received(2, 200));
    CHECK(ack.due);
    CHECK(rp_ack_write(&ack, out, sizeof out, 200));
    CHECK(received(1, 300)); /* late */
    CHECK(ack.due);
    finish();
}

static void what_asks_for_nothing_sets_no_deadline(void) {
    start(0);
    for (uint64_t n = 0; n < 10; n++) CHECK(!rp_ack_received(&ack, &arena, n, false, n));
    CHECK(!ack.due);
    CHECK_EQUAL(ack.deadline, RP_NEVER);
    CHECK_EQUAL(ack.largest, 9);
    finish();
}

static void writing_settles_what_was_due(void) {
    uint8_t out[64];
    start(0);
    received(0, 100);
    received(1, 200);
    CHECK(rp_ack_write(&ack, out, sizeof out, 250));
    CHECK(!ack.due && !ack.waiting);
    CHECK_EQUAL(ack.deadline, RP_NEVER);
    received(2, 300);
    CHECK(!ack.due);
    finish();
}

static void nothing_is_written_without_room_or_packets(void) {
    uint8_t out[64];
    start(0);
    CHECK_EQUAL(rp_ack_write(&ack, out, sizeof out, 0), 0);
    received(0, 100);
    received(1, 100);
    CHECK_EQUAL(rp_ack_write(&ack, out, 20, 100), 0);
    CHECK(ack.due);
    finish();
}

static rp_frame written(uint8_t *out, size_t room, uint64_t now) {
    rp_frame frame;
    size_t size = rp_ack_write(&ack, out, room, now);
    CHECK(size && size <= room);
    CHECK_EQUAL(rp_frame_read(out, size, &frame), size);
    CHECK_EQUAL(frame.type, RP_FRAME_ACK);
    return frame;
}

static void the_frame_says_how_long_the_largest_has_waited(void) {
    uint8_t out[128];
    start(0);
    received(5, 1000);
    received(3, 1700);
    rp_frame frame = written(out, sizeof out, 2500);
    CHECK_EQUAL(frame.ack_largest, 5);
    CHECK_EQUAL(frame.ack_delay, 1500);
    finish();
}

static void marks_are_counted_for_the_peer(void) {
    uint8_t out[128];
    start(0);
    received(5, 1000);
    ack.ecn[0] = 7;
    ack.ecn[2] = 300;
    rp_frame frame;
    size_t size = rp_ack_write(&ack, out, sizeof out, 1000);
    CHECK_EQUAL(rp_frame_read(out, size, &frame), size);
    CHECK_EQUAL(frame.type, RP_FRAME_ACK_ECN);
    CHECK(frame.ecn[0] == 7 && frame.ecn[1] == 0 && frame.ecn[2] == 300);
    finish();
}

/* ---- against a set of all packets received ---- */

enum { NUMBERS = 3000 };
static uint8_t seen[NUMBERS];

static uint64_t acknowledged(const rp_frame *frame) {
    rp_ack_cursor cursor;
    uint64_t low, high, count = 0;
    rp_ack_cursor_start(&cursor, frame);
    while (rp_ack_cursor_next(&cursor, &low, &high))
        for (uint64_t n = low; n <= high; n++, count++) CHECK(seen[n]);
    return count;
}

static void no_ack_names_what_was_not_received(void) {
    chance c = {1};
    for (uint32_t blocks = 0; blocks < 2; blocks++) {
        start(blocks);
        memset(seen, 0, sizeof seen);
        for (uint64_t top = 0; top < NUMBERS - 50; top += chance_below(&c, 3)) {
            uint64_t number = top + chance_below(&c, 50);
            if (seen[number]) continue;
            seen[number] = 1;
            received(number, top);
            uint8_t out[1200];
            size_t room = 60 + chance_below(&c, sizeof out - 60);
            rp_frame frame = written(out, room, top);
            CHECK(acknowledged(&frame) > 0);
            CHECK(seen[frame.ack_largest]);
        }
        finish();
    }
}

static void with_room_every_packet_is_named(void) {
    uint8_t out[4096];
    chance c = {2};
    uint64_t count = 0;
    start(1);
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < 200; i++) {
        uint64_t number = chance_below(&c, NUMBERS);
        count += !seen[number];
        seen[number] = 1;
        received(number, 0);
    }
    rp_frame frame = written(out, sizeof out, 0);
    CHECK_EQUAL(acknowledged(&frame), count);
    finish();
}

static void too_many_gaps_forget_the_oldest(void) {
    uint8_t out[8192];
    start(1);
    for (uint64_t i = 0; i < RP_ACK_RANGES + 10; i++) received(2 * i, 0);
    rp_frame frame = written(out, sizeof out, 0);
    CHECK_EQUAL(frame.ack_count + 1, RP_ACK_RANGES);
    CHECK(!rp_ranges_contains(&ack.received, 0));
    CHECK(rp_ranges_contains(&ack.received, 2 * (RP_ACK_RANGES + 9)));
    finish();
}

static void little_room_keeps_the_newest(void) {
    uint8_t out[80];
    start(1);
    for (uint64_t i = 0; i < 100; i++) received(1000 * i, 0);
    rp_frame frame = written(out, sizeof out, 0);
    CHECK_EQUAL(frame.ack_largest, 99000);
    CHECK(frame.ack_count > 0 && frame.ack_count < 50);
    finish();
}

static void what_the_peer_has_seen_is_not_repeated(void) {
    start(1);
    for (uint64_t i = 0; i < 10; i++) received(2 * i, 0);
    rp_ack_confirmed(&ack, &arena, 8);
    CHECK(!rp_ranges_contains(&ack.received, 8));
    CHECK(rp_ranges_contains(&ack.received, 10));
    rp_ack_confirmed(&ack, &arena, 18);
    CHECK(rp_ranges_contains(&ack.received, 18)); /* the largest stays */
    CHECK_EQUAL(ack.received.count, 1);
    rp_ack_confirmed(&ack, &arena, 1000);
    CHECK(rp_ranges_contains(&ack.received, 18));
    finish();
}

enum { ROUND = 50000, LARGE = RP_ACK_LARGE };

/* A round trip's worth of packets of that size, evenly, and then how many may wait together. */
static uint32_t may_wait_after(uint32_t packets, size_t size) {
    for (uint32_t i = 0; i <= packets; i++) rp_ack_pace(&ack, size, ROUND, ROUND + i * ROUND / packets);
    return ack.every;
}

static void many_large_packets_share_acknowledgements(void) {
    start(0);
    CHECK_EQUAL(may_wait_after(8 * RP_ACKS_A_ROUND, LARGE), 8);
    for (uint64_t n = 0; n < 7; n++) received(n, n);
    CHECK(!ack.due);
    received(7, 7);
    CHECK(ack.due);
    CHECK_EQUAL(may_wait_after(1000 * RP_ACKS_A_ROUND, LARGE), RP_ACK_EVERY_MOST);
    CHECK_EQUAL(may_wait_after(2, LARGE), RP_ACK_EVERY);
    finish();
}

static void small_packets_are_acknowledged_as_ever(void) {
    start(0);
    CHECK_EQUAL(may_wait_after(1000 * RP_ACKS_A_ROUND, LARGE - 1), RP_ACK_EVERY);
    finish();
}

static void a_gap_among_many_is_still_news(void) {
    start(0);
    may_wait_after(8 * RP_ACKS_A_ROUND, LARGE);
    received(0, 0);
    received(2, 1);
    CHECK(ack.due);
    finish();
}

int main(void) {
    RUN(many_large_packets_share_acknowledgements);
    RUN(small_packets_are_acknowledged_as_ever);
    RUN(a_gap_among_many_is_still_news);
    RUN(one_packet_may_wait_for_company);
    RUN(the_second_packet_makes_it_due);
    RUN(a_gap_makes_it_due_at_once);
    RUN(what_asks_for_nothing_sets_no_deadline);
    RUN(writing_settles_what_was_due);
    RUN(nothing_is_written_without_room_or_packets);
    RUN(the_frame_says_how_long_the_largest_has_waited);
    RUN(marks_are_counted_for_the_peer);
    RUN(no_ack_names_what_was_not_received);
    RUN(with_room_every_packet_is_named);
    RUN(too_many_gaps_forget_the_oldest);
    RUN(little_room_keeps_the_newest);
    RUN(what_the_peer_has_seen_is_not_repeated);
    return 0;
}
