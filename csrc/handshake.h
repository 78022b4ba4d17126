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
};

/* What each side tells the other, sealed, about itself. */
typedef struct {
    uint64_t idle_timeout; /* microseconds; 0 = never */
    uint64_t session_window, stream_window, max_streams, max_datagram;
} rp_limits;

typedef struct {
    bool has_identity;
    uint8_t identity[32];
    rp_limits limits;
} rp_hello; /* the initiator's */

typedef struct {
    uint32_t session;
    uint8_t suite;
    uint64_t clock; /* wall clock, microseconds since 1970 */
    uint8_t reset_token[RP_RESET_TOKEN_SIZE];
    rp_limits limits;
} rp_welcome; /* the responder's */

/* Lives in one borrowed block while a handshake is under way. */
typedef struct {
    rp_noise noise;
    uint8_t nonce[RP_NONCE_SIZE];
    uint16_t size;
    uint8_t message[RP_INIT_SIZE]; /* INIT, or the ACCEPT that answers it, to be sent again */
} rp_handshake;

void rp_mac1_key(const rp_sodium *sodium, const uint8_t *responder_key, uint8_t *out32);

/* The initiator's. `setup` names keys and pattern; afterwards `message` is the INIT to send. */
int rp_handshake_create_init(rp_handshake *handshake, const rp_sodium *sodium, const rp_noise_setup *setup,
                             uint32_t session, uint8_t suites, const uint8_t *mac1_key, const rp_hello *hello);
/* Checks what needs no public-key work; the CRC and header are already checked. */
bool rp_handshake_check_mac1(const rp_sodium *sodium, const uint8_t *mac1_key, const uint8_t *init, size_t size);
/* The responder's. Consumes INIT, creates the ACCEPT in `message`. */
int rp_handshake_consume_init(rp_handshake *handshake, const rp_sodium *sodium, const rp_noise_setup *setup,
                              const uint8_t *init, size_t size, rp_hello *hello);
int rp_handshake_create_accept(rp_handshake *handshake, uint32_t to_session, const rp_welcome *welcome);
int rp_handshake_consume_accept(rp_handshake *handshake, const uint8_t *accept, size_t size,
                                rp_welcome *welcome);

size_t rp_refused_write(uint8_t *out, uint32_t to_session, const uint8_t *nonce, uint8_t reason);

#endif
