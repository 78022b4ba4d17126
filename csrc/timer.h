/* Deadlines: a fixed set for each session, and a heap of sessions for the core. */
#ifndef RP_TIMER_H
#define RP_TIMER_H

#include "rp_api.h"

typedef enum {
    RP_TIMER_HANDSHAKE, /* the handshake meets its deadline */
    RP_TIMER_LOSS,      /* INIT again, a time threshold, or a probe */
    RP_TIMER_ACK,
    RP_TIMER_PACE,
    RP_TIMER_IDLE,
    RP_TIMER_KEEP_ALIVE,
    RP_TIMER_PATH,
    RP_TIMER_SLOW,  /* how much the peer has moved is looked at */
    RP_TIMER_DRAIN, /* after CLOSE */
    RP_TIMERS,
} rp_timer;

typedef struct {
    uint64_t at[RP_TIMERS];
    uint64_t earliest;
    uint32_t place; /* in the heap, one-based; 0 = not in it */
} rp_timers;

void rp_timers_init(rp_timers *timers);
uint64_t rp_timers_earliest(const rp_timers *timers);

/* A binary heap of sessions' earliest deadlines, in memory that the caller lends. */
typedef struct {
    rp_timers **items;
    uint32_t count;
} rp_heap;

void rp_heap_update(rp_heap *heap, rp_timers *timers); /* after any of its deadlines changed */
void rp_heap_remove(rp_heap *heap, rp_timers *timers);
rp_timers *rp_heap_first(const rp_heap *heap);

#endif
