/* Datagrams to one who is called and to one who calls: any bytes; good INITs and ACCEPTs bent; and
 * handshake messages that Noise has sealed well around any payload. The keys are real. */
#include "check.h"
#include "core.h"
#include "input.h"
#include "pair.h"
#include "sodium_table.h"

enum { MOST = 1400, BENDS = 16 };

static pair p;
static uint8_t datagram[MOST];
static size_t datagram_size;
static const uint8_t secret_id[RP_SECRET_ID_SIZE] = "invite 1", secret[32] = "no one knows";

static void small(rp_config *client, rp_config *server) {
    client->arena_bytes = server->arena_bytes = 16 * 32768;
    client->max_streams = server->max_streams = 4;
    client->max_sessions = server->max_sessions = 3;
    server->cookie_after = 2;
}

static void start(void) {
    static const uint8_t pairing[RP_SECRET_ID_SIZE];
    pair_start(&p, sodium_table(), small);
    CHECK_EQUAL(rp_core_add_secret(p.core[SERVER], secret_id, secret), 0);
    CHECK_EQUAL(rp_core_add_secret(p.core[SERVER], pairing, secret), 0);
    *p.fresh[SERVER] = *p.core[SERVER];
}

/* The client calls; its INIT is `datagram`, and has not arrived. */
static void call(uint8_t pattern) {
    rp_target target = pair_target(&p);
    target.pattern = pattern % 4;
    if (target.pattern == RP_PATTERN_IKPSK2) memcpy(target.secret_id, secret_id, sizeof secret_id);
    memcpy(target.secret, secret, sizeof secret);
    p.handle[CLIENT] = rp_core_connect(p.core[CLIENT], &target, p.now);
    CHECK(p.handle[CLIENT] > 0);
    pair_send(&p, CLIENT);
}

/* Takes what stands first on the line towards `to` into `datagram`. */
static bool catch(int to) {
    if (!p.waiting[to]) return false;
    const pair_datagram *d = &p.slots[to][p.line[to][0]];
    datagram_size = d->size;
    memcpy(datagram, d->data, datagram_size);
    pair_discard(&p, to, 0);
    return true;
}

static void bend(input *in) {
    for (int i = 0; i < BENDS && in->left; i++) {
        size_t at = input_number(in, 2);
        datagram[at % datagram_size] ^= input_byte(in);
    }
}

/* Whoever knows the responder's key can compute mac1: it is no secret. */
static void put_mac1_right(void) {
    uint8_t key[32], *mac = datagram + datagram_size - 2 * RP_MAC_SIZE;
    rp_hash_state state;
    if (datagram_size < RP_INIT_SIZE) return;
    rp_mac1_key(p.sodium, p.config[SERVER].identity, key);
    p.sodium->blake2b_init(&state, key, sizeof key, RP_MAC_SIZE);
    p.sodium->blake2b_update(&state, datagram, 16);
    p.sodium->blake2b_update(&state, datagram + 20, datagram_size - 20 - 2 * RP_MAC_SIZE);
    p.sodium->blake2b_final(&state, mac, RP_MAC_SIZE);
}

static void put_crc_right(void) {
    if (datagram_size < RP_HEADER_SIZE) return;
    rp_store16(datagram + 2, (uint16_t)(datagram_size - RP_HEADER_SIZE));
    rp_store32(datagram + 16, 0);
    rp_header_finish(datagram, datagram_size);
}

static void arrive(int to) {
    pair_inject(&p, to, &p.address[!to], datagram, datagram_size);
    pair_poll(&p, to);
    pair_send(&p, to);
}

/* ---- what a run may be ---- */

static void anything_to(int to, input *in, bool put_right) {
    datagram_size = input_bytes(in, datagram, MOST);
    if (put_right) put_crc_right();
    arrive(to);
}

static void a_bent_init(input *in, bool mac_right) {
    call(input_byte(in));
    CHECK(catch(SERVER));
    bend(in);
    if (mac_right) put_mac1_right();
    put_crc_right();
    arrive(SERVER);
}

static void a_bent_answer(input *in) {
    call(input_byte(in));
    pair_deliver(&p, SERVER, 0);
    pair_send(&p, SERVER);
    if (!catch(CLIENT)) return;
    bend(in);
    put_crc_right();
    arrive(CLIENT);
    if (!catch(SERVER)) return; /* in XX a third message follows, and it may be bent too */
    bend(in);
    put_crc_right();
    arrive(SERVER);
}

/* A hello of any bytes, sealed as IK wants it. */
static void a_sealed_hello(input *in) {
    uint8_t payload[300], prologue[9 + 16];
    rp_noise_setup setup = {.pattern = RP_PATTERN_IK, .initiator = 1, .has_remote_static = 1};
    rp_noise noise;
    call(RP_PATTERN_IK);
    CHECK(catch(SERVER));
    memcpy(setup.static_private, p.config[CLIENT].static_private, 32);
    memcpy(setup.remote_static, p.config[SERVER].static_public, 32);
    memset(setup.ephemeral_private, 0x33, 32);
    memcpy(prologue, "repram v1", 9);
    memcpy(prologue + 9, datagram + RP_INIT_SESSION, 16);
    CHECK_EQUAL(rp_noise_start(&noise, p.sodium, &setup, prologue, sizeof prologue), 0);
    size_t size = input_bytes(in, payload, sizeof payload);
    int64_t written = rp_noise_write(&noise, payload, size, datagram + RP_INIT_NOISE, 1000);
    CHECK(written > 0);
    rp_store16(datagram + RP_INIT_NOISE_SIZE, (uint16_t)written);
    put_mac1_right();
    put_crc_right();
    arrive(SERVER);
}

/* A welcome of any bytes, sealed by a responder that knows its trade. */
static void a_sealed_welcome(input *in) {
    uint8_t payload[300], prologue[9 + 16], hello[RP_INIT_SIZE];
    rp_noise_setup setup = {.pattern = RP_PATTERN_IK};
    rp_noise noise;
    call(RP_PATTERN_IK);
    CHECK(catch(SERVER));
    uint32_t session = rp_load32(datagram + RP_INIT_SESSION);
    memcpy(setup.static_private, p.config[SERVER].static_private, 32);
    memset(setup.ephemeral_private, 0x44, 32);
    memcpy(prologue, "repram v1", 9);
    memcpy(prologue + 9, datagram + RP_INIT_SESSION, 16);
    CHECK_EQUAL(rp_noise_start(&noise, p.sodium, &setup, prologue, sizeof prologue), 0);
    size_t noise_size = rp_load16(datagram + RP_INIT_NOISE_SIZE);
    CHECK(rp_noise_read(&noise, datagram + RP_INIT_NOISE, noise_size, hello, sizeof hello) > 0);
    size_t size = input_bytes(in, payload, sizeof payload);
    int64_t written = rp_noise_write(&noise, payload, size, datagram + RP_HEADER_SIZE, 1000);
    CHECK(written > 0);
    datagram_size = RP_HEADER_SIZE + (size_t)written;
    rp_header_write(datagram, datagram_size, &(rp_header){.type = RP_TYPE_ACCEPT, .session = session});
    arrive(CLIENT);
}

/* REFUSED, VERSION or RETRY for a call that is under way. */
static void a_notice(input *in) {
    call(input_byte(in));
    CHECK(catch(SERVER));
    uint8_t nonce[RP_NONCE_SIZE];
    uint32_t session = rp_load32(datagram + RP_INIT_SESSION);
    memcpy(nonce, datagram + RP_INIT_NONCE, sizeof nonce);
    uint8_t type = (uint8_t)(RP_TYPE_RETRY + input_byte(in) % 6);
    datagram_size = RP_HEADER_SIZE + input_byte(in) % 80;
    memset(datagram, 0, sizeof datagram);
    memcpy(datagram + RP_HEADER_SIZE, nonce, sizeof nonce);
    datagram[RP_HEADER_SIZE + RP_NONCE_SIZE] = input_byte(in);
    if (input_byte(in) & 1) bend(in);
    rp_header_write(datagram, datagram_size, &(rp_header){.type = type, .session = session});
    arrive(CLIENT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    if (!p.sodium) start();
    pair_rewind(&p);
    uint8_t what = input_byte(&in);
    switch (what % 10) {
    case 0:
    case 1:
        anything_to(what % 2, &in, false);
        break;
    case 2:
    case 3:
        anything_to(what % 2, &in, true);
        break;
    case 4:
    case 5:
        a_bent_init(&in, what & 1);
        break;
    case 6:
        a_bent_answer(&in);
        break;
    case 7:
        a_sealed_hello(&in);
        break;
    case 8:
        a_sealed_welcome(&in);
        break;
    default:
        a_notice(&in);
    }
    p.waiting[CLIENT] = p.waiting[SERVER] = 0;
    pair_settle(&p);
    return 0;
}
