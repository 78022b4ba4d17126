/* Many sessions behind one socket: who a datagram belongs to, and whose turn it is. */
#ifndef RP_CORE_H
#define RP_CORE_H

#include "callers.h"
#include "conn.h"
#include "sources.h"

#define RP_REPLY_MAX 512 /* an ACCEPT is the longest */

struct rp_core {
    rp_config config;
    rp_sodium sodium;
    rp_arena arena;
    rp_counters counters;
    uint8_t rng_key[32];
    uint64_t rng_counter;
    uint8_t mac1_key[32], mac1_key_xx[32], retry_key[32], retry_key_xx[32];
    uint8_t cookie_secret[2][32]; /* now, and before */
    uint64_t cookie_since;
    uint8_t retry_nonce[RP_RETRY_NONCE_SIZE]; /* of the last RETRY: counts up from anywhere */
    uint32_t half_open;
    uint64_t worked_until; /* at so many a second, callers that proved nothing have used up what is before */
    rp_sources sources;
    rp_callers *callers; /* who wait to be answered */
    uint8_t source_key[32];
    struct {
        uint8_t id[RP_SECRET_ID_SIZE], secret[32];
    } *secrets;
    uint32_t secret_count;

    rp_conn **conns; /* by the low half of the handle */
    uint32_t *generations;
    uint32_t free_hint, session_counter;
    uint8_t session_key[32];
    uint64_t now;                           /* as last told */
    bool starved;                           /* somebody could not write for want of pages */
    rp_conn **sessions, **inits, **remotes; /* hash tables */
    rp_stream **streams;
    uint32_t session_mask, stream_mask;
    rp_heap heap;
    rp_conn *ready_first, *ready_last, *event_first, *event_last;
    rp_conn *told; /* ended, and their last event polled: freed at the next poll */
    struct {       /* answers to those without a session: room for all that one batch may ask for */
        rp_address peer;
        uint16_t size;
        uint8_t data[RP_REPLY_MAX];
    } replies[512];
    uint32_t reply_count;
    uint64_t reply_budget, reply_updated;
};

/* ---- core_sessions.c ---- */
void rp_core_random(rp_core *core, uint8_t *out, size_t size);
rp_conn *rp_core_add_conn(rp_core *core, const rp_address *peer, bool initiator, uint64_t now);
void rp_core_forget(rp_core *core, rp_conn *conn);  /* out of every table; frees its block */
void rp_core_settled(rp_core *core, rp_conn *conn); /* no longer half open */
rp_conn *rp_core_find_conn(rp_core *core, int64_t handle);
rp_conn *rp_core_find_session(rp_core *core, uint32_t local_session);
rp_conn *rp_core_find_init(rp_core *core, const uint8_t *mac);
rp_conn *rp_core_find_remote(rp_core *core, uint32_t remote_session, const rp_address *peer);
void rp_core_index_init(rp_core *core, rp_conn *conn);
void rp_core_index_remote(rp_core *core, rp_conn *conn);
rp_stream *rp_core_find_stream(rp_core *core, rp_conn *conn, uint64_t id);
void rp_core_index_stream(rp_core *core, rp_stream *stream);
void rp_core_unindex_stream(rp_core *core, rp_stream *stream);

void rp_core_ready(rp_core *core, rp_conn *conn); /* it may have something to send */
rp_conn *rp_core_pop_ready(rp_core *core);
void rp_core_eventful(rp_core *core, rp_conn *conn); /* it has something to tell */
void rp_core_pop_eventful(rp_core *core);

/* ---- core_handshake.c ---- */
void rp_core_on_init(rp_core *core, const rp_address *peer, const uint8_t *init, size_t size);
void rp_core_on_retry(rp_core *core, const rp_header *header, const uint8_t *datagram, size_t size);
void rp_core_on_accept(rp_core *core, const rp_header *header, const rp_address *peer,
                       const uint8_t *datagram, size_t size, uint64_t now);
void rp_core_on_refusal(rp_core *core, const rp_header *header, const uint8_t *datagram, size_t size);
void rp_core_on_reset(rp_core *core, const rp_header *header, const rp_address *peer, const uint8_t *datagram,
                      size_t size, uint64_t now);
void rp_core_reset_stranger(rp_core *core, const rp_address *peer, uint32_t session, size_t size);

#endif
