/* How large packets may be: found out upwards, noticed downwards, whatever the path does meanwhile. */
#include "pmtu.h"

#include "check.h"
#include "flow.h"
#include "sodium_table.h"

enum { BASE = RP_MIN_DATAGRAM, SECOND = PAIR_SECOND, RTT = 50000, ETHERNET = 1472 };

/* ---- the search by itself ---- */

static rp_pmtu pmtu;
static uint64_t now;
static int probes;

/* A probe leaves, if one is due, and is acknowledged when the path carries it. */
static bool probe(uint16_t path) {
    static uint16_t before;
    static int times;
    uint16_t size = rp_pmtu_due(&pmtu, now);
    if (!size) return false;
    CHECK(size > pmtu.size && size <= pmtu.limit);
    times = size == before && probes ? times + 1 : 1;
    before = size;
    CHECK(times <= RP_PMTU_TRIES);
    probes++;
    rp_pmtu_sent(&pmtu, size);
    pmtu.wanted = true;
    CHECK_EQUAL(rp_pmtu_due(&pmtu, RP_NEVER - 1), 0); /* one at a time */
    now += RTT;
    if (size <= path)
        rp_pmtu_acked(&pmtu, size, now);
    else
        rp_pmtu_lost(&pmtu, size, now);
    return true;
}

static void search(uint16_t limit, uint16_t path) {
    now = 1000;
    probes = 0;
    rp_pmtu_init(&pmtu, limit);
    pmtu.wanted = true;
    while (probe(path)) CHECK(probes < 40);
}

static void what_is_found_is_a_step_below_the_truth_at_most(void) {
    for (uint16_t path = BASE; path <= ETHERNET; path++) {
        search(ETHERNET, path);
        CHECK(pmtu.size <= path && path - pmtu.size < RP_PMTU_STEP);
        CHECK(probes <= 6 * RP_PMTU_TRIES);
    }
}

static const struct {
    uint16_t limit, path, found;
    int probes;
} searches[] = {
    {BASE, BASE, BASE, 0},
    {BASE, ETHERNET, BASE, 0},
    {BASE + 1, ETHERNET, BASE + 1, 1},
    {ETHERNET, ETHERNET, ETHERNET, 1},
    {ETHERNET, 9000, ETHERNET, 1},
    {ETHERNET, 1452, 1452, 3 + 1 + 3},     /* IPv6, and 1462 in between */
    {ETHERNET, BASE, BASE, 3 + 3 + 4 * 3}, /* a half, a quarter … of what is below 1452 */
    {1400, 1472, 1400, 1},
    {8972, 8972, 8972, 1},
    {8972, ETHERNET, ETHERNET, 3 + 3 + 1},
    {RP_MAX_DATAGRAM, RP_MAX_DATAGRAM, RP_MAX_DATAGRAM, 1},
    {RP_MAX_DATAGRAM, 65488, 65488, 3 + 1}, /* loopback over IPv6 */
    {RP_MAX_DATAGRAM, 8972, 8972, 2 * 3 + 1},
    {RP_MAX_DATAGRAM, 8952, 8952, 3 * 3 + 1},
    {RP_MAX_DATAGRAM, ETHERNET, ETHERNET, 4 * 3 + 1},
    {RP_MAX_DATAGRAM, 1452, 1452, 5 * 3 + 1 + 3},
};

static void usual_sizes_are_found_with_few_probes(void) {
    for (size_t i = 0; i < sizeof searches / sizeof *searches; i++) {
        search(searches[i].limit, searches[i].path);
        CHECK_EQUAL(pmtu.size, searches[i].found);
        CHECK_EQUAL(probes, searches[i].probes);
    }
}

static void without_packets_that_are_full_there_are_no_probes(void) {
    rp_pmtu_init(&pmtu, ETHERNET);
    CHECK_EQUAL(rp_pmtu_due(&pmtu, 1000), 0);
    pmtu.wanted = true;
    CHECK_EQUAL(rp_pmtu_due(&pmtu, 1000), ETHERNET);
    rp_pmtu_sent(&pmtu, ETHERNET);
    rp_pmtu_lost(&pmtu, ETHERNET, 2000);
    CHECK_EQUAL(rp_pmtu_due(&pmtu, 2000), 0);
}

static void what_failed_is_tried_again_after_ten_minutes(void) {
    search(ETHERNET, 1300);
    uint16_t before = pmtu.size;
    uint64_t ended = now;
    CHECK_EQUAL(rp_pmtu_due(&pmtu, ended + RP_PMTU_AGAIN - 1), 0);
    now = ended + RP_PMTU_AGAIN;
    probes = 0;
    while (probe(ETHERNET)) continue;
    CHECK(before < pmtu.size && pmtu.size == ETHERNET);
    CHECK_EQUAL(probes, 1);
    CHECK_EQUAL(rp_pmtu_due(&pmtu, RP_NEVER - 1), 0); /* there is nothing larger */
}

static void a_probe_that_was_only_late_counts(void) {
    rp_pmtu_init(&pmtu, ETHERNET);
    rp_pmtu_sent(&pmtu, ETHERNET);
    rp_pmtu_lost(&pmtu, ETHERNET, 1000);
    rp_pmtu_acked(&pmtu, ETHERNET, 1001);
    CHECK_EQUAL(pmtu.size, ETHERNET);
}

static void a_probe_of_another_size_than_is_tried_says_nothing(void) {
    search(ETHERNET, BASE);
    rp_pmtu_acked(&pmtu, ETHERNET, now);
    CHECK_EQUAL(pmtu.size, BASE);
    rp_pmtu_init(&pmtu, ETHERNET);
    rp_pmtu_sent(&pmtu, ETHERNET);
    for (int i = 0; i < 5; i++) rp_pmtu_lost(&pmtu, 1300, now);
    pmtu.wanted = true;
    CHECK_EQUAL(rp_pmtu_due(&pmtu, now), 0); /* it still flies */
}

static void what_the_interface_refuses_is_not_tried_again(void) {
    now = 1000;
    rp_pmtu_init(&pmtu, RP_MAX_DATAGRAM);
    pmtu.wanted = true;
    for (probes = 0; probes < 20; probes++) {
        uint16_t size = rp_pmtu_due(&pmtu, now);
        if (!size) break;
        rp_pmtu_sent(&pmtu, size);
        if (size > ETHERNET)
            rp_pmtu_refused(&pmtu, size, now);
        else
            rp_pmtu_acked(&pmtu, size, now);
    }
    CHECK_EQUAL(pmtu.size, ETHERNET);
    CHECK_EQUAL(probes, 5);
}

static void an_interface_that_takes_less_than_before_sets_back_to_the_base(void) {
    search(ETHERNET, ETHERNET);
    rp_pmtu_refused(&pmtu, ETHERNET, now);
    CHECK_EQUAL(pmtu.size, BASE);
    while (probe(1372)) continue;
    CHECK(pmtu.size > 1372 - RP_PMTU_STEP && pmtu.size <= 1372);
    uint16_t found = pmtu.size;
    rp_pmtu_refused(&pmtu, BASE, now);     /* nothing is smaller: this has another cause */
    rp_pmtu_refused(&pmtu, ETHERNET, now); /* of packets that were waiting in front of the kernel */
    CHECK_EQUAL(pmtu.size, found);
}

/* ---- black holes: l is a packet lost, a one acknowledged ---- */

typedef struct {
    char what;
    uint16_t size;
    uint64_t at;
} fate;

static const struct {
    const char *why;
    bool fell;
    fate fates[6];
} holes[] = {
    {"a round trip of losses", true, {{'l', 1472, 0}, {'l', 1472, RTT}}},
    {"many, all at once", false, {{'l', 1472, 0}, {'l', 1472, 1}, {'l', 1472, 2}, {'l', 1472, RTT - 1}}},
    {"one that arrives", false, {{'l', 1472, 0}, {'a', 1472, 5}, {'l', 1472, RTT}}},
    {"it arrives last", false, {{'l', 1472, 0}, {'l', 1472, RTT}, {'a', 1472, RTT + 1}}},
    {"smaller ones arrive", true, {{'l', 1472, 0}, {'a', 1300, 5}, {'l', 1472, RTT}, {'a', 1200, RTT + 1}}},
    {"a larger one arrives", false, {{'l', 1300, 0}, {'l', 1300, RTT}, {'a', 1400, RTT + 1}}},
    {"as large as the least", false, {{'l', 1472, 0}, {'l', 1300, RTT}, {'a', 1300, RTT + 1}}},
    {"the base is no hole", false, {{'l', BASE, 0}, {'l', BASE, RTT}, {'l', BASE, 2 * RTT}}},
    {"nor one of each", false, {{'l', BASE, 0}, {'l', BASE + 1, RTT}, {'l', BASE, 2 * RTT}}},
    {"the clock's low half wraps",
     true,
     {{'l', 1472, UINT32_MAX - 5}, {'l', 1472, UINT32_MAX + (uint64_t)RTT}}},
};

static bool fell_after(const fate *fates, size_t count) {
    for (size_t i = 0; i < count && fates[i].what; i++)
        if (fates[i].what == 'l')
            rp_pmtu_packet_lost(&pmtu, fates[i].size, fates[i].at, RTT);
        else
            rp_pmtu_packet_acked(&pmtu, fates[i].size);
    return rp_pmtu_fell(&pmtu);
}

static void large_packets_that_vanish_for_a_round_trip_are_a_black_hole(void) {
    for (size_t i = 0; i < sizeof holes / sizeof *holes; i++) {
        check_running = holes[i].why;
        search(ETHERNET, ETHERNET);
        CHECK_EQUAL(fell_after(holes[i].fates, 6), holes[i].fell);
        CHECK_EQUAL(pmtu.size, holes[i].fell ? BASE : ETHERNET);
        pmtu.wanted = true;
        CHECK_EQUAL(rp_pmtu_due(&pmtu, now), holes[i].fell ? ETHERNET : 0);
    }
}

static void at_the_base_there_is_nowhere_to_fall(void) {
    rp_pmtu_init(&pmtu, ETHERNET);
    CHECK(!fell_after(holes[0].fates, 6));
    rp_pmtu_sent(&pmtu, ETHERNET);
    rp_pmtu_acked(&pmtu, ETHERNET, now);
    CHECK(!rp_pmtu_fell(&pmtu)); /* what was lost before says nothing about now */
}

/* ---- in a session ---- */

static const rp_sodium *sodium;
static pair p;
static uint16_t path, largest[2]; /* what passes; the largest that was sent to each side */

static bool passes(pair *pair, int to, pair_datagram *d) {
    (void)pair;
    if (d->size > largest[to]) largest[to] = d->size;
    return d->size <= path;
}

/* With windows so small that a transfer takes its time: a probe goes with each round trip at most. */
static void ethernet(rp_config *client, rp_config *server) {
    client->mtu = server->mtu = ETHERNET;
    client->stream_window = server->stream_window = client->session_window = server->session_window = 65536;
}

static void start_with(void (*change)(rp_config *client, rp_config *server), uint16_t carries) {
    path = carries;
    largest[CLIENT] = largest[SERVER] = 0;
    pair_start(&p, sodium, change);
    p.passes = passes;
    pair_open(&p);
    flow_start(&p);
}

static void start(uint16_t carries) { start_with(ethernet, carries); }

static void transfer(uint64_t up, uint64_t down) {
    flow_open(&p, CLIENT, up, down);
    flow_run(&p, 60 * (uint64_t)SECOND);
}

static void a_transfer_finds_what_the_path_carries(void) {
    static const uint16_t paths[] = {1200, 1217, 1372, 1464, 1500};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        start(paths[i]);
        transfer(1500000, 1500000);
        for (int side = 0; side < 2; side++) {
            uint32_t mtu = pair_stats(&p, side).mtu, most = paths[i] < ETHERNET ? paths[i] : ETHERNET;
            CHECK(mtu <= most && most - mtu < RP_PMTU_STEP);
            CHECK_EQUAL(pair_counters(&p, side).black_holes, 0);
        }
        pair_free(&p);
    }
}

static void it_takes_three_round_trips_where_all_is_well(void) {
    start(ETHERNET);
    flow_open(&p, CLIENT, 400000, 0);
    pair_run(&p, 3 * 2 * p.delay);
    CHECK_EQUAL(pair_stats(&p, CLIENT).mtu, ETHERNET);
    CHECK_EQUAL(pair_counters(&p, CLIENT).mtu_probes, 1);
    pair_free(&p);
}

static void a_lost_probe_is_neither_congestion_nor_missed(void) {
    uint64_t window = 0;
    start(1250);
    flow_open(&p, CLIENT, 1500000, 0);
    while (!flow_done()) {
        CHECK(pair_step(&p, RP_NEVER - 1));
        uint64_t now_open = pair_stats(&p, CLIENT).window;
        CHECK(now_open >= window);
        window = now_open;
    }
    CHECK(pair_counters(&p, CLIENT).mtu_probes > 5);
    CHECK_EQUAL(pair_counters(&p, CLIENT).lost_packets, 0);
    CHECK_EQUAL(pair_stats(&p, CLIENT).packets_lost, 0);
    CHECK_EQUAL(pair_stats(&p, CLIENT).retransmitted_bytes, 0);
    pair_free(&p);
}

static void giant(rp_config *client, rp_config *server) {
    ethernet(client, server);
    client->mtu = server->mtu = RP_MAX_DATAGRAM;
}

static void a_probe_larger_than_the_window_holds_nothing_up(void) {
    start_with(giant, ETHERNET);
    transfer(4000000, 0);
    CHECK_EQUAL(pair_stats(&p, CLIENT).mtu, ETHERNET);
    CHECK(pair_counters(&p, CLIENT).mtu_probes > 4);
    CHECK_EQUAL(pair_counters(&p, CLIENT).ptos, 0);
    pair_free(&p);
}

static void who_says_little_never_probes(void) {
    start(ETHERNET);
    for (int i = 0; i < 20; i++) transfer(800, 800);
    pair_run(&p, 10 * SECOND);
    CHECK_EQUAL(pair_counters(&p, CLIENT).mtu_probes + pair_counters(&p, SERVER).mtu_probes, 0);
    CHECK_EQUAL(largest[SERVER], BASE); /* INIT */
    pair_free(&p);
}

/* Lets time run until the flow is done; the longest time in which nothing new was read. */
static uint64_t longest_pause(const flow *f, int reader) {
    uint64_t longest = 0, since = p.now, read = f->read[reader], until = p.now + 100 * (uint64_t)SECOND;
    while (!flow_done()) {
        CHECK(pair_step(&p, until));
        if (p.now - since > longest) longest = p.now - since;
        if (f->read[reader] > read) since = p.now;
        read = f->read[reader];
    }
    return longest;
}

static void a_path_that_takes_less_from_now_on_is_noticed_within_three_seconds(void) {
    static const uint64_t delays[] = {100, 10000, 150000};
    for (size_t i = 0; i < sizeof delays / sizeof *delays; i++)
        for (int side = 0; side < 2; side++) {
            start(ETHERNET);
            p.delay = delays[i];
            transfer(side == CLIENT ? 300000 : 0, side == SERVER ? 300000 : 0);
            CHECK_EQUAL(pair_stats(&p, side).mtu, ETHERNET);
            flow *f = flow_open(&p, side, 1500000, 0);
            pair_run(&p, 5 * p.delay);
            path = 1280;
            CHECK(longest_pause(f, !side) < 3 * SECOND);
            CHECK(pair_stats(&p, side).mtu <= 1280 && pair_stats(&p, side).mtu > 1280 - RP_PMTU_STEP);
            CHECK_EQUAL(pair_counters(&p, side).black_holes, 1);
            CHECK_EQUAL(pair_counters(&p, !side).black_holes, 0);
            pair_free(&p);
        }
}

/* Even for one whose requests fit a large packet each, so that there is never a row of them. */
static void a_black_hole_holds_up_single_requests_for_three_seconds_at_most(void) {
    start(ETHERNET);
    p.delay = 150000;
    transfer(300000, 0);
    path = 1280;
    for (int i = 0; i < 5; i++) {
        flow *f = flow_open(&p, CLIENT, 1390, 10);
        CHECK(longest_pause(f, SERVER) < 3 * SECOND);
    }
    CHECK_EQUAL(pair_counters(&p, CLIENT).black_holes, 1);
    pair_free(&p);
}

/* Virtual links drop a run as a whole when its first datagram is too large. */
static void after_a_silence_a_small_packet_leaves_in_a_run_of_its_own(void) {
    enum { RUNS = 8 };
    static uint8_t buffer[RUNS * 65536];
    rp_datagram runs[RUNS];
    start(ETHERNET);
    transfer(300000, 0);
    flow_open(&p, CLIENT, 60000, 0);
    while (rp_core_transmit(p.core[CLIENT], runs, RUNS, buffer, sizeof buffer, p.now) > 0) continue;
    while (!pair_stats(&p, CLIENT).ptos)
        rp_core_timeout(p.core[CLIENT], p.now = rp_core_deadline(p.core[CLIENT]));
    CHECK(rp_core_transmit(p.core[CLIENT], runs, RUNS, buffer, sizeof buffer, p.now) >= 2);
    CHECK_EQUAL(runs[0].size, ETHERNET);
    CHECK_EQUAL(runs[1].size, BASE);
    pair_free(&p);
}

static uint64_t counted;

static bool one_in_seven_is_lost(pair *pair, int to, pair_datagram *d) {
    return ++counted % 7 && passes(pair, to, d);
}

static bool nothing_passes(pair *pair, int to, pair_datagram *d) {
    (void)pair;
    (void)to;
    (void)d;
    return false;
}

static void neither_loss_nor_an_outage_is_a_black_hole(void) {
    start(ETHERNET);
    transfer(300000, 300000);
    p.passes = one_in_seven_is_lost;
    transfer(300000, 300000);
    for (int i = 0; i < 5; i++) {
        flow_open(&p, CLIENT, 200000, 200000);
        pair_run(&p, SECOND / 20);
        p.passes = nothing_passes;
        pair_run(&p, 2 * SECOND);
        p.passes = passes;
        flow_run(&p, 60 * (uint64_t)SECOND);
    }
    CHECK(pair_stats(&p, CLIENT).packets_lost > 100);
    CHECK_EQUAL(pair_counters(&p, CLIENT).black_holes + pair_counters(&p, SERVER).black_holes, 0);
    CHECK_EQUAL(pair_stats(&p, CLIENT).mtu, ETHERNET);
    pair_free(&p);
}

/* The kernel's part: it says so when its own interface does not take a datagram. */
static bool through_the_interface(pair *pair, int to, pair_datagram *d) {
    if (d->size <= path) return true;
    rp_core_too_large(pair->core[!to], &d->to, d->size, pair->now);
    return false;
}

static void what_the_kernel_says_of_its_interface_is_heeded_at_once(void) {
    start(ETHERNET);
    p.passes = through_the_interface;
    transfer(300000, 0);
    flow *f = flow_open(&p, CLIENT, 1500000, 0);
    pair_run(&p, 2 * p.delay);
    path = 1372;
    uint64_t before = pair_counters(&p, CLIENT).mtu_probes;
    CHECK(longest_pause(f, SERVER) < SECOND);
    CHECK(pair_stats(&p, CLIENT).mtu <= 1372 && pair_stats(&p, CLIENT).mtu > 1372 - RP_PMTU_STEP);
    CHECK(pair_counters(&p, CLIENT).mtu_probes - before < 8); /* none of them twice */
    CHECK_EQUAL(pair_counters(&p, CLIENT).black_holes, 0);
    CHECK(pair_stats(&p, CLIENT).established);
    pair_free(&p);
}

static void datagrams_that_no_longer_fit_are_dropped_and_hold_nothing_up(void) {
    static const uint8_t bytes[1400];
    rp_event event;
    uint8_t got[1500];
    start(ETHERNET);
    CHECK_EQUAL(rp_datagram_send(p.core[CLIENT], p.handle[CLIENT], bytes, sizeof bytes), RP_E_MISUSE);
    transfer(300000, 0);
    CHECK_EQUAL(rp_datagram_send(p.core[CLIENT], p.handle[CLIENT], bytes, sizeof bytes), 0);
    CHECK_EQUAL(rp_datagram_send(p.core[CLIENT], p.handle[CLIENT], bytes, 1000), 0);
    rp_core_too_large(p.core[CLIENT], &p.address[SERVER], ETHERNET, p.now);
    pair_run(&p, SECOND);
    CHECK(pair_event(&p, SERVER, RP_EVENT_DATAGRAM, &event));
    CHECK_EQUAL(rp_datagram_read(p.core[SERVER], p.handle[SERVER], got, sizeof got), 1000);
    CHECK_EQUAL(pair_counters(&p, CLIENT).datagram_frames_dropped, 1);
    pair_free(&p);
}

static void on_a_new_path_nothing_is_known(void) {
    start(ETHERNET);
    transfer(0, 300000);
    CHECK_EQUAL(pair_stats(&p, SERVER).mtu, ETHERNET);
    pair_run(&p, SECOND);
    path = 1300;
    p.address[CLIENT].port = 8001;
    transfer(100, 0);
    pair_run(&p, SECOND);
    CHECK_EQUAL(pair_stats(&p, SERVER).migrations, 1);
    CHECK_EQUAL(pair_stats(&p, SERVER).mtu, BASE);
    transfer(0, 1500000);
    CHECK(pair_stats(&p, SERVER).mtu <= 1300 && pair_stats(&p, SERVER).mtu > 1300 - RP_PMTU_STEP);
    CHECK_EQUAL(pair_counters(&p, SERVER).black_holes, 0);
    pair_free(&p);
}

static void lasting(rp_config *client, rp_config *server) {
    ethernet(client, server);
    client->keep_alive = server->keep_alive = 20 * SECOND;
    client->rekey_time = server->rekey_time = RP_NEVER;
}

static void a_path_that_takes_more_is_noticed_when_it_is_asked_again(void) {
    start_with(lasting, 1300);
    transfer(1500000, 0);
    CHECK(pair_stats(&p, CLIENT).mtu <= 1300);
    path = ETHERNET;
    transfer(300000, 0);
    CHECK(pair_stats(&p, CLIENT).mtu <= 1300);
    pair_run(&p, RP_PMTU_AGAIN);
    CHECK(pair_stats(&p, CLIENT).mtu <= 1300); /* it had no need of more */
    transfer(300000, 0);
    CHECK_EQUAL(pair_stats(&p, CLIENT).mtu, ETHERNET);
    pair_free(&p);
}

int main(void) {
    sodium = sodium_table();
    RUN(what_is_found_is_a_step_below_the_truth_at_most);
    RUN(usual_sizes_are_found_with_few_probes);
    RUN(without_packets_that_are_full_there_are_no_probes);
    RUN(what_failed_is_tried_again_after_ten_minutes);
    RUN(a_probe_that_was_only_late_counts);
    RUN(a_probe_of_another_size_than_is_tried_says_nothing);
    RUN(what_the_interface_refuses_is_not_tried_again);
    RUN(an_interface_that_takes_less_than_before_sets_back_to_the_base);
    RUN(large_packets_that_vanish_for_a_round_trip_are_a_black_hole);
    RUN(at_the_base_there_is_nowhere_to_fall);
    RUN(a_transfer_finds_what_the_path_carries);
    RUN(it_takes_three_round_trips_where_all_is_well);
    RUN(a_lost_probe_is_neither_congestion_nor_missed);
    RUN(a_probe_larger_than_the_window_holds_nothing_up);
    RUN(who_says_little_never_probes);
    RUN(a_path_that_takes_less_from_now_on_is_noticed_within_three_seconds);
    RUN(a_black_hole_holds_up_single_requests_for_three_seconds_at_most);
    RUN(after_a_silence_a_small_packet_leaves_in_a_run_of_its_own);
    RUN(neither_loss_nor_an_outage_is_a_black_hole);
    RUN(what_the_kernel_says_of_its_interface_is_heeded_at_once);
    RUN(datagrams_that_no_longer_fit_are_dropped_and_hold_nothing_up);
    RUN(on_a_new_path_nothing_is_known);
    RUN(a_path_that_takes_more_is_noticed_when_it_is_asked_again);
    return 0;
}
