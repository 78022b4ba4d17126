/* The packet keys of a session: epochs follow one another without a round trip, and the next
 * receiving key always stands ready, so that a forged phase bit costs one failed tag and no more. */
#ifndef RP_KEYS_H
#define RP_KEYS_H

#include "aead.h"

#define RP_EPOCH_HARD_LIMIT ((uint64_t)1 << 31) /* packets under one key */
#define RP_FAILED_TAGS_LIMIT ((uint64_t)1 << 36)

typedef struct {
    uint8_t suite;
    bool acknowledged; /* a packet of the current sending epoch was */
    bool told;         /* and one of the current receiving epoch, by us; or it was answered with a ratchet */
    uint32_t send_epoch, receive_epoch;
    rp_packet_key send, receive, next_receive, previous_receive;
    uint8_t send_secret[32], receive_secret[32]; /* of the next epochs */
    uint64_t previous_until;                     /* the previous receiving key is kept until then; 0 = none */
    uint64_t first_sent, first_received;         /* packet numbers of the current epochs */
    uint64_t started, failed_tags;
} rp_keys;

void rp_keys_start(rp_keys *keys, const rp_sodium *sodium, uint8_t suite, const uint8_t *send,
                   const uint8_t *receive, uint64_t first_sent, uint64_t now);
/* A new epoch for sending; receiving follows when the peer does. */
void rp_keys_update(rp_keys *keys, const rp_sodium *sodium, uint64_t next_number, uint64_t now);
/* A fresh shared secret enters what the next epochs are made of. */
void rp_keys_mix(rp_keys *keys, const rp_sodium *sodium, const uint8_t *shared);

typedef enum { RP_KEY_CURRENT, RP_KEY_NEXT, RP_KEY_PREVIOUS, RP_KEY_NONE } rp_key_choice;
rp_key_choice rp_keys_choose(const rp_keys *keys, bool phase, uint64_t number, uint64_t now);
const rp_packet_key *rp_keys_chosen(const rp_keys *keys, rp_key_choice choice, uint32_t *epoch);
/* A packet of the current epoch verified. The first to come need not be the lowest. */
void rp_keys_received(rp_keys *keys, uint64_t number);
/* The initiator begins an epoch when the responder has acknowledged something of the one before, the
 * responder only follows: whether the peer may have moved on. */
bool rp_keys_may_follow(const rp_keys *keys, bool initiator);
/* A packet under the next receiving key verified: the peer has moved on, and so do we. */
void rp_keys_follow(rp_keys *keys, const rp_sodium *sodium, uint64_t number, uint64_t next_number,
                    uint64_t keep_until, uint64_t now);

#endif
