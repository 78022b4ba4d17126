#include "loss.h"

#include <string.h>

enum { MAX_BACK_OFF = 10, LONGEST_SILENCE = 1500000, TIME_EIGHTHS = 9, MAX_TIME_EIGHTHS = 16 };

void rp_loss_init(rp_loss *loss) {
    memset(loss, 0, sizeof *loss);
    loss->smoothed = RP_INITIAL_RTT;
    loss->variance = RP_INITIAL_RTT / 2;
    loss->reorder = RP_MIN_REORDER;
    loss->time_eighths = TIME_EIGHTHS;
}

void rp_loss_sample(rp_loss *loss, uint64_t rtt, uint64_t ack_delay, uint64_t max_ack_delay, uint64_t now) {
    loss->latest = rtt;
    if (!loss->sampled) {
        loss->sampled = true;
        loss->first_sample = now;
        loss->minimum = loss->smoothed = rtt;
        loss->variance = rtt / 2;
        return;
    }
    if (rtt < loss->minimum) loss->minimum = rtt;
    if (ack_delay > max_ack_delay) ack_delay = max_ack_delay;
    uint64_t adjusted = rtt >= loss->minimum + ack_delay ? rtt - ack_delay : rtt;
    uint64_t deviation = adjusted > loss->smoothed ? adjusted - loss->smoothed : loss->smoothed - adjusted;
    loss->variance = (3 * loss->variance + deviation) / 4;
    loss->smoothed = (7 * loss->smoothed + adjusted) / 8;
}

static uint64_t at_least_granularity(uint64_t delay) {
    return delay > RP_GRANULARITY ? delay : RP_GRANULARITY;
}

uint64_t rp_loss_delay(const rp_loss *loss) {
    uint64_t rtt = loss->latest > loss->smoothed ? loss->latest : loss->smoothed;
    return at_least_granularity(rtt * loss->time_eighths / 8);
}

uint64_t rp_loss_pto(const rp_loss *loss, uint64_t max_ack_delay) {
    return loss->smoothed + at_least_granularity(4 * loss->variance) + max_ack_delay;
}

uint64_t rp_loss_backed_off(const rp_loss *loss, uint64_t max_ack_delay) {
    uint32_t doublings = loss->pto_count < MAX_BACK_OFF ? loss->pto_count : MAX_BACK_OFF;
    uint64_t first = rp_loss_pto(loss, max_ack_delay), waited = first << doublings;
    if (waited <= LONGEST_SILENCE) return waited;
    return first > LONGEST_SILENCE ? first
                                   : LONGEST_SILENCE; /* a blackout ends between two probes: notice it */
}

void rp_loss_spurious(rp_loss *loss, uint64_t distance, bool by_time) {
    if (distance >= loss->reorder)
        loss->reorder = distance + 1 < RP_MAX_REORDER ? (uint32_t)distance + 1 : RP_MAX_REORDER;
    if (by_time && loss->time_eighths < MAX_TIME_EIGHTHS) loss->time_eighths++;
}
