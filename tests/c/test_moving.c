/* New keys, new addresses: what changes under a session that goes on. */
#include "check.h"
#include "flow.h"
#include "sodium_table.h"
#include "wire.h"

enum { SECOND = PAIR_SECOND };

static const rp_sodium *sodium;
static pair p;

static void transfer(uint64_t bytes) {
    flow_start(&p);
    flow_open(&p, CLIENT, bytes, bytes);
    flow_run(&p, 100 * (uint64_t)SECOND);
}

/* ---- keys ---- */

static void rekey_often(rp_config *client, rp_config *server) {
    client->rekey_packets = server->rekey_packets = 30;
}

static void keys_are_renewed_by_packets(void) {
    pair_start(&p, sodium, rekey_often);
    pair_open(&p);
    transfer(300000);
    rp_stats ours = pair_stats(&p, CLIENT), theirs = pair_stats(&p, SERVER);
    CHECK(ours.epoch >= 3);
    CHECK(theirs.epoch + 1 >= ours.epoch && theirs.epoch <= ours.epoch);
    CHECK_EQUAL(pair_counters(&p, SERVER).dropped_auth, 0);
    pair_free(&p);
}

static uint64_t seen;

static bool lossy_and_late(pair *pair, int to, pair_datagram *d) {
    (void)pair;
    (void)to;
    d->due += seen * 7919 % 13 * 2000;
    return ++seen % 7 != 0;
}

static void keys_are_renewed_under_loss_and_out_of_order(void) {
    pair_start(&p, sodium, rekey_often);
    pair_open(&p);
    p.passes = lossy_and_late;
    transfer(300000);
    CHECK(pair_stats(&p, CLIENT).epoch >= 3);
    pair_free(&p);
}

static void rekey_and_ratchet_by_time(rp_config *client, rp_config *server) {
    client->rekey_time = server->rekey_time = 5 * SECOND;
    client->ratchet_time = server->ratchet_time = 11 * SECOND;
    client->keep_alive = server->keep_alive = 2 * SECOND;
}

static void keys_are_renewed_by_time_with_a_fresh_secret_now_and_then(void) {
    pair_start(&p, sodium, rekey_and_ratchet_by_time);
    pair_open(&p);
    p.passes = lossy_and_late;
    for (int i = 0; i < 30; i++) {
        transfer(2000);
        pair_run(&p, 2 * SECOND);
    }
    CHECK(pair_stats(&p, CLIENT).epoch >= 8);
    CHECK(pair_counters(&p, CLIENT).ratchets >= 3 && pair_counters(&p, SERVER).ratchets >= 3);
    CHECK(pair_stats(&p, CLIENT).established && pair_stats(&p, SERVER).established);
    pair_free(&p);
}

static void rekey_by_time(rp_config *client, rp_config *server) {
    client->rekey_time = server->rekey_time = 5 * SECOND;
}

static void an_idle_session_sends_nothing_for_the_sake_of_its_keys(void) {
    pair_start(&p, sodium, rekey_by_time);
    pair_open(&p);
    pair_run(&p, 2 * SECOND);
    uint64_t sent = p.sent[CLIENT] + p.sent[SERVER];
    pair_run(&p, 25 * SECOND);
    CHECK_EQUAL(p.sent[CLIENT] + p.sent[SERVER], sent);
    pair_free(&p);
}

/* ---- addresses ---- */

static void a_session_follows_its_peer(void) {
    pair_start(&p, sodium, NULL);
    pair_open(&p);
    transfer(50000);
    for (uint16_t i = 1; i <= 5; i++) {
        p.address[CLIENT].port = (uint16_t)(8000 + i);
        transfer(50000);
        pair_run(&p, SECOND);
        CHECK_EQUAL(pair_stats(&p, SERVER).migrations, i);
        CHECK_EQUAL(pair_stats(&p, SERVER).peer.port, 8000 + i);
    }
    CHECK_EQUAL(pair_stats(&p, CLIENT).migrations, 0);
    pair_free(&p);
}

/* Data goes on to the old address until the new one has answered, and it never does. */
static uint64_t towards_new;
static uint16_t new_port;

static bool only_to_the_old(pair *pair, int to, pair_datagram *d) {
    (void)pair;
    bool new = to == CLIENT && d->to.port == new_port;
    if (new) towards_new += d->size;
    return !new;
}

static void an_address_that_does_not_answer_gets_little(void) {
    pair_start(&p, sodium, NULL);
    pair_open(&p);
    towards_new = 0;
    new_port = 9999;
    p.passes = only_to_the_old;
    int64_t id = rp_stream_open(p.core[SERVER], p.handle[SERVER], 4);
    flow_write(&p, SERVER, (uint64_t)id, 0, 200000, true);
    p.address[CLIENT].port = new_port;
    CHECK_EQUAL(rp_datagram_send(p.core[CLIENT], p.handle[CLIENT], (const uint8_t *)"x", 1), 0);
    uint64_t in = pair_counters(&p, SERVER).bytes_in;
    pair_run(&p, 20 * SECOND);
    CHECK(towards_new > 0);
    CHECK(towards_new <= 3 * (pair_counters(&p, SERVER).bytes_in - in));
    CHECK_EQUAL(pair_stats(&p, SERVER).migrations, 0);
    pair_free(&p);
}

/* An attacker on the way copies each packet and sends it first, from elsewhere. */
static bool copied_from_elsewhere(pair *pair, int to, pair_datagram *d) {
    if (to != SERVER) return d->to.ip[15] != 66; /* what goes there is not passed on */
    rp_address elsewhere = d->from;
    elsewhere.ip[15] = 66;
    pair_inject(pair, SERVER, &elsewhere, d->data, d->size);
    return true;
}

static void copies_from_forged_sources_divert_nothing(void) {
    pair_start(&p, sodium, NULL);
    pair_open(&p);
    p.passes = copied_from_elsewhere;
    transfer(100000);
    CHECK_EQUAL(pair_stats(&p, SERVER).migrations, 0);
    CHECK_EQUAL(pair_stats(&p, SERVER).peer.ip[15], 1);
    pair_free(&p);
}

static void nor_do_they_keep_a_caller_out(void) {
    pair_start(&p, sodium, NULL);
    p.passes = copied_from_elsewhere;
    pair_call(&p);
    pair_run(&p, 5 * SECOND);
    CHECK(pair_stats(&p, CLIENT).established && pair_stats(&p, SERVER).established);
    p.passes = NULL; /* the attacker tires */
    transfer(100000);
    CHECK_EQUAL(pair_stats(&p, SERVER).peer.ip[15], 1);
    pair_free(&p);
}

/* Only the newest packet tells: an old one that comes late from the old address moves nothing back. */
static void a_late_packet_from_the_old_address_moves_nothing(void) {
    pair_start(&p, sodium, NULL);
    pair_open(&p);
    pair_run(&p, 2 * SECOND);
    CHECK_EQUAL(rp_datagram_send(p.core[CLIENT], p.handle[CLIENT], (const uint8_t *)"late", 4), 0);
    pair_send(&p, CLIENT);
    pair_datagram late = p.slots[SERVER][p.line[SERVER][0]];
    pair_discard(&p, SERVER, 0);
    p.address[CLIENT].port = 8001;
    transfer(20000);
    pair_run(&p, SECOND);
    CHECK_EQUAL(pair_stats(&p, SERVER).peer.port, 8001);
    pair_inject(&p, SERVER, &late.from, late.data, late.size);
    pair_run(&p, SECOND);
    CHECK_EQUAL(pair_stats(&p, SERVER).peer.port, 8001);
    CHECK_EQUAL(pair_stats(&p, SERVER).migrations, 1);
    pair_free(&p);
}

static void each_side_learns_how_it_is_seen(void) {
    rp_event event;
    pair_start(&p, sodium, NULL);
    pair_open(&p);
    pair_run(&p, SECOND);
    CHECK(pair_event(&p, CLIENT, RP_EVENT_ADDRESS, &event));
    CHECK(pair_stats(&p, CLIENT).has_observed);
    CHECK_EQUAL(pair_stats(&p, CLIENT).observed.port, p.address[CLIENT].port);
    CHECK_BYTES(pair_stats(&p, CLIENT).observed.ip, p.address[CLIENT].ip, 16);
    pair_free(&p);
}

/* ---- marks of congestion ---- */

static void marking(rp_config *client, rp_config *server) { client->ecn = server->ecn = 1; }

static bool every_tenth_is_marked(pair *pair, int to, pair_datagram *d) {
    (void)pair;
    if (to == SERVER && d->ecn == 2 && ++seen % 10 == 0) d->ecn = 3;
    return true;
}

static void marks_slow_the_sender_without_loss(void) {
    pair_start(&p, sodium, marking);
    pair_open(&p);
    p.passes = every_tenth_is_marked;
    transfer(500000);
    CHECK(pair_stats(&p, CLIENT).ecn_marks > 10);
    CHECK_EQUAL(pair_stats(&p, CLIENT).packets_lost, 0);
    CHECK(pair_stats(&p, CLIENT).window < pair_stats(&p, SERVER).window);
    pair_free(&p);
}

int main(void) {
    sodium = sodium_table();
    RUN(keys_are_renewed_by_packets);
    RUN(keys_are_renewed_under_loss_and_out_of_order);
    RUN(keys_are_renewed_by_time_with_a_fresh_secret_now_and_then);
    RUN(an_idle_session_sends_nothing_for_the_sake_of_its_keys);
    RUN(a_session_follows_its_peer);
    RUN(an_address_that_does_not_answer_gets_little);
    RUN(copies_from_forged_sources_divert_nothing);
    RUN(nor_do_they_keep_a_caller_out);
    RUN(a_late_packet_from_the_old_address_moves_nothing);
    RUN(each_side_learns_how_it_is_seen);
    RUN(marks_slow_the_sender_without_loss);
    return 0;
}
