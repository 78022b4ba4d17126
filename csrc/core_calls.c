/* What an application asks of its sessions, and what it is told of them. */
#include <string.h>

#include "core.h"

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
        if (kind == RP_EVENT_WRITABLE) events[count].code = rp_pages_count_returned(&s->out);
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
    static const uint8_t before_streams[] = {RP_EVENT_CONNECTED, RP_EVENT_ACCEPTED, RP_EVENT_WRITABLE,
                                             RP_EVENT_DATAGRAM, RP_EVENT_ADDRESS};
    int count = 0;
    for (size_t i = 0; i < sizeof before_streams && count < max; i++) {
        uint16_t bit = (uint16_t)(1 << before_streams[i]);
        if (c->events & bit) fill(&events[count++], c, before_streams[i]);
        c->events &= (uint16_t)~bit;
    }
    count += poll_streams(c, events + count, max - count);
    if (count < max && c->events & 1 << RP_EVENT_CLOSED) {
        fill(&events[count++], c, RP_EVENT_CLOSED);
        c->events = 0;
    }
    return count;
}

/* Whoever has just been told of a session's end may still look at it: it goes when they ask for more. */
static void forget_told(rp_core *core) {
    while (core->told) {
        rp_conn *c = core->told;
        core->told = c->event_next;
        rp_core_forget(core, c);
    }
}

int rp_core_poll(rp_core *core, rp_event *events, int max) {
    int count = 0;
    forget_told(core);
    while (core->event_first && count < max) {
        rp_conn *c = core->event_first;
        count += poll_conn(c, events + count, max - count);
        if (c->events || c->event_streams.first) return count;
        rp_core_pop_eventful(core);
        if (c->state != RP_DEAD) continue;
        c->event_next = core->told;
        core->told = c;
    }
    return count;
}

/* ---- short streams, taken whole ---- */

static uint8_t event_bit(uint8_t kind) { return (uint8_t)(1 << (kind - RP_EVENT_OPENED)); }

static bool is_whole(const rp_stream *s, size_t limit) {
    uint8_t others = (uint8_t)~(event_bit(RP_EVENT_OPENED) | event_bit(RP_EVENT_READABLE));
    return (s->events & event_bit(RP_EVENT_READABLE)) && !(s->events & others) && rp_stream_readable(s) &&
           !s->end_seen && s->final_known && s->in_whole == s->in_final && s->in_final - s->in_read <= limit;
}

static void take_whole(rp_core *core, rp_conn *c, rp_stream *s, rp_whole *out, uint8_t *buffer, size_t at) {
    *out = (rp_whole){.connection = c->handle,
                      .stream = s->id,
                      .offset = (uint32_t)at,
                      .size = (uint32_t)(s->in_final - s->in_read),
                      .opened = (s->events & event_bit(RP_EVENT_OPENED)) != 0};
    rp_stream_take(s, &core->arena, buffer + at, out->size);
    rp_conn_consumed(c, s, out->size, core->now);
    s->events = 0;
    s->has_event = false;
    s->end_seen = true;
    rp_conn_drop_stream(c, s);
}

int rp_core_take_whole(rp_core *core, rp_whole *out, int max, uint8_t *buffer, size_t room, size_t limit) {
    int count = 0;
    size_t used = 0;
    for (rp_conn *c = core->event_first; c; c = c->event_next) {
        if (c->events) continue; /* what concerns the session is told first */
        rp_stream **link = &c->event_streams.first, *last = NULL;
        while (*link && count < max && limit <= room - used) {
            rp_stream *s = *link;
            if (is_whole(s, limit)) {
                *link = s->event_next;
                take_whole(core, c, s, &out[count], buffer, used);
                used += out[count++].size;
            } else {
                last = s;
                link = &s->event_next;
            }
        }
        if (!*link) c->event_streams.last = last;
    }
    return count;
}

uint64_t rp_core_packets(const rp_core *core) { return core->counters.packets; }

int rp_core_has_events(const rp_core *core) { return core->event_first != NULL; }

/* ---- the application's calls ---- */

static rp_stream *find_open(rp_core *core, int64_t handle, uint64_t id, rp_conn **conn) {
    *conn = rp_core_find_conn(core, handle);
    return *conn && rp_conn_open(*conn) ? rp_core_find_stream(core, *conn, id) : NULL;
}

int64_t rp_stream_open(rp_core *core, int64_t handle, int priority) {
    rp_conn *c = rp_core_find_conn(core, handle);
    if (!c || !rp_conn_open(c)) return RP_E_GONE;
    if (priority < 0 || priority >= RP_PRIORITIES) return RP_E_MISUSE;
    if (c->streams_opened >= c->streams_allowed) return RP_E_BLOCKED;
    rp_stream *s = rp_conn_add_stream(c, 2 * c->streams_opened + (c->initiator ? 0 : 1), (uint8_t)priority);
    if (!s) return RP_E_FULL;
    c->streams_opened++;
    return (int64_t)s->id;
}

int64_t rp_stream_send(rp_core *core, int64_t handle, int priority, const uint8_t *data, size_t size) {
    if (size > RP_SHORT_MAX) return RP_E_MISUSE;
    if (!rp_arena_may_write(&core->arena)) return RP_E_BLOCKED;
    int64_t id = rp_stream_open(core, handle, priority);
    if (id >= 0) rp_stream_write(core, handle, (uint64_t)id, data, size, 1);
    return id;
}

_Static_assert(RP_SHORT_MAX <= RP_PAGE_SIZE && RP_SHORT_MAX <= RP_SEND_BUFFER,
               "it is taken whole, in one page");

typedef size_t (*rp_put_fn)(rp_stream *s, rp_arena *arena, const uint8_t *data, size_t size, uint64_t room);

static int64_t write_with(rp_put_fn put, rp_core *core, rp_conn *c, rp_stream *s, const uint8_t *data,
                          size_t size, int fin) {
    if (!s || s->reset_due || s->reset_sent) return RP_E_GONE;
    if (s->fin_written) return size || fin ? RP_E_MISUSE : 0;
    size_t taken = put(s, &core->arena, data, size, rp_conn_send_room(c));
    s->write_blocked = taken < size;
    core->starved |= s->write_blocked && !rp_arena_may_write(&core->arena);
    s->fin_written = fin && taken == size;
    if (rp_stream_has_new(s)) {
        rp_conn_queue_stream(c, s);
        rp_core_ready(core, c);
    }
    return (int64_t)taken;
}

int64_t rp_stream_write(rp_core *core, int64_t handle, uint64_t id, const uint8_t *data, size_t size,
                        int fin) {
    rp_conn *c;
    rp_stream *s = find_open(core, handle, id, &c);
    return write_with(rp_stream_put, core, c, s, data, size, fin);
}

_Static_assert(RP_LENT_PAGE == RP_PAGE_SIZE, "what is lent takes the place of pages");

int64_t rp_stream_lend(rp_core *core, int64_t handle, uint64_t id, const uint8_t *data, size_t size, int fin,
                       rp_loan *loan) {
    rp_conn *c;
    rp_stream *s = find_open(core, handle, id, &c);
    *loan = (rp_loan){0};
    if (!s) return RP_E_GONE;
    loan->returned = rp_pages_count_returned(&s->out);
    uint32_t before = s->out.lent;
    int64_t taken = write_with(rp_stream_put_lent, core, c, s, data, size, fin);
    loan->lent = s->out.lent - before;
    return taken;
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

int64_t rp_stream_moved(rp_core *core, int64_t handle, uint64_t id) {
    rp_conn *c;
    const rp_stream *s = find_open(core, handle, id, &c);
    return s ? (int64_t)(s->out_acked + s->in_whole) : RP_E_GONE;
}

int rp_stream_reset(rp_core *core, int64_t handle, uint64_t id, uint64_t code) {
    rp_conn *c;
    if (code > RP_VARINT_MAX) return RP_E_MISUSE;
    rp_stream *s = find_open(core, handle, id, &c);
    if (!s) return RP_E_GONE;
    rp_conn_abandon_stream(c, s, code);
    rp_core_ready(core, c);
    return 0;
}

int rp_stream_stop(rp_core *core, int64_t handle, uint64_t id, uint64_t code) {
    rp_conn *c;
    if (code > RP_VARINT_MAX) return RP_E_MISUSE;
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

int rp_connection_grant(rp_core *core, int64_t handle, uint64_t ahead) {
    rp_conn *c = rp_core_find_conn(core, handle);
    if (!c || !rp_conn_open(c)) return RP_E_GONE;
    c->in_most = ahead < core->config.session_window ? ahead : core->config.session_window;
    if (c->in_window > c->in_most) c->in_window = c->in_most;
    return 0;
}

int rp_connection_close(rp_core *core, int64_t handle, uint64_t code, const uint8_t *reason, size_t size,
                        uint64_t now) {
    rp_conn *c = rp_core_find_conn(core, handle);
    if (code > RP_VARINT_MAX) return RP_E_MISUSE;
    if (!c || c->state >= RP_CLOSING) return RP_E_GONE;
    rp_conn_close(c, RP_CLOSED_BY_US, code, reason, size, now);
    return 0;
}

int rp_datagram_send(rp_core *core, int64_t handle, const uint8_t *data, size_t size) {
    rp_conn *c = rp_core_find_conn(core, handle);
    if (!c || !rp_conn_open(c)) return RP_E_GONE;
    if (size > rp_conn_datagram_room(c)) return RP_E_MISUSE;
    if (!rp_fifo_put(&c->datagrams_out, &core->arena, data, size)) core->counters.datagram_frames_dropped++;
    rp_core_ready(core, c);
    return 0;
}

int64_t rp_datagram_read(rp_core *core, int64_t handle, uint8_t *data, size_t size) {
    rp_conn *c = rp_core_find_conn(core, handle);
    if (!c || !rp_conn_open(c)) return RP_E_GONE;
    if (rp_fifo_empty(&c->datagrams_in)) return RP_E_BLOCKED;
    return (int64_t)rp_fifo_take(&c->datagrams_in, &core->arena, data, size);
}

int rp_connection_trace(rp_core *core, int64_t handle, int on) {
    rp_conn *c = rp_core_find_conn(core, handle);
    if (!c) return RP_E_GONE;
    if (!on) rp_trace_stop(&c->trace, &core->arena);
    return !on || rp_trace_start(&c->trace, &core->arena) ? 0 : RP_E_FULL;
}

int rp_connection_trace_read(rp_core *core, int64_t handle, rp_trace_record *out, int max) {
    rp_conn *c = rp_core_find_conn(core, handle);
    return c ? rp_trace_read(&c->trace, out, max) : RP_E_GONE;
}

/* ---- what can be seen ---- */

int rp_connection_stats(rp_core *core, int64_t handle, rp_stats *out) {
    rp_conn *c = rp_core_find_conn(core, handle);
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
        .epoch = c->keys.send_epoch,
        .ecn_marks = c->ecn_marks,
        .migrations = c->migrations,
        .suite = c->keys.suite,
        .controller = core->config.controller,
        .established = rp_conn_open(c),
        .has_peer_identity = c->has_peer_identity,
        .has_secret = c->has_secret,
        .has_observed = c->has_observed,
        .peer = c->peer,
        .observed = c->observed,
    };
    memcpy(out->secret_id, c->secret_id, sizeof out->secret_id);
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
