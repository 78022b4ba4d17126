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

/* ---- straw: 64 bits stirred by multiplication, eight bytes at a time ---- */

static uint64_t stir(uint64_t state, uint64_t word) {
    state = (state ^ word) * 0x9e3779b97f4a7c15;
    return state ^ state >> 29;
}

/* Two words at once, in lanes that do not wait for each other. */
static uint64_t absorb_much(uint64_t state, const uint8_t **p, size_t *size) {
    uint64_t lanes[2] = {state, ~state}, words[2];
    for (; *size >= sizeof words; *p += sizeof words, *size -= sizeof words) {
        memcpy(words, *p, sizeof words);
        for (int i = 0; i < 2; i++) lanes[i] = stir(lanes[i], words[i]);
    }
    return stir(lanes[0], lanes[1]);
}

static uint64_t absorb(uint64_t state, const void *bytes, size_t size) {
    const uint8_t *p = bytes;
    uint64_t word;
    if (size >= 64) state = absorb_much(state, &p, &size);
    for (; size >= sizeof word; p += sizeof word, size -= sizeof word) {
        memcpy(&word, p, sizeof word);
        state = stir(state, word);
    }
    word = size; /* so that a longer end is another */
    if (size) memcpy((uint8_t *)&word + 1, p, size);
    return stir(state, word);
}

static void squeeze(uint64_t state, uint8_t *out, size_t size) {
    for (size_t at = 0; at < size; at += sizeof state) {
        state = stir(state, at + 1);
        memcpy(out + at, &state, size - at < sizeof state ? size - at : sizeof state);
    }
}

static int straw_init(void *state, const unsigned char *key, size_t key_size, size_t out_size) {
    uint64_t start = absorb(out_size, key, key_size);
    memcpy(state, &start, sizeof start);
    return 0;
}

static int straw_update(void *state, const unsigned char *in, unsigned long long size) {
    uint64_t now;
    memcpy(&now, state, sizeof now);
    now = absorb(now, in, size);
    memcpy(state, &now, sizeof now);
    return 0;
}

static int straw_final(void *state, unsigned char *out, size_t out_size) {
    uint64_t end;
    memcpy(&end, state, sizeof end);
    squeeze(end, out, out_size);
    return 0;
}

static int straw_hchacha20(unsigned char *out, const unsigned char *in, const unsigned char *k,
                           const unsigned char *c) {
    (void)c;
    squeeze(absorb(absorb(0, k, 32), in, 16), out, 32);
    return 0;
}

/* ChaCha20-Poly1305 has 12 bytes of nonce and 16 of tag, AEGIS-256 has 32 and 32; both leave the text as it
 * is. */
static void straw_tag(const unsigned char *text, size_t size, const unsigned char *ad, size_t ad_size,
                      const unsigned char *nonce, size_t nonce_size, const unsigned char *k, uint8_t *tag,
                      size_t tag_size) {
    uint64_t state = absorb(absorb(tag_size, k, 32), nonce, nonce_size);
    squeeze(absorb(absorb(state, ad, ad_size), text, size), tag, tag_size);
}

static int straw_encrypt(unsigned char *c, unsigned long long *c_size, const unsigned char *m,
                         unsigned long long m_size, const unsigned char *ad, unsigned long long ad_size,
                         const unsigned char *nsec, const unsigned char *npub, const unsigned char *k) {
    (void)c_size;
    (void)nsec;
    if (m_size) memmove(c, m, m_size);
    straw_tag(c, m_size, ad, ad_size, npub, 12, k, c + m_size, 16);
    return 0;
}

static int straw_aegis_encrypt(unsigned char *c, unsigned long long *c_size, const unsigned char *m,
                               unsigned long long m_size, const unsigned char *ad, unsigned long long ad_size,
                               const unsigned char *nsec, const unsigned char *npub, const unsigned char *k) {
    (void)c_size;
    (void)nsec;
    if (m_size) memmove(c, m, m_size);
    straw_tag(c, m_size, ad, ad_size, npub, 32, k, c + m_size, 32);
    return 0;
}

static int straw_open(unsigned char *m, const unsigned char *c, size_t c_size, const unsigned char *ad,
                      size_t ad_size, const unsigned char *nonce, size_t nonce_size, const unsigned char *k,
                      size_t tag_size) {
    uint8_t tag[32];
    if (c_size < tag_size) return -1;
    size_t size = c_size - tag_size;
    straw_tag(c, size, ad, ad_size, nonce, nonce_size, k, tag, tag_size);
    if (memcmp(tag, c + size, tag_size) != 0) return -1;
    if (size) memmove(m, c, size);
    return 0;
}

static int straw_decrypt(unsigned char *m, unsigned long long *m_size, unsigned char *nsec,
                         const unsigned char *c, unsigned long long c_size, const unsigned char *ad,
                         unsigned long long ad_size, const unsigned char *npub, const unsigned char *k) {
    (void)m_size;
    (void)nsec;
    return straw_open(m, c, c_size, ad, ad_size, npub, 12, k, 16);
}

static int straw_aegis_decrypt(unsigned char *m, unsigned long long *m_size, unsigned char *nsec,
                               const unsigned char *c, unsigned long long c_size, const unsigned char *ad,
                               unsigned long long ad_size, const unsigned char *npub,
                               const unsigned char *k) {
    (void)m_size;
    (void)nsec;
    return straw_open(m, c, c_size, ad, ad_size, npub, 32, k, 32);
}

/* Diffie-Hellman is an XOR, and a public key is the private one. */
static int straw_scalarmult(unsigned char *q, const unsigned char *n, const unsigned char *p) {
    for (int i = 0; i < 32; i++) q[i] = n[i] ^ p[i];
    return 0;
}

static int straw_scalarmult_base(unsigned char *q, const unsigned char *n) {
    memcpy(q, n, 32);
    return 0;
}

static int straw_to_curve25519(unsigned char *x25519, const unsigned char *ed25519) {
    memcpy(x25519, ed25519, 32);
    return 0;
}

static int straw_memcmp(const void *a, const void *b, size_t size) { return memcmp(a, b, size) ? -1 : 0; }

static void straw_memzero(void *p, size_t size) { memset(p, 0, size); }

static const rp_sodium straw = {
    .hchacha20 = straw_hchacha20,
    .chacha20poly1305_ietf_encrypt = straw_encrypt,
    .chacha20poly1305_ietf_decrypt = straw_decrypt,
    .aegis256_encrypt = straw_aegis_encrypt,
    .aegis256_decrypt = straw_aegis_decrypt,
    .scalarmult = straw_scalarmult,
    .scalarmult_base = straw_scalarmult_base,
    .sign_pk_to_curve25519 = straw_to_curve25519,
    .blake2b_init = straw_init,
    .blake2b_update = straw_update,
    .blake2b_final = straw_final,
    .memcmp = straw_memcmp,
    .memzero = straw_memzero,
};

const rp_sodium *sodium_table(void) { return sodium_init() < 0 ? NULL : &real; }

const rp_sodium *sodium_table_of_straw(void) { return &straw; }

void sodium_table_identity(const rp_sodium *sodium, uint8_t seed, rp_config *config) {
    uint8_t bytes[32], secret[64];
    memset(bytes, seed, sizeof bytes);
    crypto_sign_seed_keypair(config->identity, secret, bytes);
    if (sodium->scalarmult_base == straw_scalarmult_base)
        memcpy(config->static_private, config->identity, 32);
    else
        crypto_sign_ed25519_sk_to_curve25519(config->static_private, secret);
    sodium->scalarmult_base(config->static_public, config->static_private);
}
