/* Arenas that run full: nobody waits for ever, nothing spins, everything comes back. */
#include "arena.h"
#include "check.h"
#include "core.h"
#include "flow.h"
#include "sodium_table.h"

enum { SECOND = PAIR_SECOND, PAGE = RP_PAGE_SIZE };

static const rp_sodium *sodium;
static pair p;

static void tiny(rp_config *client, rp_config *server) {
    client->arena_bytes = server->arena_bytes = 16 * PAGE;
    client->max_streams = server->max_streams = 64;
    client->session_window = server->session_window = 4 << 20;
}

static void more_streams_than_pages_all_get_through(void) {
    pair_start(&p, sodium, tiny);
    pair_open(&p);
    flow_start(&p);
    for (int i = 0; i < 40; i++) flow_open(&p, i % 2, 70000, 70000);
    flow_run(&p, 300 * (uint64_t)SECOND);
    pair_run(&p, SECOND);
    CHECK_EQUAL(pair_counters(&p, CLIENT).streams, 0);
    pair_free(&p);
}

static uint64_t seen;

static bool lossy(pair *pair, int to, pair_datagram *d) {
    (void)pair;
    (void)to;
    (void)d;
    return ++seen % 6 != 0;
}

static void even_when_packets_are_lost(void) {
    pair_start(&p, sodium, tiny);
    pair_open(&p);
    p.passes = lossy;
    flow_start(&p);
    for (int i = 0; i < 40; i++) flow_open(&p, i % 2, 70000, 70000);
    flow_run(&p, 900 * (uint64_t)SECOND);
    pair_free(&p);
}

/* Whoever could write nothing at all has no acknowledgement to wait for. */
static void a_writer_that_found_no_page_is_told_when_there_is_one(void) {
    rp_event event;
    bool fin;
    pair_start(&p, sodium, tiny);
    pair_open(&p);
    uint64_t greedy = (uint64_t)rp_stream_open(p.core[CLIENT], p.handle[CLIENT], 4);
    uint64_t modest = (uint64_t)rp_stream_open(p.core[CLIENT], p.handle[CLIENT], 4);
    CHECK_EQUAL(flow_write(&p, CLIENT, greedy, 0, 1 << 20, false), 8 * PAGE);
    CHECK_EQUAL(flow_write(&p, CLIENT, modest, 0, 10, false), 0);
    for (uint64_t read = 0; read < 8 * PAGE;
         read += (uint64_t)flow_read(&p, SERVER, greedy, read, UINT64_MAX, &fin))
        pair_run(&p, SECOND / 10);
    pair_run(&p, SECOND);
    bool told = false;
    while (pair_event(&p, CLIENT, RP_EVENT_WRITABLE, &event)) told |= event.stream == modest;
    CHECK(told);
    pair_free(&p);
}

/* ---- no block is left: neither an ACK nor a probe can be recorded ---- */

static void take_all_blocks(rp_core *core, void **list) {
    void *block;
    while ((block = rp_pool_take(&core->arena.blocks))) {
        memcpy(block, list, sizeof *list);
        *list = block;
    }
}

static void give_all_blocks(rp_core *core, void **list) {
    while (*list) {
        void *block = *list;
        memcpy(list, block, sizeof *list);
        rp_pool_give(&core->arena.blocks, block);
    }
}

static void without_blocks_nothing_spins_and_all_goes_on_afterwards(void) {
    for (int side = 0; side < 2; side++) {
        void *blocks = NULL;
        pair_start(&p, sodium, tiny);
        pair_open(&p);
        flow_start(&p);
        flow_open(&p, CLIENT, 100000, 100000);
        pair_run(&p, SECOND / 100);
        take_all_blocks(p.core[side], &blocks);
        pair_run(&p, 20 * SECOND); /* a deadline that stays in the past would be caught here */
        give_all_blocks(p.core[side], &blocks);
        flow_run(&p, 20 * SECOND);
        pair_free(&p);
    }
}

static void without_a_block_for_the_first_ack_nothing_spins(void) {
    void *blocks = NULL;
    pair_start(&p, sodium, tiny);
    pair_open(&p);
    pair_run(&p, SECOND); /* idle: no block of packets is held */
    take_all_blocks(p.core[SERVER], &blocks);
    flow_start(&p);
    flow_open(&p, CLIENT, 10000, 0);
    pair_run(&p, 3 * SECOND);
    give_all_blocks(p.core[SERVER], &blocks);
    flow_run(&p, 20 * SECOND);
    pair_free(&p);
}

static void a_call_without_blocks_is_refused(void) {
    void *blocks = NULL;
    pair_start(&p, sodium, tiny);
    take_all_blocks(p.core[CLIENT], &blocks);
    rp_target target = pair_target(&p);
    CHECK_EQUAL(rp_core_connect(p.core[CLIENT], &target, p.now), RP_E_FULL);
    give_all_blocks(p.core[CLIENT], &blocks);
    take_all_blocks(p.core[SERVER], &blocks);
    pair_call(&p);
    pair_run(&p, SECOND);
    CHECK(pair_counters(&p, SERVER).refused_out);
    give_all_blocks(p.core[SERVER], &blocks);
    pair_run(&p, 5 * SECOND);
    CHECK(pair_stats(&p, CLIENT).established);
    pair_free(&p);
}

/* ---- no record is left: what is sent could not be repeated ---- */

static void without_records_nothing_spins_and_nothing_is_lost(void) {
    enum { MOST = 8000 };
    static void *taken[MOST];
    for (int side = 0; side < 2; side++) {
        int count = 0;
        pair_start(&p, sodium, tiny);
        pair_open(&p);
        flow_start(&p);
        flow_open(&p, CLIENT, 100000, 100000);
        pair_run(&p, SECOND / 100);
        rp_pool *frames = &p.core[side]->arena.frames;
        while (count < MOST && (taken[count] = rp_pool_take(frames))) count++;
        pair_run(&p, 20 * SECOND);
        while (count--) rp_pool_give(frames, taken[count]);
        flow_run(&p, 20 * SECOND);
        pair_free(&p);
    }
}

static bool nothing_passes(pair *pair, int to, pair_datagram *d) {
    (void)pair;
    (void)to;
    (void)d;
    return false;
}

static void without_records_probes_into_silence_do_not_spin(void) {
    enum { MOST = 8000 };
    static void *taken[MOST];
    int count = 0;
    pair_start(&p, sodium, tiny);
    pair_open(&p);
    p.passes = nothing_passes;
    flow_start(&p);
    flow_open(&p, CLIENT, 100000, 0);
    pair_run(&p, SECOND / 100);
    rp_pool *frames = &p.core[CLIENT]->arena.frames;
    while (count < MOST && (taken[count] = rp_pool_take(frames))) count++;
    pair_run(&p, 15 * SECOND);
    while (count--) rp_pool_give(frames, taken[count]);
    p.passes = NULL;
    flow_run(&p, 20 * SECOND);
    pair_free(&p);
}

/* ---- a stream too many ---- */

static void streams_beyond_the_arena_wait(void) {
    enum { MOST = 8000 };
    static void *taken[MOST];
    int count = 0;
    pair_start(&p, sodium, tiny);
    pair_open(&p);
    rp_pool *streams = &p.core[SERVER]->arena.streams;
    while (count < MOST && (taken[count] = rp_pool_take(streams))) count++;
    CHECK_EQUAL(rp_stream_open(p.core[SERVER], p.handle[SERVER], 4), RP_E_FULL);
    flow_start(&p);
    flow_open(&p, CLIENT, 1000, 1000);
    pair_run(&p, 5 * SECOND);
    CHECK(pair_counters(&p, SERVER).dropped_memory);
    while (count--) rp_pool_give(streams, taken[count]);
    flow_run(&p, 20 * SECOND);
    pair_free(&p);
}

int main(void) {
    sodium = sodium_table();
    RUN(more_streams_than_pages_all_get_through);
    RUN(even_when_packets_are_lost);
    RUN(a_writer_that_found_no_page_is_told_when_there_is_one);
    RUN(without_blocks_nothing_spins_and_all_goes_on_afterwards);
    RUN(without_a_block_for_the_first_ack_nothing_spins);
    RUN(a_call_without_blocks_is_refused);
    RUN(without_records_nothing_spins_and_nothing_is_lost);
    RUN(without_records_probes_into_silence_do_not_spin);
    RUN(streams_beyond_the_arena_wait);
    return 0;
}
