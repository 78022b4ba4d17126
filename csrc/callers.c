#include "callers.h"

#include <string.h>

bool rp_callers_put(rp_callers *callers, const rp_address *peer, const uint8_t *init, size_t size,
                    bool proved) {
    rp_caller_ring *ring = proved ? &callers->proved : &callers->others;
    rp_caller *caller = &ring->all[(ring->first + ring->count) % RP_CALLERS];
    bool room = ring->count < RP_CALLERS;
    if (room)
        ring->count++;
    else
        ring->first = (ring->first + 1) % RP_CALLERS;
    caller->peer = *peer;
    caller->size = (uint16_t)size;
    memcpy(caller->init, init, size);
    return room;
}

const rp_caller *rp_callers_take(rp_callers *callers) {
    rp_caller_ring *ring = callers->proved.count ? &callers->proved : &callers->others;
    if (!ring->count) return NULL;
    const rp_caller *caller = &ring->all[ring->first];
    ring->first = (ring->first + 1) % RP_CALLERS;
    ring->count--;
    return caller;
}

bool rp_callers_wait(const rp_callers *callers) { return callers->proved.count || callers->others.count; }
