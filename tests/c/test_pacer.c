#include "pacer.h"

#include "chance.h"
#include "check.h"

enum { MTU = 1200, SECOND = 1000000 };

static rp_pacer pacer;

static void it_starts_with_a_burst_of_ten(void) {
    rp_pacer_init(&pacer, MTU, 5);
    CHECK_EQUAL(rp_pacer_refill(&pacer, 1200000, MTU, 5), 10 * MTU);
    rp_pacer_sent(&pacer, MTU);
    CHECK_EQUAL(rp_pacer_refill(&pacer, 1200000, MTU, 5), 9 * MTU);
}

static void it_earns_by_the_rate(void) {
    rp_pacer_init(&pacer, MTU, 0);
    rp_pacer_sent(&pacer, 10 * MTU);
    CHECK_EQUAL(rp_pacer_refill(&pacer, 1200000, MTU, 1000), MTU); /* a millisecond */
    CHECK_EQUAL(rp_pacer_refill(&pacer, 1200000, MTU, 3000), 3 * MTU);
}

static void it_never_saves_more_than_a_burst(void) {
    rp_pacer_init(&pacer, MTU, 0);
    CHECK_EQUAL(rp_pacer_refill(&pacer, 1200000, MTU, 900 * (uint64_t)SECOND), 10 * MTU);
    CHECK_EQUAL(rp_pacer_refill(&pacer, 100000000, MTU, 901 * (uint64_t)SECOND),
                500000); /* what five milliseconds are worth */
    CHECK_EQUAL(rp_pacer_refill(&pacer, UINT64_MAX, MTU, 902 * (uint64_t)SECOND), 1024 * 1024);
}

static void sending_more_than_was_earned_leaves_nothing(void) {
    rp_pacer_init(&pacer, MTU, 0);
    rp_pacer_sent(&pacer, 100 * MTU);
    CHECK_EQUAL(rp_pacer_refill(&pacer, 1200000, MTU, 0), 0);
}

static void a_clock_that_stands_or_goes_back_earns_nothing(void) {
    rp_pacer_init(&pacer, MTU, 1000);
    rp_pacer_sent(&pacer, 10 * MTU);
    CHECK_EQUAL(rp_pacer_refill(&pacer, 1200000, MTU, 1000), 0);
    CHECK_EQUAL(rp_pacer_refill(&pacer, 1200000, MTU, 500), 0);
}

/* Time that earns less than a byte is not thrown away, however often it is asked. */
static void asking_often_loses_nothing(void) {
    rp_pacer_init(&pacer, MTU, 0);
    rp_pacer_sent(&pacer, 10 * MTU);
    for (uint64_t now = 1; now < 100000; now++) rp_pacer_refill(&pacer, 1000, MTU, now);
    CHECK_EQUAL(rp_pacer_refill(&pacer, 1000, MTU, 100000), 100);
}

static void when_it_says_wait_the_wait_is_enough(void) {
    chance c = {1};
    for (int i = 0; i < 20000; i++) {
        uint64_t rate = 1 + (chance_next(&c) >> (24 + chance_below(&c, 40))),
                 mtu = 1200 + chance_below(&c, 8000);
        uint64_t now = chance_below(&c, 1000000000);
        rp_pacer_init(&pacer, mtu, now);
        rp_pacer_sent(&pacer, chance_below(&c, 12 * mtu));
        uint64_t next = rp_pacer_next(&pacer, rate, mtu);
        if (next > now + SECOND) continue; /* credit is counted for a second at most */
        if (rp_pacer_refill(&pacer, rate, mtu, now) < mtu) CHECK(next > now);
        CHECK(rp_pacer_refill(&pacer, rate, mtu, next) >= mtu);
    }
}

static void over_a_second_the_rate_is_kept(void) {
    static const uint64_t rates[] = {100000, 1250000, 12345678, 125000000, 1000000000};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        uint64_t now = 0, sent = 0;
        rp_pacer_init(&pacer, MTU, now);
        while (now < SECOND) {
            while (rp_pacer_refill(&pacer, rates[i], MTU, now) >= MTU) {
                rp_pacer_sent(&pacer, MTU);
                sent += MTU;
            }
            uint64_t next = rp_pacer_next(&pacer, rates[i], MTU);
            CHECK(next > now);
            now = next;
        }
        CHECK(sent > rates[i] * 95 / 100 && sent < rates[i] * 101 / 100 + 20 * MTU);
    }
}

static void without_a_rate_it_does_not_wait(void) {
    rp_pacer_init(&pacer, MTU, 9);
    rp_pacer_sent(&pacer, 10 * MTU);
    CHECK_EQUAL(rp_pacer_next(&pacer, 0, MTU), 9);
}

int main(void) {
    RUN(it_starts_with_a_burst_of_ten);
    RUN(it_earns_by_the_rate);
    RUN(it_never_saves_more_than_a_burst);
    RUN(sending_more_than_was_earned_leaves_nothing);
    RUN(a_clock_that_stands_or_goes_back_earns_nothing);
    RUN(asking_often_loses_nothing);
    RUN(when_it_says_wait_the_wait_is_enough);
    RUN(over_a_second_the_rate_is_kept);
    RUN(without_a_rate_it_does_not_wait);
    return 0;
}
