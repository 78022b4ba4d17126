/* Round-trip time, and when a packet counts as lost (RFC 9002). */
#ifndef RP_LOSS_H
#define RP_LOSS_H

#include <stdbool.h>
#include <stdint.h>

#define RP_INITIAL_RTT 333000
#define RP_GRANULARITY 1000 /* microseconds: the least a timer is set ahead */
#define RP_MIN_REORDER 3
#define RP_MAX_REORDER 1024

typedef struct {
    uint64_t latest, smoothed, variance, minimum;
    bool sampled;
    uint32_t reorder;      /* packet threshold, grows with the reordering observed */
    uint32_t time_eighths; /* time threshold in eighths of the RTT: 9, more after a spurious loss */
    uint32_t pto_count;
    uint64_t first_sample; /* when the RTT was first known */
} rp_loss;

void rp_loss_init(rp_loss *loss);
void rp_loss_sample(rp_loss *loss, uint64_t rtt, uint64_t ack_delay, uint64_t max_ack_delay, uint64_t now);
uint64_t rp_loss_delay(const rp_loss *loss);                       /* the time threshold */
uint64_t rp_loss_pto(const rp_loss *loss, uint64_t max_ack_delay); /* without back-off */
uint64_t rp_loss_backed_off(const rp_loss *loss, uint64_t max_ack_delay);
/* A packet was declared lost and has now been acknowledged, `distance` behind the largest. */
void rp_loss_spurious(rp_loss *loss, uint64_t distance, bool by_time);

#endif
