#include "core.h"

#include <stdlib.h>
#include <string.h>

/* ---- making and unmaking a core ---- */

static uint32_t power_of_two(uint64_t least) {
    uint32_t size = 64;
    while (size < least) size *= 2;
    return size;
}

static bool config_valid(const rp_config *config) {
    return config->mtu >= RP_MIN_DATAGRAM && config->mtu <= RP_MAX_DATAGRAM && config->max_sessions &&
           config->max_sessions <= 1 << 20 && config->max_streams &&
           config->arena_bytes >= 16 * RP_PAGE_SIZE && config->stream_window >= RP_PAGE_SIZE &&
           config->stream_window <= RP_MAX_STREAM_WINDOW && config->session_window >= config->stream_window &&
           (config->suites & RP_SUITE_XCHACHA20) && config->first_packet <= RP_VARINT_MAX / 2 &&
           config->max_secrets && config->rekey_packets && config->rekey_packets < RP_EPOCH_HARD_LIMIT &&
           config->controller <= RP_CC_BBR;
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
    core->remotes = calloc(sessions, sizeof *core->remotes);
    core->secrets = calloc(core->config.max_secrets, sizeof *core->secrets);
    core->streams = calloc(streams, sizeof *core->streams);
    core->heap.items = calloc(most, sizeof *core->heap.items);
    core->callers = calloc(1, sizeof *core->callers);
    return core->conns && core->generations && core->sessions && core->inits && core->remotes &&
           core->secrets && core->streams && core->heap.items && core->callers;
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
    rp_derive(sodium, config->reset_key, 32, "repram v1 session ids", NULL, 0, core->session_key, 32);
    rp_derive(sodium, config->seed, 32, "repram v1 sources", NULL, 0, core->source_key, 32);
    rp_derive(sodium, config->seed, 32, "repram v1 retry nonces", NULL, 0, core->retry_nonce,
              sizeof core->retry_nonce);
    core->sources.rate = config->handshake_rate;
    static const uint8_t unknown[32];
    rp_mac1_key(sodium, config->identity, core->mac1_key);
    rp_mac1_key(sodium, unknown, core->mac1_key_xx);
    rp_cookie_key(sodium, config->identity, core->retry_key);
    rp_cookie_key(sodium, unknown, core->retry_key_xx);
    rp_core_random(core, core->cookie_secret[0], 32);
    rp_core_random(core, core->cookie_secret[1], 32);
    core->cookie_since = now;
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
    free(core->remotes);
    if (core->secrets) sodium.memzero(core->secrets, core->config.max_secrets * sizeof *core->secrets);
    free(core->secrets);
    free(core->streams);
    free(core->heap.items);
    free(core->callers);
    sodium.memzero(core, sizeof *core);
    free(core);
}

/* ---- datagrams in ---- */

static void on_data(rp_core *core, const rp_header *header, const rp_address *peer, uint8_t *datagram,
                    size_t size, uint8_t ecn, uint64_t now) {
    rp_conn *c = rp_core_find_session(core, header->session);
    if (c) {
        rp_conn_receive(c, header, peer, datagram, size, ecn, now);
        return;
    }
    core->counters.dropped_session++;
    rp_core_reset_stranger(core, peer, header->session, size);
}

static bool count_drop(rp_counters *counters, rp_drop drop) {
    switch (drop) {
    case RP_DROP_NOTHING:
        return false;
    case RP_DROP_SHORT:
        counters->dropped_short++;
        return true;
    case RP_DROP_CRC:
        counters->dropped_crc++;
        return true;
    case RP_DROP_LENGTH:
        counters->dropped_length++;
        return true;
    case RP_DROP_TYPE:
        counters->dropped_type++;
        return true;
    case RP_DROP_FLAGS:
        counters->dropped_flags++;
        return true;
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
        on_data(core, &header, peer, datagram, size, ecn, now);
        return;
    case RP_TYPE_INIT:
        rp_core_on_init(core, peer, datagram, size);
        return;
    case RP_TYPE_ACCEPT:
        rp_core_on_accept(core, &header, peer, datagram, size, now);
        return;
    case RP_TYPE_RETRY:
        rp_core_on_retry(core, &header, datagram, size);
        return;
    case RP_TYPE_RESET:
        rp_core_on_reset(core, &header, peer, datagram, size, now);
        return;
    case RP_TYPE_REFUSED:
    case RP_TYPE_VERSION:
        rp_core_on_refusal(core, &header, datagram, size);
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

/* There are pages again: whoever waits for them may try. */
static void feed_starved(rp_core *core) {
    core->starved = false;
    for (uint32_t i = 0; i < core->config.max_sessions; i++) {
        rp_conn *c = core->conns[i];
        for (rp_stream *s = c ? c->all.first : NULL; s; s = s->sibling_next) {
            if (!s->write_blocked || rp_stream_unsent(s) > rp_conn_send_room(c) / 2) continue;
            s->write_blocked = false;
            rp_conn_stream_event(c, s, RP_EVENT_WRITABLE);
        }
    }
}

int rp_core_transmit(rp_core *core, rp_datagram *batch, int max, uint8_t *buffer, size_t size, uint64_t now) {
    enum { ECT0 = 2 };
    int count = 0;
    size_t used = 0;
    core->now = now;
    if (core->starved && rp_arena_may_write(&core->arena)) feed_starved(core);
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
        rp_address to;
        if (room < c->mtu) break;
        size_t run = rp_conn_send(c, buffer + used, room, now, &segment, &to);
        rp_core_pop_ready(core);
        if (!run) {
            rp_conn_arm(c, now);
            continue;
        }
        describe_run(core, &batch[count], &to, buffer + used, run, segment);
        batch[count++].ecn = c->ecn && c->state == RP_ESTABLISHED ? ECT0 : 0;
        used += run;
        rp_core_ready(core, c); /* behind the others: it may have more */
    }
    return count;
}

void rp_core_too_large(rp_core *core, const rp_address *peer, uint16_t size, uint64_t now) {
    for (uint32_t i = 0; i < core->config.max_sessions; i++) {
        rp_conn *c = core->conns[i];
        if (!c || !rp_conn_open(c) || !rp_address_equal(&c->peer, peer)) continue;
        rp_pmtu_refused(&c->pmtu, size, now);
        rp_conn_resize(c, now);
        rp_core_ready(core, c);
    }
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
