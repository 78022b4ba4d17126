/* The cipher suites, the hash, and the known answers that libsodium's functions must give. */
#ifndef RP_AEAD_H
#define RP_AEAD_H

#include <stdbool.h>

#include "rp_api.h"

#define RP_HASH_SIZE 64
#define RP_MAX_TAG 32

/* The keys of one direction and epoch, ready for packets. For XChaCha20 `key` is the HChaCha20
 * subkey: its 16-byte nonce prefix is fixed for an epoch, so the subkey is derived once. */
typedef struct {
    uint8_t key[32];
    uint8_t iv[24];
} rp_packet_key;

size_t rp_aead_iv_size(int suite);
size_t rp_aead_tag_size(int suite);
void rp_aead_prepare(const rp_sodium *sodium, int suite, const uint8_t *key, const uint8_t *iv,
                     rp_packet_key *out);
/* In place or not; `out` has room for the tag behind the text. */
void rp_aead_seal(const rp_sodium *sodium, int suite, const rp_packet_key *key, uint64_t number,
                  const uint8_t *ad, size_t ad_size, const uint8_t *plain, size_t size, uint8_t *out);
bool rp_aead_open(const rp_sodium *sodium, int suite, const rp_packet_key *key, uint64_t number,
                  const uint8_t *ad, size_t ad_size, const uint8_t *sealed, size_t size, uint8_t *out);

typedef struct {
    _Alignas(64) uint8_t bytes[384];
} rp_hash_state;

void rp_hash_start(const rp_sodium *sodium, rp_hash_state *state, const uint8_t *key, size_t key_size,
                   size_t out_size);
/* Keyed BLAKE2b of a label and up to two parts. */
void rp_derive(const rp_sodium *sodium, const uint8_t *key, size_t key_size, const char *label,
               const uint8_t *part, size_t size, uint8_t *out, size_t out_size);

/* X25519 that refuses an all-zero result. */
bool rp_dh_ok(const rp_sodium *sodium, const uint8_t *private_key, const uint8_t *public_key, uint8_t *out);

#endif
