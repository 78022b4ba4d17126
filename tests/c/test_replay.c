#include "replay.h"

#include "chance.h"
#include "check.h"

enum { WINDOW = RP_REPLAY_WINDOW };

static void a_number_is_fresh_until_it_is_marked(void) {
    rp_replay r = {0};
    CHECK(rp_replay_fresh(&r, 0));
    CHECK(rp_replay_fresh(&r, 0)); /* asking marks nothing */
    rp_replay_mark(&r, 0);
    CHECK(!rp_replay_fresh(&r, 0));
    CHECK(rp_replay_fresh(&r, 1));
    rp_replay_mark(&r, 5);
    CHECK(rp_replay_fresh(&r, 4));
    CHECK(!rp_replay_fresh(&r, 5));
    CHECK_EQUAL(r.next, 6);
}

static void the_window_is_as_wide_as_it_says(void) {
    CHECK(WINDOW >= 8128);
    for (uint64_t top = WINDOW; top < WINDOW + 200; top++) {
        rp_replay r = {0};
        rp_replay_mark(&r, top);
        CHECK(rp_replay_fresh(&r, top + 1 - WINDOW));
        CHECK(top == WINDOW - 1 || !rp_replay_fresh(&r, top - WINDOW));
    }
}

static void what_is_older_than_the_window_is_never_fresh(void) {
    rp_replay r = {0};
    rp_replay_mark(&r, 1000000);
    for (uint64_t number = 0; number <= 1000000 - WINDOW; number += 997) CHECK(!rp_replay_fresh(&r, number));
    CHECK(!rp_replay_fresh(&r, 1000000 - WINDOW));
    CHECK(rp_replay_fresh(&r, 1000001 - WINDOW));
}

static void a_leap_forgets_the_old_window_and_nothing_of_the_new(void) {
    static const uint64_t leaps[] = {63,   64,   65,   WINDOW - 1, WINDOW,
                                     8191, 8192, 8193, 100000,     (uint64_t)1 << 40};
    for (size_t i = 0; i < sizeof leaps / sizeof *leaps; i++) {
        rp_replay r = {0};
        for (uint64_t n = 0; n < 9000; n++) rp_replay_mark(&r, n);
        uint64_t top = 8999 + leaps[i];
        rp_replay_mark(&r, top);
        for (uint64_t back = 1; back < WINDOW; back++)
            CHECK_EQUAL(rp_replay_fresh(&r, top - back), top - back > 8999);
    }
}

static void it_starts_anywhere(void) {
    rp_replay r = {0};
    const uint64_t first = ((uint64_t)1 << 32) - 1000;
    for (uint64_t n = first; n < first + 2000; n++) { /* across 2^32 */
        CHECK(rp_replay_fresh(&r, n));
        rp_replay_mark(&r, n);
        CHECK(!rp_replay_fresh(&r, n));
    }
    for (uint64_t n = first; n < first + 2000; n++) CHECK(!rp_replay_fresh(&r, n));
}

/* ---- against a set of all numbers ever marked ---- */

enum { NUMBERS = 200000 };
static uint8_t seen[NUMBERS + 1];

static uint64_t near_the_top(chance *c, uint64_t next) {
    uint64_t back = chance_below(c, chance_below(c, 4) ? 300 : WINDOW + 200), ahead = chance_below(c, 40);
    if (chance_below(c, 400) == 0) ahead = chance_below(c, WINDOW + 500);
    uint64_t number = next + ahead;
    return number > back ? number - back : 0;
}

static void any_order_of_numbers_gives_what_a_set_gives(void) {
    rp_replay r = {0};
    chance c = {1};
    uint64_t next = 0;
    for (int i = 0; i < 100000; i++) {
        uint64_t number = near_the_top(&c, next);
        if (number >= NUMBERS) break;
        bool too_old = number + WINDOW < next;
        CHECK_EQUAL(rp_replay_fresh(&r, number), !too_old && !seen[number]);
        if (!rp_replay_fresh(&r, number)) continue;
        rp_replay_mark(&r, number);
        seen[number] = 1;
        if (number >= next) next = number + 1;
        CHECK_EQUAL(r.next, next);
    }
}

int main(void) {
    RUN(a_number_is_fresh_until_it_is_marked);
    RUN(the_window_is_as_wide_as_it_says);
    RUN(what_is_older_than_the_window_is_never_fresh);
    RUN(a_leap_forgets_the_old_window_and_nothing_of_the_new);
    RUN(it_starts_anywhere);
    RUN(any_order_of_numbers_gives_what_a_set_gives);
    return 0;
}
