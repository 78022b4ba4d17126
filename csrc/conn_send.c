/* What a session has to say, and whether it may say it now. */
#include <string.h>

#include "conn.h"
#include "core.h"

enum { MAX_SEGMENTS = 64, MANY_RANGES = 2, SPARE_FRAMES = 16, RETRY_MEMORY = 10000 };

/* One packet being written. */
typedef struct {
    uint8_t *start, *p, *end; /* `end` leaves room for the tag */
    rp_sent_packet *record;
    bool eliciting;
} rp_writer;

static size_t room(const rp_writer *w) { return (size_t)(w->end - w->p); }

/* Remembers a frame so that it can be repeated. */
static void remember(rp_conn *c, rp_writer *w, const rp_sent_frame *frame) {
    rp_sent_add_frame(w->record, &c->core->arena, frame);
}

static bool few_records(const rp_conn *c) {
    return c->core->arena.frames.count - c->core->arena.frames.used < SPARE_FRAMES;
}

/* Lost packets are remembered for a while, lest they were only late; when there is no room for new ones they
 * go first. Otherwise, with nothing in flight, no acknowledgement would ever make room. */
static void forget_lost(rp_conn *c) {
    rp_sent_forget(&c->sent, &c->core->arena, RP_NEVER);
    if (c->loss_scan < c->sent.base) c->loss_scan = c->sent.base;
}

/* ---- control frames ---- */

static void put_value(rp_conn *c, rp_writer *w, uint8_t type, uint64_t value) {
    *w->p++ = type;
    w->p = rp_varint_write(w->p, value);
    w->eliciting = true;
    remember(c, w, &(rp_sent_frame){.type = type});
}

static void put_stream_value(rp_conn *c, rp_writer *w, uint8_t type, uint64_t stream, uint64_t value) {
    *w->p++ = type;
    w->p = rp_varint_write(w->p, stream);
    w->p = rp_varint_write(w->p, value);
    w->eliciting = true;
    remember(c, w, &(rp_sent_frame){.type = type, .stream = stream});
}

static void put_ack(rp_conn *c, rp_writer *w, uint64_t now) {
    if (!c->ack.due && !c->ack.waiting) return;
    size_t limit = room(w) / 2; /* leaves room for data behind the longest list of ranges */
    size_t size = rp_ack_write(&c->ack, w->p, limit, now);
    if (!size) return;
    w->p += size;
    c->core->counters.acks_out++;
    c->keys.told |= c->ack.largest >= c->keys.first_received;
    remember(c, w, &(rp_sent_frame){.type = RP_FRAME_ACK, .offset = c->ack.largest});
}

static void put_observed(rp_conn *c, rp_writer *w) {
    *w->p++ = RP_FRAME_OBSERVED_ADDRESS;
    memcpy(w->p, c->peer.ip, sizeof c->peer.ip);
    rp_store16(w->p + sizeof c->peer.ip, c->peer.port);
    w->p += RP_OBSERVED_SIZE;
    w->eliciting = true;
    remember(c, w, &(rp_sent_frame){.type = RP_FRAME_OBSERVED_ADDRESS});
}

static void put_ratchet(rp_conn *c, rp_writer *w) {
    *w->p++ = RP_FRAME_RATCHET;
    *w->p++ = !c->initiator;
    rp_store32(w->p, c->ratchet_count);
    memcpy(w->p + 4, c->ratchet_public, 32);
    w->p += 4 + 32;
    w->eliciting = true;
    remember(c, w, &(rp_sent_frame){.type = RP_FRAME_RATCHET});
}

static void put_control(rp_conn *c, rp_writer *w) {
    if (c->max_data_due) put_value(c, w, RP_FRAME_MAX_DATA, c->in_limit);
    if (c->max_streams_due) put_value(c, w, RP_FRAME_MAX_STREAMS, c->streams_granted);
    if (c->observed_due) put_observed(c, w);
    if (c->ratchet_due) put_ratchet(c, w);
    c->max_data_due = c->max_streams_due = c->observed_due = c->ratchet_due = false;
}

static void put_datagrams(rp_conn *c, rp_writer *w) {
    enum { HEAD = 3 };
    while (!rp_fifo_empty(&c->datagrams_out)) {
        size_t size = rp_fifo_next_size(&c->datagrams_out);
        if (size > rp_conn_datagram_room(c)) { /* packets were larger when it was handed in */
            rp_fifo_take(&c->datagrams_out, &c->core->arena, w->p, 0);
            c->core->counters.datagram_frames_dropped++;
            continue;
        }
        if (room(w) < HEAD + size) return;
        *w->p++ = RP_FRAME_DATAGRAM;
        rp_store16(w->p, (uint16_t)size);
        rp_fifo_take(&c->datagrams_out, &c->core->arena, w->p + 2, size);
        w->p += 2 + size;
        w->eliciting = true;
    }
}

static void put_ping(rp_writer *w) {
    *w->p++ = RP_FRAME_PING;
    w->eliciting = true;
}

/* ---- streams ---- */

enum { STREAM_CONTROL_MAX = 3 * (1 + 8 + 8 + 8) };

static void put_stream_control(rp_conn *c, rp_writer *w, rp_stream *s) {
    if (s->reset_due) {
        put_stream_value(c, w, RP_FRAME_RESET_STREAM, s->id, s->reset_code);
        w->p = rp_varint_write(w->p, s->out_next);
        s->reset_sent = true;
    }
    if (s->stop_due) put_stream_value(c, w, RP_FRAME_STOP, s->id, s->stop_code);
    if (s->credit_due) put_stream_value(c, w, RP_FRAME_MAX_STREAM_DATA, s->id, s->in_limit);
    s->reset_due = s->stop_due = s->credit_due = false;
}

static uint64_t pace(const rp_conn *c) { return c->cc.table->rate(&c->cc, c->loss.smoothed); }

static uint64_t session_credit(const rp_conn *c) { return c->out_limit - c->out_total; }

/* Returns false when this packet has no room for another frame of the stream. */
static bool put_stream_data(rp_conn *c, rp_writer *w, rp_stream *s) {
    rp_sent_frame frame;
    size_t head = rp_stream_frame_size(s->id, rp_stream_next_offset(s));
    if (room(w) <= head) return false;
    uint64_t before = s->out_next;
    if (!rp_stream_choose(s, &c->core->arena, room(w) - head, session_credit(c), &frame)) return true;
    c->out_total += s->out_next - before;
    w->p = rp_stream_frame_write(w->p, s->id, frame.offset, frame.size, frame.fin);
    w->p += rp_pages_read(&s->out, frame.offset, w->p, frame.size);
    w->eliciting = true;
    remember(c, w, &frame);
    return true;
}

static void await_credit(rp_conn *c, rp_stream *s) {
    rp_conn_unqueue_stream(c, s);
    s->queue = RP_AWAITING_CREDIT;
    s->queue_previous = c->awaiting_credit.last;
    s->queue_next = NULL;
    if (c->awaiting_credit.last)
        c->awaiting_credit.last->queue_next = s;
    else
        c->awaiting_credit.first = s;
    c->awaiting_credit.last = s;
}

/* A turn is as much as leaves in a millisecond: what is whole soon can be used soon, and nobody waits long.
 */
static bool turn_over(const rp_conn *c, rp_stream *s, size_t sent) {
    enum { TURNS_A_SECOND = 1000 };
    s->turn += sent;
    return !sent || s->turn >= pace(c) / TURNS_A_SECOND;
}

/* Where the stream stands after a packet: done for now, held by the session's credit, still first, or behind
 * the others. */
static void requeue(rp_conn *c, rp_stream *s, size_t sent) {
    bool more = rp_stream_has_repeat(s) || rp_stream_has_new(s);
    bool held = more && !rp_stream_has_repeat(s) && !session_credit(c) && s->out_next < s->out_end;
    if (more && !held && !turn_over(c, s, sent)) return;
    s->turn = 0;
    rp_conn_unqueue_stream(c, s);
    if (held)
        await_credit(c, s);
    else if (more)
        rp_conn_queue_stream(c, s);
}

static bool put_stream(rp_conn *c, rp_writer *w, rp_stream *s) {
    if (room(w) < STREAM_CONTROL_MAX || few_records(c)) return false;
    put_stream_control(c, w, s);
    uint8_t *start = w->p, *before = start;
    bool fits = put_stream_data(c, w, s);
    while (fits && w->p != before && rp_stream_has_repeat(s) &&
           !few_records(c)) { /* small repeats share a packet */
        before = w->p;
        fits = put_stream_data(c, w, s);
    }
    if (fits) requeue(c, s, (size_t)(w->p - start));
    return fits;
}

static void put_streams(rp_conn *c, rp_writer *w) {
    for (int priority = 0; priority < RP_PRIORITIES; priority++)
        while (c->to_send[priority].first)
            if (!put_stream(c, w, c->to_send[priority].first)) return;
}

/* ---- a packet ---- */

static bool streams_waiting(const rp_conn *c) {
    for (int priority = 0; priority < RP_PRIORITIES; priority++)
        if (c->to_send[priority].first) return true;
    return false;
}

static bool has_work(const rp_conn *c) {
    return c->ping_due || c->max_data_due || c->max_streams_due || c->observed_due || c->ratchet_due ||
           !rp_fifo_empty(&c->datagrams_out) || streams_waiting(c);
}

/* A window smaller than one packet of a jumbo path would never open again. */
static uint64_t window_left(const rp_conn *c) {
    uint64_t window = c->cc.table->window(&c->cc);
    if (window < c->mtu) window = c->mtu;
    return window > c->in_flight ? window - c->in_flight : 0;
}

/* How many bytes of eliciting packets may leave now; when only the pacer says none, it says until when. */
static uint64_t allowance(rp_conn *c, uint64_t now) {
    c->pace_at = 0;
    if (few_records(c)) forget_lost(c);
    if (few_records(c)) {
        c->pace_at = now + RETRY_MEMORY;
        return 0;
    }
    if (c->probes) return (uint64_t)c->probes * c->mtu;
    uint64_t left = window_left(c), rate = pace(c);
    if (left < c->mtu) return 0;
    uint64_t earned = rp_pacer_refill(&c->pacer, rate, c->mtu, now);
    if (earned < c->mtu) c->pace_at = rp_pacer_next(&c->pacer, rate, c->mtu);
    return earned < left ? earned : left;
}

static bool start_packet(rp_conn *c, rp_writer *w, uint8_t *out) {
    w->start = out;
    w->p = out + RP_HEADER_SIZE;
    size_t most = c->probes == 1 ? RP_MIN_DATAGRAM : c->mtu; /* the last one after a silence is small */
    w->end = out + most - rp_aead_tag_size(c->keys.suite);
    w->eliciting = false;
    w->record = rp_sent_push(&c->sent, &c->core->arena);
    if (!w->record) {
        forget_lost(c);
        w->record = rp_sent_push(&c->sent, &c->core->arena);
    }
    return w->record != NULL;
}

static void seal(rp_conn *c, rp_writer *w, uint64_t number) {
    size_t text = (size_t)(w->p - w->start) - RP_HEADER_SIZE;
    size_t size = RP_HEADER_SIZE + text + rp_aead_tag_size(c->keys.suite);
    uint8_t ad[RP_AAD_SIZE]; /* made here, where it is warm, and copied */
    rp_header_begin(ad, size,
                    &(rp_header){.type = RP_TYPE_DATA,
                                 .flags = c->keys.send_epoch & 1 ? RP_FLAG_PHASE : 0,
                                 .session = c->remote_session,
                                 .seq = (uint32_t)number,
                                 .ack = c->ack.any ? (uint32_t)c->ack.largest : 0});
    memcpy(w->start, ad, RP_HEADER_SIZE);
    ad[16] = RP_VERSION_1;
    rp_store32(ad + 17, c->keys.send_epoch);
    rp_aead_seal(&c->core->sodium, c->keys.suite, &c->keys.send, number, ad, sizeof ad,
                 w->start + RP_HEADER_SIZE, text, w->start + RP_HEADER_SIZE);
    rp_header_finish(w->start, size);
    w->p = w->start + size;
}

static void account(rp_conn *c, rp_writer *w, uint64_t number, uint64_t now) {
    rp_sent_packet *record = w->record;
    record->time = now;
    record->size = (uint16_t)(w->p - w->start);
    record->eliciting = w->eliciting;
    record->ecn = c->ecn;
    c->packets_sent++;
    c->core->counters.packets++;
    c->bytes_sent += record->size;
    c->unvalidated_out += record->size;
    if (number >> 32 && number % ((uint64_t)1 << 32) == 0) c->core->counters.wraps++;
    rp_trace_add(&c->trace, now, RP_TRACE_SENT, number, record->size);
    if (!w->eliciting) { /* never acknowledged for its own sake: nothing waits for it */
        rp_sent_free_frames(record, &c->core->arena);
        rp_sent_forget(&c->sent, &c->core->arena, 0);
        return;
    }
    if (!c->in_flight_packets) {
        c->first_sent_time = c->delivered_time = now;
        if (c->last_received > c->last_eliciting)
            c->last_received = now; /* idle counts from a question asked */
    }
    record->delivered = c->delivered;
    record->delivered_time = c->delivered_time;
    record->first_sent_time = c->first_sent_time;
    rp_sent_set_state(&c->sent, number, record, RP_SENT_FLYING);
    c->in_flight += rp_sent_weight(record);
    c->in_flight_packets++;
    c->last_eliciting = now;
    if (c->probes) c->probes--;
    rp_pacer_sent(&c->pacer, rp_sent_weight(record));
    record->app_limited = !has_work(c) && window_left(c) >= c->mtu;
}

/* ---- new keys: the initiator starts, the responder follows, so that both never start at once ---- */

static uint64_t packets_in_epoch(const rp_conn *c) {
    uint64_t out = c->sent.next - c->keys.first_sent, in = c->replay.next - c->keys.first_received;
    return out > in ? out : in;
}

static void ask_ratchet(rp_conn *c) {
    rp_core_random(c->core, c->ratchet_private, 32);
    c->core->sodium.scalarmult_base(c->ratchet_public, c->ratchet_private);
    c->ratchet_count++;
    c->ratchet_asked = c->ratchet_due = true;
}

static void renew_keys(rp_conn *c, uint64_t now) {
    const rp_config *config = &c->core->config;
    const rp_keys *keys = &c->keys;
    uint64_t packets = packets_in_epoch(c);
    if (packets >= RP_EPOCH_HARD_LIMIT) {
        rp_conn_abort(c, RP_CODE_KEYS, "the keys are worn out", now);
        return;
    }
    bool due = packets >= config->rekey_packets || now - keys->started >= config->rekey_time;
    if (!c->initiator || !due || c->ratchet_asked) return;
    if (!keys->acknowledged || keys->send_epoch != keys->receive_epoch) {
        if (!c->in_flight_packets)
            c->ping_due = true; /* one who only listens must ask for what it waits for */
        return;
    }
    if (now - c->ratcheted_at >= config->ratchet_time) {
        ask_ratchet(c);
        return;
    }
    rp_keys_update(&c->keys, &c->core->sodium, c->sent.next, now);
    c->core->counters.key_updates++;
    rp_trace_add(&c->trace, now, RP_TRACE_KEYS, keys->send_epoch, keys->receive_epoch);
}

/* Now and then a number is left out, which an honest peer cannot acknowledge: one that acknowledges ahead of
 * what it gets, to be sent more than the path takes, gives itself away. Soon at first, later rarely. */
static void skip_number(rp_conn *c) {
    enum { FIRST = 64, MOST = 4096 };
    if (c->until_skip && --c->until_skip) return;
    uint8_t chance[4];
    rp_core_random(c->core, chance, sizeof chance);
    if (c->skip_range) {
        rp_sent_packet *record = rp_sent_push(&c->sent, &c->core->arena);
        if (record) record->state = RP_SENT_SKIPPED;
    }
    c->skip_range = !c->skip_range ? FIRST : c->skip_range < MOST ? 2 * c->skip_range : MOST;
    c->until_skip = c->skip_range + rp_load32(chance) % c->skip_range;
}

static size_t send_packet(rp_conn *c, uint8_t *out, uint64_t *allowed, uint64_t now) {
    if (!rp_conn_may_send(c, c->mtu)) return 0;
    bool may = *allowed >= c->mtu && has_work(c);
    rp_writer w;
    if (may || c->ack.due) renew_keys(c, now);
    if (c->state != RP_ESTABLISHED) return 0;
    if (!may && !c->ack.due) return 0;
    if (may) skip_number(c);
    uint64_t number = c->sent.next;
    if (!start_packet(c, &w, out)) {
        c->pace_at = now + RETRY_MEMORY;
        return 0;
    }
    put_ack(c, &w, now);
    if (may) {
        put_control(c, &w);
        put_datagrams(c, &w);
        put_streams(c, &w);
        if (c->ping_due && !w.eliciting) put_ping(&w);
        c->ping_due = c->probes > 1 && c->mtu > RP_MIN_DATAGRAM; /* then the second probe goes in any case */
    } else if (c->ack.received.count > MANY_RANGES && now - c->last_range_ping > c->loss.smoothed) {
        put_ping(&w); /* so that an ACK of this ACK lets old ranges go */
        c->last_range_ping = now;
    }
    if (w.p == out + RP_HEADER_SIZE) {
        rp_sent_pop(&c->sent);
        return 0;
    }
    seal(c, &w, number);
    account(c, &w, number, now);
    if (w.eliciting) *allowed -= *allowed < c->mtu ? *allowed : (uint64_t)(w.p - out);
    return (size_t)(w.p - out);
}

static size_t send_close(rp_conn *c, uint8_t *out, uint64_t now) {
    rp_writer w;
    uint64_t number = c->sent.next;
    c->close_due = false;
    if (!start_packet(c, &w, out)) return 0;
    *w.p++ = RP_FRAME_CLOSE;
    w.p = rp_varint_write(w.p, c->close_code);
    w.p = rp_varint_write(w.p, c->reason_size);
    memcpy(w.p, c->reason, c->reason_size);
    w.p += c->reason_size;
    seal(c, &w, number);
    account(c, &w, number, now);
    return (size_t)(w.p - out);
}

static size_t send_handshake(rp_conn *c, uint8_t *out, uint64_t now) {
    const rp_handshake *h = c->handshake;
    if (!c->handshake_due) return 0;
    c->handshake_due = false;
    if (c->state == RP_ANSWERED && c->unvalidated_out + h->size > 3 * c->unvalidated_in) return 0;
    memcpy(out, h->message, h->size);
    c->unvalidated_out += h->size;
    c->last_eliciting = now;
    return h->size;
}

/* ---- proving an address: such a packet goes where nothing else goes yet ---- */

static size_t send_path_frame(rp_conn *c, uint8_t *out, uint8_t type, const uint8_t *data, uint64_t now) {
    rp_writer w;
    uint64_t number = c->sent.next;
    if (!start_packet(c, &w, out)) return 0;
    *w.p++ = type;
    memcpy(w.p, data, RP_PATH_DATA_SIZE);
    w.p += RP_PATH_DATA_SIZE;
    w.eliciting = true;
    seal(c, &w, number);
    account(c, &w, number, now);
    return (size_t)(w.p - out);
}

static rp_path *path_to_ask(rp_conn *c, size_t size) {
    for (rp_path *path = c->paths; c->asking && path < c->paths + RP_PATHS; path++) {
        if (!path->active || !path->due || !rp_path_may_send(path, size)) continue;
        if (rp_conn_may_send(c, size) || !rp_address_equal(&path->address, &c->peer)) return path;
    }
    return NULL;
}

static size_t send_response(rp_conn *c, uint8_t *out, int place, uint64_t now, rp_address *to) {
    enum { RESPONSES = 64 }; /* they pass the window: a peer that acknowledges nothing gets no more */
    c->responses[place].due = false;
    if (c->responses_sent++ >= RESPONSES) return 0;
    *to = c->responses[place].to;
    size_t size = send_path_frame(c, out, RP_FRAME_PATH_RESPONSE, c->responses[place].data, now);
    for (rp_path *path = c->paths; path < c->paths + RP_PATHS; path++)
        if (path->active && rp_address_equal(to, &path->address)) path->sent += size;
    return size;
}

static size_t send_path(rp_conn *c, uint8_t *out, uint64_t now, rp_address *to) {
    size_t challenge = RP_HEADER_SIZE + 1 + RP_PATH_DATA_SIZE + rp_aead_tag_size(c->keys.suite);
    for (int place = 0; place < 2; place++)
        if (c->responses[place].due) return send_response(c, out, place, now, to);
    rp_path *path = path_to_ask(c, challenge);
    if (!path) return 0;
    *to = path->address;
    size_t size = send_path_frame(c, out, RP_FRAME_PATH_CHALLENGE, path->challenge, now);
    rp_path_asked(path, size, rp_loss_pto(&c->loss, RP_MAX_ACK_DELAY), now);
    c->core->counters.path_challenges++;
    return size;
}

/* ---- finding out what the path carries: such a packet goes alone, and nobody misses it ---- */

static size_t send_mtu_probe(rp_conn *c, uint8_t *out, size_t space, uint64_t now) {
    uint16_t size = rp_pmtu_due(&c->pmtu, now);
    if (!size || size > space || c->unproven || c->probes || allowance(c, now) < c->mtu) return 0;
    rp_writer w;
    uint64_t number = c->sent.next;
    if (!start_packet(c, &w, out)) return 0;
    w.end = out + size - rp_aead_tag_size(c->keys.suite);
    put_ping(&w);
    memset(w.p, RP_FRAME_PADDING, room(&w));
    w.p = w.end;
    w.record->probe = true;
    seal(c, &w, number);
    account(c, &w, number, now);
    rp_pmtu_sent(&c->pmtu, size);
    c->core->counters.mtu_probes++;
    return size;
}

static size_t send_established(rp_conn *c, uint8_t *out, size_t space, uint64_t now, uint16_t *segment) {
    size_t total = 0;
    uint64_t allowed = has_work(c) ? allowance(c, now) : 0;
    for (int i = 0; i < MAX_SEGMENTS && space - total >= c->mtu; i++) {
        size_t size = send_packet(c, out + total, &allowed, now);
        if (!size) break;
        if (!total) *segment = (uint16_t)size;
        total += size;
        if (size < c->mtu) break; /* only the last of a run may be shorter */
        if (c->probes) break;     /* of two probes the small one must not share a large one's fate */
    }
    c->pmtu.wanted |= total >= c->mtu;
    return total;
}

size_t rp_conn_send(rp_conn *c, uint8_t *out, size_t space, uint64_t now, uint16_t *segment, rp_address *to) {
    size_t size = 0;
    *to = c->peer;
    if (space < c->mtu) return 0;
    if (c->state == RP_ESTABLISHED) {
        size = send_path(c, out, now, to);
        if (!size) size = send_mtu_probe(c, out, space, now);
        if (!size) return send_established(c, out, space, now, segment);
    }
    if (c->state <= RP_ANSWERED) size = send_handshake(c, out, now);
    if (c->state == RP_CLOSING && c->close_due) size = send_close(c, out, now);
    *segment = (uint16_t)size;
    return size;
}
