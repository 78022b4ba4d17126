/* An open session and what strangers, damaged lines and peers gone bad do to it. */
#include "check.h"
#include "flow.h"
#include "sodium_table.h"
#include "wire.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { SECOND = PAIR_SECOND, CRC_AT = 16 };

static const rp_sodium *sodium;
static pair p;

/* ---- one good packet, caught on the line ---- */

static uint8_t packet[PAIR_DATAGRAM], bent[PAIR_DATAGRAM + 1];
static size_t packet_size;

static void catch_packet(size_t bytes) {
    pair_start(&p, sodium, NULL);
    pair_open(&p);
    pair_run(&p, 2 * SECOND);
    uint64_t id = (uint64_t)rp_stream_open(p.core[CLIENT], p.handle[CLIENT], 4);
    flow_write(&p, CLIENT, id, 0, bytes, false);
    pair_send(&p, CLIENT);
    CHECK_EQUAL(p.waiting[SERVER], 1);
    const pair_datagram *d = &p.slots[SERVER][p.line[SERVER][0]];
    packet_size = d->size;
    memcpy(packet, d->data, packet_size);
    CHECK_EQUAL(packet[0], RP_TYPE_DATA);
}

static void finish_crc(size_t size) {
    rp_store32(bent + CRC_AT, 0);
    rp_header_finish(bent, size);
}

/* Nothing has come of it but one count, and nothing is said about it. */
static void arrives_in_vain(size_t size) {
    rp_counters before = pair_counters(&p, SERVER);
    rp_stats session = pair_stats(&p, SERVER);
    uint64_t refused = pair_refused(&p, SERVER), sent = p.sent[SERVER];
    pair_inject(&p, SERVER, &p.address[CLIENT], bent, size);
    rp_counters after = pair_counters(&p, SERVER);
    CHECK_EQUAL(pair_refused(&p, SERVER), refused + 1);
    CHECK_EQUAL(after.arena_used, before.arena_used);
    CHECK_EQUAL(after.streams, before.streams);
    CHECK(!rp_core_has_events(p.core[SERVER]));
    CHECK_EQUAL(pair_stats(&p, SERVER).packets_received, session.packets_received);
    pair_send(&p, SERVER);
    if (after.dropped_session == before.dropped_session) CHECK_EQUAL(p.sent[SERVER], sent);
}

static void the_packet_itself_still_arrives(void) {
    rp_event event;
    pair_deliver(&p, SERVER, 0);
    pair_poll(&p, SERVER);
    CHECK(pair_event(&p, SERVER, RP_EVENT_READABLE, &event));
    CHECK(pair_stats(&p, SERVER).established);
    pair_free(&p);
}

static void every_flipped_bit_is_noise_to_the_crc(void) {
    catch_packet(60);
    for (size_t bit = 0; bit < 8 * packet_size; bit++) {
        memcpy(bent, packet, packet_size);
        bent[bit / 8] ^= (uint8_t)(1 << bit % 8);
        arrives_in_vain(packet_size);
    }
    CHECK_EQUAL(pair_counters(&p, SERVER).dropped_crc, 8 * packet_size);
    the_packet_itself_still_arrives();
}

static void every_flipped_bit_is_dropped_with_the_crc_put_right(void) {
    catch_packet(60);
    for (size_t bit = 0; bit < 8 * packet_size; bit++) {
        if (bit / 8 >= CRC_AT && bit / 8 < RP_HEADER_SIZE) continue;
        memcpy(bent, packet, packet_size);
        bent[bit / 8] ^= (uint8_t)(1 << bit % 8);
        finish_crc(packet_size);
        arrives_in_vain(packet_size);
    }
    rp_counters c = pair_counters(&p, SERVER);
    CHECK_EQUAL(c.dropped_crc, 0);
    CHECK_EQUAL(c.dropped_length, 16);
    CHECK_EQUAL(c.dropped_flags, 7);
    CHECK(c.dropped_session >= 32 && c.dropped_auth >= 8 * (packet_size - RP_HEADER_SIZE));
    the_packet_itself_still_arrives();
}

static void a_flipped_bit_anywhere_in_a_full_packet_is_dropped(void) {
    catch_packet(1100);
    for (size_t at = RP_HEADER_SIZE; at < packet_size; at++) {
        memcpy(bent, packet, packet_size);
        bent[at] ^= (uint8_t)(1 << at % 8);
        finish_crc(packet_size);
        arrives_in_vain(packet_size);
    }
    the_packet_itself_still_arrives();
}

static void a_cut_packet_is_dropped_wherever_it_is_cut(void) {
    catch_packet(60);
    for (size_t size = 0; size < packet_size; size++) {
        memcpy(bent, packet, packet_size);
        arrives_in_vain(size); /* damage */
        if (size < RP_HEADER_SIZE) continue;
        finish_crc(size);
        arrives_in_vain(size); /* its length is not what it says */
        rp_store16(bent + 2, (uint16_t)(size - RP_HEADER_SIZE));
        finish_crc(size);
        arrives_in_vain(size); /* its tag is gone */
    }
    CHECK_EQUAL(pair_counters(&p, SERVER).dropped_short, RP_HEADER_SIZE);
    CHECK_EQUAL(pair_counters(&p, SERVER).dropped_length, packet_size - RP_HEADER_SIZE);
    CHECK_EQUAL(pair_counters(&p, SERVER).dropped_auth, packet_size - RP_HEADER_SIZE);
    the_packet_itself_still_arrives();
}

static void a_length_that_is_not_the_datagrams_is_dropped(void) {
    catch_packet(60);
    for (uint32_t len = 0; len < 65536; len += len < 1300 ? 1 : 1021) {
        if (len == packet_size - RP_HEADER_SIZE) continue;
        memcpy(bent, packet, packet_size);
        rp_store16(bent + 2, (uint16_t)len);
        finish_crc(packet_size);
        arrives_in_vain(packet_size);
    }
    memcpy(bent, packet, packet_size);
    bent[packet_size] = 0;
    finish_crc(packet_size + 1);
    arrives_in_vain(packet_size + 1);
    CHECK_EQUAL(pair_counters(&p, SERVER).dropped_auth, 0);
    the_packet_itself_still_arrives();
}

static void a_repeated_packet_changes_nothing(void) {
    rp_event event;
    catch_packet(60);
    pair_deliver(&p, SERVER, 0);
    pair_poll(&p, SERVER);
    CHECK(pair_event(&p, SERVER, RP_EVENT_READABLE, &event));
    pair_run(&p, SECOND);
    for (int i = 0; i < 100; i++) {
        memcpy(bent, packet, packet_size);
        arrives_in_vain(packet_size);
    }
    CHECK_EQUAL(pair_counters(&p, SERVER).dropped_replay, 100);
    pair_free(&p);
}

static void a_forged_phase_bit_derives_no_key(void) {
    catch_packet(60);
    for (int i = 0; i < 100; i++) {
        memcpy(bent, packet, packet_size);
        bent[1] ^= RP_FLAG_PHASE;
        bent[11] = (uint8_t)(bent[11] + i);
        finish_crc(packet_size);
        arrives_in_vain(packet_size);
    }
    CHECK_EQUAL(pair_counters(&p, SERVER).key_updates, 0);
    CHECK_EQUAL(pair_counters(&p, SERVER).dropped_auth, 100);
    the_packet_itself_still_arrives();
}

/* ---- a whole session, recorded and played again ---- */

enum { RECORDED = 2000 };
static pair_datagram recorded[RECORDED];
static int recorded_to[RECORDED], recorded_count;

/* cppcheck-suppress constParameter ; what `passes` is, it must be */
static bool record(pair *pair, int to, pair_datagram *d) {
    (void)pair;
    if (recorded_count == RECORDED) return true;
    recorded_to[recorded_count] = to;
    recorded[recorded_count++] = *d;
    return true;
}

static void play_again(void) {
    for (int i = 0; i < recorded_count; i++) {
        int to = recorded_to[i];
        uint64_t refused = pair_refused(&p, to) + pair_counters(&p, to).inits_repeated;
        pair_inject(&p, to, &recorded[i].from, recorded[i].data, recorded[i].size);
        pair_send(&p, to); /* callers are answered when sessions have sent what they have */
        CHECK_EQUAL(pair_refused(&p, to) + pair_counters(&p, to).inits_repeated, refused + 1);
    }
}

static void rekey_often(rp_config *client, rp_config *server) {
    client->rekey_packets = server->rekey_packets = 20;
}

static void a_recorded_session_played_again_changes_nothing(void) {
    recorded_count = 0;
    pair_start(&p, sodium, rekey_often);
    p.passes = record;
    pair_open(&p);
    flow_start(&p);
    flow_open(&p, CLIENT, 200000, 100000);
    pair_run(&p, 10 * SECOND);
    CHECK(flow_done());
    CHECK(pair_stats(&p, CLIENT).epoch > 3);
    p.passes = NULL;
    rp_stats before[2] = {pair_stats(&p, CLIENT), pair_stats(&p, SERVER)};
    play_again();
    for (int side = 0; side < 2; side++) {
        CHECK_EQUAL(pair_stats(&p, side).packets_received, before[side].packets_received);
        CHECK_EQUAL(pair_stats(&p, side).epoch, before[side].epoch);
        CHECK_EQUAL(pair_stats(&p, side).migrations, 0);
        CHECK(pair_stats(&p, side).established);
    }
    flow_start(&p);
    flow_open(&p, CLIENT, 10000, 10000);
    pair_run(&p, 10 * SECOND);
    CHECK(flow_done());
    pair_free(&p);
}

static void played_to_a_restarted_node_it_opens_no_session(void) {
    rp_event event;
    rp_core_free(p.core[SERVER]); /* of the session that was recorded before */
    p.config[SERVER].first_session = 1000;
    p.config[SERVER].seed[0] ^= 1;
    CHECK_EQUAL(rp_core_new(&p.config[SERVER], sodium, p.now, &p.core[SERVER]), 0);
    for (int i = 0; i < recorded_count; i++)
        if (recorded_to[i] == SERVER)
            pair_inject(&p, SERVER, &recorded[i].from, recorded[i].data, recorded[i].size);
    pair_poll(&p, SERVER);
    CHECK(!pair_event(&p, SERVER, RP_EVENT_ACCEPTED, &event));
    pair_free(&p);
}

static void a_recorded_session_is_worthless_after_a_restart(void) {
    recorded_count = 0;
    pair_start(&p, sodium, NULL);
    p.passes = record;
    pair_open(&p);
    flow_start(&p);
    flow_open(&p, CLIENT, 50000, 10000);
    pair_run(&p, 5 * SECOND);
    played_to_a_restarted_node_it_opens_no_session();
}

/* ---- packets of nobody ---- */

static void a_stranger_gets_fewer_bytes_than_it_sent(void) {
    for (size_t size = RP_HEADER_SIZE; size < 200; size++) {
        pair_start(&p, sodium, NULL);
        memset(bent, 0x5a, sizeof bent);
        rp_header_write(bent, size, &(rp_header){.type = RP_TYPE_DATA, .session = 12345});
        pair_inject(&p, SERVER, &p.address[CLIENT], bent, size);
        CHECK_EQUAL(pair_counters(&p, SERVER).dropped_session, 1);
        pair_send(&p, SERVER);
        CHECK(p.sent[SERVER] <= 1);
        if (p.sent[SERVER]) CHECK(p.slots[CLIENT][p.line[CLIENT][0]].size < size);
        pair_free(&p);
    }
}

static void resets_are_rate_limited(void) {
    pair_start(&p, sodium, NULL);
    for (int i = 0; i < 5000; i++) {
        memset(bent, i, 100);
        rp_header_write(bent, 100, &(rp_header){.type = RP_TYPE_DATA, .session = 1 + (uint32_t)i});
        pair_inject(&p, SERVER, &p.address[CLIENT], bent, 100);
        pair_send(&p, SERVER);
    }
    CHECK(p.sent[SERVER] <= 16);
    pair_free(&p);
}

static void a_node_that_forgot_the_session_says_so(void) {
    rp_event event;
    catch_packet(60);
    rp_core_free(p.core[SERVER]);
    p.config[SERVER].seed[0] ^= 1;
    CHECK_EQUAL(rp_core_new(&p.config[SERVER], sodium, p.now, &p.core[SERVER]), 0);
    pair_run(&p, SECOND);
    CHECK(pair_event(&p, CLIENT, RP_EVENT_CLOSED, &event));
    CHECK_EQUAL(event.cause, RP_CLOSED_RESET);
    CHECK_EQUAL(pair_counters(&p, CLIENT).arena_used, 0);
    pair_free(&p);
}

static void a_reset_with_a_wrong_token_ends_nothing(void) {
    catch_packet(60);
    memset(bent, 0, 36);
    for (int i = 0; i < 256; i++) {
        memset(bent + RP_HEADER_SIZE, i, 16);
        rp_header_write(bent, 36, &(rp_header){.type = RP_TYPE_RESET, .session = rp_load32(packet + 4)});
        pair_inject(&p, CLIENT, &p.address[SERVER], bent, 36);
    }
    CHECK(pair_stats(&p, CLIENT).established);
    CHECK_EQUAL(pair_counters(&p, CLIENT).dropped_session, 256);
    pair_free(&p);
}

/* ---- a peer that breaks the protocol loses its session, and no one else's ---- */

static const rp_sodium *bent_sodium;

static void open_two_sessions(int64_t *bystander) {
    pair_start(&p, bent_sodium, NULL);
    pair_open(&p);
    bystander[CLIENT] = p.handle[CLIENT];
    bystander[SERVER] = p.handle[SERVER];
    pair_open(&p);
    pair_run(&p, 2 * SECOND);
}

static void says_and_is_cut_off(int from, const uint8_t *frames, size_t size, uint64_t code) {
    rp_event event;
    int64_t bystander[2];
    rp_stats stats;
    open_two_sessions(bystander);
    CHECK(pair_say(&p, from, frames, size));
    pair_run(&p, 5 * SECOND);
    CHECK(pair_event(&p, !from, RP_EVENT_CLOSED, &event));
    CHECK_EQUAL(event.cause, RP_CLOSED_PROTOCOL);
    CHECK_EQUAL(event.code, code);
    CHECK(event.reason_size > 0);
    CHECK_EQUAL(pair_counters(&p, !from).protocol_errors, 1);
    CHECK(pair_event(&p, from, RP_EVENT_CLOSED, &event)); /* it is told why */
    CHECK_EQUAL(event.cause, RP_CLOSED_BY_PEER);
    CHECK_EQUAL(event.code, code);
    CHECK_EQUAL(rp_connection_stats(p.core[!from], bystander[!from], &stats), 0);
    CHECK(stats.established);
    CHECK_EQUAL(pair_counters(&p, !from).sessions, 1);
    pair_free(&p);
}

static void says_hex_and_is_cut_off(int from, const char *digits, uint64_t code) {
    uint8_t frames[64];
    size_t size = strlen(digits) / 2;
    check_from_hex(digits, frames, size);
    says_and_is_cut_off(from, frames, size, code);
}

static void each_offence_has_its_code(void) {
    static const struct {
        const char *frames;
        uint64_t code;
    } offences[] = {
        {"ff", RP_CODE_FRAME},
        {"0e0043ff", RP_CODE_FRAME},               /* a reason longer than any */
        {"020000ffffffffffffffff", RP_CODE_FRAME}, /* an ACK of more ranges than there are bytes */
        {"200100000161", RP_CODE_STREAM_STATE},    /* stream 1 is the other side's to open */
        {"05010a", RP_CODE_STREAM_STATE},
        {"04010505", RP_CODE_STREAM_STATE},
        {"07014100", RP_CODE_STREAM_STATE},
        {"20408000000161", RP_CODE_STREAM_LIMIT}, /* stream 128 */
        {"07408080400000", RP_CODE_STREAM_LIMIT},
        {"200080400000000161", RP_CODE_FLOW}, /* beyond the stream's credit */
        {"04000080400000", RP_CODE_FLOW},
        {"21000000056162636465"
         "20000a000161",
         RP_CODE_FINAL_SIZE},
        {"20000000056162636465"
         "21000000026162",
         RP_CODE_FINAL_SIZE},
        {"21000000056162636465"
         "04000106",
         RP_CODE_FINAL_SIZE},
        {"0280010000000000", RP_CODE_ACK}, /* packet 65536 */
        {"0f01000000010900000000000000000000000000000000000000000000000000000000000000", RP_CODE_KEYS},
        {"0f00000000010000000000000000000000000000000000000000000000000000000000000000", RP_CODE_KEYS},
        {"0f07000000010900000000000000000000000000000000000000000000000000000000000000", RP_CODE_KEYS},
    };
    for (size_t i = 0; i < COUNT(offences); i++)
        says_hex_and_is_cut_off(CLIENT, offences[i].frames, offences[i].code);
}

static void the_called_side_may_offend_no_more_than_the_calling(void) {
    says_hex_and_is_cut_off(SERVER, "ff", RP_CODE_FRAME);
    says_hex_and_is_cut_off(SERVER, "200000000161", RP_CODE_STREAM_STATE);
    says_hex_and_is_cut_off(SERVER, "20408100000161", RP_CODE_STREAM_LIMIT);
    says_hex_and_is_cut_off(SERVER, "0280010000000000", RP_CODE_ACK);
    says_hex_and_is_cut_off(SERVER,
                            "0f00000000010900000000000000000000000000000000000000000000000000000000000000",
                            RP_CODE_KEYS); /* only the caller asks for a ratchet */
}

static void more_bytes_than_the_session_was_granted_close_it(void) {
    uint8_t frames[200], *f = frames;
    for (uint64_t stream = 0; stream < 6; stream += 2) { /* each within its own credit, not all together */
        f = rp_stream_frame_write(f, stream, 256 * 1024 - 1, 1, false);
        *f++ = 'x';
    }
    says_and_is_cut_off(CLIENT, frames, (size_t)(f - frames), RP_CODE_FLOW);
}

/* The one who was made to speak knows nothing of what it said, so it must not hear the answers. */
static int deaf;

static bool only_towards_the_other(pair *pair, int to, pair_datagram *d) {
    (void)pair;
    (void)d;
    return to != deaf;
}

static void what_is_odd_but_allowed_is_borne(void) {
    static const char *const oddities[] = {
        "01010101010101",                       /* PINGs */
        "060007000008000000",                   /* credit that goes back */
        "06ffffffffffffffff08ffffffffffffffff", /* all the credit there is */
        "050003050004",                         /* STOP twice */
        "0400030004000300",                     /* RESET twice */
        "210000000021000000000d00000d000161",   /* an end twice, datagrams of nothing and of little */
        "0b0102030405060708",                   /* an answer that nobody asked for */
        "0c00000000000000000000ffff7f0000011d09",
        "0f01000000010900000000000000000000000000000000000000000000000000000000000000",
        "0200000000", /* an ACK of what was acknowledged long ago */
    };
    for (size_t i = 0; i < COUNT(oddities); i++) {
        uint8_t frames[64];
        size_t size = strlen(oddities[i]) / 2;
        int from = oddities[i][1] == 'f' ? SERVER : CLIENT; /* an answer to a ratchet comes from there */
        check_from_hex(oddities[i], frames, size);
        pair_start(&p, bent_sodium, NULL);
        pair_open(&p);
        p.passes = only_towards_the_other;
        deaf = from;
        CHECK(pair_say(&p, from, frames, size));
        pair_run(&p, SECOND / 2);
        CHECK(pair_stats(&p, !from).packets_received > 2);
        CHECK(pair_stats(&p, !from).established);
        CHECK_EQUAL(pair_counters(&p, !from).protocol_errors, 0);
        pair_free(&p);
    }
}

int main(void) {
    sodium = sodium_table();
    bent_sodium = pair_sodium(sodium);
    RUN(every_flipped_bit_is_noise_to_the_crc);
    RUN(every_flipped_bit_is_dropped_with_the_crc_put_right);
    RUN(a_flipped_bit_anywhere_in_a_full_packet_is_dropped);
    RUN(a_cut_packet_is_dropped_wherever_it_is_cut);
    RUN(a_length_that_is_not_the_datagrams_is_dropped);
    RUN(a_repeated_packet_changes_nothing);
    RUN(a_forged_phase_bit_derives_no_key);
    RUN(a_recorded_session_played_again_changes_nothing);
    RUN(a_recorded_session_is_worthless_after_a_restart);
    RUN(a_stranger_gets_fewer_bytes_than_it_sent);
    RUN(resets_are_rate_limited);
    RUN(a_node_that_forgot_the_session_says_so);
    RUN(a_reset_with_a_wrong_token_ends_nothing);
    RUN(each_offence_has_its_code);
    RUN(the_called_side_may_offend_no_more_than_the_calling);
    RUN(more_bytes_than_the_session_was_granted_close_it);
    RUN(what_is_odd_but_allowed_is_borne);
    return 0;
}
