#include "sent.h"

#include "chance.h"
#include "check.h"

enum { PER_BLOCK = RP_SENT_PER_BLOCK };

static rp_arena arena;
static rp_sent sent;

static void start(uint32_t blocks, uint32_t frames, uint64_t first) {
    CHECK(rp_arena_take(
        &arena, &(rp_arena_plan){.blocks = blocks, .frames = frames, .frame_size = sizeof(rp_sent_frame)}));
    rp_sent_init(&sent, first);
}

static void finish(void) {
    rp_sent_clear(&sent, &arena);
    CHECK_EQUAL(rp_arena_used(&arena), 0);
    rp_arena_free(&arena);
}

static void push(rp_sent_state state) {
    uint64_t number = sent.next;
    rp_sent_packet *packet = rp_sent_push(&sent, &arena);
    CHECK(packet);
    packet->time = number;
    rp_sent_set_state(&sent, number, packet, state);
}

static void set(uint64_t number, rp_sent_state state) {
    rp_sent_set_state(&sent, number, rp_sent_get(&sent, number), state);
}

static void numbers_follow_one_another(void) {
    start(6, 0, 1000);
    for (uint64_t i = 0; i < 200; i++) {
        CHECK_EQUAL(sent.next, 1000 + i);
        push(RP_SENT_FLYING);
    }
    for (uint64_t i = 0; i < 200; i++) CHECK_EQUAL(rp_sent_get(&sent, 1000 + i)->time, 1000 + i);
    CHECK(!rp_sent_get(&sent, 999));
    CHECK(!rp_sent_get(&sent, 1200));
    finish();
}

static void an_empty_history_borrows_nothing(void) {
    start(1, 0, 0);
    CHECK_EQUAL(rp_arena_used(&arena), 0);
    push(RP_SENT_FLYING);
    CHECK_EQUAL(arena.blocks.used, 1);
    set(0, RP_SENT_ACKED);
    rp_sent_forget(&sent, &arena, 0);
    CHECK_EQUAL(rp_arena_used(&arena), 0);
    CHECK_EQUAL(sent.next, 1); /* numbers go on */
    finish();
}

static void few_packets_live_in_one_block_for_ever(void) {
    start(1, 0, 37);
    for (int i = 0; i < 5000; i++) {
        push(RP_SENT_FLYING);
        CHECK_EQUAL(arena.blocks.used, 1);
        if (sent.next - sent.base < 60) continue;
        set(sent.base, RP_SENT_ACKED);
        rp_sent_forget(&sent, &arena, 0);
    }
    finish();
}

/* Widening moves records between blocks: it happens at every place that the ring can stand at. */
static void widening_keeps_every_record_whereever_the_ring_stands(void) {
    for (uint64_t first = 0; first < 2 * PER_BLOCK; first++) {
        start(8, 0, first);
        for (int i = 0; i < PER_BLOCK + 3; i++) push(i % 3 ? RP_SENT_FLYING : RP_SENT_ACKED);
        for (uint64_t n = first; n < sent.next; n++) {
            CHECK_EQUAL(rp_sent_get(&sent, n)->time, n);
            CHECK_EQUAL(rp_sent_get(&sent, n)->state, (n - first) % 3 ? RP_SENT_FLYING : RP_SENT_ACKED);
        }
        for (uint64_t n = first; n < sent.next; n++) set(n, RP_SENT_ACKED);
        CHECK_EQUAL(rp_sent_skip_down(&sent, sent.next - 1),
                    sent.next - 1 - (sent.next - 1) % PER_BLOCK > first
                        ? sent.next - 1 - (sent.next - 1) % PER_BLOCK
                        : first);
        rp_sent_forget(&sent, &arena, 0);
        CHECK_EQUAL(rp_arena_used(&arena), 0);
        finish();
    }
}

static void without_room_a_push_is_refused_and_changes_nothing(void) {
    for (uint32_t blocks = 0; blocks < 3; blocks++) { /* 3 are needed beyond one block of packets */
        start(blocks, 0, 10);
        for (int i = 0; blocks && i < PER_BLOCK; i++) push(RP_SENT_FLYING);
        uint64_t next = sent.next;
        CHECK(!rp_sent_push(&sent, &arena));
        CHECK_EQUAL(sent.next, next);
        CHECK_EQUAL(arena.blocks.used, blocks ? 1 : 0);
        for (uint64_t n = 10; n < next; n++) CHECK_EQUAL(rp_sent_get(&sent, n)->time, n);
        finish();
    }
}

static void the_span_has_its_limit(void) {
    start(RP_BLOCK_SIZE / sizeof(void *) + 1, 0, 5);
    for (uint64_t i = 0; i < RP_SENT_SPAN; i++) push(RP_SENT_FLYING);
    CHECK(RP_SENT_SPAN > 32000);
    CHECK(!rp_sent_push(&sent, &arena));
    for (uint64_t n = 5; n < sent.next; n++) CHECK_EQUAL(rp_sent_get(&sent, n)->time, n);
    set(5, RP_SENT_ACKED);
    rp_sent_forget(&sent, &arena, 0);
    push(RP_SENT_FLYING);
    CHECK(!rp_sent_push(&sent, &arena));
    finish();
}

static void a_push_taken_back_uses_no_number(void) {
    start(6, 0, 0);
    for (int i = 0; i < 200; i++) {
        push(RP_SENT_FLYING);
        CHECK(rp_sent_push(&sent, &arena));
        rp_sent_pop(&sent);
        CHECK_EQUAL(sent.next, i + 1);
        CHECK_EQUAL(rp_sent_get(&sent, (uint64_t)i)->state, RP_SENT_FLYING);
    }
    finish();
}

static void only_the_settled_is_forgotten_and_in_order(void) {
    start(4, 0, 0);
    for (int i = 0; i < 5; i++) push(RP_SENT_FLYING);
    set(1, RP_SENT_ACKED);
    set(2, RP_SENT_LOST); /* sent at 2 */
    rp_sent_forget(&sent, &arena, 0);
    CHECK_EQUAL(sent.base, 0);
    set(0, RP_SENT_ACKED);
    rp_sent_forget(&sent, &arena, 2);
    CHECK_EQUAL(sent.base, 2); /* the lost one may still be acknowledged */
    rp_sent_forget(&sent, &arena, 3);
    CHECK_EQUAL(sent.base, 3);
    set(4, RP_SENT_GONE);
    set(3, RP_SENT_GONE);
    rp_sent_forget(&sent, &arena, 0);
    CHECK_EQUAL(sent.base, 5);
    CHECK_EQUAL(rp_arena_used(&arena), 0);
    finish();
}

static void frames_go_back_with_their_packet(void) {
    start(1, 3, 0);
    push(RP_SENT_FLYING);
    rp_sent_packet *packet = rp_sent_get(&sent, 0);
    for (uint64_t i = 0; i < 3; i++) CHECK(rp_sent_add_frame(packet, &arena, &(rp_sent_frame){.offset = i}));
    CHECK(!rp_sent_add_frame(packet, &arena, &(rp_sent_frame){.offset = 3}));
    uint64_t sum = 0;
    for (const rp_sent_frame *frame = packet->frames; frame; frame = frame->next) sum += 1 + frame->offset;
    CHECK_EQUAL(sum, 6);
    rp_sent_free_frames(packet, &arena);
    CHECK_EQUAL(arena.frames.used, 0);
    CHECK(rp_sent_add_frame(packet, &arena, &(rp_sent_frame){.offset = 9}));
    rp_sent_clear(&sent, &arena);
    CHECK_EQUAL(rp_arena_used(&arena), 0);
    finish();
}

/* ---- against an array ---- */

enum { MOST = 60000 };
static uint8_t states[MOST];

static bool open_state(uint8_t state) { return state == RP_SENT_FLYING || state == RP_SENT_LOST; }

static void agrees_on(uint64_t number) {
    const rp_sent_packet *packet = rp_sent_get(&sent, number);
    CHECK(packet);
    CHECK_EQUAL(packet->time, number);
    CHECK_EQUAL(packet->state, states[number]);
}

/* A walk down that skips meets every packet that is not settled, as a walk without skips does. */
static void a_skipping_walk_misses_nothing(void) {
    uint64_t met = 0, expected = 0;
    for (uint64_t n = sent.base; n < sent.next; n++) expected += open_state(states[n]);
    for (uint64_t n = sent.next; sent.next > sent.base;) {
        n = rp_sent_skip_down(&sent, n - 1);
        CHECK(n >= sent.base);
        met += open_state(rp_sent_get(&sent, n)->state);
        if (n == sent.base) break;
    }
    CHECK_EQUAL(met, expected);
}

static void forget_both(uint64_t lost_before) {
    uint64_t base = sent.base;
    while (base < sent.next && states[base] != RP_SENT_FLYING &&
           !(states[base] == RP_SENT_LOST && base >= lost_before))
        base++;
    rp_sent_forget(&sent, &arena, lost_before);
    CHECK_EQUAL(sent.base, base);
}

static void settle_some(chance *c, uint64_t lag) {
    static const uint8_t after[] = {RP_SENT_ACKED, RP_SENT_ACKED, RP_SENT_ACKED, RP_SENT_LOST, RP_SENT_GONE};
    while (sent.next - sent.base > lag) {
        for (uint64_t n = sent.base; n < sent.next && n < sent.base + 40; n++) {
            if (!open_state(states[n]) || chance_below(c, 3) == 0) continue;
            states[n] = after[chance_below(c, sizeof after)];
            set(n, states[n]);
        }
        forget_both(sent.next - chance_below(c, 30));
    }
}

static void any_history_gives_what_an_array_gives(void) {
    static const uint64_t lags[] = {3, 60, 64, 70, 300, 5000};
    chance c = {1};
    for (size_t i = 0; i < sizeof lags / sizeof *lags; i++) {
        start(200, 0, 0);
        while (sent.next < 12000) {
            states[sent.next] = RP_SENT_FLYING;
            push(RP_SENT_FLYING);
            if (chance_below(&c, 20) == 0) settle_some(&c, chance_below(&c, lags[i]));
            if (sent.next > sent.base) agrees_on(sent.base + chance_below(&c, sent.next - sent.base));
            if (chance_below(&c, 200) == 0) a_skipping_walk_misses_nothing();
        }
        finish();
    }
}

int main(void) {
    RUN(numbers_follow_one_another);
    RUN(an_empty_history_borrows_nothing);
    RUN(few_packets_live_in_one_block_for_ever);
    RUN(widening_keeps_every_record_whereever_the_ring_stands);
    RUN(without_room_a_push_is_refused_and_changes_nothing);
    RUN(the_span_has_its_limit);
    RUN(a_push_taken_back_uses_no_number);
    RUN(only_the_settled_is_forgotten_and_in_order);
    RUN(frames_go_back_with_their_packet);
    RUN(any_history_gives_what_an_array_gives);
    return 0;
}
