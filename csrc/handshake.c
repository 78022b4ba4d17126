#include "handshake.h"

#include <string.h>

#define PROLOGUE_LABEL "repram v1"

void rp_mac1_key(const rp_sodium *sodium, const uint8_t *responder_key, uint8_t *out32) {
    rp_derive(sodium, NULL, 0, "repram v1 mac1", responder_key, 32, out32, 32);
}

void rp_cookie_key(const rp_sodium *sodium, const uint8_t *responder_key, uint8_t *out32) {
    rp_derive(sodium, NULL, 0, "repram v1 cookie", responder_key, 32, out32, 32);
}

bool rp_pattern_is_xx(uint8_t pattern) { return pattern == RP_PATTERN_XX || pattern == RP_PATTERN_XXPSK3; }

bool rp_pattern_has_psk(uint8_t pattern) {
    return pattern == RP_PATTERN_IKPSK2 || pattern == RP_PATTERN_XXPSK3;
}

/* ---- what filters noise and floods: mac1 is no secret, mac2 proves a cookie ---- */

/* Over the INIT before `end`, the CRC field left out: that one is computed last. */
static void mac(const rp_sodium *sodium, const uint8_t *key, size_t key_size, const uint8_t *init, size_t end,
                uint8_t *out) {
    rp_hash_state state;
    rp_hash_start(sodium, &state, key, key_size, RP_MAC_SIZE);
    sodium->blake2b_update(&state, init, 16);
    sodium->blake2b_update(&state, init + RP_HEADER_SIZE, end - RP_HEADER_SIZE);
    sodium->blake2b_final(&state, out, RP_MAC_SIZE);
}

static bool check_mac(const rp_sodium *sodium, const uint8_t *key, size_t key_size, const uint8_t *init,
                      size_t end) {
    uint8_t expected[RP_MAC_SIZE];
    mac(sodium, key, key_size, init, end, expected);
    return sodium->memcmp(expected, init + end, RP_MAC_SIZE) == 0;
}

bool rp_handshake_check_mac1(const rp_sodium *sodium, const uint8_t *key, const uint8_t *init, size_t size) {
    return check_mac(sodium, key, 32, init, size - 2 * RP_MAC_SIZE);
}

bool rp_handshake_check_mac2(const rp_sodium *sodium, const uint8_t *cookie, const uint8_t *init,
                             size_t size) {
    return check_mac(sodium, cookie, RP_COOKIE_SIZE, init, size - RP_MAC_SIZE);
}

size_t rp_retry_write(const rp_sodium *sodium, uint8_t *out, const uint8_t *cookie_key, const uint8_t *nonce,
                      const uint8_t *cookie, const uint8_t *init, size_t size) {
    uint8_t *sealed = out + RP_HEADER_SIZE + RP_RETRY_NONCE_SIZE;
    memcpy(out + RP_HEADER_SIZE, nonce, RP_RETRY_NONCE_SIZE);
    rp_suite_seal(sodium, RP_SUITE_XCHACHA20, cookie_key, nonce, init + size - 2 * RP_MAC_SIZE, RP_MAC_SIZE,
                  cookie, RP_COOKIE_SIZE, sealed);
    rp_header_write(out, RP_RETRY_SIZE,
                    &(rp_header){.type = RP_TYPE_RETRY, .session = rp_load32(init + RP_INIT_SESSION)});
    return RP_RETRY_SIZE;
}

int rp_handshake_consume_retry(rp_handshake *h, const rp_sodium *sodium, const uint8_t *retry, size_t size) {
    uint8_t cookie[RP_COOKIE_SIZE];
    const uint8_t *nonce = retry + RP_HEADER_SIZE, *sealed = nonce + RP_RETRY_NONCE_SIZE;
    uint8_t *mac1 = h->message + RP_INIT_SIZE - 2 * RP_MAC_SIZE, *mac2 = mac1 + RP_MAC_SIZE;
    if (size != RP_RETRY_SIZE || h->size != RP_INIT_SIZE) return RP_E_MALFORMED;
    int error = rp_suite_open(sodium, RP_SUITE_XCHACHA20, h->cookie_key, nonce, mac1, RP_MAC_SIZE, sealed,
                              RP_COOKIE_SIZE + 16, cookie);
    if (error) return error;
    mac(sodium, cookie, sizeof cookie, h->message, RP_INIT_SIZE - RP_MAC_SIZE, mac2);
    rp_store32(h->message + 16, 0);
    rp_header_finish(h->message, RP_INIT_SIZE);
    return 0;
}

static int start_noise(rp_handshake *h, const rp_sodium *sodium, const rp_noise_setup *setup,
                       const uint8_t *init) {
    enum { LABEL = sizeof PROLOGUE_LABEL - 1, CLEAR = RP_INIT_NOISE_SIZE - RP_INIT_SESSION };
    uint8_t prologue[LABEL + CLEAR];
    memcpy(prologue, PROLOGUE_LABEL, LABEL);
    memcpy(prologue + LABEL, init + RP_INIT_SESSION, CLEAR);
    h->pattern = setup->pattern;
    return rp_noise_start(&h->noise, sodium, setup, prologue, sizeof prologue);
}

/* ---- payloads ---- */

static uint8_t *write_limits(uint8_t *p, const rp_limits *limits) {
    p = rp_varint_write(p, limits->idle_timeout);
    p = rp_varint_write(p, limits->session_window);
    p = rp_varint_write(p, limits->stream_window);
    p = rp_varint_write(p, limits->max_streams);
    return rp_varint_write(p, limits->max_datagram);
}

/* What a later version appends is ignored. */
static bool read_limits(const uint8_t *p, const uint8_t *end, rp_limits *limits) {
    p = rp_varint_read(p, end, &limits->idle_timeout);
    p = rp_varint_read(p, end, &limits->session_window);
    p = rp_varint_read(p, end, &limits->stream_window);
    p = rp_varint_read(p, end, &limits->max_streams);
    p = rp_varint_read(p, end, &limits->max_datagram);
    return p && limits->max_datagram >= RP_MIN_DATAGRAM;
}

enum { HAS_IDENTITY = 0x01, HAS_SECRET = 0x02, LIMITS_MAX = 5 * 8 };
enum { HELLO_MAX = 1 + 32 + RP_SECRET_ID_SIZE + RP_RESET_TOKEN_SIZE + LIMITS_MAX };

static uint8_t *write_bytes(uint8_t *p, const uint8_t *bytes, size_t size) {
    memcpy(p, bytes, size);
    return p + size;
}

static const uint8_t *read_bytes(const uint8_t *p, const uint8_t *end, uint8_t *out, size_t size) {
    if (!p || (size_t)(end - p) < size) return NULL;
    memcpy(out, p, size);
    return p + size;
}

static size_t write_hello(uint8_t *out, const rp_hello *hello) {
    uint8_t *p = out;
    *p++ = (uint8_t)((hello->has_identity ? HAS_IDENTITY : 0) | (hello->has_secret ? HAS_SECRET : 0));
    if (hello->has_identity) p = write_bytes(p, hello->identity, 32);
    if (hello->has_secret) p = write_bytes(p, hello->secret_id, RP_SECRET_ID_SIZE);
    p = write_bytes(p, hello->reset_token, RP_RESET_TOKEN_SIZE);
    return (size_t)(write_limits(p, &hello->limits) - out);
}

/* An identity is believed only when its X25519 image is Noise's static key. */
static int check_identity(const rp_noise *noise, const uint8_t *identity) {
    uint8_t image[32];
    if (rp_identity_to_dh(noise->sodium, identity, image) != 0) return RP_E_AUTH;
    return noise->sodium->memcmp(image, noise->remote_static, 32) == 0 ? 0 : RP_E_AUTH;
}

static int read_hello(const rp_noise *noise, const uint8_t *p, size_t size, rp_hello *hello) {
    const uint8_t *end = p + size;
    memset(hello, 0, sizeof *hello);
    if (!size || *p & ~(HAS_IDENTITY | HAS_SECRET)) return RP_E_MALFORMED;
    hello->has_identity = *p & HAS_IDENTITY;
    hello->has_secret = *p++ & HAS_SECRET;
    if (hello->has_identity) p = read_bytes(p, end, hello->identity, 32);
    if (hello->has_secret) p = read_bytes(p, end, hello->secret_id, RP_SECRET_ID_SIZE);
    p = read_bytes(p, end, hello->reset_token, RP_RESET_TOKEN_SIZE);
    if (!p || !read_limits(p, end, &hello->limits)) return RP_E_MALFORMED;
    return hello->has_identity ? check_identity(noise, hello->identity) : 0;
}

enum { WELCOME_MAX = 4 + 1 + 1 + 32 + 8 + RP_RESET_TOKEN_SIZE + LIMITS_MAX };

static size_t write_welcome(uint8_t *out, const rp_welcome *welcome) {
    uint8_t *p = out;
    rp_store32(p, welcome->session);
    p[4] = welcome->suite;
    p[5] = welcome->has_identity ? HAS_IDENTITY : 0;
    p += 6;
    if (welcome->has_identity) p = write_bytes(p, welcome->identity, 32);
    rp_store64(p, welcome->clock);
    p = write_bytes(p + 8, welcome->reset_token, RP_RESET_TOKEN_SIZE);
    return (size_t)(write_limits(p, &welcome->limits) - out);
}

static int read_welcome(const rp_noise *noise, const uint8_t *p, size_t size, rp_welcome *welcome) {
    const uint8_t *end = p + size;
    uint8_t clock[8];
    memset(welcome, 0, sizeof *welcome);
    if (size < 6 || p[5] & ~HAS_IDENTITY) return RP_E_MALFORMED;
    welcome->session = rp_load32(p);
    welcome->suite = p[4];
    welcome->has_identity = p[5];
    p += 6;
    if (welcome->has_identity) p = read_bytes(p, end, welcome->identity, 32);
    p = read_bytes(p, end, clock, sizeof clock);
    p = read_bytes(p, end, welcome->reset_token, RP_RESET_TOKEN_SIZE);
    if (!p || !read_limits(p, end, &welcome->limits)) return RP_E_MALFORMED;
    welcome->clock = rp_load64(clock);
    return welcome->has_identity ? check_identity(noise, welcome->identity) : 0;
}

/* ---- INIT ---- */

int rp_handshake_create_init(rp_handshake *h, const rp_sodium *sodium, const rp_noise_setup *setup,
                             uint32_t session, uint8_t suites, const uint8_t *responder_key,
                             const rp_hello *hello) {
    uint8_t *init = h->message, payload[HELLO_MAX];
    bool sealed = !rp_pattern_is_xx(setup->pattern); /* in XX nothing of ours goes into the clear */
    memset(init, 0, RP_INIT_SIZE);
    rp_store32(init + RP_INIT_SESSION, session);
    init[RP_INIT_VERSION] = RP_VERSION_1;
    init[RP_INIT_SUITES] = suites;
    init[RP_INIT_PATTERN] = setup->pattern;
    memcpy(init + RP_INIT_NONCE, h->nonce, RP_NONCE_SIZE);
    int error = start_noise(h, sodium, setup, init);
    if (error) return error;
    size_t room = RP_INIT_SIZE - RP_INIT_NOISE - 2 * RP_MAC_SIZE;
    size_t payload_size = sealed ? write_hello(payload, hello) : 0;
    int64_t size = rp_noise_write(&h->noise, payload, payload_size, init + RP_INIT_NOISE, room);
    if (size < 0) return (int)size;
    rp_mac1_key(sodium, responder_key, h->mac1_key);
    rp_cookie_key(sodium, responder_key, h->cookie_key);
    rp_store16(init + RP_INIT_NOISE_SIZE, (uint16_t)size);
    rp_header_begin(init, RP_INIT_SIZE, &(rp_header){.type = RP_TYPE_INIT});
    enum { MAC1 = RP_INIT_SIZE - 2 * RP_MAC_SIZE };
    mac(sodium, h->mac1_key, 32, init, MAC1, init + MAC1);
    rp_header_finish(init, RP_INIT_SIZE);
    h->size = RP_INIT_SIZE;
    return 0;
}

int rp_handshake_consume_init(rp_handshake *h, const rp_sodium *sodium, const rp_noise_setup *setup,
                              const uint8_t *init, size_t size, rp_hello *hello) {
    uint8_t payload[RP_INIT_SIZE];
    size_t noise_size = rp_load16(init + RP_INIT_NOISE_SIZE);
    if (noise_size > size - RP_INIT_NOISE - 2 * RP_MAC_SIZE || noise_size > sizeof payload)
        return RP_E_MALFORMED;
    memcpy(h->nonce, init + RP_INIT_NONCE, RP_NONCE_SIZE);
    int error = start_noise(h, sodium, setup, init);
    if (error) return error;
    int64_t got = rp_noise_read(&h->noise, init + RP_INIT_NOISE, noise_size, payload, sizeof payload);
    if (got < 0) return (int)got;
    if (!rp_pattern_is_xx(setup->pattern)) return read_hello(&h->noise, payload, (size_t)got, hello);
    memset(hello, 0, sizeof *hello); /* it comes with the third message */
    return got ? RP_E_MALFORMED : 0;
}

/* ---- ACCEPT ---- */

static int create_reply(rp_handshake *h, uint32_t to_session, const uint8_t *payload, size_t payload_size) {
    int64_t size = rp_noise_write(&h->noise, payload, payload_size, h->message + RP_HEADER_SIZE,
                                  sizeof h->message - RP_HEADER_SIZE);
    if (size < 0) return (int)size;
    h->size = (uint16_t)(RP_HEADER_SIZE + size);
    rp_header_write(h->message, h->size, &(rp_header){.type = RP_TYPE_ACCEPT, .session = to_session});
    return 0;
}

int rp_handshake_create_accept(rp_handshake *h, uint32_t to_session, const rp_welcome *welcome) {
    uint8_t payload[WELCOME_MAX];
    return create_reply(h, to_session, payload, write_welcome(payload, welcome));
}

int rp_handshake_create_confirm(rp_handshake *h, uint32_t to_session, const rp_hello *hello) {
    uint8_t payload[HELLO_MAX];
    return create_reply(h, to_session, payload, write_hello(payload, hello));
}

/* A forged message must not spoil the handshake: Noise works on a copy until the tag has verified. */
static int64_t read_reply(const rp_handshake *h, rp_noise *attempt, const uint8_t *packet, size_t size,
                          uint8_t *payload) {
    *attempt = h->noise;
    if (size - RP_HEADER_SIZE > RP_INIT_SIZE) return RP_E_MALFORMED;
    return rp_noise_read(attempt, packet + RP_HEADER_SIZE, size - RP_HEADER_SIZE, payload, RP_INIT_SIZE);
}

static int settle(rp_handshake *h, rp_noise *attempt, int error) {
    if (!error) h->noise = *attempt;
    h->noise.sodium->memzero(attempt, sizeof *attempt);
    return error;
}

int rp_handshake_consume_accept(rp_handshake *h, const uint8_t *accept, size_t size, rp_welcome *welcome) {
    uint8_t payload[RP_INIT_SIZE];
    rp_noise attempt;
    int64_t got = read_reply(h, &attempt, accept, size, payload);
    return settle(h, &attempt, got < 0 ? (int)got : read_welcome(&attempt, payload, (size_t)got, welcome));
}

int rp_handshake_consume_confirm(rp_handshake *h, const uint8_t *confirm, size_t size, rp_hello *hello) {
    uint8_t payload[RP_INIT_SIZE];
    rp_noise attempt;
    int64_t got = read_reply(h, &attempt, confirm, size, payload);
    return settle(h, &attempt, got < 0 ? (int)got : read_hello(&attempt, payload, (size_t)got, hello));
}

/* ---- what answers without a session ---- */

static size_t write_notice(uint8_t *out, uint8_t type, uint32_t to_session, const uint8_t *nonce,
                           uint8_t what) {
    memcpy(out + RP_HEADER_SIZE, nonce, RP_NONCE_SIZE);
    out[RP_HEADER_SIZE + RP_NONCE_SIZE] = what;
    rp_header_write(out, RP_REFUSED_SIZE, &(rp_header){.type = type, .session = to_session});
    return RP_REFUSED_SIZE;
}

size_t rp_refused_write(uint8_t *out, uint32_t to_session, const uint8_t *nonce, uint8_t reason) {
    return write_notice(out, RP_TYPE_REFUSED, to_session, nonce, reason);
}

size_t rp_version_write(uint8_t *out, uint32_t to_session, const uint8_t *nonce) {
    return write_notice(out, RP_TYPE_VERSION, to_session, nonce, RP_VERSION_1);
}

size_t rp_reset_write(uint8_t *out, uint32_t session, const uint8_t *token) {
    memcpy(out + RP_HEADER_SIZE, token, RP_RESET_TOKEN_SIZE);
    rp_header_write(out, RP_RESET_SIZE, &(rp_header){.type = RP_TYPE_RESET, .session = session});
    return RP_RESET_SIZE;
}
