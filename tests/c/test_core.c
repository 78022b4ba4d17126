#include "check.h"
#include "flow.h"
#include "sodium_table.h"
#include "wire.h"

enum { SECOND = PAIR_SECOND };

static const rp_sodium *sodium;
static pair p;

static void nothing_is_left(void) {
    for (int side = 0; side < 2; side++) {
        rp_counters c = pair_counters(&p, side);
        CHECK_EQUAL(c.sessions, 0);
        CHECK_EQUAL(c.streams, 0);
        CHECK_EQUAL(c.arena_used, 0);
        CHECK_EQUAL(rp_core_deadline(p.core[side]), RP_NEVER);
    }
}

static void close_and_check(void) {
    rp_event event;
    CHECK_EQUAL(rp_connection_close(p.core[CLIENT], p.handle[CLIENT], 0, NULL, 0, p.now), 0);
    pair_run(&p, 20 * SECOND);
    CHECK(pair_event(&p, CLIENT, RP_EVENT_CLOSED, &event));
    CHECK(pair_event(&p, SERVER, RP_EVENT_CLOSED, &event));
    nothing_is_left();
    pair_free(&p);
}

/* ---- handshakes ---- */

static void both_ends_know_each_other_after_a_round_trip(void) {
    rp_event event;
    pair_start(&p, sodium, NULL);
    pair_call(&p);
    pair_run(&p, 2 * p.delay);
    CHECK(pair_event(&p, CLIENT, RP_EVENT_CONNECTED, &event));
    CHECK_EQUAL(event.connection, p.handle[CLIENT]);
    CHECK(!pair_event(&p, SERVER, RP_EVENT_ACCEPTED, &event)); /* INIT alone proves nothing */
    pair_run(&p, p.delay);
    CHECK(pair_event(&p, SERVER, RP_EVENT_ACCEPTED, &event));
    rp_stats ours = pair_stats(&p, CLIENT), theirs = pair_stats(&p, SERVER);
    CHECK(ours.established && theirs.established);
    CHECK_BYTES(ours.peer_identity, p.config[SERVER].identity, 32);
    CHECK_BYTES(theirs.peer_identity, p.config[CLIENT].identity, 32);
    CHECK_BYTES(ours.handshake_hash, theirs.handshake_hash, 64);
    CHECK_EQUAL(ours.suite, RP_SUITE_XCHACHA20);
    close_and_check();
}

static void a_client_may_stay_unknown(void) {
    pair_start(&p, sodium, NULL);
    rp_core_free(p.core[CLIENT]);
    p.config[CLIENT].has_identity = 0;
    CHECK_EQUAL(rp_core_new(&p.config[CLIENT], sodium, p.now, &p.core[CLIENT]), 0);
    pair_open(&p);
    CHECK(pair_stats(&p, CLIENT).has_peer_identity);
    CHECK(!pair_stats(&p, SERVER).has_peer_identity);
    close_and_check();
}

static void listen_by_the_wall(rp_config *client, rp_config *server) {
    client->wall_offset = 5000;
    server->wall_offset = (int64_t)1700000000 * SECOND;
}

static void accept_carries_the_clock(void) {
    pair_start(&p, sodium, listen_by_the_wall);
    pair_open(&p);
    int64_t offset = pair_stats(&p, CLIENT).clock_offset;
    CHECK(offset <= p.config[SERVER].wall_offset && offset >= p.config[SERVER].wall_offset - 20000);
    close_and_check();
}

static rp_target target_of(uint8_t pattern) {
    rp_target target = pair_target(&p);
    target.pattern = pattern;
    memset(target.secret, 0x42, sizeof target.secret);
    if (pattern == RP_PATTERN_IKPSK2) memcpy(target.secret_id, "invite 1", RP_SECRET_ID_SIZE);
    return target;
}

static void every_pattern_opens_a_session(void) {
    for (uint8_t pattern = RP_PATTERN_IK; pattern <= RP_PATTERN_XXPSK3; pattern++) {
        rp_event event;
        pair_start(&p, sodium, NULL);
        rp_target target = target_of(pattern);
        CHECK_EQUAL(rp_core_add_secret(p.core[SERVER], target.secret_id, target.secret), 0);
        p.handle[CLIENT] = rp_core_connect(p.core[CLIENT], &target, p.now);
        pair_run(&p, SECOND / 2);
        CHECK(pair_event(&p, CLIENT, RP_EVENT_CONNECTED, &event));
        CHECK(pair_event(&p, SERVER, RP_EVENT_ACCEPTED, &event));
        CHECK_BYTES(pair_stats(&p, CLIENT).peer_identity, p.config[SERVER].identity, 32);
        CHECK_BYTES(pair_stats(&p, SERVER).peer_identity, p.config[CLIENT].identity, 32);
        bool psk = pattern == RP_PATTERN_IKPSK2 || pattern == RP_PATTERN_XXPSK3;
        CHECK_EQUAL(pair_stats(&p, SERVER).has_secret, psk);
        close_and_check();
    }
}

static uint64_t seen_towards[2];

static bool every_third_is_lost(pair *pair, int to, pair_datagram *d) {
    (void)pair;
    (void)d;
    return ++seen_towards[to] % 3 != 1; /* the first is */
}

static void a_handshake_survives_loss(void) {
    for (uint8_t pattern = RP_PATTERN_IK; pattern <= RP_PATTERN_XXPSK3; pattern++) {
        memset(seen_towards, 0, sizeof seen_towards);
        pair_start(&p, sodium, NULL);
        p.passes = every_third_is_lost;
        rp_target target = target_of(pattern);
        CHECK_EQUAL(rp_core_add_secret(p.core[SERVER], target.secret_id, target.secret), 0);
        p.handle[CLIENT] = rp_core_connect(p.core[CLIENT], &target, p.now);
        pair_run(&p, 9 * SECOND);
        CHECK(pair_stats(&p, CLIENT).established && pair_stats(&p, SERVER).established);
        CHECK(pair_counters(&p, SERVER).inits_repeated);
        CHECK_EQUAL(pair_counters(&p, SERVER).sessions, 1);
        p.passes = NULL;
        close_and_check();
    }
}

/* ---- transfers ---- */

static void bytes_arrive_both_ways(void) {
    pair_start(&p, sodium, NULL);
    pair_open(&p);
    flow_start(&p);
    flow_open(&p, CLIENT, 1000000, 300000);
    flow_open(&p, SERVER, 70000, 0);
    flow_open(&p, CLIENT, 0, 0);
    flow_run(&p, 20 * SECOND);
    CHECK_EQUAL(pair_counters(&p, CLIENT).lost_packets, 0);
    pair_run(&p, SECOND);
    CHECK_EQUAL(pair_stats(&p, CLIENT).streams, 0);
    CHECK_EQUAL(pair_stats(&p, SERVER).streams, 0);
    close_and_check();
}

static void many_streams_take_turns(void) {
    pair_start(&p, sodium, NULL);
    pair_open(&p);
    flow_start(&p);
    for (int i = 0; i < 16; i++) flow_open(&p, i % 2, 1000 + (uint64_t)i * 5000, 2000);
    flow_run(&p, 20 * SECOND);
    close_and_check();
}

static uint64_t period, phase;

static bool periodically_lost(pair *pair, int to, pair_datagram *d) {
    (void)pair;
    (void)d;
    return (++seen_towards[to] + phase) % period != 0;
}

static void transfer_losing_every(uint64_t every) {
    period = every;
    phase = every / 2;
    memset(seen_towards, 0, sizeof seen_towards);
    pair_start(&p, sodium, NULL);
    pair_open(&p);
    p.passes = periodically_lost;
    flow_start(&p);
    flow_open(&p, CLIENT, 150000, 150000);
    flow_open(&p, SERVER, 20000, 10000);
    flow_run(&p, 300 * (uint64_t)SECOND);
    rp_counters c = pair_counters(&p, CLIENT);
    CHECK(c.lost_packets && c.retransmitted_frames);
    p.passes = NULL;
    close_and_check();
}

static void whatever_is_lost_is_sent_again(void) {
    static const uint64_t periods[] = {2, 3, 5, 7, 10, 20};
    for (size_t i = 0; i < sizeof periods / sizeof *periods; i++) transfer_losing_every(periods[i]);
}

static bool shuffled_and_doubled(pair *pair, int to, pair_datagram *d) {
    uint64_t n = ++seen_towards[to];
    d->due += n * 7919 % 40 * 500; /* up to 20 ms later than its turn */
    if (n % 10 == 0) pair_inject(pair, to, &d->from, d->data, d->size);
    return true;
}

static void order_and_doubles_do_not_matter(void) {
    memset(seen_towards, 0, sizeof seen_towards);
    pair_start(&p, sodium, NULL);
    pair_open(&p);
    p.passes = shuffled_and_doubled;
    flow_start(&p);
    flow_open(&p, CLIENT, 200000, 200000);
    flow_run(&p, 60 * (uint64_t)SECOND);
    rp_counters c = pair_counters(&p, SERVER);
    CHECK(c.reordered && c.dropped_replay);
    p.passes = NULL;
    close_and_check();
}

static void near_the_wrap(rp_config *client, rp_config *server) {
    client->first_packet = server->first_packet = ((uint64_t)1 << 32) - 60;
}

static void packet_numbers_pass_the_wrap_of_seq_with_loss_around_it(void) {
    period = 4;
    phase = 0;
    pair_start(&p, sodium, near_the_wrap);
    pair_open(&p);
    p.passes = periodically_lost;
    flow_start(&p);
    flow_open(&p, CLIENT, 200000, 200000);
    flow_run(&p, 100 * (uint64_t)SECOND);
    CHECK_EQUAL(pair_counters(&p, CLIENT).wraps, 1);
    CHECK_EQUAL(pair_counters(&p, SERVER).wraps, 1);
    p.passes = NULL;
    close_and_check();
}

/* Every packet that leaves, by its number: none may leave twice with other bytes, or at all. */
static uint8_t number_used[2][1 << 16];

static bool numbers_are_used_once(pair *pair, int to, pair_datagram *d) {
    if (d->data[0] == RP_TYPE_DATA) {
        uint32_t number = rp_load32(d->data + 8);
        CHECK(number < sizeof number_used[to]);
        CHECK(!number_used[to][number]);
        number_used[to][number] = 1;
    }
    return periodically_lost(pair, to, d);
}

static void no_packet_number_is_used_twice(void) {
    period = 3;
    memset(number_used, 0, sizeof number_used);
    pair_start(&p, sodium, NULL);
    p.passes = numbers_are_used_once;
    pair_call(&p);
    pair_run(&p, 3 * SECOND);
    flow_start(&p);
    flow_open(&p, CLIENT, 300000, 100000);
    flow_run(&p, 300 * (uint64_t)SECOND);
    p.passes = NULL;
    close_and_check();
}

static void small_windows(rp_config *client, rp_config *server) {
    client->stream_window = server->stream_window = 32768;
    client->session_window = server->session_window = 65536;
}

static void credit_that_runs_out_is_granted_anew(void) {
    period = 9;
    pair_start(&p, sodium, small_windows);
    pair_open(&p);
    p.passes = periodically_lost;
    flow_start(&p);
    for (int i = 0; i < 4; i++) flow_open(&p, CLIENT, 200000, 50000);
    flow_run(&p, 300 * (uint64_t)SECOND);
    p.passes = NULL;
    close_and_check();
}

static void a_reader_who_stalls_stops_the_writer(void) {
    pair_start(&p, sodium, small_windows);
    pair_open(&p);
    uint64_t id = (uint64_t)rp_stream_open(p.core[CLIENT], p.handle[CLIENT], 0), written = 0;
    int64_t taken = 0;
    for (int i = 0; i < 50; i++) {
        taken = flow_write(&p, CLIENT, id, written, 50000, false);
        written += (uint64_t)taken;
        pair_run(&p, SECOND / 5);
    }
    CHECK_EQUAL(taken, 0);
    CHECK(pair_counters(&p, CLIENT).arena_used < 700000);
    CHECK(pair_counters(&p, SERVER).arena_used < 150000);
    rp_event event;
    bool fin;
    CHECK_EQUAL(flow_read(&p, SERVER, id, 0, UINT64_MAX, &fin), 32768);
    p.event_count[CLIENT] = 0;
    for (uint64_t offset = 32768; offset < written; pair_run(&p, SECOND / 5))
        offset += (uint64_t)flow_read(&p, SERVER, id, offset, UINT64_MAX, &fin);
    CHECK(pair_event(&p, CLIENT, RP_EVENT_WRITABLE, &event));
    close_and_check();
}

static void the_sessions_credit_holds_all_streams_together(void) {
    enum { EACH = 30000, STREAMS = 4 };
    uint64_t ids[STREAMS], got[STREAMS] = {0}, arrived[3] = {0};
    pair_start(&p, sodium, small_windows);
    pair_open(&p);
    for (int i = 0; i < STREAMS; i++) {
        ids[i] = (uint64_t)rp_stream_open(p.core[CLIENT], p.handle[CLIENT], 4);
        CHECK_EQUAL(flow_write(&p, CLIENT, ids[i], 0, EACH, true), EACH);
    }
    for (int round = 0; round < 3; round++) { /* what is read in one gives credit for the next */
        pair_run(&p, 5 * SECOND);
        for (int i = 0; i < STREAMS; i++) {
            bool fin;
            if (got[i] < EACH) got[i] += (uint64_t)flow_read(&p, SERVER, ids[i], got[i], UINT64_MAX, &fin);
            arrived[round] += got[i];
        }
    }
    CHECK_EQUAL(arrived[0], 65536);
    CHECK(arrived[1] > arrived[0]);
    CHECK_EQUAL(arrived[2], STREAMS * EACH);
    close_and_check();
}

/* ---- streams ---- */

static uint64_t open_with(uint64_t bytes) {
    uint64_t id = (uint64_t)rp_stream_open(p.core[CLIENT], p.handle[CLIENT], 4);
    CHECK_EQUAL(flow_write(&p, CLIENT, id, 0, bytes, false), bytes);
    pair_run(&p, SECOND / 5);
    return id;
}

static void a_reset_reaches_the_reader(void) {
    rp_event event;
    int fin;
    uint8_t byte = 7;
    pair_start(&p, sodium, NULL);
    pair_open(&p);
    uint64_t id = open_with(5000);
    CHECK_EQUAL(rp_stream_reset(p.core[CLIENT], p.handle[CLIENT], id, 0x1234), 0);
    pair_run(&p, SECOND / 5);
    CHECK(pair_event(&p, SERVER, RP_EVENT_RESET, &event));
    CHECK(event.stream == id && event.code == 0x1234);
    CHECK_EQUAL(rp_stream_read(p.core[SERVER], p.handle[SERVER], id, &byte, 1, &fin), RP_E_GONE);
    CHECK_EQUAL(rp_stream_write(p.core[CLIENT], p.handle[CLIENT], id, &byte, 1, 0), RP_E_GONE);
    CHECK_EQUAL(rp_stream_write(p.core[SERVER], p.handle[SERVER], id, &byte, 1, 1),
                1); /* the other way is open */
    pair_run(&p, SECOND / 5);
    CHECK_EQUAL(rp_stream_read(p.core[CLIENT], p.handle[CLIENT], id, &byte, 1, &fin), 1);
    CHECK(fin);
    pair_run(&p, SECOND / 5);
    CHECK_EQUAL(pair_stats(&p, CLIENT).streams, 0);
    close_and_check();
}

static void a_stop_reaches_the_writer(void) {
    rp_event event;
    uint8_t byte = 0;
    pair_start(&p, sodium, NULL);
    pair_open(&p);
    uint64_t id = open_with(5000);
    CHECK_EQUAL(rp_stream_stop(p.core[SERVER], p.handle[SERVER], id, 0x77), 0);
    pair_run(&p, SECOND / 5);
    CHECK(pair_event(&p, CLIENT, RP_EVENT_STOPPED, &event));
    CHECK(event.stream == id && event.code == 0x77);
    CHECK_EQUAL(rp_stream_write(p.core[CLIENT], p.handle[CLIENT], id, &byte, 1, 0), RP_E_GONE);
    CHECK(!pair_event(&p, SERVER, RP_EVENT_RESET, &event)); /* who stopped it need not hear of the answer */
    close_and_check();
}

static void a_peers_streams_are_limited_and_come_back(void) {
    rp_event event;
    pair_start(&p, sodium, NULL);
    pair_open(&p);
    flow_start(&p);
    for (uint64_t i = 0; i < 16; i++) flow_open(&p, CLIENT, 100, 100);
    CHECK_EQUAL(rp_stream_open(p.core[CLIENT], p.handle[CLIENT], 4), RP_E_BLOCKED);
    flow_run(&p, 10 * SECOND);
    pair_run(&p, SECOND);
    CHECK(pair_event(&p, CLIENT, RP_EVENT_WRITABLE, &event));
    CHECK_EQUAL(event.stream, 0);
    flow_start(&p);
    for (uint64_t i = 0; i < 16; i++) flow_open(&p, CLIENT, 100, 100);
    flow_run(&p, 10 * SECOND);
    close_and_check();
}

static void urgent_streams_go_first(void) {
    rp_event event;
    bool fin;
    pair_start(&p, sodium, NULL);
    pair_open(&p);
    int64_t slow = rp_stream_open(p.core[CLIENT], p.handle[CLIENT], 7);
    int64_t fast = rp_stream_open(p.core[CLIENT], p.handle[CLIENT], 0);
    flow_write(&p, CLIENT, (uint64_t)slow, 0, 200000, true);
    flow_write(&p, CLIENT, (uint64_t)fast, 0, 3000, true);
    pair_run(&p, p.delay);
    CHECK(pair_event(&p, SERVER, RP_EVENT_READABLE, &event));
    CHECK_EQUAL(flow_read(&p, SERVER, (uint64_t)fast, 0, UINT64_MAX, &fin), 3000);
    CHECK(fin);
    close_and_check();
}

static int64_t send_short(int side, size_t size, uint64_t id) {
    static uint8_t bytes[RP_SHORT_MAX + 1];
    flow_fill(side, id, 0, bytes, size);
    return rp_stream_send(p.core[side], p.handle[side], 4, bytes, size);
}

static void a_short_stream_is_sent_at_once_and_taken_whole(void) {
    static uint8_t buffer[RP_SHORT_MAX];
    rp_whole whole;
    rp_event event;
    pair_start(&p, sodium, NULL);
    pair_open(&p);
    pair_run(&p, SECOND);
    CHECK_EQUAL(send_short(CLIENT, 700, 0), 0);
    pair_send(&p, CLIENT);
    pair_deliver(&p, SERVER, 0);
    CHECK_EQUAL(rp_core_take_whole(p.core[SERVER], &whole, 1, buffer, sizeof buffer, 1000), 1);
    CHECK(whole.stream == 0 && whole.size == 700 && whole.opened && whole.connection == p.handle[SERVER]);
    flow_check(CLIENT, 0, 0, buffer + whole.offset, whole.size);
    pair_poll(&p, SERVER);
    CHECK(!pair_event(&p, SERVER, RP_EVENT_OPENED, &event)); /* nothing more is told of it */
    CHECK(!pair_event(&p, SERVER, RP_EVENT_READABLE, &event));
    CHECK_EQUAL(flow_write(&p, SERVER, 0, 0, 300, true), 300); /* and it can be answered */
    pair_run(&p, SECOND);
    CHECK(pair_event(&p, CLIENT, RP_EVENT_READABLE, &event));
    close_and_check();
}

static void what_is_long_or_goes_on_is_not_taken_whole(void) {
    static uint8_t buffer[RP_SHORT_MAX];
    rp_whole whole;
    rp_event event;
    pair_start(&p, sodium, NULL);
    pair_open(&p);
    pair_poll(&p, SERVER);
    uint64_t id = (uint64_t)rp_stream_open(p.core[CLIENT], p.handle[CLIENT], 4);
    CHECK_EQUAL(flow_write(&p, CLIENT, id, 0, 100, false), 100); /* without an end */
    CHECK_EQUAL(send_short(CLIENT, 900, 2), 2);
    CHECK_EQUAL(send_short(CLIENT, 0, 4), 4);
    CHECK_EQUAL(send_short(CLIENT, RP_SHORT_MAX + 1, 6), RP_E_MISUSE);
    pair_send(&p, CLIENT);
    p.now += p.delay;
    while (p.waiting[SERVER]) pair_deliver(&p, SERVER, 0);
    CHECK_EQUAL(rp_core_take_whole(p.core[SERVER], &whole, 1, buffer, 500, 800),
                0); /* more than there is room */
    CHECK_EQUAL(rp_core_take_whole(p.core[SERVER], &whole, 1, buffer, 800, 800), 1); /* the empty one */
    CHECK(whole.stream == 4 && whole.size == 0);
    CHECK_EQUAL(rp_core_take_whole(p.core[SERVER], &whole, 1, buffer, 800, 800), 0);
    pair_poll(&p, SERVER);
    for (int i = 0; i < 2; i++) CHECK(pair_event(&p, SERVER, RP_EVENT_READABLE, &event));
    close_and_check();
}

static void what_was_read_to_its_end_is_not_taken_again(void) {
    uint8_t buffer[1000];
    rp_whole whole;
    bool fin;
    pair_start(&p, sodium, NULL);
    pair_open(&p);
    CHECK_EQUAL(send_short(CLIENT, 700, 0), 0);
    pair_send(&p, CLIENT);
    while (p.waiting[SERVER]) pair_deliver(&p, SERVER, 0);
    CHECK_EQUAL(flow_read(&p, SERVER, 0, 0, UINT64_MAX, &fin), 700); /* nobody waited to be told */
    CHECK(fin);
    CHECK_EQUAL(rp_core_take_whole(p.core[SERVER], &whole, 1, buffer, sizeof buffer, 1000), 0);
    close_and_check();
}

static void datagrams_arrive_whole_or_not_at_all(void) {
    rp_event event;
    uint8_t got[1200];
    pair_start(&p, sodium, NULL);
    pair_open(&p);
    CHECK_EQUAL(rp_datagram_send(p.core[CLIENT], p.handle[CLIENT], (const uint8_t *)"gossip", 6), 0);
    CHECK_EQUAL(rp_datagram_send(p.core[CLIENT], p.handle[CLIENT], got, 1200), RP_E_MISUSE);
    CHECK_EQUAL(rp_datagram_read(p.core[SERVER], p.handle[SERVER], got, sizeof got), RP_E_BLOCKED);
    pair_run(&p, p.delay);
    CHECK(pair_event(&p, SERVER, RP_EVENT_DATAGRAM, &event));
    CHECK_EQUAL(rp_datagram_read(p.core[SERVER], p.handle[SERVER], got, sizeof got), 6);
    CHECK_BYTES(got, "gossip", 6);
    CHECK_EQUAL(rp_datagram_read(p.core[SERVER], p.handle[SERVER], got, sizeof got), RP_E_BLOCKED);
    close_and_check();
}

/* ---- the end of a session ---- */

static void a_close_says_why(void) {
    rp_event event;
    pair_start(&p, sodium, NULL);
    pair_open(&p);
    open_with(100000);
    CHECK_EQUAL(
        rp_connection_close(p.core[SERVER], p.handle[SERVER], 0x1001, (const uint8_t *)"bye", 3, p.now), 0);
    CHECK_EQUAL(pair_counters(&p, SERVER).streams, 0); /* at once */
    pair_run(&p, p.delay);
    CHECK(pair_event(&p, CLIENT, RP_EVENT_CLOSED, &event));
    CHECK_EQUAL(event.cause, RP_CLOSED_BY_PEER);
    CHECK_EQUAL(event.code, 0x1001);
    CHECK_EQUAL(event.reason_size, 3);
    CHECK_BYTES(event.reason, "bye", 3);
    CHECK(pair_event(&p, SERVER, RP_EVENT_CLOSED, &event));
    CHECK_EQUAL(event.cause, RP_CLOSED_BY_US);
    CHECK_EQUAL(rp_stream_open(p.core[CLIENT], p.handle[CLIENT], 0), RP_E_GONE);
    pair_run(&p, 10 * SECOND);
    nothing_is_left();
    pair_free(&p);
}

static bool nothing_passes(pair *pair, int to, pair_datagram *d) {
    (void)pair;
    (void)to;
    (void)d;
    return false;
}

static void silence_ends_a_session_at_the_idle_limit(void) {
    rp_event event;
    pair_start(&p, sodium, NULL);
    pair_open(&p);
    p.passes = nothing_passes;
    uint64_t asked = p.now;
    open_with(5000);
    do {
        pair_step(&p, RP_NEVER - 1);
    } while (!pair_event(&p, CLIENT, RP_EVENT_CLOSED, &event));
    CHECK_EQUAL(event.cause, RP_CLOSED_IDLE);
    CHECK(p.now >= asked + 30 * SECOND && p.now <= asked + 31 * SECOND);
    pair_run(&p, 31 * SECOND);
    nothing_is_left();
    pair_free(&p);
}

static void stay_alive(rp_config *client, rp_config *server) {
    client->keep_alive = 10 * SECOND;
    (void)server;
}

static void keep_alive_keeps_a_session_and_little_else(void) {
    pair_start(&p, sodium, stay_alive);
    pair_open(&p);
    uint64_t before = p.sent[CLIENT] + p.sent[SERVER];
    pair_run(&p, 600 * (uint64_t)SECOND);
    CHECK(pair_stats(&p, CLIENT).established && pair_stats(&p, SERVER).established);
    CHECK(p.sent[CLIENT] + p.sent[SERVER] - before <= 140); /* 60 questions, 60 answers */
    close_and_check();
}

static void lively(rp_config *client, rp_config *server) {
    client->keep_alive = server->keep_alive = SECOND / 10;
}

/* The path was slow when the pace was set: a sign of life that has to wait for it must not wake for nothing.
 */
static void keep_alive_waits_for_the_pacer(void) {
    pair_start(&p, sodium, lively);
    p.delay = 2 * SECOND;
    pair_call(&p);
    pair_run(&p, 9 * SECOND);
    p.delay = 1000;
    flow_start(&p);
    flow_open(&p, CLIENT, 40000, 40000);
    flow_run(&p, 60 * (uint64_t)SECOND);
    pair_free(&p);
}

static void an_idle_session_borrows_one_block(void) {
    pair_start(&p, sodium, NULL);
    pair_open(&p);
    flow_start(&p);
    flow_open(&p, CLIENT, 50000, 50000);
    flow_run(&p, 10 * SECOND);
    pair_run(&p, SECOND);
    CHECK_EQUAL(pair_counters(&p, CLIENT).arena_used, 4096);
    CHECK_EQUAL(pair_counters(&p, SERVER).arena_used, 4096);
    close_and_check();
}

static void handles_are_never_used_again(void) {
    pair_start(&p, sodium, NULL);
    int64_t before = 0;
    for (int i = 0; i < 10; i++) {
        pair_open(&p);
        CHECK(p.handle[CLIENT] != before);
        before = p.handle[CLIENT];
        rp_connection_close(p.core[CLIENT], before, 0, NULL, 0, p.now);
        pair_run(&p, 10 * SECOND);
        CHECK_EQUAL(rp_connection_close(p.core[CLIENT], before, 0, NULL, 0, p.now), RP_E_GONE);
    }
    nothing_is_left();
    pair_free(&p);
}

static void a_core_that_is_freed_in_the_middle_leaks_nothing(void) {
    pair_start(&p, sodium, NULL);
    pair_open(&p);
    flow_start(&p);
    for (int i = 0; i < 8; i++) flow_open(&p, CLIENT, 100000, 100000);
    pair_run(&p, SECOND / 20);
    pair_free(&p);
}

int main(void) {
    sodium = sodium_table();
    RUN(both_ends_know_each_other_after_a_round_trip);
    RUN(a_client_may_stay_unknown);
    RUN(accept_carries_the_clock);
    RUN(every_pattern_opens_a_session);
    RUN(a_handshake_survives_loss);
    RUN(bytes_arrive_both_ways);
    RUN(many_streams_take_turns);
    RUN(whatever_is_lost_is_sent_again);
    RUN(order_and_doubles_do_not_matter);
    RUN(packet_numbers_pass_the_wrap_of_seq_with_loss_around_it);
    RUN(no_packet_number_is_used_twice);
    RUN(credit_that_runs_out_is_granted_anew);
    RUN(a_reader_who_stalls_stops_the_writer);
    RUN(the_sessions_credit_holds_all_streams_together);
    RUN(a_reset_reaches_the_reader);
    RUN(a_stop_reaches_the_writer);
    RUN(a_peers_streams_are_limited_and_come_back);
    RUN(urgent_streams_go_first);
    RUN(a_short_stream_is_sent_at_once_and_taken_whole);
    RUN(what_is_long_or_goes_on_is_not_taken_whole);
    RUN(what_was_read_to_its_end_is_not_taken_again);
    RUN(datagrams_arrive_whole_or_not_at_all);
    RUN(a_close_says_why);
    RUN(silence_ends_a_session_at_the_idle_limit);
    RUN(keep_alive_keeps_a_session_and_little_else);
    RUN(keep_alive_waits_for_the_pacer);
    RUN(an_idle_session_borrows_one_block);
    RUN(handles_are_never_used_again);
    RUN(a_core_that_is_freed_in_the_middle_leaks_nothing);
    return 0;
}
