/* Who is who among the sessions of a core, and whose turn it is. */
#include <string.h>

#include "core.h"

/* ---- randomness: BLAKE2b of a key that is replaced at each use ---- */

void rp_core_random(rp_core *core, uint8_t *out, size_t size) {
    uint8_t block[64];
    while (size) {
        rp_derive(&core->sodium, core->rng_key, 32, "repram v1 random", NULL, 0, block, sizeof block);
        memcpy(core->rng_key, block + 32, 32);
        size_t run = size < 32 ? size : 32;
        memcpy(out, block, run);
        out += run;
        size -= run;
    }
    core->sodium.memzero(block, sizeof block);
}

/* ---- session ids: a counter behind a keyed permutation, so none is used twice and none is guessed ---- */

static uint16_t feistel_round(rp_core *core, uint16_t half, uint8_t round) {
    uint8_t input[3] = {round, (uint8_t)(half >> 8), (uint8_t)half}, out[32];
    rp_derive(&core->sodium, core->session_key, 32, "repram v1 session id", input, sizeof input, out,
              sizeof out);
    return rp_load16(out);
}

static uint32_t permute(rp_core *core, uint32_t value) {
    uint16_t left = (uint16_t)(value >> 16), right = (uint16_t)value;
    for (uint8_t round = 0; round < 6; round++) {
        uint16_t next = (uint16_t)(left ^ feistel_round(core, right, round));
        left = right;
        right = next;
    }
    return (uint32_t)left << 16 | right;
}

static uint32_t new_session_id(rp_core *core) {
    uint32_t id;
    do {
        id = permute(core, core->session_counter++);
    } while (!id); /* 0 is INIT's */
    return id;
}

/* ---- tables ---- */

static rp_conn **session_slot(rp_core *core, uint32_t id) { return &core->sessions[id & core->session_mask]; }

static rp_conn **init_slot(rp_core *core, const uint8_t *mac) {
    return &core->inits[rp_load32(mac) & core->session_mask];
}

rp_conn *rp_core_find_session(rp_core *core, uint32_t id) {
    rp_conn *c = *session_slot(core, id);
    while (c && c->local_session != id) c = c->session_next;
    return c;
}

rp_conn *rp_core_find_init(rp_core *core, const uint8_t *mac) {
    rp_conn *c = *init_slot(core, mac);
    while (c && memcmp(c->init_mac, mac, RP_MAC_SIZE) != 0) c = c->init_next;
    return c;
}

void rp_core_index_init(rp_core *core, rp_conn *conn) {
    conn->init_next = *init_slot(core, conn->init_mac);
    *init_slot(core, conn->init_mac) = conn;
}

static rp_conn **remote_slot(rp_core *core, uint32_t remote_session) {
    return &core->remotes[remote_session & core->session_mask];
}

/* By whom the peer is: a RESET names the id that we send to. */
void rp_core_index_remote(rp_core *core, rp_conn *conn) {
    conn->remote_next = *remote_slot(core, conn->remote_session);
    *remote_slot(core, conn->remote_session) = conn;
}

rp_conn *rp_core_find_remote(rp_core *core, uint32_t remote_session, const rp_address *peer) {
    rp_conn *c = *remote_slot(core, remote_session);
    while (c && (c->remote_session != remote_session || !rp_address_equal(&c->peer, peer)))
        c = c->remote_next;
    return c;
}

static void forget_in_tables(rp_core *core, rp_conn *conn) {
    rp_conn **p;
    p = session_slot(core, conn->local_session);
    while (*p && *p != conn) p = &(*p)->session_next;
    if (*p) *p = conn->session_next;
    p = init_slot(core, conn->init_mac);
    while (*p && *p != conn) p = &(*p)->init_next;
    if (*p) *p = conn->init_next;
    p = remote_slot(core, conn->remote_session);
    while (*p && *p != conn) p = &(*p)->remote_next;
    if (*p) *p = conn->remote_next;
}

void rp_core_settled(rp_core *core, rp_conn *conn) {
    core->half_open -= conn->half_open;
    conn->half_open = false;
}

static rp_stream **stream_slot(rp_core *core, const rp_conn *conn, uint64_t id) {
    uint64_t hash = (id ^ (uint64_t)conn->handle << 20) * 0x9e3779b97f4a7c15u;
    return &core->streams[(hash >> 32) & core->stream_mask];
}

rp_stream *rp_core_find_stream(rp_core *core, rp_conn *conn, uint64_t id) {
    rp_stream *s = *stream_slot(core, conn, id);
    while (s && (s->id != id || s->conn != conn)) s = s->hash_next;
    return s;
}

void rp_core_index_stream(rp_core *core, rp_stream *stream) {
    rp_stream **slot = stream_slot(core, stream->conn, stream->id);
    stream->hash_next = *slot;
    *slot = stream;
}

void rp_core_unindex_stream(rp_core *core, rp_stream *stream) {
    for (rp_stream **p = stream_slot(core, stream->conn, stream->id); *p; p = &(*p)->hash_next)
        if (*p == stream) {
            *p = stream->hash_next;
            return;
        }
}

/* ---- whose turn it is ---- */

void rp_core_ready(rp_core *core, rp_conn *c) {
    if (c->in_ready) return;
    c->in_ready = true;
    c->ready_next = NULL;
    if (core->ready_last)
        core->ready_last->ready_next = c;
    else
        core->ready_first = c;
    core->ready_last = c;
}

void rp_core_eventful(rp_core *core, rp_conn *c) {
    if (c->in_events) return;
    c->in_events = true;
    c->event_next = NULL;
    if (core->event_last)
        core->event_last->event_next = c;
    else
        core->event_first = c;
    core->event_last = c;
}

rp_conn *rp_core_pop_ready(rp_core *core) {
    rp_conn *c = core->ready_first;
    core->ready_first = c->ready_next;
    if (!core->ready_first) core->ready_last = NULL;
    c->in_ready = false;
    return c;
}

void rp_core_pop_eventful(rp_core *core) {
    rp_conn *c = core->event_first;
    core->event_first = c->event_next;
    if (!core->event_first) core->event_last = NULL;
    c->in_events = false;
}

/* Rare: a session that is freed while it stands in a list. */
static void leave_ready(rp_core *core, rp_conn *gone) {
    rp_conn *c = core->ready_first;
    core->ready_first = core->ready_last = NULL;
    while (c) {
        rp_conn *next = c->ready_next;
        c->in_ready = false;
        if (c != gone) rp_core_ready(core, c);
        c = next;
    }
}

static void leave_events(rp_core *core, rp_conn *gone) {
    rp_conn *c = core->event_first;
    core->event_first = core->event_last = NULL;
    while (c) {
        rp_conn *next = c->event_next;
        c->in_events = false;
        if (c != gone) rp_core_eventful(core, c);
        c = next;
    }
}

/* ---- sessions ---- */

rp_conn *rp_core_add_conn(rp_core *core, const rp_address *peer, bool initiator, uint64_t now) {
    uint32_t most = core->config.max_sessions;
    if (core->counters.sessions >= most) return NULL;
    while (core->conns[core->free_hint]) core->free_hint = (core->free_hint + 1) % most;
    rp_conn *c = rp_pool_take(&core->arena.blocks);
    rp_handshake *handshake = rp_pool_take(&core->arena.blocks);
    if (!c || !handshake) {
        rp_pool_give(&core->arena.blocks, c);
        rp_pool_give(&core->arena.blocks, handshake);
        return NULL;
    }
    uint32_t index = core->free_hint, generation = ++core->generations[index] & 0x7fffffff;
    rp_conn_init(c, core, (int64_t)((uint64_t)generation << 32 | index), peer, initiator, now);
    memset(handshake, 0, sizeof *handshake);
    c->handshake = handshake;
    c->local_session = new_session_id(core);
    c->session_next = *session_slot(core, c->local_session);
    *session_slot(core, c->local_session) = c;
    core->conns[index] = c;
    core->counters.sessions++;
    return c;
}

void rp_core_forget(rp_core *core, rp_conn *c) {
    forget_in_tables(core, c);
    rp_core_settled(core, c);
    if (c->in_ready) leave_ready(core, c);
    if (c->in_events) leave_events(core, c);
    core->conns[(uint32_t)c->handle] = NULL;
    core->counters.sessions--;
    rp_conn_free(c);
    rp_pool_give(&core->arena.blocks, c);
}

rp_conn *rp_core_find_conn(rp_core *core, int64_t handle) {
    uint32_t index = (uint32_t)handle;
    if (handle < 0 || index >= core->config.max_sessions) return NULL;
    rp_conn *c = core->conns[index];
    return c && c->handle == handle ? c : NULL;
}
