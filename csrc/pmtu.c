#include "pmtu.h"

enum { BASE = RP_MIN_DATAGRAM, ETHERNET = 1472, LOOPBACK6 = 65488 };

static void trust_again(rp_pmtu *p, uint16_t size) {
    p->size = size;
    p->vanished = UINT16_MAX;
    p->black_hole = false;
}

void rp_pmtu_init(rp_pmtu *p, uint16_t limit) {
    *p = (rp_pmtu){.limit = limit, .ceiling = (uint16_t)(limit + 1)};
    if (limit <= BASE) p->next_at = RP_NEVER;
    trust_again(p, BASE);
}

/* Most paths carry all that is allowed, or else what Ethernet does, with jumbo frames or without, over IPv4
 * or IPv6. Only tunnels take something off that, and only below is it looked for by halves. */
static uint16_t next_size(const rp_pmtu *p) {
    static const uint16_t usual[] = {LOOPBACK6, 8972, 8952, ETHERNET, 1452};
    if (p->ceiling > p->limit) return p->limit;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (usual[i] > p->size && usual[i] < p->ceiling) return usual[i];
    if (p->ceiling > ETHERNET || p->ceiling - p->size <= RP_PMTU_STEP) return 0;
    return (uint16_t)((p->size + p->ceiling) / 2);
}

/* The fate of a size is known: on to the next one, or to a rest. */
static void settle(rp_pmtu *p, uint64_t now) {
    p->trying = 0;
    p->tries = 0;
    if (p->size >= p->limit) {
        p->next_at = RP_NEVER;
    } else if (next_size(p)) {
        p->next_at = now;
    } else {
        p->next_at = now + RP_PMTU_AGAIN;
        p->ceiling = (uint16_t)(p->limit + 1);
    }
}

uint16_t rp_pmtu_due(const rp_pmtu *p, uint64_t now) {
    if (now < p->next_at || !p->wanted) return 0;
    return p->trying ? p->trying : next_size(p);
}

void rp_pmtu_sent(rp_pmtu *p, uint16_t size) {
    p->trying = size;
    p->wanted = false;
    p->next_at = RP_NEVER;
}

/* What is said of another size concerns a probe of long ago, maybe on another path. */
void rp_pmtu_acked(rp_pmtu *p, uint16_t size, uint64_t now) {
    if (size != p->trying) return;
    trust_again(p, size);
    settle(p, now);
}

void rp_pmtu_lost(rp_pmtu *p, uint16_t size, uint64_t now) {
    if (size != p->trying) return;
    p->next_at = now;
    if (++p->tries < RP_PMTU_TRIES) return;
    p->ceiling = size;
    settle(p, now);
}

void rp_pmtu_refused(rp_pmtu *p, uint16_t size, uint64_t now) {
    if (size <= BASE) return;
    if (size < p->ceiling) p->ceiling = size;
    if (size <= p->size) trust_again(p, BASE);
    settle(p, now);
    p->wanted = true;
}

void rp_pmtu_packet_lost(rp_pmtu *p, uint16_t size, uint64_t sent, uint64_t rtt) {
    if (size <= BASE || p->size == BASE) return;
    if (p->vanished == UINT16_MAX) p->vanished_at = (uint32_t)sent;
    if (size < p->vanished) p->vanished = size;
    p->black_hole |= (uint32_t)sent - p->vanished_at >= rtt;
}

bool rp_pmtu_fell(rp_pmtu *p) {
    if (!p->black_hole) return false;
    rp_pmtu_init(p, p->limit);
    return true;
}
