#include "pacer.h"

#define SECOND 1000000

enum { BURST_SEGMENTS = 10, BURST_TIME = 1000, LATE_TIME = 5000, MAX_BURST = 1024 * 1024 };

static uint64_t worth(uint64_t rate, uint64_t time) {
    uint64_t bytes = rate / SECOND * time;
    return bytes < MAX_BURST ? bytes : MAX_BURST;
}

/* At least ten packets, as an initial window is; at speed a millisecond's worth: on a path that is shorter
 * than that, acknowledgements pace alone, and no timer has to be set. */
static uint64_t burst(uint64_t rate, uint64_t mtu) {
    uint64_t least = BURST_SEGMENTS * mtu, timed = worth(rate, BURST_TIME);
    return timed > least ? timed : least;
}

/* What a wake-up that comes late may make up for. */
static uint64_t most_saved(uint64_t rate, uint64_t mtu) {
    uint64_t late = worth(rate, LATE_TIME), least = burst(rate, mtu);
    return late > least ? late : least;
}

void rp_pacer_init(rp_pacer *pacer, uint64_t mtu, uint64_t now) {
    pacer->budget = BURST_SEGMENTS * mtu;
    pacer->updated = now;
}

static uint64_t earned(uint64_t rate, uint64_t elapsed, uint64_t most) {
    if (elapsed > SECOND) elapsed = SECOND;
    uint64_t bytes = rate > UINT64_MAX / SECOND ? most : rate * elapsed / SECOND;
    return bytes < most ? bytes : most;
}

uint64_t rp_pacer_refill(rp_pacer *pacer, uint64_t rate, uint64_t mtu, uint64_t now) {
    uint64_t most = most_saved(rate, mtu);
    uint64_t gained = now > pacer->updated ? earned(rate, now - pacer->updated, most) : 0;
    if (gained) {
        pacer->budget = pacer->budget + gained < most ? pacer->budget + gained : most;
        pacer->updated = now;
    }
    return pacer->budget;
}

void rp_pacer_sent(rp_pacer *pacer, uint64_t bytes) {
    pacer->budget = pacer->budget > bytes ? pacer->budget - bytes : 0;
}

/* Waits until half a burst is earned rather than one packet: fewer, fuller wake-ups. */
uint64_t rp_pacer_next(const rp_pacer *pacer, uint64_t rate, uint64_t mtu) {
    uint64_t need = burst(rate, mtu) / 2;
    if (need < mtu) need = mtu;
    if (pacer->budget >= need || !rate) return pacer->updated;
    return pacer->updated + (need - pacer->budget) * SECOND / rate + 1;
}
