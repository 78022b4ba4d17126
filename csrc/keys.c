#include "keys.h"

void rp_keys_derive(const rp_sodium *sodium, uint8_t suite, const uint8_t *secret, rp_packet_key *out) {
    uint8_t key[32], iv[24];
    rp_derive(sodium, secret, 32, "repram v1 packet key", &suite, 1, key, sizeof key);
    rp_derive(sodium, secret, 32, "repram v1 packet iv", &suite, 1, iv, sizeof iv);
    rp_aead_prepare(sodium, suite, key, iv, out);
    sodium->memzero(key, sizeof key);
    sodium->memzero(iv, sizeof iv);
}
