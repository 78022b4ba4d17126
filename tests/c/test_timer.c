#include "timer.h"

#include "chance.h"
#include "check.h"

enum { MANY = 300 };

static rp_timers *items[MANY];
static rp_timers timers[MANY];
static rp_heap heap;

static void start(void) {
    heap = (rp_heap){.items = items};
    for (int i = 0; i < MANY; i++) rp_timers_init(&timers[i]);
}

static void set(int which, rp_timer timer, uint64_t at) {
    timers[which].at[timer] = at;
    rp_heap_update(&heap, &timers[which]);
}

static void new_timers_never_fire(void) {
    start();
    for (int i = 0; i < RP_TIMERS; i++) CHECK_EQUAL(timers[0].at[i], RP_NEVER);
    CHECK_EQUAL(rp_timers_earliest(&timers[0]), RP_NEVER);
    rp_heap_update(&heap, &timers[0]);
    CHECK(!rp_heap_first(&heap));
}

static void the_earliest_of_a_session_is_what_counts(void) {
    start();
    set(0, RP_TIMER_IDLE, 500);
    set(0, RP_TIMER_ACK, 300);
    set(0, RP_TIMER_LOSS, 400);
    CHECK_EQUAL(timers[0].earliest, 300);
    set(0, RP_TIMER_ACK, RP_NEVER);
    CHECK_EQUAL(timers[0].earliest, 400);
    CHECK_EQUAL(heap.count, 1);
}

static void the_earliest_session_stands_first(void) {
    start();
    set(0, RP_TIMER_IDLE, 50);
    set(1, RP_TIMER_IDLE, 20);
    set(2, RP_TIMER_IDLE, 30);
    CHECK(rp_heap_first(&heap) == &timers[1]);
    set(1, RP_TIMER_IDLE, 60);
    CHECK(rp_heap_first(&heap) == &timers[2]);
    set(0, RP_TIMER_PACE, 1);
    CHECK(rp_heap_first(&heap) == &timers[0]);
}

static void a_session_without_a_deadline_leaves(void) {
    start();
    set(0, RP_TIMER_IDLE, 50);
    set(1, RP_TIMER_IDLE, 20);
    set(1, RP_TIMER_IDLE, RP_NEVER);
    CHECK(rp_heap_first(&heap) == &timers[0]);
    CHECK_EQUAL(heap.count, 1);
    CHECK_EQUAL(timers[1].place, 0);
    rp_heap_remove(&heap, &timers[1]); /* it is gone already */
    rp_heap_remove(&heap, &timers[0]);
    CHECK(!rp_heap_first(&heap));
}

static void what_was_taken_out_comes_back_with_its_next_deadline(void) {
    start();
    set(0, RP_TIMER_LOSS, 70);
    timers[0].earliest = RP_NEVER; /* as the core does before it lets a session work */
    rp_heap_remove(&heap, &timers[0]);
    set(0, RP_TIMER_LOSS, 70);
    CHECK(rp_heap_first(&heap) == &timers[0]);
}

static void is_a_heap(void) {
    for (uint32_t place = 1; place <= heap.count; place++) {
        CHECK_EQUAL(items[place - 1]->place, place);
        if (place > 1) CHECK(items[place / 2 - 1]->earliest <= items[place - 1]->earliest);
    }
}

static uint64_t least_by_looking_at_all(uint32_t *count) {
    uint64_t least = RP_NEVER;
    *count = 0;
    for (int i = 0; i < MANY; i++) {
        uint64_t earliest = rp_timers_earliest(&timers[i]);
        if (earliest < least) least = earliest;
        *count += earliest != RP_NEVER;
    }
    return least;
}

static void agrees_with_looking_at_all(void) {
    uint32_t count;
    uint64_t least = least_by_looking_at_all(&count);
    const rp_timers *first = rp_heap_first(&heap);
    CHECK_EQUAL(heap.count, count);
    CHECK_EQUAL(first ? first->earliest : RP_NEVER, least);
}

static void any_changes_leave_a_heap_with_the_least_on_top(void) {
    chance c = {1};
    start();
    for (int i = 0; i < 20000; i++) {
        int which = (int)chance_below(&c, MANY);
        rp_timer timer = (rp_timer)chance_below(&c, RP_TIMERS);
        set(which, timer, chance_below(&c, 3) ? chance_below(&c, 1000) : RP_NEVER);
        if (i % 4 == 0) agrees_with_looking_at_all();
        if (i % 64 == 0) is_a_heap();
    }
}

static void emptying_it_gives_the_deadlines_in_order(void) {
    chance c = {2};
    start();
    for (int i = 0; i < MANY; i++) set(i, RP_TIMER_IDLE, chance_below(&c, 200));
    uint64_t before = 0;
    for (rp_timers *first; (first = rp_heap_first(&heap));) {
        CHECK(first->earliest >= before);
        before = first->earliest;
        rp_heap_remove(&heap, first);
        is_a_heap();
    }
    for (int i = 0; i < MANY; i++) CHECK_EQUAL(timers[i].place, 0);
}

int main(void) {
    RUN(new_timers_never_fire);
    RUN(the_earliest_of_a_session_is_what_counts);
    RUN(the_earliest_session_stands_first);
    RUN(a_session_without_a_deadline_leaves);
    RUN(what_was_taken_out_comes_back_with_its_next_deadline);
    RUN(any_changes_leave_a_heap_with_the_least_on_top);
    RUN(emptying_it_gives_the_deadlines_in_order);
    return 0;
}
