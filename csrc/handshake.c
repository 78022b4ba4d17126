#include "handshake.h"

#include <string.h>

#define PROLOGUE_LABEL "repram v1"

void rp_mac1_key(const rp_sodium *sodium, const uint8_t *responder_key, uint8_t *out32) {
    rp_derive(sodium, NULL, 0, "repram v1 mac1", responder_key, 32, out32, 32);
}

/* Over the INIT before it, the CRC field left out: that one is computed last. */
static void mac1(const rp_sodium *sodium, const uint8_t *key, const uint8_t *init, size_t size, uint8_t *out) {
    rp_hash_state state;
    rp_hash_start(sodium, &state, key, 32, RP_MAC_SIZE);
    sodium->blake2b_update(&state, init, 16);
    sodium->blake2b_update(&state, init + RP_HEADER_SIZE, size - RP_HEADER_SIZE - 2 * RP_MAC_SIZE);
    sodium->blake2b_final(&state, out, RP_MAC_SIZE);
}

bool rp_handshake_check_mac1(const rp_sodium *sodium, const uint8_t *key, const uint8_t *init, size_t size) {
    uint8_t expected[RP_MAC_SIZE];
    mac1(sodium, key, init, size, expected);
    return sodium->memcmp(expected, init + size - 2 * RP_MAC_SIZE, RP_MAC_SIZE) == 0;
}

static int start_noise(rp_handshake *h, const rp_sodium *sodium, const rp_noise_setup *setup,
                       const uint8_t *init) {
    enum { LABEL = sizeof PROLOGUE_LABEL - 1, CLEAR = RP_INIT_NOISE_SIZE - RP_INIT_SESSION };
    uint8_t prologue[LABEL + CLEAR];
    memcpy(prologue, PROLOGUE_LABEL, LABEL);
    memcpy(prologue + LABEL, init + RP_INIT_SESSION, CLEAR);
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

enum { HELLO_IDENTITY = 0x01, LIMITS_MAX = 5 * 8, HELLO_MAX = 1 + 32 + LIMITS_MAX };

static size_t write_hello(uint8_t *out, const rp_hello *hello) {
    uint8_t *p = out;
    *p++ = hello->has_identity ? HELLO_IDENTITY : 0;
    if (hello->has_identity) {
        memcpy(p, hello->identity, 32);
        p += 32;
    }
    return (size_t)(write_limits(p, &hello->limits) - out);
}

/* An identity is believed only when its X25519 image is Noise's static key. */
static int read_hello(const rp_noise *noise, const uint8_t *p, size_t size, rp_hello *hello) {
    const uint8_t *end = p + size;
    uint8_t image[32];
    memset(hello, 0, sizeof *hello);
    if (!size || *p & ~HELLO_IDENTITY) return RP_E_MALFORMED;
    hello->has_identity = *p++ & HELLO_IDENTITY;
    if (hello->has_identity) {
        if (end - p < 32) return RP_E_MALFORMED;
        memcpy(hello->identity, p, 32);
        p += 32;
        if (rp_identity_to_dh(noise->sodium, hello->identity, image) != 0) return RP_E_AUTH;
        if (noise->sodium->memcmp(image, noise->remote_static, 32) != 0) return RP_E_AUTH;
    }
    return read_limits(p, end, &hello->limits) ? 0 : RP_E_MALFORMED;
}

enum { WELCOME_FIXED = 4 + 1 + 8 + RP_RESET_TOKEN_SIZE, WELCOME_MAX = WELCOME_FIXED + LIMITS_MAX };

static size_t write_welcome(uint8_t *out, const rp_welcome *welcome) {
    rp_store32(out, welcome->session);
    out[4] = welcome->suite;
    rp_store64(out + 5, welcome->clock);
    memcpy(out + 13, welcome->reset_token, RP_RESET_TOKEN_SIZE);
    return (size_t)(write_limits(out + WELCOME_FIXED, &welcome->limits) - out);
}

static bool read_welcome(const uint8_t *p, size_t size, rp_welcome *welcome) {
    if (size < WELCOME_FIXED) return false;
    welcome->session = rp_load32(p);
    welcome->suite = p[4];
    welcome->clock = rp_load64(p + 5);
    memcpy(welcome->reset_token, p + 13, RP_RESET_TOKEN_SIZE);
    return read_limits(p + WELCOME_FIXED, p + size, &welcome->limits);
}

/* ---- INIT ---- */

int rp_handshake_create_init(rp_handshake *h, const rp_sodium *sodium, const rp_noise_setup *setup,
                             uint32_t session, uint8_t suites, const uint8_t *mac1_key, const rp_hello *hello) {
    uint8_t *init = h->message, payload[HELLO_MAX];
    memset(init, 0, RP_INIT_SIZE);
    rp_store32(init + RP_INIT_SESSION, session);
    init[RP_INIT_VERSION] = RP_VERSION_1;
    init[RP_INIT_SUITES] = suites;
    init[RP_INIT_PATTERN] = setup->pattern;
    memcpy(init + RP_INIT_NONCE, h->nonce, RP_NONCE_SIZE);
    int error = start_noise(h, sodium, setup, init);
    if (error) return error;
    size_t room = RP_INIT_SIZE - RP_INIT_NOISE - 2 * RP_MAC_SIZE;
    int64_t size = rp_noise_write(&h->noise, payload, write_hello(payload, hello), init + RP_INIT_NOISE, room);
    if (size < 0) return (int)size;
    rp_store16(init + RP_INIT_NOISE_SIZE, (uint16_t)size);
    rp_header_begin(init, RP_INIT_SIZE, &(rp_header){.type = RP_TYPE_INIT});
    mac1(sodium, mac1_key, init, RP_INIT_SIZE, init + RP_INIT_SIZE - 2 * RP_MAC_SIZE);
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
    return read_hello(&h->noise, payload, (size_t)got, hello);
}

/* ---- ACCEPT ---- */

int rp_handshake_create_accept(rp_handshake *h, uint32_t to_session, const rp_welcome *welcome) {
    uint8_t payload[WELCOME_MAX];
    int64_t size = rp_noise_write(&h->noise, payload, write_welcome(payload, welcome),
                                  h->message + RP_HEADER_SIZE, sizeof h->message - RP_HEADER_SIZE);
    if (size < 0) return (int)size;
    h->size = (uint16_t)(RP_HEADER_SIZE + size);
    rp_header_write(h->message, h->size, &(rp_header){.type = RP_TYPE_ACCEPT, .session = to_session});
    return 0;
}

/* A forged ACCEPT must not spoil the handshake: Noise works on a copy until the tag has verified. */
int rp_handshake_consume_accept(rp_handshake *h, const uint8_t *accept, size_t size, rp_welcome *welcome) {
    uint8_t payload[RP_INIT_SIZE];
    if (size - RP_HEADER_SIZE > sizeof payload) return RP_E_MALFORMED;
    rp_noise attempt = h->noise;
    int64_t got =
        rp_noise_read(&attempt, accept + RP_HEADER_SIZE, size - RP_HEADER_SIZE, payload, sizeof payload);
    if (got >= 0 && read_welcome(payload, (size_t)got, welcome)) h->noise = attempt;
    else if (got >= 0) got = RP_E_MALFORMED;
    h->noise.sodium->memzero(&attempt, sizeof attempt);
    return got < 0 ? (int)got : 0;
}

size_t rp_refused_write(uint8_t *out, uint32_t to_session, const uint8_t *nonce, uint8_t reason) {
    memcpy(out + RP_HEADER_SIZE, nonce, RP_NONCE_SIZE);
    out[RP_HEADER_SIZE + RP_NONCE_SIZE] = reason;
    rp_header_write(out, RP_REFUSED_SIZE, &(rp_header){.type = RP_TYPE_REFUSED, .session = to_session});
    return RP_REFUSED_SIZE;
}
