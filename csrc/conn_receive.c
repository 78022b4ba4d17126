/* A DATA packet: opened, then frame by frame to whom it concerns. */
#include <string.h>

#include "conn.h"
#include "core.h"

/* ---- frames: each handler returns 0, RP_E_MEMORY (the packet counts as not received), or a RP_CODE_* ----
 */

static bool ours(const rp_conn *c, uint64_t id) { return (id & 1) == (c->initiator ? 0 : 1); }

/* Opens the stream, and those below it that have not been seen, as the peer has. Null is no error
 * when *code is 0: the stream has come and gone. */
static rp_stream *peer_stream(rp_conn *c, uint64_t id, int *code) {
    rp_stream *stream = rp_core_find_stream(c->core, c, id);
    *code = 0;
    if (stream) return stream;
    if (ours(c, id)) {
        if (id / 2 >= c->streams_opened) *code = RP_CODE_STREAM_STATE;
        return NULL;
    }
    if (id / 2 >= c->streams_granted) {
        *code = RP_CODE_STREAM_LIMIT;
        return NULL;
    }
    while (c->peer_streams_opened <= id / 2) {
        stream =
            rp_conn_add_stream(c, 2 * c->peer_streams_opened + (c->initiator ? 1 : 0), RP_PRIORITIES / 2);
        if (!stream) {
            *code = RP_E_MEMORY;
            return NULL;
        }
        c->peer_streams_opened++;
        rp_conn_stream_event(c, stream, RP_EVENT_OPENED);
    }
    return stream && stream->id == id ? stream : NULL;
}

/* Session credit is spent by the highest byte seen of each stream. */
static int charge(rp_conn *c, uint64_t highest, uint64_t end) {
    if (end <= highest) return 0;
    if (c->in_total + (end - highest) > c->in_limit) return RP_CODE_FLOW;
    return 0;
}

/* So many at once, and one more each `interval`: whether that is borne. */
static bool bear(uint64_t *until, uint64_t interval, uint64_t at_once, uint64_t now) {
    if (*until < now) *until = now;
    *until += interval;
    return *until <= now + at_once * interval;
}

/* Giving a stream up costs its peer more than who does it: opened and given up in one go, as fast as packets
 * come, streams would be an attack, although there are never more than were granted. */
static int give_up(rp_conn *c, uint64_t now) {
    enum { INTERVAL = 5000, AT_ONCE = 2000 };
    return bear(&c->given_up_until, INTERVAL, AT_ONCE, now) ? 0 : RP_CODE_EXCESS;
}

static int on_stream(rp_conn *c, const rp_frame *f, uint64_t now) {
    int code;
    rp_stream *s = peer_stream(c, f->stream, &code);
    if (!s) return code;
    uint64_t end = f->offset + f->size, highest = s->in_highest, whole = s->in_whole;
    if (end > s->in_limit) return RP_CODE_FLOW;
    code = charge(c, highest, end);
    if (code) return code;
    bool was_readable = rp_stream_readable(s);
    code = rp_stream_receive(s, &c->core->arena, f->offset, f->data, f->size, f->type == RP_FRAME_STREAM_FIN);
    if (code) return code;
    c->in_total += s->in_highest - highest;
    c->moved += s->in_whole - whole;
    if (s->stopped) rp_conn_consumed(c, s, rp_stream_discard(s, &c->core->arena), now);
    if (rp_stream_readable(s) && !(was_readable && s->has_event))
        rp_conn_stream_event(c, s, RP_EVENT_READABLE);
    rp_conn_drop_stream(c, s);
    return 0;
}

static int on_reset_stream(rp_conn *c, const rp_frame *f, uint64_t now) {
    int code;
    rp_stream *s = peer_stream(c, f->stream, &code);
    if (!s) return code;
    uint64_t highest = s->in_highest;
    if (f->offset > s->in_limit) return RP_CODE_FLOW;
    code = charge(c, highest, f->offset);
    if (code) return code;
    bool before = s->in_reset;
    code = rp_stream_receive_reset(s, &c->core->arena, f->offset, f->value);
    if (code) return code;
    c->in_total += s->in_highest - highest;
    if (s->in_reset) rp_conn_consumed(c, s, rp_stream_discard(s, &c->core->arena), now);
    bool news = s->in_reset && !before && !s->stopped; /* otherwise it only answers our STOP */
    if (news) rp_conn_stream_event(c, s, RP_EVENT_RESET);
    rp_conn_drop_stream(c, s);
    return news ? give_up(c, now) : 0;
}

static int on_stop(rp_conn *c, const rp_frame *f, uint64_t now) {
    int code;
    rp_stream *s = peer_stream(c, f->stream, &code);
    if (!s) return code;
    if (rp_stream_sending_over(s) || s->reset_due || s->reset_sent) return 0;
    rp_conn_abandon_stream(c, s, f->value);
    rp_conn_stream_event(c, s, RP_EVENT_STOPPED);
    return give_up(c, now);
}

static int on_max_data(rp_conn *c, const rp_frame *f) {
    if (f->value <= c->out_limit) return 0;
    c->out_limit = f->value;
    while (c->awaiting_credit.first) rp_conn_queue_stream(c, c->awaiting_credit.first);
    return 0;
}

static int on_max_stream_data(rp_conn *c, const rp_frame *f) {
    int code;
    rp_stream *s = peer_stream(c, f->stream, &code);
    if (!s || f->value <= s->out_limit) return code;
    s->out_limit = f->value;
    if (rp_stream_has_new(s)) rp_conn_queue_stream(c, s);
    return 0;
}

static int on_max_streams(rp_conn *c, const rp_frame *f) {
    if (f->value <= c->streams_allowed) return 0;
    c->streams_allowed = f->value;
    rp_conn_event(c, RP_EVENT_WRITABLE);
    return 0;
}

static int on_close(rp_conn *c, const rp_frame *f, uint64_t now) {
    c->reason_size = (uint16_t)f->size;
    if (f->size) memcpy(c->reason, f->data, f->size);
    rp_conn_end(c, RP_CLOSED_BY_PEER, f->value, now);
    return 0;
}

static int on_path_challenge(rp_conn *c, const rp_frame *f, const rp_address *from, int place) {
    memcpy(c->responses[place].data, f->data, RP_PATH_DATA_SIZE);
    c->responses[place].to = *from;
    c->responses[place].due = true;
    return 0;
}

static int on_path_response(rp_conn *c, const rp_frame *f, uint64_t now) {
    const rp_path *path = rp_paths_answered(c->paths, f->data);
    if (path && !rp_address_equal(&path->address, &c->peer)) {
        rp_conn_migrate(c, path, now);
    } else if (path) {
        c->unproven = false;
        rp_conn_stop_asking(c);
    }
    return 0;
}

static int on_observed_address(rp_conn *c, const rp_frame *f) {
    memcpy(c->observed.ip, f->data, sizeof c->observed.ip);
    c->observed.port = rp_load16(f->data + sizeof c->observed.ip);
    c->has_observed = true;
    rp_conn_event(c, RP_EVENT_ADDRESS);
    return 0;
}

static int on_datagram(rp_conn *c, const rp_frame *f) {
    if (rp_arena_may_hold_loose(&c->core->arena) &&
        rp_fifo_put(&c->datagrams_in, &c->core->arena, f->data, f->size))
        rp_conn_event(c, RP_EVENT_DATAGRAM);
    else
        c->core->counters.datagram_frames_dropped++;
    return 0;
}

/* ---- the ratchet: the initiator asks with a fresh key, the responder answers with one, and both mix
 * the shared secret into the next epochs; the initiator then changes to one at once ---- */

static bool mix_shared(rp_conn *c, const uint8_t *theirs) {
    uint8_t shared[32];
    bool ok = rp_dh_ok(&c->core->sodium, c->ratchet_private, theirs, shared);
    if (ok) rp_keys_mix(&c->keys, &c->core->sodium, shared);
    c->core->sodium.memzero(shared, sizeof shared);
    c->core->sodium.memzero(c->ratchet_private, sizeof c->ratchet_private);
    if (ok) c->core->counters.ratchets++;
    return ok;
}

/* An old question may come late: each ratchet is numbered, and mixed once. */
static int answer_ratchet(rp_conn *c, uint32_t count, const uint8_t *theirs, uint64_t now) {
    enum { INTERVAL = 40000, AT_ONCE = 64 };
    if (count < c->ratchet_count) return 0;
    if (count > c->ratchet_count + 1) return RP_CODE_KEYS;
    c->ratchet_due = true;
    if (count == c->ratchet_count) return 0;
    if (!bear(&c->ratchets_until, INTERVAL, AT_ONCE, now)) return RP_CODE_KEYS;
    c->ratchet_count = count;
    rp_core_random(c->core, c->ratchet_private, 32);
    c->core->sodium.scalarmult_base(c->ratchet_public, c->ratchet_private);
    return mix_shared(c, theirs) ? 0 : RP_CODE_KEYS;
}

static int on_ratchet(rp_conn *c, const rp_frame *f, uint64_t now) {
    bool answer = f->data[0];
    uint32_t count = rp_load32(f->data + 1);
    const uint8_t *theirs = f->data + 5;
    if (answer != c->initiator || f->data[0] > 1 || !count) return RP_CODE_KEYS;
    if (!c->initiator) return answer_ratchet(c, count, theirs, now);
    if (!c->ratchet_asked || count != c->ratchet_count) return 0;
    c->ratchet_asked = c->ratchet_due = false;
    c->ratcheted_at = now;
    if (!mix_shared(c, theirs)) return RP_CODE_KEYS;
    rp_keys_update(&c->keys, &c->core->sodium, c->sent.next, now);
    c->core->counters.key_updates++;
    c->ping_due = true;
    return 0;
}

static int on_frame(rp_conn *c, const rp_frame *f, const rp_address *from, uint64_t now) {
    switch (f->type) {
    case RP_FRAME_ACK:
    case RP_FRAME_ACK_ECN:
        return rp_conn_acked(c, f, now);
    case RP_FRAME_STREAM:
    case RP_FRAME_STREAM_FIN:
        return on_stream(c, f, now);
    case RP_FRAME_RESET_STREAM:
        return on_reset_stream(c, f, now);
    case RP_FRAME_STOP:
        return on_stop(c, f, now);
    case RP_FRAME_MAX_DATA:
        return on_max_data(c, f);
    case RP_FRAME_MAX_STREAM_DATA:
        return on_max_stream_data(c, f);
    case RP_FRAME_MAX_STREAMS:
        return on_max_streams(c, f);
    case RP_FRAME_CLOSE:
        return on_close(c, f, now);
    case RP_FRAME_PATH_CHALLENGE:
        return on_path_challenge(c, f, from, 0);
    case RP_FRAME_PATH_RESPONSE:
        return on_path_response(c, f, now);
    case RP_FRAME_OBSERVED_ADDRESS:
        return on_observed_address(c, f);
    case RP_FRAME_DATAGRAM:
        return on_datagram(c, f);
    case RP_FRAME_RATCHET:
        return on_ratchet(c, f, now);
    default: /* PADDING, PING */
        return 0;
    }
}

static bool is_ack(uint8_t type) { return type == RP_FRAME_ACK || type == RP_FRAME_ACK_ECN; }

static bool is_eliciting(uint8_t type) {
    return !is_ack(type) && type != RP_FRAME_PADDING && type != RP_FRAME_CLOSE;
}

static int read_frames(rp_conn *c, const uint8_t *text, size_t size, const rp_address *from, bool *eliciting,
                       uint64_t now) {
    bool acked = false;
    *eliciting = false;
    for (size_t at = 0; at < size && c->state == RP_ESTABLISHED;) {
        rp_frame frame;
        int64_t used = rp_frame_read(text + at, size - at, &frame);
        if (used < 0 || (acked && is_ack(frame.type))) return RP_CODE_FRAME;
        acked |= is_ack(frame.type);
        int code = on_frame(c, &frame, from, now);
        if (code) return code;
        *eliciting |= is_eliciting(frame.type);
        at += (size_t)used;
    }
    return 0;
}

static const char *describe(int code) {
    switch (code) {
    case RP_CODE_FRAME:
        return "a frame does not parse, or stands where it must not";
    case RP_CODE_FLOW:
        return "more bytes than were granted";
    case RP_CODE_STREAM_LIMIT:
        return "more streams than were granted";
    case RP_CODE_STREAM_STATE:
        return "a frame for a stream that was never opened";
    case RP_CODE_FINAL_SIZE:
        return "a stream changed its final size";
    case RP_CODE_KEYS:
        return "a key change out of turn";
    case RP_CODE_EXCESS:
        return "streams given up too often";
    case RP_CODE_ACK:
        return "an acknowledgement of a packet that was never sent";
    default:
        return "";
    }
}

/* ---- the packet ---- */

static bool open_packet(rp_conn *c, const rp_header *h, uint64_t number, uint8_t *datagram, size_t size,
                        uint64_t now) {
    uint8_t ad[RP_AAD_SIZE];
    uint32_t epoch;
    rp_key_choice choice = rp_keys_choose(&c->keys, h->flags & RP_FLAG_PHASE, number, now);
    if (choice == RP_KEY_NONE) return false;
    const rp_packet_key *key = rp_keys_chosen(&c->keys, choice, &epoch);
    memcpy(ad, datagram, 16);
    ad[16] = RP_VERSION_1;
    rp_store32(ad + 17, epoch);
    if (!rp_aead_open(&c->core->sodium, c->keys.suite, key, number, ad, sizeof ad, datagram + RP_HEADER_SIZE,
                      size - RP_HEADER_SIZE, datagram + RP_HEADER_SIZE))
        return false;
    if (choice == RP_KEY_CURRENT) rp_keys_received(&c->keys, number);
    if (choice != RP_KEY_NEXT) return true;
    if (!rp_keys_may_follow(&c->keys, c->initiator)) {
        rp_conn_abort(c, RP_CODE_KEYS, describe(RP_CODE_KEYS), now);
        return true;
    }
    uint64_t keep = now + 3 * rp_loss_pto(&c->loss, RP_MAX_ACK_DELAY);
    rp_keys_follow(&c->keys, &c->core->sodium, number, c->sent.next, keep, now);
    c->core->counters.key_updates++;
    rp_trace_add(&c->trace, now, RP_TRACE_KEYS, c->keys.send_epoch, c->keys.receive_epoch);
    return true;
}

static void failed_tag(rp_conn *c, uint64_t now) {
    c->core->counters.dropped_auth++;
    if (++c->keys.failed_tags >= RP_FAILED_TAGS_LIMIT)
        rp_conn_abort(c, RP_CODE_KEYS, "too many forged packets", now);
}

/* Only the newest packet tells where the peer is: an older one may have been held back, or copied. */
static void notice_address(rp_conn *c, const rp_address *from, size_t size, uint64_t now) {
    bool home = rp_address_equal(from, &c->peer);
    if (home && c->unproven) c->unvalidated_in += size;
    if (!home || c->unproven)
        rp_conn_prove(c, from, size, now);
    else
        rp_conn_stop_asking(c);
}

/* Of two that are alike, the one that came first may have been the copy. So where the second comes from is
 * asked as well, when that is new, and a question that is in it is answered to there. */
static void notice_copy(rp_conn *c, const rp_header *h, uint64_t number, const rp_address *from,
                        uint8_t *datagram, size_t size, uint64_t now) {
    enum { RECENT = 64 };
    size_t tag = rp_aead_tag_size(c->keys.suite);
    bool home = rp_address_equal(from, &c->peer),
         may_ask = size == RP_HEADER_SIZE + 1 + RP_PATH_DATA_SIZE + tag;
    if (c->state != RP_ESTABLISHED || number + RECENT < c->replay.next || size < RP_HEADER_SIZE + tag) return;
    if (home && !may_ask) return;
    if (!open_packet(c, h, number, datagram, size, now)) {
        c->keys.failed_tags++; /* dropped_replay counts it already */
        return;
    }
    if (!home) rp_conn_prove(c, from, size, now);
    rp_frame frame;
    const uint8_t *text = datagram + RP_HEADER_SIZE;
    bool asks = may_ask && rp_frame_read(text, 1 + RP_PATH_DATA_SIZE, &frame) > 0 &&
                frame.type == RP_FRAME_PATH_CHALLENGE;
    bool taken = c->responses[1].due && rp_address_equal(&c->responses[1].to, &c->peer);
    if (asks && !taken) on_path_challenge(c, &frame, from, 1);
    rp_core_ready(c->core, c);
}

static void count_ecn(rp_conn *c, uint8_t ecn) {
    enum { ECT1 = 1, ECT0 = 2, CE = 3 };
    c->ack.ecn[0] += ecn == ECT0;
    c->ack.ecn[1] += ecn == ECT1;
    c->ack.ecn[2] += ecn == CE;
}

/* CLOSE is repeated to a peer that goes on talking, ever more rarely. */
static void answer_after_close(rp_conn *c) {
    c->close_replies++;
    if (c->close_replies & (c->close_replies - 1)) return;
    c->close_due = true;
    rp_core_ready(c->core, c);
}

static void apply(rp_conn *c, uint64_t number, const uint8_t *text, size_t size, const rp_address *from,
                  uint64_t now) {
    bool eliciting;
    int code = read_frames(c, text, size, from, &eliciting, now);
    if (c->state != RP_ESTABLISHED) return;
    rp_ack_pace(&c->ack, size, c->loss.smoothed, now);
    if (code == RP_E_MEMORY) { /* as if lost: the peer sends its frames again */
        c->core->counters.dropped_memory++;
    } else if (code) {
        rp_conn_abort(c, (uint64_t)code, describe(code), now);
    } else if (rp_ack_received(&c->ack, &c->core->arena, number, eliciting, now)) {
        c->core->counters.reordered++;
    }
}

void rp_conn_receive(rp_conn *c, const rp_header *h, const rp_address *from, uint8_t *datagram, size_t size,
                     uint8_t ecn, uint64_t now) {
    rp_counters *counters = &c->core->counters;
    if (!c->keys.suite || c->state >= RP_DRAINING) {
        counters->dropped_state++;
        return;
    }
    size_t tag = rp_aead_tag_size(c->keys.suite);
    uint64_t number = rp_packet_number(h->seq, c->replay.next);
    if (!rp_replay_fresh(&c->replay, number)) {
        counters->dropped_replay++;
        notice_copy(c, h, number, from, datagram, size, now);
        return;
    }
    if (size < RP_HEADER_SIZE + tag || !open_packet(c, h, number, datagram, size, now)) {
        failed_tag(c, now);
        return;
    }
    bool newest = number >= c->replay.next;
    rp_replay_mark(&c->replay, number);
    if (!c->packets_received) c->keys.first_received = number;
    c->packets_received++;
    c->core->counters.packets++;
    c->bytes_received += size;
    c->last_received = now;
    rp_trace_add(&c->trace, now, RP_TRACE_RECEIVED, number, size);
    if (c->state == RP_CLOSING) {
        answer_after_close(c);
        return;
    }
    if (c->state == RP_ANSWERED) rp_conn_take_address(c, from, size, now);
    if (c->state != RP_ESTABLISHED)
        rp_conn_establish(c, now);
    else if (newest)
        notice_address(c, from, size, now);
    count_ecn(c, ecn);
    apply(c, number, datagram + RP_HEADER_SIZE, size - RP_HEADER_SIZE - tag, from, now);
    rp_core_ready(c->core, c);
}
