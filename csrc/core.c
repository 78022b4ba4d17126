#include "core.h"

#include <stdlib.h>
#include <string.h>

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
    rp_derive(&core->sodium, core->session_key, 32, "repram v1 session id", input, sizeof input, out, sizeof out);
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

uint32_t rp_core_new_session_id(rp_core *core) {
    uint32_t id;
    do {
        id = permute(core, core->session_counter++);
    } while (!id); /* 0 is INIT's */
    return id;
}

/* ---- tables ---- */

static uint32_t power_of_two(uint64_t least) {
    uint32_t size = 64;
    while (size < least) size *= 2;
    return size;
}

static rp_conn **session_slot(rp_core *core, uint32_t id) {
    return &core->sessions[id & core->session_mask];
}

static rp_conn **init_slot(rp_core *core, const uint8_t *mac) {
    return &core->inits[rp_load32(mac) & core->session_mask];
}

static rp_conn *find_session(rp_core *core, uint32_t id) {
    rp_conn *c = *session_slot(core, id);
    while (c && c->local_session != id) c = c->session_next;
    return c;
}

static rp_conn *find_init(rp_core *core, const uint8_t *mac) {
    rp_conn *c = *init_slot(core, mac);
    while (c && memcmp(c->init_mac, mac, RP_MAC_SIZE) != 0) c = c->init_next;
    return c;
}

void rp_core_forget_init(rp_core *core, rp_conn *conn) {
    for (rp_conn **p = init_slot(core, conn->init_mac); *p; p = &(*p)->init_next)
        if (*p == conn) {
            *p = conn->init_next;
            return;
        }
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

static rp_conn *pop_ready(rp_core *core) {
    rp_conn *c = core->ready_first;
    core->ready_first = c->ready_next;
    if (!core->ready_first) core->ready_last = NULL;
    c->in_ready = false;
    return c;
}

static void pop_eventful(rp_core *core) {
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

static rp_conn *add_conn(rp_core *core, const rp_address *peer, bool initiator, uint64_t now) {
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
    c->local_session = rp_core_new_session_id(core);
    c->session_next = *session_slot(core, c->local_session);
    *session_slot(core, c->local_session) = c;
    core->conns[index] = c;
    core->counters.sessions++;
    return c;
}

void rp_core_forget(rp_core *core, rp_conn *c) {
    for (rp_conn **p = session_slot(core, c->local_session); *p; p = &(*p)->session_next)
        if (*p == c) {
            *p = c->session_next;
            break;
        }
    if (!c->initiator) rp_core_forget_init(core, c);
    if (c->in_ready) leave_ready(core, c);
    if (c->in_events) leave_events(core, c);
    core->conns[(uint32_t)c->handle] = NULL;
    core->counters.sessions--;
    rp_conn_free(c);
    rp_pool_give(&core->arena.blocks, c);
}

static rp_conn *find_conn(rp_core *core, int64_t handle) {
    uint32_t index = (uint32_t)handle;
    if (handle < 0 || index >= core->config.max_sessions) return NULL;
    rp_conn *c = core->conns[index];
    return c && c->handle == handle ? c : NULL;
}

/* ---- making and unmaking a core ---- */

static bool config_valid(const rp_config *config) {
    return config->mtu >= RP_MIN_DATAGRAM && config->mtu <= RP_MAX_DATAGRAM && config->max_sessions &&
           config->max_sessions <= 1 << 20 && config->max_streams && config->arena_bytes >= 16 * RP_PAGE_SIZE &&
           config->stream_window >= RP_PAGE_SIZE && config->stream_window <= RP_MAX_STREAM_WINDOW &&
           config->session_window >= config->stream_window && (config->suites & RP_SUITE_XCHACHA20) &&
           config->first_packet <= RP_VARINT_MAX / 2;
}

/* Frame records and blocks in proportion to the data that can be in flight. */
static rp_arena_plan plan_arena(const rp_config *config) {
    uint64_t pages = config->arena_bytes / RP_PAGE_SIZE;
    uint64_t streams = (uint64_t)config->max_sessions * config->max_streams;
    uint64_t most_streams = 4096 + 8 * pages;
    return (rp_arena_plan){
        .pages = (uint32_t)pages,
        .blocks = (uint32_t)(config->max_sessions * 4 + 256 + 2 * pages),
        .streams = (uint32_t)(streams < most_streams ? streams : most_streams),
        .frames = (uint32_t)(4096 + 64 * pages),
        .stream_size = sizeof(rp_stream),
        .frame_size = sizeof(rp_sent_frame),
    };
}

static bool take_tables(rp_core *core, const rp_arena_plan *plan) {
    uint32_t most = core->config.max_sessions;
    uint32_t sessions = power_of_two(most), streams = power_of_two(plan->streams);
    core->session_mask = sessions - 1;
    core->stream_mask = streams - 1;
    core->conns = calloc(most, sizeof *core->conns);
    core->generations = calloc(most, sizeof *core->generations);
    core->sessions = calloc(sessions, sizeof *core->sessions);
    core->inits = calloc(sessions, sizeof *core->inits);
    core->streams = calloc(streams, sizeof *core->streams);
    core->heap.items = calloc(most, sizeof *core->heap.items);
    return core->conns && core->generations && core->sessions && core->inits && core->streams &&
           core->heap.items;
}

int rp_core_new(const rp_config *config, const rp_sodium *sodium, uint64_t now, rp_core **out) {
    if (!config_valid(config)) return RP_E_MISUSE;
    rp_core *core = calloc(1, sizeof *core);
    if (!core) return RP_E_MEMORY;
    core->config = *config;
    core->sodium = *sodium;
    core->now = now;
    if (!sodium->aegis256_encrypt) core->config.suites &= (uint8_t)~RP_SUITE_AEGIS256;
    rp_arena_plan plan = plan_arena(config);
    if (!rp_arena_take(&core->arena, &plan) || !take_tables(core, &plan)) {
        rp_core_free(core);
        return RP_E_MEMORY;
    }
    core->session_counter = config->first_session;
    memcpy(core->rng_key, config->seed, sizeof core->rng_key);
    rp_derive(sodium, config->seed, 32, "repram v1 session ids", NULL, 0, core->session_key, 32);
    rp_mac1_key(sodium, config->identity, core->mac1_key);
    *out = core;
    return 0;
}

void rp_core_free(rp_core *core) {
    if (!core) return;
    rp_sodium sodium = core->sodium;
    if (core->conns)
        for (uint32_t i = 0; i < core->config.max_sessions; i++)
            if (core->conns[i]) rp_conn_free(core->conns[i]);
    rp_arena_free(&core->arena);
    free(core->conns);
    free(core->generations);
    free(core->sessions);
    free(core->inits);
    free(core->streams);
    free(core->heap.items);
    sodium.memzero(core, sizeof *core);
    free(core);
}

/* ---- handshakes ---- */

static rp_limits our_limits(const rp_core *core, const rp_conn *c) {
    uint64_t stream = core->config.stream_window;
    return (rp_limits){
        .idle_timeout = core->config.idle_timeout,
        .session_window = c->in_limit,
        .stream_window = stream < RP_FIRST_WINDOW ? stream : RP_FIRST_WINDOW,
        .max_streams = core->config.max_streams,
        .max_datagram = RP_MAX_DATAGRAM,
    };
}

static void fill_setup(rp_core *core, rp_noise_setup *setup, uint8_t pattern, bool initiator) {
    memset(setup, 0, sizeof *setup);
    setup->pattern = pattern;
    setup->initiator = initiator;
    memcpy(setup->static_private, core->config.static_private, 32);
    rp_core_random(core, setup->ephemeral_private, 32);
}

static int call(rp_core *core, rp_conn *c, const rp_target *target) {
    uint8_t mac1_key[32];
    rp_noise_setup setup;
    fill_setup(core, &setup, target->pattern, true);
    setup.has_remote_static = 1;
    rp_hello hello = {.has_identity = core->config.has_identity, .limits = our_limits(core, c)};
    memcpy(hello.identity, core->config.identity, 32);
    int error = rp_identity_to_dh(&core->sodium, target->key, setup.remote_static);
    if (!error) {
        rp_mac1_key(&core->sodium, target->key, mac1_key);
        rp_core_random(core, c->handshake->nonce, RP_NONCE_SIZE);
        error = rp_handshake_create_init(c->handshake, &core->sodium, &setup, c->local_session,
                                         core->config.suites, mac1_key, &hello);
    }
    core->sodium.memzero(&setup, sizeof setup);
    return error;
}

int64_t rp_core_connect(rp_core *core, const rp_target *target, uint64_t now) {
    enum { FIRST_WAIT = 400000 };
    core->now = now;
    if (target->pattern != RP_PATTERN_IK) return RP_E_MISUSE;
    rp_conn *c = add_conn(core, &target->peer, true, now);
    if (!c) return RP_E_FULL;
    int error = call(core, c, target);
    if (error) {
        rp_core_forget(core, c);
        return error;
    }
    memcpy(c->peer_identity, target->key, 32);
    c->has_peer_identity = true;
    c->handshake_wait = FIRST_WAIT;
    c->handshake_due = true;
    rp_core_ready(core, c);
    return c->handle;
}

/* An answer to somebody without a session: few a second, so that it cannot be made to shout. */
static uint8_t *reply_buffer(rp_core *core, const rp_address *peer, uint16_t size) {
    enum { REPLIES = sizeof core->replies / sizeof core->replies[0], A_SECOND = 100, SECOND = 1000000 };
    uint64_t gained = (core->now - core->reply_updated) * A_SECOND / SECOND;
    if (gained) {
        core->reply_budget = core->reply_budget + gained < REPLIES ? core->reply_budget + gained : REPLIES;
        core->reply_updated = core->now;
    }
    if (!core->reply_budget || core->reply_count == REPLIES) return NULL;
    core->reply_budget--;
    uint32_t place = core->reply_count++;
    core->replies[place].peer = *peer;
    core->replies[place].size = size;
    return core->replies[place].data;
}

static void refuse(rp_core *core, const rp_address *peer, const uint8_t *init, uint8_t reason) {
    uint8_t *out = reply_buffer(core, peer, RP_REFUSED_SIZE);
    if (!out) return;
    rp_refused_write(out, rp_load32(init + RP_INIT_SESSION), init + RP_INIT_NONCE, reason);
    core->counters.refused_out++;
}

static void offer_versions(rp_core *core, const rp_address *peer, const uint8_t *init) {
    uint8_t *out = reply_buffer(core, peer, RP_REFUSED_SIZE);
    if (!out) return;
    memcpy(out + RP_HEADER_SIZE, init + RP_INIT_NONCE, RP_NONCE_SIZE);
    out[RP_HEADER_SIZE + RP_NONCE_SIZE] = RP_VERSION_1;
    rp_header_write(out, RP_REFUSED_SIZE,
                    &(rp_header){.type = RP_TYPE_VERSION, .session = rp_load32(init + RP_INIT_SESSION)});
    core->counters.versions_out++;
}

static uint8_t choose_suite(const rp_core *core, uint8_t offered) {
    uint8_t common = offered & core->config.suites;
    return common & RP_SUITE_AEGIS256 ? RP_SUITE_AEGIS256 : common & RP_SUITE_XCHACHA20;
}

static int answer(rp_core *core, rp_conn *c, const uint8_t *init, size_t size, uint64_t now) {
    rp_noise_setup setup;
    rp_hello hello;
    uint8_t suite = choose_suite(core, init[RP_INIT_SUITES]);
    fill_setup(core, &setup, init[RP_INIT_PATTERN], false);
    int error = rp_handshake_consume_init(c->handshake, &core->sodium, &setup, init, size, &hello);
    core->sodium.memzero(&setup, sizeof setup);
    if (error) return error;
    rp_welcome welcome = {
        .session = c->local_session,
        .suite = suite,
        .clock = (uint64_t)((int64_t)now + core->config.wall_offset),
        .limits = our_limits(core, c),
    };
    c->remote_session = rp_load32(init + RP_INIT_SESSION);
    error = rp_handshake_create_accept(c->handshake, c->remote_session, &welcome);
    if (error) return error;
    c->has_peer_identity = hello.has_identity;
    memcpy(c->peer_identity, hello.identity, 32);
    rp_conn_use_keys(c, suite, &hello.limits, now);
    return 0;
}

static void repeat_accept(rp_core *core, rp_conn *c, size_t size) {
    core->counters.inits_repeated++;
    if (c->state != RP_ANSWERED) return;
    c->unvalidated_in += size;
    c->handshake_due = true;
    rp_core_ready(core, c);
}

static bool init_wellformed(const uint8_t *init, size_t size) {
    return size >= RP_INIT_SIZE && !init[RP_INIT_RESERVED] && rp_load32(init + RP_INIT_SESSION) &&
           rp_load32(init + 4) == 0;
}

static void on_init(rp_core *core, const rp_address *peer, const uint8_t *init, size_t size, uint64_t now) {
    core->counters.inits_in++;
    if (!core->config.listen || !init_wellformed(init, size)) {
        core->counters.dropped_handshake++;
        return;
    }
    if (init[RP_INIT_VERSION] != RP_VERSION_1) {
        offer_versions(core, peer, init);
        return;
    }
    const uint8_t *mac = init + size - 2 * RP_MAC_SIZE;
    rp_conn *c = find_init(core, mac);
    if (c) {
        repeat_accept(core, c, size);
        return;
    }
    if (!rp_handshake_check_mac1(&core->sodium, core->mac1_key, init, size)) {
        core->counters.dropped_mac++;
        refuse(core, peer, init, RP_REFUSED_WRONG_KEY);
        return;
    }
    if (!choose_suite(core, init[RP_INIT_SUITES]) || init[RP_INIT_PATTERN] != RP_PATTERN_IK) {
        core->counters.dropped_handshake++;
        return;
    }
    c = add_conn(core, peer, false, now);
    if (!c) {
        refuse(core, peer, init, RP_REFUSED_BUSY);
        return;
    }
    memcpy(c->init_mac, mac, RP_MAC_SIZE);
    c->init_next = *init_slot(core, mac);
    *init_slot(core, mac) = c;
    c->unvalidated_in = size;
    if (answer(core, c, init, size, now) != 0) {
        core->counters.dropped_handshake++;
        rp_core_forget(core, c);
        return;
    }
    c->handshake_due = true;
    rp_core_ready(core, c);
}

static void on_accept(rp_core *core, const rp_header *header, const uint8_t *datagram, size_t size,
                      uint64_t now) {
    rp_welcome welcome;
    rp_conn *c = find_session(core, header->session);
    core->counters.accepts_in++;
    if (!c || c->state != RP_CALLING) {
        core->counters.dropped_state++;
        return;
    }
    if (rp_handshake_consume_accept(c->handshake, datagram, size, &welcome) != 0 ||
        !(welcome.suite & core->config.suites) || (welcome.suite & (welcome.suite - 1))) {
        core->counters.dropped_handshake++;
        return;
    }
    c->remote_session = welcome.session;
    c->clock_offset = (int64_t)(welcome.clock - now);
    rp_conn_use_keys(c, welcome.suite, &welcome.limits, now);
    rp_conn_establish(c, now);
    rp_core_ready(core, c);
}

/* Unauthenticated: it only labels the error that is reported when the deadline comes. */
static void on_refusal(rp_core *core, const rp_header *header, const uint8_t *datagram, size_t size) {
    rp_conn *c = find_session(core, header->session);
    if (!c || c->state != RP_CALLING || size != RP_REFUSED_SIZE ||
        memcmp(datagram + RP_HEADER_SIZE, c->handshake->nonce, RP_NONCE_SIZE) != 0) {
        core->counters.dropped_state++;
        return;
    }
    bool version = header->type == RP_TYPE_VERSION;
    if (version)
        core->counters.versions_in++;
    else
        core->counters.refused_in++;
    c->closed_cause = version ? RP_CLOSED_VERSION : RP_CLOSED_REFUSED;
    c->close_code = version ? 0 : datagram[RP_HEADER_SIZE + RP_NONCE_SIZE];
}

/* ---- datagrams in ---- */

static void on_data(rp_core *core, const rp_header *header, uint8_t *datagram, size_t size, uint8_t ecn,
                    uint64_t now) {
    rp_conn *c = find_session(core, header->session);
    if (c)
        rp_conn_receive(c, header, datagram, size, ecn, now);
    else
        core->counters.dropped_session++;
}

static bool count_drop(rp_counters *counters, rp_drop drop) {
    switch (drop) {
    case RP_DROP_NOTHING: return false;
    case RP_DROP_SHORT: counters->dropped_short++; return true;
    case RP_DROP_CRC: counters->dropped_crc++; return true;
    case RP_DROP_LENGTH: counters->dropped_length++; return true;
    case RP_DROP_TYPE: counters->dropped_type++; return true;
    case RP_DROP_FLAGS: counters->dropped_flags++; return true;
    }
    return true;
}

static void receive_one(rp_core *core, const rp_address *peer, uint8_t *datagram, size_t size, uint8_t ecn,
                        uint64_t now) {
    rp_header header;
    core->counters.datagrams_in++;
    core->counters.bytes_in += size;
    if (count_drop(&core->counters, rp_header_read(datagram, size, &header))) return;
    switch (header.type) {
    case RP_TYPE_DATA:
        on_data(core, &header, datagram, size, ecn, now);
        return;
    case RP_TYPE_INIT:
        on_init(core, peer, datagram, size, now);
        return;
    case RP_TYPE_ACCEPT:
        on_accept(core, &header, datagram, size, now);
        return;
    case RP_TYPE_REFUSED:
    case RP_TYPE_VERSION:
        on_refusal(core, &header, datagram, size);
        return;
    default:
        core->counters.dropped_type++;
    }
}

void rp_core_receive(rp_core *core, const rp_datagram *batch, int count, uint64_t now) {
    core->now = now;
    for (int i = 0; i < count; i++) {
        const rp_datagram *d = &batch[i];
        size_t segment = d->segment ? d->segment : d->size;
        for (size_t at = 0; at < d->size; at += segment) {
            size_t size = d->size - at < segment ? d->size - at : segment;
            receive_one(core, &d->peer, d->data + at, size, d->ecn, now);
        }
        if (!d->size) core->counters.dropped_short++;
    }
}

/* ---- datagrams out ---- */

static void describe_run(rp_core *core, rp_datagram *out, const rp_address *peer, uint8_t *data, size_t size,
                         uint16_t segment) {
    *out = (rp_datagram){.data = data, .size = (uint32_t)size, .segment = segment, .peer = *peer};
    core->counters.datagrams_out += (size + segment - 1) / segment;
    core->counters.bytes_out += size;
}

int rp_core_transmit(rp_core *core, rp_datagram *batch, int max, uint8_t *buffer, size_t size, uint64_t now) {
    int count = 0;
    size_t used = 0;
    core->now = now;
    while (core->reply_count && count < max && size - used >= sizeof core->replies[0].data) {
        uint32_t place = --core->reply_count;
        uint16_t length = core->replies[place].size;
        memcpy(buffer + used, core->replies[place].data, length);
        describe_run(core, &batch[count++], &core->replies[place].peer, buffer + used, length, length);
        used += length;
    }
    while (core->ready_first && count < max) {
        rp_conn *c = core->ready_first;
        size_t left = size - used, room = left < RP_MAX_DATAGRAM ? left : RP_MAX_DATAGRAM;
        uint16_t segment = 0;
        if (room < c->mtu) break;
        size_t run = rp_conn_send(c, buffer + used, room, now, &segment);
        pop_ready(core);
        if (!run) {
            rp_conn_arm(c, now);
            continue;
        }
        describe_run(core, &batch[count++], &c->peer, buffer + used, run, segment);
        used += run;
        rp_core_ready(core, c); /* behind the others: it may have more */
    }
    return count;
}

/* ---- time ---- */

static rp_conn *conn_of(rp_timers *timers) {
    return (rp_conn *)(void *)((uint8_t *)timers - offsetof(rp_conn, timers));
}

uint64_t rp_core_deadline(const rp_core *core) {
    if (core->ready_first || core->reply_count) return 0;
    rp_timers *first = rp_heap_first(&core->heap);
    return first ? first->earliest : RP_NEVER;
}

void rp_core_timeout(rp_core *core, uint64_t now) {
    core->now = now;
    for (rp_timers *first; (first = rp_heap_first(&core->heap)) && first->earliest <= now;) {
        rp_conn *c = conn_of(first);
        first->earliest = RP_NEVER; /* out of the heap until sending has looked at it again */
        rp_heap_remove(&core->heap, first);
        rp_conn_timeout(c, now);
    }
}

/* ---- events ---- */

static void fill(rp_event *event, const rp_conn *c, uint8_t kind) {
    memset(event, 0, offsetof(rp_event, reason));
    event->kind = kind;
    event->connection = c->handle;
    if (kind != RP_EVENT_CLOSED) return;
    event->cause = c->closed_cause;
    event->code = c->close_code;
    event->reason_size = c->reason_size;
    memcpy(event->reason, c->reason, c->reason_size);
}

static int poll_stream(rp_conn *c, rp_stream *s, rp_event *events, int max) {
    int count = 0;
    for (uint8_t kind = RP_EVENT_OPENED; kind <= RP_EVENT_STOPPED && s->events; kind++) {
        uint8_t bit = (uint8_t)(1 << (kind - RP_EVENT_OPENED));
        if (!(s->events & bit)) continue;
        if (count == max) return count;
        fill(&events[count], c, kind);
        events[count].stream = s->id;
        if (kind == RP_EVENT_RESET) {
            events[count].code = s->in_code;
            s->reset_seen = true;
        }
        if (kind == RP_EVENT_STOPPED) events[count].code = s->reset_code;
        s->events &= (uint8_t)~bit;
        count++;
    }
    return count;
}

static int poll_streams(rp_conn *c, rp_event *events, int max) {
    int count = 0;
    while (c->event_streams.first && count < max) {
        rp_stream *s = c->event_streams.first;
        count += poll_stream(c, s, events + count, max - count);
        if (s->events) return count;
        c->event_streams.first = s->event_next;
        if (!c->event_streams.first) c->event_streams.last = NULL;
        s->has_event = false;
        rp_conn_drop_stream(c, s);
    }
    return count;
}

static int poll_conn(rp_conn *c, rp_event *events, int max) {
    static const uint8_t before_streams[] = {RP_EVENT_CONNECTED, RP_EVENT_ACCEPTED, RP_EVENT_WRITABLE};
    int count = 0;
    for (size_t i = 0; i < sizeof before_streams && count < max; i++) {
        uint8_t bit = (uint8_t)(1 << before_streams[i]);
        if (c->events & bit) fill(&events[count++], c, before_streams[i]);
        c->events &= (uint8_t)~bit;
    }
    count += poll_streams(c, events + count, max - count);
    if (count < max && c->events & 1 << RP_EVENT_CLOSED) {
        fill(&events[count++], c, RP_EVENT_CLOSED);
        c->events = 0;
    }
    return count;
}

int rp_core_poll(rp_core *core, rp_event *events, int max) {
    int count = 0;
    while (core->event_first && count < max) {
        rp_conn *c = core->event_first;
        count += poll_conn(c, events + count, max - count);
        if (c->events || c->event_streams.first) return count;
        pop_eventful(core);
        if (c->state == RP_DEAD) rp_core_forget(core, c);
    }
    return count;
}

int rp_core_has_events(const rp_core *core) {
    return core->event_first != NULL;
}

/* ---- the application's calls ---- */

static rp_stream *find_open(rp_core *core, int64_t handle, uint64_t id, rp_conn **conn) {
    *conn = find_conn(core, handle);
    return *conn && rp_conn_open(*conn) ? rp_core_find_stream(core, *conn, id) : NULL;
}

int64_t rp_stream_open(rp_core *core, int64_t handle, int priority) {
    rp_conn *c = find_conn(core, handle);
    if (!c || !rp_conn_open(c)) return RP_E_GONE;
    if (priority < 0 || priority >= RP_PRIORITIES) return RP_E_MISUSE;
    if (c->streams_opened >= c->streams_allowed) return RP_E_BLOCKED;
    rp_stream *s = rp_conn_add_stream(c, 2 * c->streams_opened + (c->initiator ? 0 : 1), (uint8_t)priority);
    if (!s) return RP_E_FULL;
    c->streams_opened++;
    return (int64_t)s->id;
}

int64_t rp_stream_write(rp_core *core, int64_t handle, uint64_t id, const uint8_t *data, size_t size, int fin) {
    rp_conn *c;
    rp_stream *s = find_open(core, handle, id, &c);
    if (!s || s->reset_due || s->reset_sent) return RP_E_GONE;
    if (s->fin_written) return size || fin ? RP_E_MISUSE : 0;
    size_t taken = rp_stream_put(s, &core->arena, data, size, rp_conn_send_room(c));
    s->write_blocked = taken < size;
    s->fin_written = fin && taken == size;
    if (rp_stream_has_new(s)) {
        rp_conn_queue_stream(c, s);
        rp_core_ready(core, c);
    }
    return (int64_t)taken;
}

int64_t rp_stream_read(rp_core *core, int64_t handle, uint64_t id, uint8_t *data, size_t size, int *fin) {
    rp_conn *c;
    rp_stream *s = find_open(core, handle, id, &c);
    *fin = 0;
    if (!s || s->in_reset || s->stopped) return RP_E_GONE;
    size_t taken = rp_stream_take(s, &core->arena, data, size);
    *fin = s->end_seen = rp_stream_at_end(s);
    if (taken) rp_conn_consumed(c, s, taken, core->now);
    rp_conn_drop_stream(c, s);
    return (int64_t)taken;
}

int rp_stream_reset(rp_core *core, int64_t handle, uint64_t id, uint64_t code) {
    rp_conn *c;
    rp_stream *s = find_open(core, handle, id, &c);
    if (!s) return RP_E_GONE;
    rp_stream_abandon(s, &core->arena, code);
    rp_conn_queue_stream(c, s);
    rp_core_ready(core, c);
    return 0;
}

int rp_stream_stop(rp_core *core, int64_t handle, uint64_t id, uint64_t code) {
    rp_conn *c;
    rp_stream *s = find_open(core, handle, id, &c);
    if (!s) return RP_E_GONE;
    if (s->stopped || s->in_reset || rp_stream_at_end(s)) {
        s->end_seen = true; /* nobody will read that end any more */
        rp_conn_drop_stream(c, s);
        return 0;
    }
    s->stopped = true;
    s->stop_due = !s->final_known;
    s->stop_code = code;
    rp_conn_consumed(c, s, rp_stream_discard(s, &core->arena), core->now);
    rp_conn_queue_stream(c, s);
    rp_core_ready(core, c);
    rp_conn_drop_stream(c, s);
    return 0;
}

int rp_connection_close(rp_core *core, int64_t handle, uint64_t code, const uint8_t *reason, size_t size,
                        uint64_t now) {
    rp_conn *c = find_conn(core, handle);
    if (!c || c->state >= RP_CLOSING) return RP_E_GONE;
    rp_conn_close(c, RP_CLOSED_BY_US, code, reason, size, now);
    return 0;
}

/* ---- what can be seen ---- */

int rp_connection_stats(rp_core *core, int64_t handle, rp_stats *out) {
    rp_conn *c = find_conn(core, handle);
    if (!c) return RP_E_GONE;
    *out = (rp_stats){
        .rtt = c->loss.smoothed,
        .rtt_min = c->loss.minimum,
        .rtt_var = c->loss.variance,
        .window = c->cc.table->window(&c->cc),
        .in_flight = c->in_flight,
        .rate = c->cc.table->rate(&c->cc, c->loss.smoothed),
        .packets_sent = c->packets_sent,
        .packets_received = c->packets_received,
        .bytes_sent = c->bytes_sent,
        .bytes_received = c->bytes_received,
        .packets_lost = c->packets_lost,
        .retransmitted_bytes = c->retransmitted_bytes,
        .ptos = c->ptos,
        .spurious = c->spurious,
        .streams = c->stream_count,
        .clock_offset = c->clock_offset,
        .mtu = c->mtu,
        .suite = c->keys.suite,
        .established = rp_conn_open(c),
        .has_peer_identity = c->has_peer_identity,
        .peer = c->peer,
    };
    memcpy(out->peer_identity, c->peer_identity, sizeof out->peer_identity);
    memcpy(out->handshake_hash, c->handshake_hash, sizeof out->handshake_hash);
    return 0;
}

void rp_core_counters(const rp_core *core, rp_counters *out) {
    *out = core->counters;
    out->streams = core->arena.streams.used;
    out->arena_used = rp_arena_used(&core->arena);
    out->arena_peak = rp_arena_peak(&core->arena);
}
