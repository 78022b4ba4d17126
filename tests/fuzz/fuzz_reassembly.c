/* Pieces of a stream in any order, against a flat buffer: what is read is what was sent, in order. */
#include "check.h"
#include "input.h"
#include "stream.h"

enum { SIZE = 6 * RP_PAGE_SIZE, PAGES = 5, BLOCKS = 3, MOST = 2048 };

static rp_arena arena;
static rp_stream s;
static uint8_t content[SIZE + MOST], have[SIZE + MOST];
static uint64_t highest, final, touched;
static bool ended, over; /* the end is known · nobody reads any more */

/* As if never lent from, and holding so many. */
static void lend(rp_pool *pool, uint32_t count) {
    pool->count = count;
    pool->fresh = 0;
    pool->returned = NULL;
}

static void begin(uint8_t means) {
    rp_arena_plan plan = {.blocks = BLOCKS, .pages = PAGES};
    if (!arena.memory) {
        CHECK(rp_arena_take(&arena, &plan));
        for (size_t i = 0; i < sizeof content; i++) content[i] = (uint8_t)(i * 31 + i / 251);
    }
    lend(&arena.blocks, 1 + means % BLOCKS);
    lend(&arena.pages, 1 + means / 4 % PAGES);
    rp_stream_init(&s, NULL, 0, 0);
    memset(have, 0, touched);
    highest = final = touched = 0;
    ended = over = false;
}

static int expected(uint64_t end, bool fin) {
    if (ended && (end > final || (fin && end != final))) return RP_CODE_FINAL_SIZE;
    return fin && end < highest ? RP_CODE_FINAL_SIZE : 0;
}

/* In memory of exactly its size, so that reading past it is noticed. */
static int receive_copy(uint64_t offset, size_t size, bool fin) {
    uint8_t *copy = malloc(size + !size);
    memcpy(copy, content + offset, size);
    int code = rp_stream_receive(&s, &arena, offset, copy, size, fin);
    free(copy);
    return code;
}

static void receive(uint64_t offset, size_t size, bool fin) {
    uint64_t end = offset + size;
    int verdict = expected(end, fin), code = receive_copy(offset, size, fin);
    CHECK(code == verdict || (code == RP_E_MEMORY && !verdict && !over));
    if (code) return;
    if (s.in_reset) return;
    memset(have + offset, 1, size);
    if (end > touched) touched = end;
    if (end > highest) highest = end;
    if (!fin) return;
    ended = true;
    final = end;
}

static void take(size_t most) {
    static uint8_t got[SIZE];
    uint64_t from = s.in_read, whole = from;
    if (over) return;
    size_t taken = rp_stream_take(&s, &arena, got, most < SIZE ? most : SIZE);
    while (whole < from + taken && have[whole]) whole++;
    CHECK_EQUAL(whole, from + taken); /* nothing that did not come is read */
    CHECK(taken == most || !have[whole]);
    CHECK_BYTES(got, content + from, taken);
    CHECK_EQUAL(rp_stream_at_end(&s), ended && s.in_read == final);
}

static void reset(uint64_t at) {
    bool was = s.in_reset, read_all = ended && s.in_read == final && (s.end_seen || s.stopped);
    int code = rp_stream_receive_reset(&s, &arena, at, 7);
    CHECK_EQUAL(code, expected(at, true));
    if (code || was || read_all) return;
    CHECK(s.in_reset);
    highest = final = at;
    ended = over = true;
    rp_stream_discard(&s, &arena);
}

static void stop(void) {
    s.stopped = over = true;
    rp_stream_discard(&s, &arena);
    CHECK_EQUAL(rp_arena_used(&arena), 0);
}

static void operate(input *in) {
    uint8_t what = input_byte(in);
    uint64_t offset = input_number(in, 3) % SIZE;
    size_t size = input_number(in, 2) % MOST;
    if (what & 0x40) offset = s.in_whole + offset % 64; /* near the next byte that is wanted */
    if (offset > SIZE) offset = SIZE;
    switch (what % 16) {
    case 0:
        reset(offset);
        break;
    case 1:
        stop();
        break;
    case 2:
        receive(offset, size, true);
        break;
    case 3:
    case 4:
    case 5:
    case 6:
        take(size * 16);
        break;
    default:
        receive(offset, size, false);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size < 600 ? size : 600};
    begin(input_byte(&in));
    while (in.left) {
        operate(&in);
        CHECK(over || s.in_read <= s.in_whole);
        CHECK(s.in_highest == highest || s.in_reset);
        CHECK(!rp_stream_readable(&s) || !over);
    }
    take(SIZE);
    rp_stream_clear(&s, &arena);
    CHECK_EQUAL(rp_arena_used(&arena), 0);
    return 0;
}
