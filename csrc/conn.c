#include "conn.h"

#include <string.h>

#include "core.h"

/* ---- life ---- */

void rp_conn_init(rp_conn *c, rp_core *core, int64_t handle, const rp_address *peer, bool initiator,
                  uint64_t now) {
    memset(c, 0, sizeof *c);
    c->core = core;
    c->handle = handle;
    c->peer = *peer;
    c->initiator = initiator;
    c->state = initiator ? RP_CALLING : RP_ANSWERED;
    c->handshake_started = c->last_received = now;
    rp_timers_init(&c->timers);
    rp_ack_init(&c->ack);
    rp_sent_init(&c->sent, core->config.first_packet);
    c->loss_scan = core->config.first_packet;
    rp_loss_init(&c->loss);
    rp_pmtu_init(&c->pmtu, core->config.mtu);
    c->mtu = c->pmtu.size;
    rp_cc_init(&c->cc, core->config.controller, c->mtu, now);
    rp_pacer_init(&c->pacer, c->mtu, now);
    c->in_most = core->config.session_window;
    c->in_window = c->in_most < 2 * RP_FIRST_WINDOW ? c->in_most : 2 * RP_FIRST_WINDOW;
    c->in_limit = c->in_window;
    c->streams_granted = core->config.max_streams;
    c->ecn = core->config.ecn;
    c->ratcheted_at = now;
    c->slow.checked = c->acked_at = now;
}

void rp_conn_use_keys(rp_conn *c, uint8_t suite, const rp_limits *theirs, const uint8_t *reset_token,
                      uint64_t now) {
    const rp_sodium *sodium = &c->core->sodium;
    uint8_t send[32], receive[32];
    rp_noise_finish(&c->handshake->noise, send, receive, c->handshake_hash);
    rp_keys_start(&c->keys, sodium, suite, send, receive, c->sent.next, now);
    sodium->memzero(send, sizeof send);
    sodium->memzero(receive, sizeof receive);
    c->theirs = *theirs;
    c->out_limit = theirs->session_window;
    c->streams_allowed = theirs->max_streams;
    if (theirs->max_datagram < c->pmtu.limit) rp_pmtu_init(&c->pmtu, (uint16_t)theirs->max_datagram);
    memcpy(c->reset_token, reset_token, RP_RESET_TOKEN_SIZE);
    rp_core_index_remote(c->core, c);
}

static void return_handshake(rp_conn *c) {
    if (!c->handshake) return;
    c->core->sodium.memzero(c->handshake, sizeof *c->handshake);
    rp_pool_give(&c->core->arena.blocks, c->handshake);
    c->handshake = NULL;
}

void rp_conn_establish(rp_conn *c, uint64_t now) {
    c->state = RP_ESTABLISHED;
    c->last_received = now;
    if (!c->loss.sampled &&
        now > c->last_eliciting) /* since it was sent last: waits for lost ones are no RTT */
        rp_loss_sample(&c->loss, now - c->last_eliciting, 0, 0, now);
    c->loss.sampled = false; /* a first guess only: the first packet's own sample replaces it */
    bool confirm = rp_pattern_is_xx(c->handshake->pattern);
    return_handshake(c);
    rp_core_settled(c->core, c);
    c->core->counters.handshakes_completed++;
    rp_conn_event(c, c->initiator ? RP_EVENT_CONNECTED : RP_EVENT_ACCEPTED);
    if (c->initiator != confirm)
        c->ping_due = true; /* the other side waits for a first packet that verifies */
    c->observed_due = !c->initiator;
    rp_trace_add(&c->trace, now, RP_TRACE_STATE, c->state, 0);
}

bool rp_conn_open(const rp_conn *c) { return c->state == RP_ESTABLISHED; }

static void clear_streams(rp_conn *c) {
    while (c->all.first) {
        rp_stream *stream = c->all.first;
        c->all.first = stream->sibling_next;
        rp_core_unindex_stream(c->core, stream);
        rp_stream_clear(stream, &c->core->arena);
        rp_pool_give(&c->core->arena.streams, stream);
    }
    memset(&c->all, 0, sizeof c->all);
    memset(c->to_send, 0, sizeof c->to_send);
    memset(&c->awaiting_credit, 0, sizeof c->awaiting_credit);
    memset(&c->event_streams, 0, sizeof c->event_streams);
    c->stream_count = 0;
}

/* What an ended session no longer needs goes back at once. */
static void release(rp_conn *c) {
    clear_streams(c);
    rp_sent_clear(&c->sent, &c->core->arena);
    rp_ack_rest(&c->ack, &c->core->arena);
    rp_fifo_clear(&c->datagrams_out, &c->core->arena);
    rp_fifo_clear(&c->datagrams_in, &c->core->arena);
    return_handshake(c);
    c->in_flight = c->in_flight_packets = 0;
}

static bool seen_by_application(const rp_conn *c) { return c->initiator || c->state == RP_ESTABLISHED; }

static void ended(rp_conn *c, rp_state state, uint8_t cause, uint64_t code, uint64_t now) {
    bool tell = seen_by_application(c);
    c->closed_cause = cause;
    c->close_code = code;
    release(c);
    rp_core_settled(c->core, c);
    c->state = (uint8_t)state;
    rp_trace_add(&c->trace, now, RP_TRACE_STATE, c->state, code);
    for (int i = 0; i < RP_TIMERS; i++) c->timers.at[i] = RP_NEVER;
    if (state != RP_DEAD) c->timers.at[RP_TIMER_DRAIN] = now + 3 * rp_loss_pto(&c->loss, RP_MAX_ACK_DELAY);
    rp_heap_update(&c->core->heap, &c->timers);
    if (tell)
        rp_conn_event(c, RP_EVENT_CLOSED);
    else if (state == RP_DEAD)
        rp_core_forget(c->core, c);
}

void rp_conn_close(rp_conn *c, uint8_t cause, uint64_t code, const uint8_t *reason, size_t size,
                   uint64_t now) {
    if (c->state >= RP_CLOSING) return;
    if (c->state != RP_ESTABLISHED) {
        rp_conn_end(c, cause, code, now);
        return;
    }
    c->reason_size = (uint16_t)(size < RP_MAX_REASON ? size : RP_MAX_REASON);
    if (c->reason_size) memcpy(c->reason, reason, c->reason_size);
    c->close_due = true;
    ended(c, RP_CLOSING, cause, code, now);
    rp_core_ready(c->core, c);
}

void rp_conn_abort(rp_conn *c, uint64_t code, const char *reason, uint64_t now) {
    c->core->counters.protocol_errors++;
    rp_conn_close(c, RP_CLOSED_PROTOCOL, code, (const uint8_t *)reason, strlen(reason), now);
}

void rp_conn_end(rp_conn *c, uint8_t cause, uint64_t code, uint64_t now) {
    if (c->state >= RP_CLOSING) return;
    if (c->state <= RP_CONFIRMING) c->core->counters.handshakes_failed++;
    ended(c, cause == RP_CLOSED_BY_PEER ? RP_DRAINING : RP_DEAD, cause, code, now);
}

void rp_conn_free(rp_conn *c) {
    release(c);
    rp_trace_stop(&c->trace, &c->core->arena);
    rp_heap_remove(&c->core->heap, &c->timers);
    c->core->sodium.memzero(c, sizeof *c);
}

/* ---- streams of a session ---- */

static void list_append(rp_stream_list *list, rp_stream *stream) {
    stream->queue_previous = list->last;
    stream->queue_next = NULL;
    if (list->last)
        list->last->queue_next = stream;
    else
        list->first = stream;
    list->last = stream;
}

static void list_remove(rp_stream_list *list, rp_stream *stream) {
    if (stream->queue_previous)
        stream->queue_previous->queue_next = stream->queue_next;
    else
        list->first = stream->queue_next;
    if (stream->queue_next)
        stream->queue_next->queue_previous = stream->queue_previous;
    else
        list->last = stream->queue_previous;
}

static rp_stream_list *list_of(rp_conn *c, const rp_stream *stream) {
    return stream->queue == RP_TO_SEND ? &c->to_send[stream->priority] : &c->awaiting_credit;
}

void rp_conn_unqueue_stream(rp_conn *c, rp_stream *stream) {
    if (stream->queue == RP_NOT_QUEUED) return;
    list_remove(list_of(c, stream), stream);
    stream->queue = RP_NOT_QUEUED;
}

void rp_conn_queue_stream(rp_conn *c, rp_stream *stream) {
    if (stream->queue == RP_TO_SEND) return;
    rp_conn_unqueue_stream(c, stream);
    stream->queue = RP_TO_SEND;
    list_append(list_of(c, stream), stream);
}

rp_stream *rp_conn_add_stream(rp_conn *c, uint64_t id, uint8_t priority) {
    rp_stream *stream = rp_pool_take(&c->core->arena.streams);
    if (!stream) return NULL;
    rp_stream_init(stream, c, id, priority);
    uint64_t largest = c->core->config.stream_window;
    stream->in_window = stream->in_limit = largest < RP_FIRST_WINDOW ? largest : RP_FIRST_WINDOW;
    stream->out_limit = c->theirs.stream_window;
    stream->sibling_next = c->all.first;
    if (c->all.first) c->all.first->sibling_previous = stream;
    c->all.first = stream;
    c->stream_count++;
    rp_core_index_stream(c->core, stream);
    return stream;
}

/* Credit for new streams is given back in steps, not one by one. */
static void peer_stream_closed(rp_conn *c) {
    uint32_t most = c->core->config.max_streams;
    c->peer_streams_closed++;
    uint64_t granted = c->peer_streams_closed + most;
    if (granted - c->streams_granted < (most + 1) / 2) return;
    c->streams_granted = granted;
    c->max_streams_due = true;
    rp_core_ready(c->core, c);
}

void rp_conn_drop_stream(rp_conn *c, rp_stream *stream) {
    if (!rp_stream_done(stream)) return;
    rp_conn_unqueue_stream(c, stream);
    if (stream->sibling_previous)
        stream->sibling_previous->sibling_next = stream->sibling_next;
    else
        c->all.first = stream->sibling_next;
    if (stream->sibling_next) stream->sibling_next->sibling_previous = stream->sibling_previous;
    c->stream_count--;
    bool peers = (stream->id & 1) == (c->initiator ? 1 : 0);
    rp_core_unindex_stream(c->core, stream);
    rp_stream_clear(stream, &c->core->arena);
    rp_pool_give(&c->core->arena.streams, stream);
    if (peers) peer_stream_closed(c);
}

void rp_conn_abandon_stream(rp_conn *c, rp_stream *stream, uint64_t code) {
    rp_stream_abandon(stream, &c->core->arena, code);
    rp_conn_queue_stream(c, stream);
    rp_conn_tell_returned(c, stream);
}

void rp_conn_tell_returned(rp_conn *c, rp_stream *stream) {
    if (!stream->lending || stream->out.lent) return;
    stream->lending = false;
    rp_conn_stream_event(c, stream, RP_EVENT_WRITABLE);
}

void rp_conn_stream_event(rp_conn *c, rp_stream *stream, uint8_t kind) {
    stream->events |= (uint8_t)(1 << (kind - RP_EVENT_OPENED));
    if (!stream->has_event) {
        stream->has_event = true;
        stream->event_next = NULL;
        if (c->event_streams.last)
            c->event_streams.last->event_next = stream;
        else
            c->event_streams.first = stream;
        c->event_streams.last = stream;
    }
    rp_core_eventful(c->core, c);
}

void rp_conn_event(rp_conn *c, uint8_t kind) {
    c->events |= (uint16_t)(1 << kind);
    rp_core_eventful(c->core, c);
}

uint64_t rp_conn_send_room(const rp_conn *c) {
    uint64_t window = c->cc.table->window(&c->cc); /* all of it may open at once */
    return window > RP_SEND_BUFFER ? window : RP_SEND_BUFFER;
}

/* ---- how large packets are ---- */

void rp_conn_resize(rp_conn *c, uint64_t now) {
    if (c->mtu == c->pmtu.size) return;
    rp_trace_add(&c->trace, now, RP_TRACE_MTU, c->pmtu.size, c->mtu);
    c->core->counters.mtu_found += c->pmtu.size > c->mtu;
    c->mtu = c->pmtu.size;
    rp_cc_resize(&c->cc, c->mtu);
}

size_t rp_conn_datagram_room(const rp_conn *c) {
    enum { HEAD = 3 };
    return (size_t)c->mtu - RP_HEADER_SIZE - HEAD - rp_aead_tag_size(c->keys.suite);
}

/* ---- where the peer is ---- */

void rp_conn_prove(rp_conn *c, const rp_address *address, size_t size, uint64_t now) {
    rp_path *path = rp_paths_place(c->paths, address);
    if (!path || !rp_path_seen(path, address, size)) return;
    rp_core_random(c->core, path->challenge, sizeof path->challenge);
    rp_trace_add(&c->trace, now, RP_TRACE_PATH, 1, 0);
    c->asking = true;
}

void rp_conn_stop_asking(rp_conn *c) {
    if (c->asking) rp_paths_clear(c->paths);
    c->asking = false;
}

/* Usually the one address that got our ACCEPT is so proved. Copied INITs may have drawn it elsewhere too. */
void rp_conn_take_address(rp_conn *c, const rp_address *from, size_t size, uint64_t now) {
    bool same = rp_address_equal(from, &c->peer);
    c->unproven = c->several_sources || !same;
    if (!c->unproven) return;
    if (!same) c->unvalidated_in = c->unvalidated_out = 0;
    c->peer = *from;
    c->unvalidated_in += size;
    rp_conn_prove(c, from, size, now);
}

bool rp_conn_may_send(const rp_conn *c, size_t size) {
    return !c->unproven || c->unvalidated_out + size <= 3 * c->unvalidated_in;
}

/* The peer has moved: nothing is known of the new path. */

void rp_conn_migrate(rp_conn *c, const rp_path *path, uint64_t now) {
    uint64_t rtt = now - path->asked_at;
    c->peer = path->address;
    c->unproven = false;
    rp_conn_stop_asking(c);
    c->migrations++;
    c->core->counters.migrations++;
    rp_loss_init(&c->loss);
    rp_loss_sample(&c->loss, rtt, 0, 0, now);
    c->loss.sampled = false; /* a first guess, as after a handshake */
    rp_pmtu_init(&c->pmtu, c->pmtu.limit);
    rp_conn_resize(c, now);
    rp_cc_init(&c->cc, c->core->config.controller, c->mtu, now);
    rp_pacer_init(&c->pacer, c->mtu, now);
    c->episode_lost = 0;
    c->ecn = c->core->config.ecn;
    c->observed_due = true;
    rp_conn_event(c, RP_EVENT_ADDRESS);
    rp_trace_add(&c->trace, now, RP_TRACE_PATH, 2, rtt);
    if (c->in_flight_packets) rp_conn_probe(c, now); /* what went to the old address is gone */
    c->loss.pto_count = 0;
}

/* ---- credit: a window that is used up within two round trips is too small ---- */

static bool widen(uint64_t *window, uint64_t most, uint64_t granted_at, const rp_conn *c, uint64_t now) {
    if (*window >= most || now - granted_at > 2 * c->loss.smoothed) return false;
    *window = *window * 2 < most ? *window * 2 : most;
    return true;
}

void rp_conn_consumed(rp_conn *c, rp_stream *s, uint64_t bytes, uint64_t now) {
    const rp_config *config = &c->core->config;
    c->in_consumed += bytes;
    if (c->in_limit - c->in_consumed < c->in_window / 4 * 3) { /* early: one lost packet may hold up much */
        widen(&c->in_window, c->in_most, c->granted_at, c, now);
        c->in_limit = c->in_consumed + c->in_window;
        c->granted_at = now;
        c->max_data_due = true;
        rp_core_ready(c->core, c);
    }
    if (s->final_known || s->stopped || s->in_limit - s->in_read >= s->in_window / 4 * 3) return;
    widen(&s->in_window, config->stream_window, s->granted_at, c, now);
    s->in_limit = s->in_read + s->in_window;
    s->granted_at = now;
    s->credit_due = true;
    rp_conn_queue_stream(c, s);
    rp_core_ready(c->core, c);
}

/* ---- deadlines ---- */

static uint64_t idle_limit(const rp_conn *c) {
    uint64_t ours = c->core->config.idle_timeout, theirs = c->theirs.idle_timeout;
    if (!ours || !theirs) return ours ? ours : theirs;
    return ours < theirs ? ours : theirs;
}

static uint64_t loss_deadline(const rp_conn *c) {
    if (c->loss_at) return c->loss_at;
    if (!c->in_flight_packets) return RP_NEVER;
    uint64_t asked = c->last_eliciting > c->probed_at ? c->last_eliciting : c->probed_at;
    return asked + rp_loss_backed_off(&c->loss, RP_MAX_ACK_DELAY);
}

/* ---- a peer that moves nothing of what it holds up ---- */

static uint64_t held_up(const rp_conn *c) {
    uint64_t held = 0;
    for (const rp_stream *s = c->all.first; s; s = s->sibling_next) {
        if (!s->reset_due && !s->reset_sent) held += s->out_end - s->out_acked;
        if (s->received.count) held += s->in_highest - s->in_whole;
    }
    return held;
}

static rp_standing standing(const rp_conn *c) {
    return (rp_standing){.held = held_up(c),
                         .moved = c->moved,
                         .flying = c->in_flight_packets > 0,
                         .acked_at = c->acked_at,
                         .heard_at = c->last_received};
}

static uint64_t slow_deadline(rp_conn *c, uint64_t now) {
    if (!c->core->config.patience) return RP_NEVER;
    if (!c->stream_count && !c->in_flight_packets)
        rp_slow_rest(&c->slow, &(rp_standing){.moved = c->moved}, now);
    return c->stream_count || c->in_flight_packets ? c->slow.checked + c->core->config.patience : RP_NEVER;
}

static void check_slowness(rp_conn *c, uint64_t now) {
    rp_standing as_it_is = standing(c);
    if (!rp_slow_check(&c->slow, &as_it_is, c->core->config.patience, now)) return;
    static const char why[] = "next to nothing moved of what waits here";
    c->core->counters.slow_closes++;
    rp_conn_close(c, RP_CLOSED_SLOW, RP_CODE_SLOW, (const uint8_t *)why, sizeof why - 1, now);
}

static void arm_established(rp_conn *c, uint64_t now) {
    uint64_t *at = c->timers.at, idle = idle_limit(c), keep_alive = c->core->config.keep_alive;
    at[RP_TIMER_HANDSHAKE] = RP_NEVER;
    bool mute = !rp_conn_may_send(c, c->mtu); /* until more comes in: no deadline would change that */
    at[RP_TIMER_LOSS] = mute ? RP_NEVER : loss_deadline(c);
    at[RP_TIMER_ACK] = mute || c->ack.due ? RP_NEVER : c->ack.deadline; /* once due, pacing tries again */
    at[RP_TIMER_SLOW] = slow_deadline(c, now);
    uint64_t ask_at = c->asking ? rp_paths_again_at(c->paths) : 0;
    at[RP_TIMER_PATH] = ask_at ? ask_at : RP_NEVER;
    at[RP_TIMER_PACE] = c->pace_at && !mute ? c->pace_at : RP_NEVER;
    at[RP_TIMER_IDLE] = idle ? c->last_received + idle : RP_NEVER;
    uint64_t heard = c->last_received > c->last_eliciting ? c->last_received : c->last_eliciting;
    bool quiet = !mute && !c->ping_due && !c->in_flight_packets;
    at[RP_TIMER_KEEP_ALIVE] = keep_alive && quiet ? heard + keep_alive : RP_NEVER;
}

void rp_conn_arm(rp_conn *c, uint64_t now) {
    if (c->state <= RP_ANSWERED)
        c->timers.at[RP_TIMER_HANDSHAKE] = c->handshake_started + c->core->config.handshake_timeout;
    if (c->state <= RP_CONFIRMING) c->timers.at[RP_TIMER_LOSS] = c->last_eliciting + c->handshake_wait;
    if (c->state == RP_ESTABLISHED) arm_established(c, now);
    rp_heap_update(&c->core->heap, &c->timers);
}

/* Often enough that three lost of ten either way still leave twenty tries before the deadline, and that of a
 * node which hears one in three some are heard within two seconds. */
static void call_again(rp_conn *c, uint64_t now) {
    enum { LONGEST_WAIT = 500000 };
    uint64_t wait = (now - c->handshake_started) / 2;
    if (wait > c->handshake_wait) c->handshake_wait = wait < LONGEST_WAIT ? wait : LONGEST_WAIT;
    c->handshake_due = true;
}

static void handshake_over(rp_conn *c, uint64_t now) {
    rp_conn_end(c, c->closed_cause ? c->closed_cause : RP_CLOSED_UNREACHABLE, c->close_code, now);
}

static void established_timeout(rp_conn *c, uint64_t now) {
    const uint64_t *at = c->timers.at;
    if (at[RP_TIMER_IDLE] <= now) {
        c->core->counters.idle_closes++;
        rp_conn_end(c, RP_CLOSED_IDLE, 0, now);
        return;
    }
    if (at[RP_TIMER_SLOW] <= now) check_slowness(c, now);
    if (c->state != RP_ESTABLISHED) return;
    if (at[RP_TIMER_LOSS] <= now) {
        if (c->loss_at)
            rp_conn_detect_lost(c, now);
        else
            rp_conn_probe(c, now);
    }
    if (at[RP_TIMER_ACK] <= now) c->ack.due = true;
    if (at[RP_TIMER_PACE] <= now) c->pace_at = 0;
    if (at[RP_TIMER_KEEP_ALIVE] <= now) c->ping_due = true;
    if (at[RP_TIMER_PATH] <= now) rp_paths_timeout(c->paths, now);
}

void rp_conn_timeout(rp_conn *c, uint64_t now) {
    rp_core_ready(c->core, c); /* sending re-arms whatever is left */
    const uint64_t *at = c->timers.at;
    switch (c->state) {
    case RP_CALLING:
    case RP_CONFIRMING:
    case RP_ANSWERED:
        if (at[RP_TIMER_HANDSHAKE] <= now)
            handshake_over(c, now);
        else if (at[RP_TIMER_LOSS] <= now)
            call_again(c, now);
        return;
    case RP_ESTABLISHED:
        established_timeout(c, now);
        return;
    default:
        if (at[RP_TIMER_DRAIN] > now) return;
        c->timers.at[RP_TIMER_DRAIN] = RP_NEVER;
        rp_heap_update(&c->core->heap, &c->timers);
        c->state = RP_DEAD;
        if (!(c->events & 1 << RP_EVENT_CLOSED)) rp_core_forget(c->core, c);
    }
}
