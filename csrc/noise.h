/* Noise handshakes with 25519, ChaChaPoly and BLAKE2b: IK, IKpsk2, XX and XXpsk3. */
#ifndef RP_NOISE_H
#define RP_NOISE_H

#include "aead.h"

#define RP_NOISE_TAG 16

struct rp_noise {
    const rp_sodium *sodium;
    const char *const *messages; /* the tokens of each message, one letter each */
    uint8_t step;                /* the next message */
    bool initiator, has_key, has_remote_static, has_psk;
    uint64_t nonce;
    uint8_t chaining[RP_HASH_SIZE], hash[RP_HASH_SIZE], key[32];
    uint8_t static_private[32], static_public[32];
    uint8_t ephemeral_private[32], ephemeral_public[32];
    uint8_t remote_static[32], remote_ephemeral[32], psk[32];
};

/* psk2 enters only in message 2: the responder may learn from message 1 which secret is meant. */
void rp_noise_set_psk(rp_noise *noise, const uint8_t *psk);
bool rp_noise_done(const rp_noise *noise);

#endif
