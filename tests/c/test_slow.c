/* When a peer has moved too little of what it holds up. */
#include "slow.h"

#include "check.h"

enum { SECOND = 1000000, PATIENCE = 60 * SECOND, QUOTA = 60 * RP_SLOWEST };

/* How a session stood a patience ago, how it stands now, and whether it is cut. */
typedef struct {
    uint64_t held;
    bool flying;
    uint64_t moved, acked_before, heard_before; /* since then · so long before now */
    bool cut;
} row;

static const row ROWS[] = {
    {0, false, 0, PATIENCE, 0, false}, /* holding nothing */
    {QUOTA, false, 0, PATIENCE, 0, true},
    {QUOTA, false, QUOTA - 1, PATIENCE, 0, true},
    {QUOTA, false, QUOTA, PATIENCE, 0, false},
    {1 << 30, false, QUOTA, PATIENCE, 0, false}, /* however much there is */
    {1 << 30, false, QUOTA - 1, PATIENCE, 0, true},
    {100, false, 99, PATIENCE, 0, true}, /* little: all of it */
    {100, false, 100, PATIENCE, 0, false},
    {100, false, 0, PATIENCE, PATIENCE / 2 - 1, true},
    {100, false, 0, PATIENCE, PATIENCE / 2, false}, /* silence is another matter */
    {0, true, 0, PATIENCE, 0, true},                /* heard, but acknowledging nothing */
    {0, true, 0, PATIENCE - 1, 0, false},
    {0, true, 0, PATIENCE, PATIENCE / 2, false},
    {100, true, 100, PATIENCE, 0, true},
    {100, true, 99, 0, 0, true},
};

static void each_standing_has_its_verdict(void) {
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        const row *r = &ROWS[i];
        uint64_t then = 1000 * (uint64_t)SECOND, now = then + PATIENCE;
        rp_slow slow = {.checked = then, .held = r->held, .moved = 5000, .flying = r->flying};
        rp_standing standing = {
            .moved = 5000 + r->moved, .acked_at = now - r->acked_before, .heard_at = now - r->heard_before};
        CHECK_EQUAL(rp_slow_check(&slow, &standing, PATIENCE, now), r->cut);
    }
}

static void each_look_is_the_measure_of_the_next(void) {
    rp_slow slow = {0};
    rp_standing standing = {.held = 10, .moved = 7, .flying = true, .acked_at = SECOND, .heard_at = PATIENCE};
    rp_slow_check(&slow, &standing, PATIENCE, PATIENCE);
    CHECK_EQUAL(slow.checked, PATIENCE);
    CHECK_EQUAL(slow.held, 10);
    CHECK_EQUAL(slow.moved, 7);
    CHECK(slow.flying);
}

static void who_holds_nothing_is_looked_at_from_anew(void) {
    rp_slow slow = {.held = QUOTA, .flying = true};
    rp_standing standing = {.moved = 7, .heard_at = PATIENCE};
    rp_slow_rest(&slow, &standing, SECOND);
    CHECK_EQUAL(slow.checked, SECOND);
    CHECK(!rp_slow_check(&slow, &standing, PATIENCE, PATIENCE));
}

int main(void) {
    RUN(each_standing_has_its_verdict);
    RUN(each_look_is_the_measure_of_the_next);
    RUN(who_holds_nothing_is_looked_at_from_anew);
    return 0;
}
