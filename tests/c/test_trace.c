#include "trace.h"

#include "check.h"

enum { RECORDS = RP_PAGE_SIZE / sizeof(rp_trace_record) };

static rp_arena arena;
static rp_trace trace;

static void start(void) {
    CHECK(rp_arena_take(&arena, &(rp_arena_plan){.pages = 1}));
    trace = (rp_trace){0};
}

static void finish(void) {
    rp_trace_stop(&trace, &arena);
    CHECK_EQUAL(rp_arena_used(&arena), 0);
    rp_arena_free(&arena);
}

static void what_nobody_asked_for_is_not_recorded(void) {
    rp_trace_record got;
    start();
    rp_trace_add(&trace, 1, RP_TRACE_SENT, 2, 3);
    CHECK_EQUAL(rp_trace_read(&trace, &got, 1), 0);
    finish();
}

static void records_come_out_in_order(void) {
    rp_trace_record got[3];
    start();
    CHECK(rp_trace_start(&trace, &arena));
    for (uint64_t i = 0; i < 5; i++) rp_trace_add(&trace, i, RP_TRACE_LOST, 10 * i, 100 * i);
    CHECK_EQUAL(rp_trace_read(&trace, got, 3), 3);
    CHECK(got[2].time == 2 && got[2].kind == RP_TRACE_LOST && got[2].a == 20 && got[2].b == 200);
    CHECK_EQUAL(rp_trace_read(&trace, got, 3), 2);
    CHECK_EQUAL(got[1].time, 4);
    finish();
}

static void what_does_not_fit_is_counted_in_the_next_that_does(void) {
    rp_trace_record got[2];
    start();
    CHECK(rp_trace_start(&trace, &arena));
    for (uint64_t i = 0; i < RECORDS + 7; i++) rp_trace_add(&trace, i, RP_TRACE_SENT, 0, 0);
    CHECK_EQUAL(rp_trace_read(&trace, got, 1), 1);
    rp_trace_add(&trace, 999999, RP_TRACE_SENT, 0, 0);
    for (int i = 1; i < (int)RECORDS; i++) CHECK_EQUAL(rp_trace_read(&trace, got, 1), 1);
    CHECK_EQUAL(got[0].missed, 0);
    CHECK_EQUAL(rp_trace_read(&trace, got, 2), 1);
    CHECK(got[0].time == 999999 && got[0].missed == 7);
    finish();
}

static void starting_twice_keeps_what_is_there(void) {
    rp_trace_record got;
    start();
    CHECK(rp_trace_start(&trace, &arena));
    rp_trace_add(&trace, 5, RP_TRACE_PTO, 1, 0);
    CHECK(rp_trace_start(&trace, &arena));
    CHECK_EQUAL(rp_trace_read(&trace, &got, 1), 1);
    rp_trace other = {0};
    CHECK(!rp_trace_start(&other, &arena)); /* there is no other page */
    finish();
}

int main(void) {
    RUN(what_nobody_asked_for_is_not_recorded);
    RUN(records_come_out_in_order);
    RUN(what_does_not_fit_is_counted_in_the_next_that_does);
    RUN(starting_twice_keeps_what_is_there);
    return 0;
}
