/* Many sessions behind one socket: who a datagram belongs to, and whose turn it is. */
#ifndef RP_CORE_H
#define RP_CORE_H

#include "conn.h"

struct rp_core {
    rp_config config;
    rp_sodium sodium;
    rp_arena arena;
    rp_counters counters;
    uint8_t rng_key[32];
    uint64_t rng_counter;
    uint8_t mac1_key[32];

    rp_conn **conns; /* by the low half of the handle */
    uint32_t *generations;
    uint32_t free_hint, session_counter;
    uint8_t session_key[32];
    uint64_t now; /* as last told */
    rp_conn **sessions, **inits; /* hash tables */
    rp_stream **streams;
    uint32_t session_mask, stream_mask;
    rp_heap heap;
    rp_conn *ready_first, *ready_last, *event_first, *event_last;
    struct { /* answers to those without a session; few, and overwritten when too many */
        rp_address peer;
        uint16_t size;
        uint8_t data[64];
    } replies[16];
    uint32_t reply_count;
    uint64_t reply_budget, reply_updated;
};

void rp_core_random(rp_core *core, uint8_t *out, size_t size);
uint32_t rp_core_new_session_id(rp_core *core);
void rp_core_ready(rp_core *core, rp_conn *conn);
void rp_core_eventful(rp_core *core, rp_conn *conn);
void rp_core_forget(rp_core *core, rp_conn *conn); /* out of every table; frees its block */
void rp_core_forget_init(rp_core *core, rp_conn *conn);

rp_stream *rp_core_find_stream(rp_core *core, rp_conn *conn, uint64_t id);
void rp_core_index_stream(rp_core *core, rp_stream *stream);
void rp_core_unindex_stream(rp_core *core, rp_stream *stream);

#endif
