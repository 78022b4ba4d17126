#include "aead.h"

#include <string.h>

#include "wire.h"

size_t rp_aead_iv_size(int suite) { return suite == RP_SUITE_AEGIS256 ? 24 : 16; }

size_t rp_aead_tag_size(int suite) { return suite == RP_SUITE_AEGIS256 ? 32 : 16; }

void rp_aead_prepare(const rp_sodium *sodium, int suite, const uint8_t *key, const uint8_t *iv,
                     rp_packet_key *out) {
    memset(out, 0, sizeof *out);
    if (suite == RP_SUITE_XCHACHA20)
        sodium->hchacha20(out->key, iv, key, NULL);
    else
        memcpy(out->key, key, sizeof out->key);
    memcpy(out->iv, iv, rp_aead_iv_size(suite));
}

/* XChaCha20: 4 zero bytes and the number under the subkey. AEGIS-256: the IV and the number. */
static void make_nonce(int suite, const rp_packet_key *key, uint64_t number, uint8_t *nonce) {
    if (suite == RP_SUITE_AEGIS256) {
        memcpy(nonce, key->iv, 24);
        rp_store64(nonce + 24, number);
    } else {
        memset(nonce, 0, 4);
        rp_store64(nonce + 4, number);
    }
}

void rp_aead_seal(const rp_sodium *sodium, int suite, const rp_packet_key *key, uint64_t number,
                  const uint8_t *ad, size_t ad_size, const uint8_t *plain, size_t size, uint8_t *out) {
    uint8_t nonce[32];
    make_nonce(suite, key, number, nonce);
    rp_aead_encrypt_fn seal =
        suite == RP_SUITE_AEGIS256 ? sodium->aegis256_encrypt : sodium->chacha20poly1305_ietf_encrypt;
    seal(out, NULL, plain, size, ad, ad_size, NULL, nonce, key->key);
}

bool rp_aead_open(const rp_sodium *sodium, int suite, const rp_packet_key *key, uint64_t number,
                  const uint8_t *ad, size_t ad_size, const uint8_t *sealed, size_t size, uint8_t *out) {
    uint8_t nonce[32];
    if (size < rp_aead_tag_size(suite)) return false;
    make_nonce(suite, key, number, nonce);
    rp_aead_decrypt_fn open =
        suite == RP_SUITE_AEGIS256 ? sodium->aegis256_decrypt : sodium->chacha20poly1305_ietf_decrypt;
    return open(out, NULL, NULL, sealed, size, ad, ad_size, nonce, key->key) == 0;
}

void rp_hash_start(const rp_sodium *sodium, rp_hash_state *state, const uint8_t *key, size_t key_size,
                   size_t out_size) {
    memset(state, 0, sizeof *state); /* a table whose init is the wrong one must fail its test, not crash */
    sodium->blake2b_init(state, key, key_size, out_size);
}

void rp_derive(const rp_sodium *sodium, const uint8_t *key, size_t key_size, const char *label,
               const uint8_t *part, size_t size, uint8_t *out, size_t out_size) {
    rp_hash_state state;
    rp_hash_start(sodium, &state, key, key_size, out_size);
    sodium->blake2b_update(&state, (const uint8_t *)label, strlen(label));
    if (size) sodium->blake2b_update(&state, part, size);
    sodium->blake2b_final(&state, out, out_size);
    sodium->memzero(&state, sizeof state);
}

bool rp_dh_ok(const rp_sodium *sodium, const uint8_t *private_key, const uint8_t *public_key, uint8_t *out) {
    static const uint8_t zero[32];
    if (sodium->scalarmult(out, private_key, public_key) != 0) return false;
    return sodium->memcmp(out, zero, sizeof zero) != 0;
}

/* ---- the entry points that the published vectors go through: the same path as packets ---- */

static bool suite_known(const rp_sodium *sodium, int suite) {
    return suite == RP_SUITE_XCHACHA20 || (suite == RP_SUITE_AEGIS256 && sodium->aegis256_encrypt);
}

int rp_suite_seal(const rp_sodium *sodium, int suite, const uint8_t *key, const uint8_t *nonce,
                  const uint8_t *ad, size_t ad_size, const uint8_t *plain, size_t size, uint8_t *out) {
    rp_packet_key prepared;
    if (!suite_known(sodium, suite)) return RP_E_MISUSE;
    rp_aead_prepare(sodium, suite, key, nonce, &prepared);
    uint64_t number = rp_load64(nonce + rp_aead_iv_size(suite));
    rp_aead_seal(sodium, suite, &prepared, number, ad, ad_size, plain, size, out);
    sodium->memzero(&prepared, sizeof prepared);
    return 0;
}

int rp_suite_open(const rp_sodium *sodium, int suite, const uint8_t *key, const uint8_t *nonce,
                  const uint8_t *ad, size_t ad_size, const uint8_t *sealed, size_t size, uint8_t *out) {
    rp_packet_key prepared;
    if (!suite_known(sodium, suite)) return RP_E_MISUSE;
    rp_aead_prepare(sodium, suite, key, nonce, &prepared);
    uint64_t number = rp_load64(nonce + rp_aead_iv_size(suite));
    bool ok = rp_aead_open(sodium, suite, &prepared, number, ad, ad_size, sealed, size, out);
    sodium->memzero(&prepared, sizeof prepared);
    return ok ? 0 : RP_E_AUTH;
}

int rp_dh(const rp_sodium *sodium, const uint8_t *private_key, const uint8_t *public_key, uint8_t *out) {
    return rp_dh_ok(sodium, private_key, public_key, out) ? 0 : RP_E_AUTH;
}

int rp_identity_to_dh(const rp_sodium *sodium, const uint8_t *ed25519, uint8_t *x25519) {
    return sodium->sign_pk_to_curve25519(x25519, ed25519) == 0 ? 0 : RP_E_AUTH;
}

int rp_hash(const rp_sodium *sodium, const uint8_t *data, size_t size, uint8_t *out64) {
    rp_derive(sodium, NULL, 0, "", data, size, out64, RP_HASH_SIZE);
    return 0;
}

/* ---- known answers: a table whose functions are swapped or broken is refused before first use ---- */

/* draft-irtf-cfrg-xchacha-03, A.3.1, its first block's tag as a digest of the whole: the message is
 * the first 16 bytes of the draft's. */
static bool check_xchacha(const rp_sodium *sodium) {
    uint8_t key[32], nonce[24], text[16], sealed[32], opened[16];
    static const uint8_t subkey[32] = {0x82, 0x41, 0x3b, 0x42, 0x27, 0xb2, 0x7b, 0xfe, 0xd3, 0x0e, 0x42,
                                       0x50, 0x8a, 0x87, 0x7d, 0x73, 0xa0, 0xf9, 0xe4, 0xd5, 0x8a, 0x74,
                                       0xa8, 0x53, 0xc1, 0x2e, 0xc4, 0x13, 0x26, 0xd3, 0xec, 0xdc};
    static const uint8_t input[16] = {0, 0, 0, 9, 0, 0, 0, 0x4a, 0, 0, 0, 0, 0x31, 0x41, 0x59, 0x27};
    uint8_t got[32];
    for (uint8_t i = 0; i < 32; i++) key[i] = i;
    sodium->hchacha20(got, input, key, NULL); /* 2.2.1 */
    if (memcmp(got, subkey, sizeof got) != 0) return false;

    static const uint8_t known[16] = {0xbd, 0x6d, 0x17, 0x9d, 0x3e, 0x83, 0xd4, 0x3b,
                                      0x95, 0x76, 0x57, 0x94, 0x93, 0xc0, 0xe9, 0x39};
    memcpy(text, "Ladies and Gentl", sizeof text);
    for (uint8_t i = 0; i < 32; i++) key[i] = (uint8_t)(0x80 + i);
    for (uint8_t i = 0; i < 24; i++) nonce[i] = (uint8_t)(0x40 + i);
    rp_suite_seal(sodium, RP_SUITE_XCHACHA20, key, nonce, NULL, 0, text, sizeof text, sealed);
    if (memcmp(sealed, known, sizeof known) != 0) return false;
    if (rp_suite_open(sodium, RP_SUITE_XCHACHA20, key, nonce, NULL, 0, sealed, 32, opened) != 0) return false;
    sealed[3] ^= 1;
    return rp_suite_open(sodium, RP_SUITE_XCHACHA20, key, nonce, NULL, 0, sealed, 32, opened) == RP_E_AUTH;
}

/* draft-irtf-cfrg-aegis-aead, AEGIS-256 test vector 1 (256-bit tag). */
static bool check_aegis(const rp_sodium *sodium) {
    static const uint8_t key[32] = {0x10, 0x01}, nonce[32] = {0x10, 0x00, 0x02}, text[16];
    static const uint8_t known[48] = {0x75, 0x4f, 0xc3, 0xd8, 0xc9, 0x73, 0x24, 0x6d, 0xcc, 0x6d, 0x74, 0x14,
                                      0x12, 0xa4, 0xb2, 0x36, 0x11, 0x81, 0xa1, 0xd1, 0x80, 0x91, 0x08, 0x2b,
                                      0xf0, 0x26, 0x6f, 0x66, 0x29, 0x7d, 0x16, 0x7d, 0x2e, 0x68, 0xb8, 0x45,
                                      0xf6, 0x1a, 0x3b, 0x05, 0x27, 0xd3, 0x1f, 0xc7, 0xb7, 0xb8, 0x9f, 0x13};
    uint8_t sealed[48], opened[16];
    if (!sodium->aegis256_encrypt) return true;
    if (!sodium->aegis256_decrypt) return false;
    rp_suite_seal(sodium, RP_SUITE_AEGIS256, key, nonce, NULL, 0, text, sizeof text, sealed);
    if (memcmp(sealed, known, sizeof known) != 0) return false;
    return rp_suite_open(sodium, RP_SUITE_AEGIS256, key, nonce, NULL, 0, sealed, sizeof sealed, opened) == 0;
}

/* libsodium's own ed25519_convert; and what compares and wipes does so. */
static bool check_image_and_memory(const rp_sodium *sodium) {
    static const uint8_t identity[32] = {0xb5, 0x07, 0x6a, 0x84, 0x74, 0xa8, 0x32, 0xda, 0xee, 0x4d, 0xd5,
                                         0xb4, 0x04, 0x09, 0x83, 0xb6, 0x62, 0x3b, 0x5f, 0x34, 0x4a, 0xca,
                                         0x57, 0xd4, 0xd6, 0xee, 0x4b, 0xaf, 0x3f, 0x25, 0x9e, 0x6e};
    static const uint8_t image[32] = {0xf1, 0x81, 0x4f, 0x0e, 0x8f, 0xf1, 0x04, 0x3d, 0x8a, 0x44, 0xd2,
                                      0x5b, 0xab, 0xff, 0x3c, 0xed, 0xca, 0xe6, 0xc2, 0x2c, 0x3e, 0xda,
                                      0xa4, 0x8f, 0x85, 0x7a, 0xe7, 0x0d, 0xe2, 0xba, 0xae, 0x50};
    static const uint8_t zero[32];
    uint8_t got[64] = {0}; /* as long as a secret key's: what stands in for the function may write that */
    if (sodium->sign_pk_to_curve25519(got, identity) != 0 || memcmp(got, image, sizeof image) != 0)
        return false;
    if (sodium->memcmp(got, image, sizeof image) != 0) return false;
    for (size_t i = 0; i < sizeof image; i++) {
        got[i] ^= 1;
        if (sodium->memcmp(got, image, sizeof image) == 0) return false;
        got[i] ^= 1;
    }
    sodium->memzero(got, sizeof image);
    return memcmp(got, zero, sizeof zero) == 0;
}

/* RFC 7748, 6.1, and RFC 7693, appendix A. */
static bool check_dh_and_hash(const rp_sodium *sodium) {
    static const uint8_t private_key[32] = {0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1,
                                            0x72, 0x51, 0xb2, 0x66, 0x45, 0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0,
                                            0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a};
    static const uint8_t public_key[32] = {0x85, 0x20, 0xf0, 0x09, 0x89, 0x30, 0xa7, 0x54, 0x74, 0x8b, 0x7d,
                                           0xdc, 0xb4, 0x3e, 0xf7, 0x5a, 0x0d, 0xbf, 0x3a, 0x0d, 0x26, 0x38,
                                           0x1a, 0xf4, 0xeb, 0xa4, 0xa9, 0x8e, 0xaa, 0x9b, 0x4e, 0x6a};
    static const uint8_t peer_key[32] = {0xde, 0x9e, 0xdb, 0x7d, 0x7b, 0x7d, 0xc1, 0xb4, 0xd3, 0x5b, 0x61,
                                         0xc2, 0xec, 0xe4, 0x35, 0x37, 0x3f, 0x83, 0x43, 0xc8, 0x5b, 0x78,
                                         0x67, 0x4d, 0xad, 0xfc, 0x7e, 0x14, 0x6f, 0x88, 0x2b, 0x4f};
    static const uint8_t shared[32] = {0x4a, 0x5d, 0x9d, 0x5b, 0xa4, 0xce, 0x2d, 0xe1, 0x72, 0x8e, 0x3b,
                                       0xf4, 0x80, 0x35, 0x0f, 0x25, 0xe0, 0x7e, 0x21, 0xc9, 0x47, 0xd1,
                                       0x9e, 0x33, 0x76, 0xf0, 0x9b, 0x3c, 0x1e, 0x16, 0x17, 0x42};
    static const uint8_t abc[16] = {0xba, 0x80, 0xa5, 0x3f, 0x98, 0x1c, 0x4d, 0x0d,
                                    0x6a, 0x27, 0x97, 0xb6, 0x9f, 0x12, 0xf6, 0xe9};
    uint8_t got[64], zero[32] = {0};
    sodium->scalarmult_base(got, private_key);
    if (memcmp(got, public_key, sizeof public_key) != 0) return false;
    if (!rp_dh_ok(sodium, private_key, peer_key, got) || memcmp(got, shared, sizeof shared) != 0)
        return false;
    if (rp_dh_ok(sodium, private_key, zero, got)) return false;
    rp_hash(sodium, (const uint8_t *)"abc", 3, got);
    return memcmp(got, abc, sizeof abc) == 0;
}

int rp_crypto_check(const rp_sodium *sodium) {
    bool complete = sodium->hchacha20 && sodium->chacha20poly1305_ietf_encrypt &&
                    sodium->chacha20poly1305_ietf_decrypt && sodium->scalarmult && sodium->scalarmult_base &&
                    sodium->sign_pk_to_curve25519 && sodium->blake2b_init && sodium->blake2b_update &&
                    sodium->blake2b_final && sodium->memcmp && sodium->memzero;
    if (!complete) return RP_E_CRYPTO;
    if (!check_xchacha(sodium) || !check_aegis(sodium) || !check_image_and_memory(sodium) ||
        !check_dh_and_hash(sodium))
        return RP_E_CRYPTO;
    return 0;
}
