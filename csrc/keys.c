#include "keys.h"

#include <string.h>

static void derive(const rp_sodium *sodium, uint8_t suite, const uint8_t *secret, rp_packet_key *out) {
    uint8_t key[32], iv[24];
    rp_derive(sodium, secret, 32, "repram v1 packet key", &suite, 1, key, sizeof key);
    rp_derive(sodium, secret, 32, "repram v1 packet iv", &suite, 1, iv, sizeof iv);
    rp_aead_prepare(sodium, suite, key, iv, out);
    sodium->memzero(key, sizeof key);
    sodium->memzero(iv, sizeof iv);
}

/* The secret of the epoch after; the old one is gone. */
static void advance(const rp_sodium *sodium, uint8_t *secret) {
    uint8_t next[32];
    rp_derive(sodium, secret, 32, "repram v1 next epoch", NULL, 0, next, sizeof next);
    memcpy(secret, next, sizeof next);
    sodium->memzero(next, sizeof next);
}

void rp_keys_start(rp_keys *k, const rp_sodium *sodium, uint8_t suite, const uint8_t *send,
                   const uint8_t *receive, uint64_t first_sent, uint64_t now) {
    memset(k, 0, sizeof *k);
    k->suite = suite;
    k->started = now;
    k->first_sent = first_sent;
    memcpy(k->send_secret, send, 32);
    memcpy(k->receive_secret, receive, 32);
    derive(sodium, suite, k->send_secret, &k->send);
    derive(sodium, suite, k->receive_secret, &k->receive);
    advance(sodium, k->send_secret);
    advance(sodium, k->receive_secret);
    derive(sodium, suite, k->receive_secret, &k->next_receive);
}

void rp_keys_update(rp_keys *k, const rp_sodium *sodium, uint64_t next_number, uint64_t now) {
    derive(sodium, k->suite, k->send_secret, &k->send);
    advance(sodium, k->send_secret);
    k->send_epoch++;
    k->first_sent = next_number;
    k->started = now;
    k->acknowledged = false;
}

static void mix(const rp_sodium *sodium, uint8_t *secret, const uint8_t *shared) {
    uint8_t next[32];
    rp_derive(sodium, secret, 32, "repram v1 ratchet", shared, 32, next, sizeof next);
    memcpy(secret, next, sizeof next);
    sodium->memzero(next, sizeof next);
}

void rp_keys_mix(rp_keys *k, const rp_sodium *sodium, const uint8_t *shared) {
    mix(sodium, k->send_secret, shared);
    mix(sodium, k->receive_secret, shared);
    derive(sodium, k->suite, k->receive_secret, &k->next_receive);
    k->told = true; /* by the answer, behind which the initiator begins the next epoch at once */
}

/* The phase bit is the epoch's lowest. Numbers only grow with epochs, so one below the current
 * epoch's first belongs to the epoch before. */
rp_key_choice rp_keys_choose(const rp_keys *k, bool phase, uint64_t number, uint64_t now) {
    if (phase == (bool)(k->receive_epoch & 1)) return RP_KEY_CURRENT;
    if (!k->receive_epoch || number > k->first_received) return RP_KEY_NEXT;
    return now < k->previous_until ? RP_KEY_PREVIOUS : RP_KEY_NONE;
}

const rp_packet_key *rp_keys_chosen(const rp_keys *k, rp_key_choice choice, uint32_t *epoch) {
    *epoch = k->receive_epoch;
    if (choice == RP_KEY_CURRENT) return &k->receive;
    *epoch = choice == RP_KEY_NEXT ? k->receive_epoch + 1 : k->receive_epoch - 1;
    return choice == RP_KEY_NEXT ? &k->next_receive : &k->previous_receive;
}

void rp_keys_received(rp_keys *k, uint64_t number) {
    if (number < k->first_received) k->first_received = number;
}

bool rp_keys_may_follow(const rp_keys *k, bool initiator) {
    return initiator ? k->send_epoch > k->receive_epoch : k->told;
}

void rp_keys_follow(rp_keys *k, const rp_sodium *sodium, uint64_t number, uint64_t next_number,
                    uint64_t keep_until, uint64_t now) {
    k->previous_receive = k->receive;
    k->previous_until = keep_until;
    k->receive = k->next_receive;
    k->receive_epoch++;
    k->first_received = number;
    k->told = false;
    advance(sodium, k->receive_secret);
    derive(sodium, k->suite, k->receive_secret, &k->next_receive);
    if (k->send_epoch < k->receive_epoch) rp_keys_update(k, sodium, next_number, now);
}
