/* The packet keys of a session, derived from Noise's transport keys. */
#ifndef RP_KEYS_H
#define RP_KEYS_H

#include "aead.h"

typedef struct {
    uint8_t suite;
    uint32_t epoch;
    rp_packet_key send, receive;
} rp_keys;

void rp_keys_derive(const rp_sodium *sodium, uint8_t suite, const uint8_t *secret, rp_packet_key *out);

#endif
