/* How large a datagram the path carries (RFC 8899, as RFC 9000 uses it in section 14.3). Probes that travel
 * alone and carry no data find out upwards; what no longer gets through is noticed by who goes missing. */
#ifndef RP_PMTU_H
#define RP_PMTU_H

#include <stdbool.h>

#include "rp_api.h"

#define RP_PMTU_TRIES 3               /* probes of one size that are lost before it counts as too large */
#define RP_PMTU_STEP 16               /* what is known to pass and to fail are no further apart: found */
#define RP_PMTU_AGAIN (600 * 1000000) /* microseconds until what failed is tried once more */

typedef struct {
    uint64_t next_at;     /* a probe may leave from then on; RP_NEVER: one flies, or none is larger */
    uint32_t vanished_at; /* when the first left of the packets above the base that were lost in a row */
    uint16_t vanished;    /* the size of the least of them; UINT16_MAX = there are none */
    uint16_t size;        /* what passes: no packet but a probe is larger */
    uint16_t limit;       /* what is never exceeded */
    uint16_t ceiling;     /* the least that did not pass; beyond the limit: nothing failed */
    uint16_t trying;      /* of the last probe, until its fate is known; 0 = none */
    uint8_t tries;        /* probes lost of that size */
    bool wanted : 1;      /* packets have been filled since the last probe: larger ones would be of use */
    bool black_hole : 1;  /* the row of losses is longer than a round trip */
} rp_pmtu;

_Static_assert(sizeof(rp_pmtu) < 32, "every session has one");

/* A new path, of which only the base is known. */
void rp_pmtu_init(rp_pmtu *pmtu, uint16_t limit);

/* ---- probes ---- */
uint16_t rp_pmtu_due(const rp_pmtu *pmtu, uint64_t now); /* the size to probe now, 0 = none */
void rp_pmtu_sent(rp_pmtu *pmtu, uint16_t size);
void rp_pmtu_acked(rp_pmtu *pmtu, uint16_t size, uint64_t now);
void rp_pmtu_lost(rp_pmtu *pmtu, uint16_t size, uint64_t now);

/* Our own interface does not take this size: no need to try it again, be it a probe's or a packet's. */
void rp_pmtu_refused(rp_pmtu *pmtu, uint16_t size, uint64_t now);

/* ---- other packets, in the order of their numbers: lost, or acknowledged ---- */
void rp_pmtu_packet_lost(rp_pmtu *pmtu, uint16_t size, uint64_t sent, uint64_t rtt);

static inline void rp_pmtu_packet_acked(rp_pmtu *pmtu, uint16_t size) {
    if (size < pmtu->vanished) return;
    pmtu->vanished = UINT16_MAX;
    pmtu->black_hole = false;
}

/* After those that an ACK or a timer has settled: large packets vanish, for it takes a later and smaller
 * one's arrival to know it. Then everything is as on a new path. */
bool rp_pmtu_fell(rp_pmtu *pmtu);

#endif
