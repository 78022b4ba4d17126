#include "stream.h"

#include "chance.h"
#include "check.h"
#include "wire.h"

enum { P = RP_PAGE_SIZE };

static rp_arena arena;
static rp_stream s;

static void start(uint32_t blocks, uint32_t pages) {
    CHECK(rp_arena_take(&arena, &(rp_arena_plan){.blocks = blocks, .pages = pages}));
    rp_stream_init(&s, NULL, 4, 0);
    s.out_limit = s.in_limit = s.in_window = 1 << 20;
}

static void finish(void) {
    rp_stream_clear(&s, &arena);
    CHECK_EQUAL(rp_arena_used(&arena), 0);
    rp_arena_free(&arena);
}

/* What stands at an offset of every stream here. */
static uint8_t byte_at(uint64_t offset) { return (uint8_t)(offset * 31 + offset / 251); }

static const uint8_t *pattern(uint64_t offset, size_t size) {
    static uint8_t bytes[8 * P];
    CHECK(size <= sizeof bytes);
    for (size_t i = 0; i < size; i++) bytes[i] = byte_at(offset + i);
    return bytes;
}

static int receive(uint64_t offset, size_t size, bool fin) {
    return rp_stream_receive(&s, &arena, offset, pattern(offset, size), size, fin);
}

static size_t take(size_t most) {
    static uint8_t got[8 * P];
    uint64_t from = s.in_read;
    size_t taken = rp_stream_take(&s, &arena, got, most);
    CHECK_BYTES(got, pattern(from, taken), taken);
    return taken;
}

static size_t put(size_t size) { return rp_stream_put(&s, &arena, pattern(s.out_end, size), size, 1 << 20); }

static rp_sent_frame choose(size_t room) {
    rp_sent_frame frame;
    CHECK(rp_stream_choose(&s, &arena, room, UINT64_MAX / 2, &frame));
    CHECK(frame.size <= room);
    return frame;
}

static bool nothing_to_choose(void) {
    rp_sent_frame frame;
    return !rp_stream_choose(&s, &arena, 1000, UINT64_MAX / 2, &frame);
}

static void acked(const rp_sent_frame *frame) { rp_stream_frame_acked(&s, &arena, frame); }

static void lost(const rp_sent_frame *frame) { rp_stream_frame_lost(&s, &arena, frame); }

/* ---- sending ---- */

static void what_is_written_is_chosen_in_order(void) {
    start(1, 2);
    CHECK_EQUAL(put(2500), 2500);
    rp_sent_frame a = choose(1000), b = choose(1000), c = choose(1000);
    CHECK(a.offset == 0 && a.size == 1000 && !a.fin);
    CHECK(b.offset == 1000 && b.size == 1000);
    CHECK(c.offset == 2000 && c.size == 500);
    CHECK_EQUAL(c.stream, 4);
    CHECK(nothing_to_choose());
    finish();
}

static void the_end_goes_with_the_last_byte(void) {
    start(1, 2);
    put(1500);
    s.fin_written = true;
    CHECK(!choose(1000).fin);
    rp_sent_frame last = choose(1000);
    CHECK(last.fin && last.size == 500);
    CHECK(nothing_to_choose());
    finish();
}

static void an_end_without_bytes_goes_alone(void) {
    start(0, 0);
    s.fin_written = true;
    rp_sent_frame frame = choose(1000);
    CHECK(frame.fin && frame.size == 0 && frame.offset == 0);
    CHECK(nothing_to_choose());
    acked(&frame);
    CHECK(rp_stream_sending_over(&s));
    finish();
}

static void credit_holds_back_new_bytes(void) {
    rp_sent_frame frame;
    start(1, 2);
    s.out_limit = 700;
    put(1500);
    CHECK_EQUAL(choose(1000).size, 700);
    CHECK(nothing_to_choose());
    CHECK(!rp_stream_has_new(&s));
    s.out_limit = 2000;
    CHECK(rp_stream_has_new(&s));
    CHECK(rp_stream_choose(&s, &arena, 1000, 50, &frame)); /* the session's credit */
    CHECK(frame.size == 50 && frame.offset == 700);
    CHECK(!rp_stream_choose(&s, &arena, 1000, 0, &frame));
    finish();
}

static void what_is_lost_is_chosen_first_and_needs_no_credit(void) {
    start(1, 2);
    put(3000);
    rp_sent_frame a = choose(1000), b = choose(1000);
    lost(&a);
    CHECK(rp_stream_has_repeat(&s));
    rp_sent_frame again;
    CHECK(rp_stream_choose(&s, &arena, 400, 0, &again));
    CHECK(again.offset == 0 && again.size == 400);
    CHECK(choose(1000).offset == 400);
    CHECK(choose(1000).offset == 2000);
    acked(&b);
    finish();
}

static void what_was_acknowledged_meanwhile_is_not_repeated(void) {
    start(1, 2);
    put(3000);
    rp_sent_frame a = choose(1000), b = choose(1000), c = choose(1000);
    acked(&b);
    rp_sent_frame whole = {.type = RP_FRAME_STREAM, .offset = 0, .size = 3000};
    lost(&whole);
    CHECK_EQUAL(choose(5000).offset, 0);
    rp_sent_frame again = choose(5000);
    CHECK(again.offset == 2000 && again.size == 1000);
    CHECK(nothing_to_choose());
    acked(&a);
    acked(&c);
    CHECK_EQUAL(s.out_acked, 3000);
    finish();
}

static void a_late_ack_takes_back_a_repeat(void) {
    start(1, 2);
    put(1000);
    rp_sent_frame a = choose(1000);
    lost(&a);
    acked(&a);
    CHECK(!rp_stream_has_repeat(&s));
    CHECK(nothing_to_choose());
    finish();
}

static void a_lost_end_is_repeated_until_it_is_acknowledged(void) {
    start(1, 2);
    put(1000);
    s.fin_written = true;
    rp_sent_frame a = choose(1000);
    lost(&a);
    rp_sent_frame again = choose(400);
    CHECK(!again.fin);
    again = choose(1000);
    CHECK(again.fin && again.offset == 400);
    acked(&a);
    CHECK(rp_stream_sending_over(&s));
    lost(&again); /* too late to matter */
    CHECK(!rp_stream_has_repeat(&s));
    finish();
}

static void only_the_lost_end_is_repeated_when_the_bytes_are_there(void) {
    start(1, 2);
    put(1000);
    rp_sent_frame bytes = choose(1000);
    s.fin_written = true;
    rp_sent_frame end = choose(1000);
    CHECK(end.fin && !end.size && end.offset == 1000);
    acked(&bytes);
    lost(&end);
    end = choose(1000);
    CHECK(end.fin && !end.size && end.offset == 1000);
    CHECK(!rp_stream_sending_over(&s));
    acked(&end);
    CHECK(rp_stream_sending_over(&s));
    finish();
}

static void a_writer_leaves_half_of_the_pages_to_readers(void) {
    start(1, 8);
    CHECK_EQUAL(put(8 * P), 4 * P);
    CHECK_EQUAL(put(1), 0);
    rp_sent_frame a = choose(P + 1);
    acked(&a);
    CHECK_EQUAL(put(8 * P), P);
    finish();
}

static void pages_go_back_as_bytes_are_acknowledged(void) {
    start(1, 8);
    CHECK_EQUAL(put(4 * P), 4 * P);
    rp_sent_frame a = choose(2 * P), b = choose(2 * P);
    acked(&b);
    CHECK_EQUAL(arena.pages.used, 4); /* the first are still needed */
    acked(&a);
    CHECK_EQUAL(rp_arena_used(&arena), 0);
    CHECK_EQUAL(put(1), 1);
    finish();
}

static void a_writer_gets_no_more_than_its_room(void) {
    start(1, 8);
    CHECK_EQUAL(rp_stream_put(&s, &arena, pattern(0, 5000), 5000, 3000), 3000);
    CHECK_EQUAL(rp_stream_put(&s, &arena, pattern(3000, 5000), 5000, 3000), 0);
    rp_sent_frame a = choose(1000);
    acked(&a);
    CHECK_EQUAL(rp_stream_put(&s, &arena, pattern(3000, 5000), 5000, 3000), 1000);
    finish();
}

static void an_abandoned_stream_sends_nothing_and_keeps_nothing(void) {
    start(1, 8);
    put(2 * P);
    rp_sent_frame a = choose(1000), b = choose(1000);
    rp_stream_abandon(&s, &arena, 77);
    CHECK(s.reset_due && s.reset_code == 77);
    CHECK_EQUAL(rp_arena_used(&arena), 0);
    CHECK(nothing_to_choose());
    lost(&a);
    acked(&b);
    CHECK(nothing_to_choose());
    CHECK(!rp_stream_sending_over(&s));
    s.reset_acked = true;
    CHECK(rp_stream_sending_over(&s));
    finish();
}

static void what_is_over_cannot_be_abandoned(void) {
    start(1, 1);
    s.fin_written = true;
    rp_sent_frame end = choose(10);
    acked(&end);
    rp_stream_abandon(&s, &arena, 1);
    CHECK(!s.reset_due);
    finish();
}

/* A repeat must never reach below what was acknowledged: those bytes have been given back. */
static void without_room_for_ranges_nothing_given_back_is_repeated(void) {
    start(1, 8); /* the block is taken by the table of pages: a set has room for two ranges */
    CHECK_EQUAL(put(4 * P), 4 * P);
    for (int page = 0; page < 4; page++) choose(P);
    lost(&(rp_sent_frame){.offset = 0, .size = 2 * P + 100});
    lost(&(rp_sent_frame){.offset = 3 * P, .size = P});
    acked(&(rp_sent_frame){.offset = P, .size = P}); /* cannot be cut out of what is lost */
    acked(&(rp_sent_frame){.offset = 0, .size = P});
    CHECK_EQUAL(s.out_acked, 2 * P);
    rp_sent_frame frame;
    while (rp_stream_choose(&s, &arena, 1000, 0, &frame)) CHECK(frame.offset >= s.out_acked);
    finish();
}

/* With nothing to borrow a set holds two ranges: the rest is repeated, too much rather than too little. */
static void without_room_for_ranges_everything_still_arrives(void) {
    start(0, 4);
    CHECK_EQUAL(put(9000), 9000);
    s.fin_written = true;
    for (int i = 0; i < 9; i++) choose(1000);
    for (uint64_t i = 0; i < 9; i += 2)
        lost(&(rp_sent_frame){.offset = 1000 * i, .size = 1000, .fin = i == 8});
    for (uint64_t i = 1; i < 9; i += 2) acked(&(rp_sent_frame){.offset = 1000 * i, .size = 1000});
    CHECK_EQUAL(s.acked.count, 2);
    CHECK(s.lost.count <= 2);
    rp_sent_frame frame;
    int repeats = 0;
    for (; rp_stream_choose(&s, &arena, 1000, 0, &frame); repeats++) acked(&frame);
    CHECK(repeats >= 5 && repeats <= 9);
    CHECK(rp_stream_sending_over(&s));
    finish();
}

/* ---- a lossy path in small: what is not acknowledged is lost sooner or later ---- */

enum { TOTAL = 200000, FLIGHT = 60 };

static void send_and_settle(chance *c, rp_sent_frame *flight, size_t *count, uint8_t *arrived) {
    rp_sent_frame frame;
    if (*count < FLIGHT && rp_stream_choose(&s, &arena, 1 + chance_below(c, 1500), 1 << 20, &frame)) {
        CHECK(frame.offset >= s.out_acked);
        CHECK(frame.offset + frame.size <= s.out_end);
        static uint8_t got[1500];
        CHECK_EQUAL(rp_pages_read(&s.out, frame.offset, got, frame.size), frame.size);
        CHECK_BYTES(got, pattern(frame.offset, frame.size), frame.size);
        flight[(*count)++] = frame;
        return;
    }
    if (!*count) return;
    size_t which = chance_below(c, *count);
    if (chance_below(c, 10) < 7) {
        memset(arrived + flight[which].offset, 1, flight[which].size);
        acked(&flight[which]);
    } else {
        lost(&flight[which]);
    }
    flight[which] = flight[--*count];
}

static void under_any_loss_everything_arrives(void) {
    static rp_sent_frame flight[FLIGHT];
    static uint8_t arrived[TOTAL];
    chance c = {1};
    for (uint32_t blocks = 1; blocks < 5; blocks++) {
        size_t count = 0;
        start(blocks, 8);
        memset(arrived, 0, sizeof arrived);
        while (!rp_stream_sending_over(&s)) {
            size_t more = chance_below(&c, 3000);
            if (more > TOTAL - s.out_end) more = TOTAL - (size_t)s.out_end;
            if (!s.fin_written) put(more);
            if (s.out_end == TOTAL) s.fin_written = true;
            for (int i = 0; i < 6; i++) send_and_settle(&c, flight, &count, arrived);
            uint64_t whole = 0;
            while (whole < TOTAL && arrived[whole]) whole += 1;
            CHECK(s.out_acked <= whole);
        }
        CHECK(!memchr(arrived, 0, TOTAL));
        finish();
    }
}

/* ---- receiving ---- */

static void bytes_are_read_once_there_is_no_gap_before_them(void) {
    start(1, 2);
    CHECK_EQUAL(receive(100, 50, false), 0);
    CHECK(!rp_stream_readable(&s));
    CHECK_EQUAL(take(1000), 0);
    CHECK_EQUAL(receive(0, 60, false), 0);
    CHECK(rp_stream_readable(&s));
    CHECK_EQUAL(take(1000), 60);
    CHECK_EQUAL(receive(60, 40, false), 0);
    CHECK_EQUAL(take(30), 30);
    CHECK_EQUAL(take(1000), 60);
    finish();
}

static void overlaps_and_repeats_change_nothing(void) {
    start(1, 2);
    receive(0, 100, false);
    receive(50, 100, false);
    receive(0, 150, false);
    CHECK_EQUAL(s.in_whole, 150);
    CHECK_EQUAL(take(70), 70);
    receive(0, 150, false);
    receive(10, 20, false);
    CHECK_EQUAL(take(1000), 80);
    receive(0, 200, true);
    CHECK_EQUAL(take(1000), 50);
    CHECK(rp_stream_at_end(&s));
    finish();
}

static void the_end_is_where_it_was_said_to_be(void) {
    start(1, 2);
    CHECK_EQUAL(receive(50, 50, true), 0);
    CHECK(!rp_stream_at_end(&s));
    CHECK_EQUAL(receive(0, 50, false), 0);
    CHECK_EQUAL(take(1000), 100);
    CHECK(rp_stream_at_end(&s));
    CHECK(rp_stream_readable(&s)); /* the end itself is news */
    finish();
}

static void an_empty_stream_ends_at_once(void) {
    start(0, 0);
    CHECK_EQUAL(receive(0, 0, true), 0);
    CHECK(rp_stream_at_end(&s));
    CHECK(rp_stream_readable(&s));
    finish();
}

static void the_final_size_never_changes(void) {
    start(1, 2);
    CHECK_EQUAL(receive(0, 100, false), 0);
    CHECK_EQUAL(receive(0, 50, true), RP_CODE_FINAL_SIZE); /* less than was seen */
    CHECK_EQUAL(receive(100, 20, true), 0);
    CHECK_EQUAL(receive(120, 1, false), RP_CODE_FINAL_SIZE);
    CHECK_EQUAL(receive(100, 10, true), RP_CODE_FINAL_SIZE);
    CHECK_EQUAL(receive(100, 21, true), RP_CODE_FINAL_SIZE);
    CHECK_EQUAL(receive(100, 20, true), 0);
    CHECK_EQUAL(rp_stream_receive_reset(&s, &arena, 119, 1), RP_CODE_FINAL_SIZE);
    CHECK_EQUAL(rp_stream_receive_reset(&s, &arena, 120, 1), 0);
    finish();
}

static void a_reset_drops_what_was_not_read(void) {
    start(1, 2);
    receive(0, 100, false);
    take(30);
    CHECK_EQUAL(rp_stream_receive_reset(&s, &arena, 500, 9), 0);
    CHECK(s.in_reset && s.in_code == 9);
    CHECK(!rp_stream_readable(&s));
    CHECK(!rp_stream_at_end(&s));
    CHECK_EQUAL(rp_stream_discard(&s, &arena), 470); /* so much session credit comes free */
    CHECK_EQUAL(rp_arena_used(&arena), 0);
    CHECK_EQUAL(receive(100, 50, false), 0); /* what was still on its way */
    CHECK_EQUAL(rp_arena_used(&arena), 0);
    finish();
}

static void a_reset_after_everything_was_read_is_no_news(void) {
    start(1, 2);
    receive(0, 100, true);
    take(1000);
    s.end_seen = true;
    CHECK_EQUAL(rp_stream_receive_reset(&s, &arena, 100, 9), 0);
    CHECK(!s.in_reset);
    finish();
}

static void a_stopped_stream_keeps_nothing_but_counts(void) {
    start(1, 2);
    receive(0, 100, false);
    s.stopped = true;
    CHECK_EQUAL(rp_stream_discard(&s, &arena), 100);
    CHECK_EQUAL(receive(200, 100, false), 0);
    CHECK_EQUAL(rp_stream_discard(&s, &arena), 200);
    CHECK_EQUAL(rp_arena_used(&arena), 0);
    CHECK(!rp_stream_readable(&s));
    finish();
}

static void without_memory_a_frame_is_refused_and_may_come_again(void) {
    start(1, 1);
    CHECK_EQUAL(receive(P - 50, 100, false), RP_E_MEMORY);
    CHECK_EQUAL(s.in_whole, 0);
    CHECK_EQUAL(s.in_highest, 0);
    CHECK_EQUAL(receive(0, P, false), 0);
    CHECK_EQUAL(receive(P, 10, true), RP_E_MEMORY);
    CHECK(!s.final_known);
    CHECK_EQUAL(take(P), P);
    CHECK_EQUAL(receive(P, 10, true), 0);
    CHECK_EQUAL(take(P), 10);
    CHECK(rp_stream_at_end(&s));
    finish();
}

static void early_bytes_leave_pages_to_writers_and_to_those_in_order(void) {
    start(2, 8);
    for (uint64_t page = 1; page < 4; page++) CHECK_EQUAL(receive(page * P, 10, false), 0);
    CHECK_EQUAL(receive(4 * P, 10, false), RP_E_MEMORY);
    CHECK_EQUAL(receive(3 * P + 500, 10, false), 0); /* in a page that is held */
    CHECK_EQUAL(put(10), 10);
    CHECK_EQUAL(receive(0, P, false), 0);
    CHECK_EQUAL(take(2 * P), P + 10);
    finish();
}

static void an_idle_stream_holds_no_page(void) {
    start(1, 8);
    receive(0, 1000, false);
    take(1000);
    put(1000);
    rp_sent_frame a = choose(1000);
    acked(&a);
    CHECK_EQUAL(rp_arena_used(&arena), 0);
    receive(1000, 1000, false);
    CHECK_EQUAL(take(5000), 1000);
    CHECK_EQUAL(put(1000), 1000);
    CHECK_EQUAL(choose(1000).offset, 1000);
    finish();
}

static void without_room_for_ranges_a_gap_is_refused(void) {
    start(0, 1);
    CHECK_EQUAL(receive(100, 10, false), 0);
    CHECK_EQUAL(receive(200, 10, false), 0);
    CHECK_EQUAL(receive(300, 10, false), RP_E_MEMORY);
    CHECK_EQUAL(receive(0, 100, false), 0);
    CHECK_EQUAL(s.in_whole, 110);
    CHECK_EQUAL(receive(300, 10, false), 0);
    finish();
}

/* ---- against a flat buffer ---- */

static bool model_has(const uint8_t *have, uint64_t from, uint64_t to) {
    return to <= from || !memchr(have + from, 0, (size_t)(to - from));
}

static void any_arrival_reads_as_a_flat_buffer_would(void) {
    enum { SIZE = 5 * P };
    static uint8_t have[SIZE + 1];
    chance c = {2};
    for (int round = 0; round < 40; round++) {
        bool ample = chance_below(&c, 2); /* otherwise what came early could take what the next bytes need */
        start(ample ? 4 : 2, ample ? 6 : 3);
        memset(have, 0, sizeof have);
        for (int i = 0; i < 20000 && !rp_stream_at_end(&s); i++) {
            bool near = !ample || chance_below(&c, 3);
            uint64_t offset = near ? s.in_whole + chance_below(&c, 3000) : chance_below(&c, SIZE);
            offset -= chance_below(&c, offset < 1000 ? offset + 1 : 1000);
            size_t size = chance_below(&c, 2000);
            if (offset > SIZE) offset = SIZE;
            if (size > SIZE - offset) size = SIZE - (size_t)offset;
            int code = receive(offset, size, offset + size == SIZE);
            CHECK(code == 0 || code == RP_E_MEMORY);
            if (!code) memset(have + offset, 1, size);
            CHECK(model_has(have, 0, s.in_whole));
            CHECK(s.in_whole == SIZE || !have[s.in_whole]);
            if (chance_below(&c, 3) == 0) take(chance_below(&c, 6000));
        }
        CHECK_EQUAL(s.in_read, SIZE);
        finish();
    }
}

static void it_is_done_when_both_directions_are(void) {
    start(1, 1);
    s.fin_written = true;
    rp_sent_frame end = choose(10);
    acked(&end);
    CHECK(!rp_stream_done(&s));
    receive(0, 0, true);
    CHECK(!rp_stream_done(&s)); /* nobody has seen the end yet */
    s.end_seen = true;
    CHECK(rp_stream_done(&s));
    s.has_event = true;
    CHECK(!rp_stream_done(&s));
    finish();
}

int main(void) {
    RUN(what_is_written_is_chosen_in_order);
    RUN(the_end_goes_with_the_last_byte);
    RUN(an_end_without_bytes_goes_alone);
    RUN(credit_holds_back_new_bytes);
    RUN(what_is_lost_is_chosen_first_and_needs_no_credit);
    RUN(what_was_acknowledged_meanwhile_is_not_repeated);
    RUN(a_late_ack_takes_back_a_repeat);
    RUN(a_lost_end_is_repeated_until_it_is_acknowledged);
    RUN(only_the_lost_end_is_repeated_when_the_bytes_are_there);
    RUN(a_writer_leaves_half_of_the_pages_to_readers);
    RUN(pages_go_back_as_bytes_are_acknowledged);
    RUN(a_writer_gets_no_more_than_its_room);
    RUN(an_abandoned_stream_sends_nothing_and_keeps_nothing);
    RUN(what_is_over_cannot_be_abandoned);
    RUN(without_room_for_ranges_nothing_given_back_is_repeated);
    RUN(without_room_for_ranges_everything_still_arrives);
    RUN(under_any_loss_everything_arrives);
    RUN(bytes_are_read_once_there_is_no_gap_before_them);
    RUN(overlaps_and_repeats_change_nothing);
    RUN(the_end_is_where_it_was_said_to_be);
    RUN(an_empty_stream_ends_at_once);
    RUN(the_final_size_never_changes);
    RUN(a_reset_drops_what_was_not_read);
    RUN(a_reset_after_everything_was_read_is_no_news);
    RUN(a_stopped_stream_keeps_nothing_but_counts);
    RUN(without_memory_a_frame_is_refused_and_may_come_again);
    RUN(early_bytes_leave_pages_to_writers_and_to_those_in_order);
    RUN(an_idle_stream_holds_no_page);
    RUN(without_room_for_ranges_a_gap_is_refused);
    RUN(any_arrival_reads_as_a_flat_buffer_would);
    RUN(it_is_done_when_both_directions_are);
    return 0;
}
