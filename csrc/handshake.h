/* Handshake datagrams: INIT, ACCEPT and REFUSED, created and consumed. */
#ifndef RP_HANDSHAKE_H
#define RP_HANDSHAKE_H

#include "noise.h"
#include "wire.h"

/* INIT after the header; everything up to the nonce's end is authenticated as Noise's prologue. */
enum {
    RP_INIT_SESSION = 20,
    RP_INIT_VERSION = 24,
    RP_INIT_SUITES = 25,
    RP_INIT_PATTERN = 26,
    RP_INIT_RESERVED = 27,
    RP_INIT_NONCE = 28,
    RP_INIT_NOISE_SIZE = 36,
    RP_INIT_NOISE = 38,
    RP_INIT_SIZE = RP_MIN_DATAGRAM,
    RP_MAC_SIZE = 16, /* mac1, then mac2, are the last 32 bytes */
    RP_NONCE_SIZE = 8,
    RP_RESET_TOKEN_SIZE = 16,
    RP_REFUSED_SIZE = RP_HEADER_SIZE + RP_NONCE_SIZE + 1,
    RP_COOKIE_SIZE = 16,
    RP_RETRY_NONCE_SIZE = 24,
    RP_RETRY_SIZE = RP_HEADER_SIZE + RP_RETRY_NONCE_SIZE + RP_COOKIE_SIZE + 16,
    RP_RESET_SIZE = RP_HEADER_SIZE + RP_RESET_TOKEN_SIZE,
};

/* What each side tells the other, sealed, about itself. */
typedef struct {
    uint64_t idle_timeout; /* microseconds; 0 = never */
    uint64_t session_window, stream_window, max_streams, max_datagram;
} rp_limits;

typedef struct {
    bool has_identity, has_secret;
    uint8_t identity[32];
    uint8_t secret_id[RP_SECRET_ID_SIZE];
    uint8_t reset_token[RP_RESET_TOKEN_SIZE];
    rp_limits limits;
} rp_hello; /* the initiator's */

typedef struct {
    uint32_t session;
    uint8_t suite;
    bool has_identity; /* said in XX, where the initiator did not know it */
    uint8_t identity[32];
    uint64_t clock; /* wall clock, microseconds since 1970 */
    uint8_t reset_token[RP_RESET_TOKEN_SIZE];
    rp_limits limits;
} rp_welcome; /* the responder's */

/* Lives in one borrowed block while a handshake is under way. */
typedef struct {
    rp_noise noise;
    uint8_t pattern;
    uint8_t nonce[RP_NONCE_SIZE];
    uint8_t mac1_key[32], cookie_key[32]; /* the initiator's */
    uint16_t size;
    uint8_t message[RP_INIT_SIZE]; /* INIT, ACCEPT or confirmation, to be sent again */
} rp_handshake;

/* Both from the responder's Ed25519 key; 32 zero bytes stand for it in XX. */
void rp_mac1_key(const rp_sodium *sodium, const uint8_t *responder_key, uint8_t *out32);
void rp_cookie_key(const rp_sodium *sodium, const uint8_t *responder_key, uint8_t *out32);

bool rp_pattern_is_xx(uint8_t pattern);
bool rp_pattern_has_psk(uint8_t pattern);

/* ---- the initiator's ---- */
/* `setup` names keys and pattern; afterwards `message` is the INIT to send. */
int rp_handshake_create_init(rp_handshake *handshake, const rp_sodium *sodium, const rp_noise_setup *setup,
                             uint32_t session, uint8_t suites, const uint8_t *responder_key,
                             const rp_hello *hello);
/* Puts the cookie into mac2 of the same INIT. */
int rp_handshake_consume_retry(rp_handshake *handshake, const rp_sodium *sodium, const uint8_t *retry,
                               size_t size);
int rp_handshake_consume_accept(rp_handshake *handshake, const uint8_t *accept, size_t size,
                                rp_welcome *welcome);
/* XX has a third message: an ACCEPT in the other direction. */
int rp_handshake_create_confirm(rp_handshake *handshake, uint32_t to_session, const rp_hello *hello);

/* ---- the responder's ---- */
/* These two need no public-key work; CRC and header are already checked. */
bool rp_handshake_check_mac1(const rp_sodium *sodium, const uint8_t *mac1_key, const uint8_t *init,
                             size_t size);
bool rp_handshake_check_mac2(const rp_sodium *sodium, const uint8_t *cookie, const uint8_t *init,
                             size_t size);
size_t rp_retry_write(const rp_sodium *sodium, uint8_t *out, const uint8_t *cookie_key, const uint8_t *nonce,
                      const uint8_t *cookie, const uint8_t *init, size_t size);
int rp_handshake_consume_init(rp_handshake *handshake, const rp_sodium *sodium, const rp_noise_setup *setup,
                              const uint8_t *init, size_t size, rp_hello *hello);
int rp_handshake_create_accept(rp_handshake *handshake, uint32_t to_session, const rp_welcome *welcome);
int rp_handshake_consume_confirm(rp_handshake *handshake, const uint8_t *confirm, size_t size,
                                 rp_hello *hello);

/* ---- what answers without a session ---- */
size_t rp_refused_write(uint8_t *out, uint32_t to_session, const uint8_t *nonce, uint8_t reason);
size_t rp_version_write(uint8_t *out, uint32_t to_session, const uint8_t *nonce);
size_t rp_reset_write(uint8_t *out, uint32_t session, const uint8_t *token);

#endif
