#include "cc.h"

#include "check.h"
#include "rp_api.h"

enum { MTU = 1200, MS = 1000, RTT = 50 * MS, SECOND = 1000000 };

static rp_cc cc;
static uint64_t now, next_number;

static void start(void) {
    now = SECOND;
    next_number = 0;
    rp_cc_init(&cc, RP_CC_CUBIC, MTU, now);
}

static uint64_t window(void) { return cc.table->window(&cc); }

static void acked(uint64_t bytes, uint64_t rtt) {
    next_number++;
    cc.table->acked(&cc, &(rp_cc_ack){.now = now,
                                      .acked = bytes,
                                      .sent_time = now - rtt,
                                      .rtt = rtt,
                                      .rtt_min = RTT,
                                      .rtt_smoothed = rtt,
                                      .largest_acked = next_number - 1,
                                      .next_number = next_number + window() / MTU});
}

/* A round trip in which the whole window is acknowledged, packet by packet. */
static void round_trip(uint64_t rtt) {
    uint64_t packets = window() / MTU;
    for (uint64_t i = 0; i < packets; i++) {
        now += rtt / packets;
        acked(MTU, rtt);
    }
}

static bool lost(uint64_t sent_time) { return cc.table->lost(&cc, MTU, sent_time, now); }

static void it_starts_with_ten_packets(void) {
    start();
    CHECK_EQUAL(window(), 10 * MTU);
}

static void slow_start_doubles_each_round_trip(void) {
    start();
    for (int i = 0; i < 5; i++) {
        uint64_t before = window();
        round_trip(RTT);
        CHECK_EQUAL(window(), 2 * before);
    }
}

static void a_loss_takes_three_tenths(void) {
    start();
    for (int i = 0; i < 5; i++) round_trip(RTT);
    uint64_t before = window();
    CHECK(lost(now));
    CHECK_EQUAL(window(), before * 7 / 10);
}

static void losses_of_one_window_are_one_event(void) {
    start();
    for (int i = 0; i < 5; i++) round_trip(RTT);
    uint64_t sent = now;
    now += RTT;
    CHECK(lost(sent));
    uint64_t reduced = window();
    CHECK(!lost(sent + 1));
    CHECK(!lost(now));
    CHECK_EQUAL(window(), reduced);
    CHECK(lost(now + 1)); /* sent after the reduction */
    CHECK(window() < reduced);
}

static void acks_of_packets_from_before_a_loss_do_not_grow_the_window(void) {
    start();
    for (int i = 0; i < 3; i++) round_trip(RTT);
    CHECK(lost(now));
    uint64_t reduced = window();
    acked(MTU, RTT);
    CHECK_EQUAL(window(), reduced);
}

static void the_window_never_falls_below_two_packets(void) {
    start();
    for (int i = 0; i < 30; i++) {
        CHECK(lost(now));
        now += 2 * RTT;
        CHECK(window() >= 2 * MTU);
    }
    CHECK_EQUAL(window(), 2 * MTU);
}

/* RFC 9438, 4.2: from 0.7 W the curve is back at W after K = cbrt(0.3 W / C) seconds, flat there,
 * and steep again beyond. */
static void the_window_follows_the_curve_back_to_where_it_was(void) {
    start();
    cc.cubic.window = 1000 * MTU;
    cc.cubic.threshold = 0;
    CHECK(lost(now));
    uint64_t began = now += 2 * RTT;
    while (now < began + 9 * (uint64_t)SECOND) round_trip(RTT); /* K is 9.1 seconds */
    CHECK(window() > 985 * MTU && window() < 1015 * MTU);
    while (now < began + 13 * (uint64_t)SECOND) round_trip(RTT);
    CHECK(window() > 1015 * MTU && window() < 1100 * MTU);
}

static void a_second_loss_before_the_curve_is_back_makes_room_for_others(void) {
    start();
    cc.cubic.window = 1000 * MTU;
    cc.cubic.threshold = 0;
    CHECK(lost(now));
    now += RTT;
    CHECK(lost(now));
    CHECK(cc.cubic.window_max < 700.0 * MTU); /* fast convergence: less than where it was */
}

static void with_few_packets_it_grows_as_reno_would(void) {
    start();
    cc.cubic.window = 20 * MTU;
    cc.cubic.threshold = 0;
    CHECK(lost(now));
    uint64_t before = window();
    now += RTT;
    for (int i = 0; i < 10; i++) round_trip(10 * MS);
    CHECK(window() >= before + 4 * MTU); /* alpha is 0.53 packets a round trip */
}

static void a_sender_with_nothing_to_send_earns_nothing(void) {
    start();
    uint64_t before = window();
    for (int i = 0; i < 100; i++) {
        now += RTT;
        cc.table->acked(
            &cc,
            &(rp_cc_ack){.now = now, .acked = MTU, .sent_time = now - RTT, .rtt = RTT, .app_limited = true});
    }
    CHECK_EQUAL(window(), before);
}

static void a_rising_rtt_ends_slow_start_without_a_loss(void) {
    start();
    for (int i = 0; i < 4; i++) round_trip(RTT);
    for (int i = 0; i < 30; i++) round_trip(RTT + 40 * MS);
    CHECK(window() >= cc.cubic.threshold);
    uint64_t before = window();
    now += RTT;
    round_trip(RTT + 40 * MS);
    CHECK(window() < before + before / 2);
}

static void jitter_does_not_end_slow_start(void) {
    start();
    for (int i = 0; i < 3; i++) round_trip(RTT);
    round_trip(RTT + 20 * MS);
    CHECK(cc.cubic.in_css);
    round_trip(RTT);
    CHECK(!cc.cubic.in_css);
    CHECK_EQUAL(cc.cubic.threshold, UINT64_MAX);
}

static void an_undone_loss_gives_the_window_back(void) {
    start();
    for (int i = 0; i < 5; i++) round_trip(RTT);
    uint64_t before = window();
    CHECK(lost(now));
    cc.table->undo(&cc);
    CHECK_EQUAL(window(), before);
    CHECK_EQUAL(cc.cubic.threshold, UINT64_MAX); /* still in slow start */
    cc.table->undo(&cc);
    CHECK_EQUAL(window(), before);
    round_trip(RTT);
    CHECK(window() > before);
}

static void undo_never_takes_away(void) {
    start();
    CHECK(lost(now));
    now += RTT;
    for (int i = 0; i < 200; i++) round_trip(RTT);
    uint64_t grown = window();
    CHECK(grown > 10 * MTU);
    cc.table->undo(&cc);
    CHECK_EQUAL(window(), grown);
}

static void persistent_congestion_starts_over(void) {
    start();
    for (int i = 0; i < 5; i++) round_trip(RTT);
    CHECK(lost(now));
    cc.table->persistent(&cc, now);
    CHECK_EQUAL(window(), 2 * MTU);
    cc.table->undo(&cc);
    CHECK_EQUAL(window(), 2 * MTU);
    now += RTT;
    round_trip(RTT);
    CHECK_EQUAL(window(), 4 * MTU); /* slow start, up to the threshold of the loss */
}

static void the_pace_is_a_little_more_than_a_window_each_round_trip(void) {
    start();
    CHECK_EQUAL(cc.table->rate(&cc, RTT), 2 * 10 * MTU * (SECOND / RTT));
    CHECK(lost(now));
    CHECK_EQUAL(cc.table->rate(&cc, RTT), 7 * MTU * (SECOND / RTT) * 5 / 4);
    CHECK(cc.table->rate(&cc, 0) > 0);
}

int main(void) {
    RUN(it_starts_with_ten_packets);
    RUN(slow_start_doubles_each_round_trip);
    RUN(a_loss_takes_three_tenths);
    RUN(losses_of_one_window_are_one_event);
    RUN(acks_of_packets_from_before_a_loss_do_not_grow_the_window);
    RUN(the_window_never_falls_below_two_packets);
    RUN(the_window_follows_the_curve_back_to_where_it_was);
    RUN(a_second_loss_before_the_curve_is_back_makes_room_for_others);
    RUN(with_few_packets_it_grows_as_reno_would);
    RUN(a_sender_with_nothing_to_send_earns_nothing);
    RUN(a_rising_rtt_ends_slow_start_without_a_loss);
    RUN(jitter_does_not_end_slow_start);
    RUN(an_undone_loss_gives_the_window_back);
    RUN(undo_never_takes_away);
    RUN(persistent_congestion_starts_over);
    RUN(the_pace_is_a_little_more_than_a_window_each_round_trip);
    return 0;
}
