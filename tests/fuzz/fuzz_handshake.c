/* How sessions begin, step by step: calls of every pattern, whose datagrams arrive as they are, bent, twice
 * or never; datagrams of any bytes; and messages of a caller or a called one who seals whatever it likes. All
 * with functions of straw, but an input that begins with R has libsodium's, which take thirty times as long.
 */
#include "check.h"
#include "handshake.h"
#include "input.h"
#include "snapshot.h"
#include "sodium_table.h"

enum { MOST = 1400, BENDS = 16, MOST_STEPS = 8, PAYLOAD = 300 };

static pair pairs[2], *p; /* of straw, and real */
static snapshot fresh[2];
static uint8_t datagram[MOST], init[RP_INIT_SIZE]; /* init: what the client said last */
static size_t datagram_size;
static const uint8_t secret_id[RP_SECRET_ID_SIZE] = "invite 1", secret[32] = "no one knows";

static void small(rp_config *client, rp_config *server) {
    for (int i = 0; i < 2; i++) {
        rp_config *config = i ? client : server;
        config->arena_bytes = 16 * 32768;
        config->max_streams = 4;
        config->max_sessions = 3;
        config->handshake_timeout = 3 * PAIR_SECOND;
        config->idle_timeout = 5 * PAIR_SECOND;
        config->suites = RP_SUITE_XCHACHA20 | RP_SUITE_AEGIS256;
    }
    server->cookie_after = 2;
}

static void start(bool real) {
    static const uint8_t pairing[RP_SECRET_ID_SIZE];
    pair_start(p, real ? sodium_table() : sodium_table_of_straw(), small);
    CHECK_EQUAL(rp_core_add_secret(p->core[SERVER], secret_id, secret), 0);
    CHECK_EQUAL(rp_core_add_secret(p->core[SERVER], pairing, secret), 0);
    snapshot_keep(&fresh[real], p);
}

/* ---- the line ---- */

/* What stands first on the line towards `to` is `datagram` now, too; false when nothing does. */
static bool look(int to) {
    if (!p->waiting[to]) return false;
    const pair_datagram *d = pair_waiting(p, to, 0);
    datagram_size = d->size;
    memcpy(datagram, d->data, datagram_size);
    return true;
}

/* And it stands there no longer. */
static bool catch(int to) {
    if (!look(to)) return false;
    pair_discard(p, to, 0);
    return true;
}

/* From one of four addresses; the first is where the other side really is. */
static void arrive(int to, uint8_t from) {
    rp_address address = p->address[!to];
    address.port = (uint16_t)(address.port + from % 4);
    pair_inject(p, to, &address, datagram, datagram_size);
    pair_poll(p, to);
    pair_send(p, to);
}

static void bend(input *in) {
    size_t bends = input_byte(in) % BENDS;
    for (size_t i = 0; i < bends && datagram_size; i++) {
        size_t at = input_number(in, 2);
        datagram[at % datagram_size] ^= input_byte(in);
    }
}

/* Whoever knows the responder's key can compute mac1: it is no secret. */
static void put_mac1_right(void) {
    static const uint8_t unknown[32];
    uint8_t key[32], *mac = datagram + datagram_size - 2 * RP_MAC_SIZE;
    rp_hash_state state;
    if (datagram_size < RP_INIT_SIZE) return;
    bool xx = rp_pattern_is_xx(datagram[RP_INIT_PATTERN]);
    rp_mac1_key(p->sodium, xx ? unknown : p->config[SERVER].identity, key);
    p->sodium->blake2b_init(&state, key, sizeof key, RP_MAC_SIZE);
    p->sodium->blake2b_update(&state, datagram, 16);
    p->sodium->blake2b_update(&state, datagram + 20, datagram_size - 20 - 2 * RP_MAC_SIZE);
    p->sodium->blake2b_final(&state, mac, RP_MAC_SIZE);
}

static void put_crc_right(void) {
    if (datagram_size < RP_HEADER_SIZE) return;
    rp_store16(datagram + 2, (uint16_t)(datagram_size - RP_HEADER_SIZE));
    rp_store32(datagram + 16, 0);
    rp_header_finish(datagram, datagram_size);
}

/* ---- what a step may be ---- */

/* The client calls; its INIT stands on the line. */
static void call(uint8_t pattern) {
    rp_target target = pair_target(p);
    target.pattern = pattern % 4;
    if (target.pattern == RP_PATTERN_IKPSK2) memcpy(target.secret_id, secret_id, sizeof secret_id);
    memcpy(target.secret, secret, sizeof secret);
    int64_t handle = rp_core_connect(p->core[CLIENT], &target, p->now);
    if (handle < 0) return;
    p->handle[CLIENT] = handle;
    pair_send(p, CLIENT);
    if (!p->waiting[SERVER]) return;
    const pair_datagram *last = pair_waiting(p, SERVER, p->waiting[SERVER] - 1);
    if (last->size == sizeof init) memcpy(init, last->data, sizeof init);
}

static void anything(int to, input *in, bool put_right) {
    datagram_size = input_bytes(in, datagram, input_number(in, 2) % MOST);
    if (put_right) put_crc_right();
    arrive(to, 0);
}

static void deliver(int to, uint8_t from) {
    if (catch(to)) arrive(to, from);
}

static void deliver_copy(int to, uint8_t from) {
    if (look(to)) arrive(to, from);
}

static void deliver_bent(int to, input *in, bool mac1_right) {
    if (!catch(to)) return;
    bend(in);
    if (mac1_right && datagram[0] == RP_TYPE_INIT) put_mac1_right();
    put_crc_right();
    arrive(to, 0);
}

static void deliver_all(void) {
    for (int rounds = 0; rounds < 6 && (p->waiting[CLIENT] || p->waiting[SERVER]); rounds++)
        for (int to = 0; to < 2; to++)
            while (p->waiting[to]) deliver(to, 0);
}

static void pass_time(uint64_t by) {
    p->now += by;
    for (int side = 0; side < 2; side++) {
        rp_core_timeout(p->core[side], p->now);
        pair_send(p, side);
        pair_poll(p, side);
    }
}

/* ---- one who knows its trade, and seals any payload ---- */

static void start_noise(rp_noise *noise, uint8_t pattern, int side) {
    uint8_t prologue[9 + 16];
    rp_noise_setup setup = {.pattern = pattern, .initiator = side == CLIENT, .has_psk = 1};
    setup.has_remote_static = side == CLIENT;
    memcpy(setup.static_private, p->config[side].static_private, 32);
    memcpy(setup.remote_static, p->config[!side].static_public, 32);
    memcpy(setup.psk, secret, sizeof secret);
    memset(setup.ephemeral_private, 0x33 + side, 32);
    memcpy(prologue, "repram v1", 9);
    memcpy(prologue + 9, datagram + RP_INIT_SESSION, 16);
    CHECK_EQUAL(rp_noise_start(noise, p->sodium, &setup, prologue, sizeof prologue), 0);
}

static void say_init(rp_noise *noise, uint8_t pattern, const uint8_t *payload, size_t size) {
    datagram_size = RP_INIT_SIZE;
    memset(datagram, 0, datagram_size);
    datagram[0] = RP_TYPE_INIT;
    rp_store16(datagram + 2, RP_INIT_SIZE - RP_HEADER_SIZE);
    rp_store32(datagram + RP_INIT_SESSION, 0x5e551014);
    datagram[RP_INIT_VERSION] = datagram[RP_INIT_SUITES] = 1;
    datagram[RP_INIT_PATTERN] = pattern;
    start_noise(noise, pattern, CLIENT);
    int64_t written = rp_noise_write(noise, payload, size, datagram + RP_INIT_NOISE, 1000);
    CHECK(written > 0);
    rp_store16(datagram + RP_INIT_NOISE_SIZE, (uint16_t)written);
    put_mac1_right();
    put_crc_right();
    arrive(SERVER, 0);
}

static void say_hello(uint8_t pattern, input *in) {
    uint8_t payload[PAYLOAD];
    rp_noise noise;
    size_t size = input_bytes(in, payload, input_number(in, 2) % sizeof payload);
    say_init(&noise, pattern, payload, size);
}

/* In XX the hello comes with the third message. */
static void say_confirm(uint8_t pattern, input *in) {
    uint8_t payload[PAYLOAD], welcome[PAIR_DATAGRAM];
    rp_noise noise;
    p->waiting[CLIENT] = 0;
    say_init(&noise, pattern, NULL, 0);
    if (!catch(CLIENT) || datagram[0] != RP_TYPE_ACCEPT) return;
    int64_t got = rp_noise_read(&noise, datagram + RP_HEADER_SIZE, datagram_size - RP_HEADER_SIZE, welcome,
                                sizeof welcome);
    if (got < 4) return; /* the answer to another call */
    size_t size = input_bytes(in, payload, input_number(in, 2) % sizeof payload);
    int64_t written = rp_noise_write(&noise, payload, size, datagram + RP_HEADER_SIZE, 1000);
    CHECK(written > 0);
    datagram_size = RP_HEADER_SIZE + (size_t)written;
    rp_header_write(datagram, datagram_size,
                    &(rp_header){.type = RP_TYPE_ACCEPT, .session = rp_load32(welcome)});
    arrive(SERVER, 0);
}

/* A welcome for the client's last call. */
static void say_welcome(input *in) {
    uint8_t payload[PAYLOAD], hello[RP_INIT_SIZE];
    rp_noise noise;
    memcpy(datagram, init, sizeof init);
    uint32_t session = rp_load32(init + RP_INIT_SESSION);
    start_noise(&noise, init[RP_INIT_PATTERN], SERVER);
    size_t noise_size = rp_load16(init + RP_INIT_NOISE_SIZE);
    if (rp_noise_read(&noise, init + RP_INIT_NOISE, noise_size, hello, sizeof hello) < 0)
        return; /* no call */
    size_t size = input_bytes(in, payload, input_number(in, 2) % sizeof payload);
    int64_t written = rp_noise_write(&noise, payload, size, datagram + RP_HEADER_SIZE, 1000);
    CHECK(written > 0);
    datagram_size = RP_HEADER_SIZE + (size_t)written;
    rp_header_write(datagram, datagram_size, &(rp_header){.type = RP_TYPE_ACCEPT, .session = session});
    arrive(CLIENT, 0);
}

/* RETRY, ACCEPT, DATA, RESET, VERSION or REFUSED, with the session and the nonce of the last call. */
static void say_notice(input *in) {
    uint8_t type = (uint8_t)(RP_TYPE_RETRY + input_byte(in) % 6);
    datagram_size = RP_HEADER_SIZE + input_byte(in) % 80;
    memset(datagram, 0, sizeof datagram);
    memcpy(datagram + RP_HEADER_SIZE, init + RP_INIT_NONCE, RP_NONCE_SIZE);
    datagram[RP_HEADER_SIZE + RP_NONCE_SIZE] = input_byte(in);
    bend(in);
    rp_header_write(datagram, datagram_size,
                    &(rp_header){.type = type, .session = rp_load32(init + RP_INIT_SESSION)});
    arrive(CLIENT, 0);
}

static void step(input *in) {
    uint8_t what = input_byte(in), which = what >> 5;
    int to = what & 1;
    switch (what >> 1 & 15) {
    case 0:
    case 1:
        call(which);
        break;
    case 2:
    case 3:
        deliver(to, which);
        break;
    case 4:
        deliver_copy(to, which);
        break;
    case 5:
        catch(to);
        break;
    case 6:
    case 7:
        deliver_bent(to, in, which & 1);
        break;
    case 8:
        deliver_all();
        break;
    case 9:
        pass_time(input_number(in, 1) << 20);
        break;
    case 10:
        anything(to, in, which & 1);
        break;
    case 11:
        pass_time(input_number(in, 1) << 12);
        break;
    case 12:
        say_hello(which & 1 ? RP_PATTERN_IKPSK2 : RP_PATTERN_IK, in);
        break;
    case 13:
        say_confirm(which & 1 ? RP_PATTERN_XXPSK3 : RP_PATTERN_XX, in);
        break;
    case 14:
        say_welcome(in);
        break;
    default:
        say_notice(in);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    bool real = input_byte(&in) == 'R';
    p = &pairs[real];
    if (!p->sodium) start(real);
    snapshot_rewind(&fresh[real], p);
    memset(init, 0, sizeof init);
    for (int i = 0; i < MOST_STEPS && in.left; i++) step(&in);
    p->waiting[CLIENT] = p->waiting[SERVER] = 0;
    pair_settle(p);
    return 0;
}
