#include "timer.h"

void rp_timers_init(rp_timers *timers) {
    for (int i = 0; i < RP_TIMERS; i++) timers->at[i] = RP_NEVER;
    timers->earliest = RP_NEVER;
    timers->place = 0;
}

uint64_t rp_timers_earliest(const rp_timers *timers) {
    uint64_t earliest = RP_NEVER;
    for (int i = 0; i < RP_TIMERS; i++)
        if (timers->at[i] < earliest) earliest = timers->at[i];
    return earliest;
}

static void put(rp_heap *heap, uint32_t place, rp_timers *timers) {
    heap->items[place - 1] = timers;
    timers->place = place;
}

static rp_timers *at(const rp_heap *heap, uint32_t place) { return heap->items[place - 1]; }

static void rise(rp_heap *heap, rp_timers *timers) {
    uint32_t place = timers->place;
    for (; place > 1 && at(heap, place / 2)->earliest > timers->earliest; place /= 2)
        put(heap, place, at(heap, place / 2));
    put(heap, place, timers);
}

static void sink(rp_heap *heap, rp_timers *timers) {
    uint32_t place = timers->place;
    for (;;) {
        uint32_t child = 2 * place;
        if (child > heap->count) break;
        if (child < heap->count && at(heap, child + 1)->earliest < at(heap, child)->earliest) child++;
        if (at(heap, child)->earliest >= timers->earliest) break;
        put(heap, place, at(heap, child));
        place = child;
    }
    put(heap, place, timers);
}

void rp_heap_remove(rp_heap *heap, rp_timers *timers) {
    if (!timers->place) return;
    rp_timers *last = at(heap, heap->count--);
    uint32_t place = timers->place;
    timers->place = 0;
    if (last == timers) return;
    put(heap, place, last);
    rise(heap, last);
    sink(heap, last);
}

void rp_heap_update(rp_heap *heap, rp_timers *timers) {
    uint64_t earliest = rp_timers_earliest(timers);
    if (earliest == timers->earliest && timers->place) return;
    timers->earliest = earliest;
    if (earliest == RP_NEVER) {
        rp_heap_remove(heap, timers);
        return;
    }
    if (!timers->place) put(heap, ++heap->count, timers);
    rise(heap, timers);
    sink(heap, timers);
}

rp_timers *rp_heap_first(const rp_heap *heap) { return heap->count ? heap->items[0] : NULL; }
