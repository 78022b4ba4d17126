#include "noise.h"

#include <string.h>

#include "wire.h"

/* e, s: send that key; 1: ee, 2: es, 3: se, 4: ss (the initiator's key first); p: psk. */
static const char *const PATTERNS[][4] = {
    [RP_PATTERN_IK] = {"e2s4", "e13", NULL},
    [RP_PATTERN_IKPSK2] = {"e2s4", "e13p", NULL},
    [RP_PATTERN_XX] = {"e", "e1s2", "s3", NULL},
    [RP_PATTERN_XXPSK3] = {"e", "e1s2", "s3p", NULL},
};

static const char *const NAMES[] = {
    [RP_PATTERN_IK] = "Noise_IK_25519_ChaChaPoly_BLAKE2b",
    [RP_PATTERN_IKPSK2] = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b",
    [RP_PATTERN_XX] = "Noise_XX_25519_ChaChaPoly_BLAKE2b",
    [RP_PATTERN_XXPSK3] = "Noise_XXpsk3_25519_ChaChaPoly_BLAKE2b",
};

/* ---- symmetric state ---- */

static void mix_hash(rp_noise *n, const uint8_t *data, size_t size) {
    rp_hash_state state;
    rp_hash_start(n->sodium, &state, NULL, 0, RP_HASH_SIZE);
    n->sodium->blake2b_update(&state, n->hash, sizeof n->hash);
    if (size) n->sodium->blake2b_update(&state, data, size);
    n->sodium->blake2b_final(&state, n->hash, sizeof n->hash);
}

/* HMAC (RFC 2104) with BLAKE2b as a plain hash, as Noise wants it; the key is at most 64 bytes. */
static void hmac(const rp_sodium *sodium, const uint8_t *key, size_t key_size, const uint8_t *data,
                 size_t size, uint8_t suffix, uint8_t *out) {
    rp_hash_state state;
    uint8_t pad[128], inner[RP_HASH_SIZE];
    memset(pad, 0x36, sizeof pad);
    for (size_t i = 0; i < key_size; i++) pad[i] ^= key[i];
    rp_hash_start(sodium, &state, NULL, 0, RP_HASH_SIZE);
    sodium->blake2b_update(&state, pad, sizeof pad);
    if (size) sodium->blake2b_update(&state, data, size);
    if (suffix) sodium->blake2b_update(&state, &suffix, 1);
    sodium->blake2b_final(&state, inner, sizeof inner);
    for (size_t i = 0; i < sizeof pad; i++) pad[i] ^= 0x36 ^ 0x5c;
    rp_hash_start(sodium, &state, NULL, 0, RP_HASH_SIZE);
    sodium->blake2b_update(&state, pad, sizeof pad);
    sodium->blake2b_update(&state, inner, sizeof inner);
    sodium->blake2b_final(&state, out, RP_HASH_SIZE);
    sodium->memzero(&state, sizeof state);
    sodium->memzero(pad, sizeof pad);
    sodium->memzero(inner, sizeof inner);
}

/* Noise's HKDF: up to three outputs of 64 bytes, laid one behind the other in `out`. */
static void hkdf(const rp_noise *n, const uint8_t *input, size_t size, int outputs, uint8_t *out) {
    uint8_t temporary[RP_HASH_SIZE];
    hmac(n->sodium, n->chaining, sizeof n->chaining, input, size, 0, temporary);
    for (int i = 0; i < outputs; i++) {
        const uint8_t *previous = i ? out + (i - 1) * RP_HASH_SIZE : NULL;
        hmac(n->sodium, temporary, sizeof temporary, previous, previous ? RP_HASH_SIZE : 0, (uint8_t)(i + 1),
             out + i * RP_HASH_SIZE);
    }
    n->sodium->memzero(temporary, sizeof temporary);
}

static void set_key(rp_noise *n, const uint8_t *key) {
    memcpy(n->key, key, sizeof n->key);
    n->has_key = true;
    n->nonce = 0;
}

static void mix_key(rp_noise *n, const uint8_t *input, size_t size) {
    uint8_t out[2 * RP_HASH_SIZE];
    hkdf(n, input, size, 2, out);
    memcpy(n->chaining, out, sizeof n->chaining);
    set_key(n, out + RP_HASH_SIZE);
    n->sodium->memzero(out, sizeof out);
}

static void mix_key_and_hash(rp_noise *n, const uint8_t *input, size_t size) {
    uint8_t out[3 * RP_HASH_SIZE];
    hkdf(n, input, size, 3, out);
    memcpy(n->chaining, out, sizeof n->chaining);
    mix_hash(n, out + RP_HASH_SIZE, RP_HASH_SIZE);
    set_key(n, out + 2 * RP_HASH_SIZE);
    n->sodium->memzero(out, sizeof out);
}

static void noise_nonce(uint64_t n, uint8_t *nonce) {
    memset(nonce, 0, 4);
    for (int i = 0; i < 8; i++) nonce[4 + i] = (uint8_t)(n >> 8 * i);
}

static size_t encrypt_and_hash(rp_noise *n, const uint8_t *plain, size_t size, uint8_t *out) {
    uint8_t nonce[12];
    if (!n->has_key) {
        if (size) memmove(out, plain, size);
        mix_hash(n, out, size);
        return size;
    }
    noise_nonce(n->nonce++, nonce);
    n->sodium->chacha20poly1305_ietf_encrypt(out, NULL, plain, size, n->hash, sizeof n->hash, NULL, nonce,
                                             n->key);
    mix_hash(n, out, size + RP_NOISE_TAG);
    return size + RP_NOISE_TAG;
}

static int64_t decrypt_and_hash(rp_noise *n, const uint8_t *sealed, size_t size, uint8_t *out) {
    uint8_t nonce[12];
    if (!n->has_key) {
        if (size) memmove(out, sealed, size);
        mix_hash(n, sealed, size);
        return (int64_t)size;
    }
    if (size < RP_NOISE_TAG) return RP_E_MALFORMED;
    noise_nonce(n->nonce++, nonce);
    uint8_t before[RP_HASH_SIZE];
    memcpy(before, n->hash, sizeof before);
    mix_hash(n, sealed, size); /* first: `out` may be where `sealed` stands */
    if (n->sodium->chacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed, size, before, sizeof before, nonce,
                                                 n->key) != 0)
        return RP_E_AUTH;
    return (int64_t)(size - RP_NOISE_TAG);
}

/* ---- handshake state ---- */

size_t rp_noise_size(void) { return sizeof(rp_noise); }

void rp_noise_set_psk(rp_noise *n, const uint8_t *psk) {
    memcpy(n->psk, psk, sizeof n->psk);
    n->has_psk = true;
}

int rp_noise_start(rp_noise *n, const rp_sodium *sodium, const rp_noise_setup *setup, const uint8_t *prologue,
                   size_t size) {
    memset(n, 0, sizeof *n);
    if (setup->pattern > RP_PATTERN_XXPSK3) return RP_E_MISUSE;
    bool ik = setup->pattern == RP_PATTERN_IK || setup->pattern == RP_PATTERN_IKPSK2;
    if (ik && setup->initiator && !setup->has_remote_static) return RP_E_MISUSE;
    n->sodium = sodium;
    n->messages = PATTERNS[setup->pattern];
    n->initiator = setup->initiator;
    memcpy(n->static_private, setup->static_private, 32);
    memcpy(n->ephemeral_private, setup->ephemeral_private, 32);
    sodium->scalarmult_base(n->static_public, n->static_private);
    sodium->scalarmult_base(n->ephemeral_public, n->ephemeral_private);
    if (setup->has_psk) rp_noise_set_psk(n, setup->psk);
    const char *name = NAMES[setup->pattern];
    if (strlen(name) <= RP_HASH_SIZE)
        memcpy(n->hash, name, strlen(name));
    else
        rp_hash(sodium, (const uint8_t *)name, strlen(name), n->hash);
    memcpy(n->chaining, n->hash, sizeof n->chaining);
    mix_hash(n, prologue, size);
    if (ik && n->initiator) {
        memcpy(n->remote_static, setup->remote_static, 32);
        n->has_remote_static = true;
    }
    if (ik) mix_hash(n, n->initiator ? n->remote_static : n->static_public, 32); /* pre-message <- s */
    return 0;
}

static bool mix_dh(rp_noise *n, char token) {
    bool mine_ephemeral = token == '1' || (token == '2') == n->initiator;
    bool theirs_ephemeral = token == '1' || (token == '3') == n->initiator;
    if (token == '4') mine_ephemeral = theirs_ephemeral = false;
    uint8_t shared[32];
    bool ok = rp_dh_ok(n->sodium, mine_ephemeral ? n->ephemeral_private : n->static_private,
                       theirs_ephemeral ? n->remote_ephemeral : n->remote_static, shared);
    if (ok) mix_key(n, shared, sizeof shared);
    n->sodium->memzero(shared, sizeof shared);
    return ok;
}

static bool psk_pattern(const rp_noise *n) {
    return n->messages == PATTERNS[RP_PATTERN_IKPSK2] || n->messages == PATTERNS[RP_PATTERN_XXPSK3];
}

static void mix_ephemeral(rp_noise *n, const uint8_t *key) {
    mix_hash(n, key, 32);
    if (psk_pattern(n)) mix_key(n, key, 32);
}

static bool my_turn(const rp_noise *n) { return !rp_noise_done(n) && (n->step % 2 == 0) == n->initiator; }

int64_t rp_noise_write(rp_noise *n, const uint8_t *payload, size_t size, uint8_t *out, size_t max) {
    if (!my_turn(n) || max < size + 32 + 32 + 2 * RP_NOISE_TAG) return RP_E_MISUSE;
    uint8_t *p = out;
    for (const char *token = n->messages[n->step]; *token; token++) {
        if (*token == 'e') {
            memcpy(p, n->ephemeral_public, 32);
            mix_ephemeral(n, p);
            p += 32;
        } else if (*token == 's') {
            p += encrypt_and_hash(n, n->static_public, 32, p);
        } else if (*token == 'p') {
            if (!n->has_psk) return RP_E_MISUSE;
            mix_key_and_hash(n, n->psk, 32);
        } else if (!mix_dh(n, *token)) {
            return RP_E_AUTH;
        }
    }
    p += encrypt_and_hash(n, payload, size, p);
    n->step++;
    return p - out;
}

static int64_t read_static(rp_noise *n, const uint8_t *p, size_t left) {
    size_t need = 32 + (n->has_key ? RP_NOISE_TAG : 0);
    if (left < need) return RP_E_MALFORMED;
    int64_t got = decrypt_and_hash(n, p, need, n->remote_static);
    if (got < 0) return got;
    n->has_remote_static = true;
    return (int64_t)need;
}

int64_t rp_noise_read(rp_noise *n, const uint8_t *message, size_t size, uint8_t *out, size_t max) {
    if (my_turn(n) || rp_noise_done(n) || max < size) return RP_E_MISUSE;
    const uint8_t *p = message, *end = message + size;
    for (const char *token = n->messages[n->step]; *token; token++) {
        if (*token == 'e') {
            if (end - p < 32) return RP_E_MALFORMED;
            memcpy(n->remote_ephemeral, p, 32);
            mix_ephemeral(n, p);
            p += 32;
        } else if (*token == 's') {
            int64_t used = read_static(n, p, (size_t)(end - p));
            if (used < 0) return used;
            p += used;
        } else if (*token == 'p') {
            if (!n->has_psk) return RP_E_MISUSE;
            mix_key_and_hash(n, n->psk, 32);
        } else if (!mix_dh(n, *token)) {
            return RP_E_AUTH;
        }
    }
    int64_t got = decrypt_and_hash(n, p, (size_t)(end - p), out);
    if (got >= 0) n->step++;
    return got;
}

bool rp_noise_done(const rp_noise *n) { return n->messages[n->step] == NULL; }

/* Gives the two transport keys and the handshake hash, and wipes everything else. */
int rp_noise_finish(rp_noise *n, uint8_t *send_key, uint8_t *receive_key, uint8_t *hash64) {
    uint8_t out[2 * RP_HASH_SIZE];
    if (!rp_noise_done(n)) return RP_E_MISUSE;
    hkdf(n, NULL, 0, 2, out);
    memcpy(n->initiator ? send_key : receive_key, out, 32);
    memcpy(n->initiator ? receive_key : send_key, out + RP_HASH_SIZE, 32);
    memcpy(hash64, n->hash, RP_HASH_SIZE);
    const rp_sodium *sodium = n->sodium;
    sodium->memzero(out, sizeof out);
    sodium->memzero(n, sizeof *n);
    return 0;
}
