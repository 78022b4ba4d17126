#include "sodium_table.h"

#include <sodium.h>
#include <string.h>

static int blake2b_init(void *state, const unsigned char *key, size_t key_size, size_t out_size) {
    return crypto_generichash_init(state, key, key_size, out_size);
}

static int blake2b_update(void *state, const unsigned char *in, unsigned long long size) {
    return crypto_generichash_update(state, in, size);
}

static int blake2b_final(void *state, unsigned char *out, size_t out_size) {
    return crypto_generichash_final(state, out, out_size);
}

static const rp_sodium real = {
    .hchacha20 = crypto_core_hchacha20,
    .chacha20poly1305_ietf_encrypt = crypto_aead_chacha20poly1305_ietf_encrypt,
    .chacha20poly1305_ietf_decrypt = crypto_aead_chacha20poly1305_ietf_decrypt,
    .scalarmult = crypto_scalarmult_curve25519,
    .scalarmult_base = crypto_scalarmult_curve25519_base,
    .sign_pk_to_curve25519 = crypto_sign_ed25519_pk_to_curve25519,
    .blake2b_init = blake2b_init,
    .blake2b_update = blake2b_update,
    .blake2b_final = blake2b_final,
    .memcmp = sodium_memcmp,
    .memzero = sodium_memzero,
};

static int xor_scalarmult(unsigned char *q, const unsigned char *n, const unsigned char *p) {
    for (int i = 0; i < 32; i++) q[i] = n[i] ^ p[i];
    return 0;
}

static int xor_scalarmult_base(unsigned char *q, const unsigned char *n) {
    memcpy(q, n, 32);
    return 0;
}

static int same_key(unsigned char *x25519, const unsigned char *ed25519) {
    memcpy(x25519, ed25519, 32);
    return 0;
}

static rp_sodium without_curves;

const rp_sodium *sodium_table(void) { return sodium_init() < 0 ? NULL : &real; }

const rp_sodium *sodium_table_without_curves(void) {
    without_curves = *sodium_table();
    without_curves.scalarmult = xor_scalarmult;
    without_curves.scalarmult_base = xor_scalarmult_base;
    without_curves.sign_pk_to_curve25519 = same_key;
    return &without_curves;
}

void sodium_table_identity(const rp_sodium *sodium, uint8_t seed, rp_config *config) {
    uint8_t bytes[32], secret[64];
    memset(bytes, seed, sizeof bytes);
    crypto_sign_seed_keypair(config->identity, secret, bytes);
    if (sodium->scalarmult_base == xor_scalarmult_base)
        memcpy(config->static_private, config->identity, 32);
    else
        crypto_sign_ed25519_sk_to_curve25519(config->static_private, secret);
    sodium->scalarmult_base(config->static_public, config->static_private);
}
