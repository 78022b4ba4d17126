/* What was received, and when that must be said. */
#ifndef RP_ACK_H
#define RP_ACK_H

#include "ranges.h"

#define RP_MAX_ACK_DELAY 5000 /* microseconds an acknowledgement may wait for company */
#define RP_ACK_EVERY 2        /* eliciting packets that may wait together, where few come */
#define RP_ACK_EVERY_MOST 32  /* and where many do */
#define RP_ACKS_A_ROUND 8     /* that a round trip is to have */
#define RP_ACK_LARGE 1000     /* bytes of a packet that is part of something long */
#define RP_ACK_RANGES 256     /* remembered at most; the oldest are forgotten first */

typedef struct {
    rp_ranges received;
    uint64_t largest, largest_time; /* valid when `any` */
    uint64_t deadline;              /* when an ACK is due, or RP_NEVER */
    uint32_t waiting, every;        /* eliciting packets not acknowledged yet, and how many may be */
    uint64_t round_start;           /* of the round trip in which large packets are being counted */
    uint32_t round_packets;
    bool any, due;
    uint64_t ecn[3]; /* packets that arrived as ECT(0), ECT(1), CE */
} rp_ack;

void rp_ack_init(rp_ack *ack);
void rp_ack_rest(rp_ack *ack, rp_arena *arena); /* nothing more will be said, but for the largest */
void rp_ack_clear(rp_ack *ack, rp_arena *arena);
/* A packet has come: the more large ones a round trip brings, the more may wait for one acknowledgement,
 * since each costs a wake-up at both ends. Small ones are questions and answers: somebody waits. */
void rp_ack_pace(rp_ack *ack, size_t size, uint64_t rtt, uint64_t now);
/* Returns true when the packet arrived out of order. */
bool rp_ack_received(rp_ack *ack, rp_arena *arena, uint64_t number, bool eliciting, uint64_t now);
/* Writes an ACK frame of at most `room` bytes; returns its size, 0 when it does not fit. */
size_t rp_ack_write(rp_ack *ack, uint8_t *out, size_t room, uint64_t now);
/* The peer has seen an ACK that went up to `largest`: older ranges need no repeating. */
void rp_ack_confirmed(rp_ack *ack, rp_arena *arena, uint64_t largest);

#endif
