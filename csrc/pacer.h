/* Spreads packets over a round trip, in bursts that one system call can carry. */
#ifndef RP_PACER_H
#define RP_PACER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t budget;  /* bytes that may leave now */
    uint64_t updated; /* when the budget was last filled */
} rp_pacer;

void rp_pacer_init(rp_pacer *pacer, uint64_t mtu, uint64_t now);
/* Bytes that may leave now at `rate` bytes a second. */
uint64_t rp_pacer_refill(rp_pacer *pacer, uint64_t rate, uint64_t mtu, uint64_t now);
void rp_pacer_sent(rp_pacer *pacer, uint64_t bytes);
/* When the next burst may leave; `now` or earlier when it may at once. */
uint64_t rp_pacer_next(const rp_pacer *pacer, uint64_t rate, uint64_t mtu);

#endif
