/* Who waits to be answered: in order, who proved an address first, and the
 * oldest goes when there is no room. */
#include "callers.h"

#include "check.h"

static rp_callers callers;

static bool call(uint16_t number, bool proved) {
    rp_address from = {.port = number};
    uint8_t init[RP_CALLER_MOST];
    memset(init, number, sizeof init);
    return rp_callers_put(&callers, &from, init, number % 2 ? sizeof init : 1200, proved);
}

static void expect(uint16_t number) {
    const rp_caller *caller = rp_callers_take(&callers);
    CHECK(caller != NULL);
    if (!caller) return;
    CHECK_EQUAL(caller->peer.port, number);
    CHECK_EQUAL(caller->size, number % 2 ? RP_CALLER_MOST : 1200);
    CHECK_EQUAL(caller->init[caller->size - 1], number & 0xff);
}

static void nobody(void) {
    CHECK(!rp_callers_wait(&callers));
    CHECK(rp_callers_take(&callers) == NULL);
}

static void who_came_first_is_answered_first(void) {
    callers = (rp_callers){0};
    nobody();
    for (uint16_t round = 0; round < 3; round++) {
        for (uint16_t i = 0; i < 100; i++) CHECK(call(i, false));
        for (uint16_t i = 0; i < 100; i++) {
            CHECK(rp_callers_wait(&callers));
            expect(i);
        }
        nobody();
    }
}

static void the_oldest_goes_when_there_is_no_room(void) {
    callers = (rp_callers){0};
    for (uint16_t i = 0; i < RP_CALLERS; i++) CHECK(call(i, false));
    for (uint16_t i = 0; i < 10; i++) CHECK(!call(RP_CALLERS + i, false));
    for (uint16_t i = 10; i < RP_CALLERS + 10; i++) expect(i);
    nobody();
}

static void who_brings_a_cookie_is_not_held_up_by_who_does_not(void) {
    callers = (rp_callers){0};
    for (uint16_t i = 0; i < RP_CALLERS + 5; i++) call(i, false);
    CHECK(call(1001, true));
    CHECK(call(1002, true));
    expect(1001);
    expect(1002);
    expect(5);
    for (uint16_t i = 0; i < RP_CALLERS + 1; i++) CHECK_EQUAL(call(i, true), i < RP_CALLERS);
    for (uint16_t i = 1; i < RP_CALLERS + 1; i++) expect(i);
    expect(6); /* of those without a cookie nobody more has gone */
}

int main(void) {
    RUN(who_came_first_is_answered_first);
    RUN(the_oldest_goes_when_there_is_no_room);
    RUN(who_brings_a_cookie_is_not_held_up_by_who_does_not);
    return 0;
}
