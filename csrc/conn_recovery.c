/* What an ACK, a silence or a time threshold says about packets sent. */
#include "conn.h"
#include "core.h"

static void frame_acked(rp_conn *c, const rp_sent_frame *frame) {
    rp_stream *stream;
    switch (frame->type) {
    case RP_FRAME_ACK:
        rp_ack_confirmed(&c->ack, &c->core->arena, frame->offset);
        return;
    case RP_FRAME_STREAM:
    case RP_FRAME_RESET_STREAM:
        stream = rp_core_find_stream(c->core, c, frame->stream);
        if (!stream) return;
        c->moved -= stream->out_acked;
        if (frame->type == RP_FRAME_STREAM)
            rp_stream_frame_acked(stream, &c->core->arena, frame);
        else
            stream->reset_acked = true;
        c->moved += stream->out_acked;
        if (stream->write_blocked && rp_stream_unsent(stream) <= rp_conn_send_room(c) / 2) {
            stream->write_blocked = false;
            rp_conn_stream_event(c, stream, RP_EVENT_WRITABLE);
        }
        rp_conn_tell_returned(c, stream);
        rp_conn_drop_stream(c, stream);
        return;
    default:
        return;
    }
}

/* Control frames are not stored: losing one makes its present state due again. */
static void frame_lost(rp_conn *c, const rp_sent_frame *frame) {
    if (frame->type == RP_FRAME_ACK) return;
    c->core->counters.retransmitted_frames++;
    if (frame->type == RP_FRAME_MAX_DATA) c->max_data_due = true;
    if (frame->type == RP_FRAME_MAX_STREAMS) c->max_streams_due = true;
    if (frame->type == RP_FRAME_OBSERVED_ADDRESS) c->observed_due = true;
    if (frame->type == RP_FRAME_RATCHET) c->ratchet_due = c->ratchet_asked || !c->initiator;
    bool of_stream = frame->type >= RP_FRAME_STREAM || frame->type == RP_FRAME_RESET_STREAM ||
                     frame->type == RP_FRAME_STOP || frame->type == RP_FRAME_MAX_STREAM_DATA;
    rp_stream *stream = of_stream ? rp_core_find_stream(c->core, c, frame->stream) : NULL;
    if (!stream) return;
    if (frame->type == RP_FRAME_STREAM) {
        rp_stream_frame_lost(stream, &c->core->arena, frame);
        c->retransmitted_bytes += frame->size;
    }
    if (frame->type == RP_FRAME_RESET_STREAM && !stream->reset_acked) stream->reset_due = true;
    if (frame->type == RP_FRAME_STOP) stream->stop_due = true;
    if (frame->type == RP_FRAME_MAX_STREAM_DATA && !stream->final_known) stream->credit_due = true;
    rp_conn_queue_stream(c, stream);
}

static void leave_flight(rp_conn *c, const rp_sent_packet *packet) {
    c->in_flight -= rp_sent_weight(packet);
    c->in_flight_packets--;
}

/* ---- acknowledged ---- */

typedef struct {
    rp_cc_ack cc;
    uint64_t newest, newest_sent; /* the largest number newly acknowledged, and when it left */
    uint64_t ecn_packets;         /* newly acknowledged ones that left with a mark */
    bool any, newest_eliciting;
    rp_sent_packet newest_packet; /* as it left */
} rp_ack_result;

static void spurious(rp_conn *c, uint64_t number, const rp_sent_packet *packet, uint64_t largest,
                     uint64_t now) {
    bool by_time = now - packet->time > rp_loss_delay(&c->loss);
    rp_loss_spurious(&c->loss, largest - number, by_time);
    rp_pmtu_packet_acked(&c->pmtu, packet->size);
    c->spurious++;
    c->core->counters.spurious++;
    if (packet->lost_at < c->episode_at) return; /* it was an earlier reduction's */
    if (!c->episode_lost || --c->episode_lost) return;
    c->cc.table->undo(&c->cc); /* not one loss of that reduction was real */
    c->core->counters.undone_reductions++;
}

static void packet_acked(rp_conn *c, uint64_t number, rp_sent_packet *packet, uint64_t largest,
                         rp_ack_result *result, uint64_t now) {
    if (packet->state == RP_SENT_FLYING) {
        leave_flight(c, packet);
        result->cc.acked += rp_sent_weight(packet);
        c->delivered += rp_sent_weight(packet);
        result->ecn_packets += packet->ecn;
        if (!result->any || number > result->newest) {
            result->newest = number;
            result->newest_sent = packet->time;
            result->newest_eliciting = packet->eliciting;
            result->newest_packet = *packet;
        }
        result->any = true;
    } else if (!packet->probe) {
        spurious(c, number, packet, largest, now);
    }
    if (packet->probe) {
        rp_pmtu_acked(&c->pmtu, packet->size, now);
        rp_conn_resize(c, now);
    }
    rp_sent_set_state(&c->sent, number, packet, RP_SENT_ACKED);
    while (packet->frames) {
        rp_sent_frame *frame = packet->frames;
        packet->frames = frame->next;
        frame_acked(c, frame);
        rp_pool_give(&c->core->arena.frames, frame);
    }
}

static int range_acked(rp_conn *c, uint64_t low, uint64_t high, uint64_t largest, rp_ack_result *result,
                       uint64_t now) {
    if (low < c->sent.base) low = c->sent.base;
    for (uint64_t number = high;; number--) {
        number = rp_sent_skip_down(&c->sent, number);
        if (number < low) return 0;
        rp_sent_packet *packet = rp_sent_get(&c->sent, number);
        if (packet->state == RP_SENT_FLYING || packet->state == RP_SENT_LOST)
            packet_acked(c, number, packet, largest, result, now);
        if (packet->state == RP_SENT_SKIPPED) return RP_CODE_ACK;
        if (number <= low) return 0;
    }
}

/* Bytes a second between the sending of the newest packet acknowledged and now: whichever took longer,
 * sending those bytes or having them acknowledged (draft-cheng-iccrg-delivery-rate-estimation). */
static void sample_rate(rp_conn *c, rp_ack_result *result, uint64_t now) {
    enum { SECOND = 1000000 };
    const rp_sent_packet *packet = &result->newest_packet;
    c->delivered_time = now;
    c->first_sent_time = packet->time;
    uint64_t sending = packet->time - packet->first_sent_time, acking = now - packet->delivered_time;
    uint64_t took = sending > acking ? sending : acking;
    result->cc.app_limited = packet->app_limited;
    result->cc.delivered = c->delivered;
    result->cc.prior_delivered = packet->delivered;
    result->cc.rate = took ? (c->delivered - packet->delivered) * SECOND / took : 0;
}

/* Marks count as congestion; a path that loses or invents them is not trusted with them (RFC 9000, 13.4.2).
 */
static void heed_ecn(rp_conn *c, const rp_frame *ack, const rp_ack_result *result, uint64_t now) {
    if (!c->ecn || !result->any) return;
    uint64_t before = c->ecn_seen[0] + c->ecn_seen[2], counted = ack->ecn[0] + ack->ecn[2];
    uint64_t marks = ack->ecn[2] > c->ecn_seen[2] ? ack->ecn[2] - c->ecn_seen[2] : 0;
    if (counted < before + result->ecn_packets || counted > c->packets_sent) {
        c->ecn = false;
        return;
    }
    for (int i = 0; i < 3; i++) c->ecn_seen[i] = ack->ecn[i];
    if (!marks) return;
    c->ecn_marks += marks;
    c->core->counters.ecn_marks += marks;
    if (c->cc.table->lost(&c->cc, 0, result->newest_sent, now)) c->episode_lost = 0;
}

int rp_conn_acked(rp_conn *c, const rp_frame *ack, uint64_t now) {
    rp_ack_result result = {.cc = {.now = now, .in_flight = c->in_flight}};
    rp_ack_cursor cursor;
    uint64_t low, high;
    if (ack->ack_largest >= c->sent.next) return RP_CODE_ACK;
    c->core->counters.acks_in++;
    rp_ack_cursor_start(&cursor, ack);
    while (rp_ack_cursor_next(&cursor, &low, &high)) {
        if (high < c->sent.base) break;
        if (range_acked(c, low, high, ack->ack_largest, &result, now)) return RP_CODE_ACK;
    }
    bool newer = !c->any_acked || ack->ack_largest > c->largest_acked;
    if (newer) c->largest_acked = ack->ack_largest;
    if (ack->ack_largest >= c->keys.first_sent) c->keys.acknowledged = true;
    c->any_acked = true;
    if (result.any) {
        if (result.newest == ack->ack_largest && result.newest_eliciting)
            rp_loss_sample(&c->loss, now - result.newest_sent, ack->ack_delay, RP_MAX_ACK_DELAY, now);
        c->loss.pto_count = 0;
        c->acked_at = now;
        c->responses_sent = 0;
        sample_rate(c, &result, now);
        result.cc.sent_time = result.newest_sent;
        result.cc.rtt = c->loss.latest;
        result.cc.rtt_min = c->loss.minimum;
        result.cc.rtt_smoothed = c->loss.smoothed;
        result.cc.largest_acked = c->largest_acked;
        result.cc.next_number = c->sent.next;
        c->cc.table->acked(&c->cc, &result.cc);
        if (newer) heed_ecn(c, ack, &result, now);
        rp_trace_add(&c->trace, now, RP_TRACE_ACKED, ack->ack_largest, c->loss.smoothed);
        rp_trace_add(&c->trace, now, RP_TRACE_WINDOW, c->cc.table->window(&c->cc), c->in_flight);
    }
    rp_conn_detect_lost(c, now);
    uint64_t keep = 3 * rp_loss_pto(&c->loss, RP_MAX_ACK_DELAY);
    rp_sent_forget(&c->sent, &c->core->arena, now > keep ? now - keep : 0);
    if (c->loss_scan < c->sent.base) c->loss_scan = c->sent.base;
    return 0;
}

/* ---- lost ---- */

typedef struct {
    uint64_t bytes, newest_sent, run_start; /* run: lost packets with none delivered between them */
    uint64_t longest_run;
    bool any, in_run;
} rp_loss_result;

static void packet_lost(rp_conn *c, uint64_t number, rp_sent_packet *packet, rp_loss_result *result,
                        uint64_t now) {
    rp_trace_add(&c->trace, now, RP_TRACE_LOST, number, packet->size);
    rp_sent_set_state(&c->sent, number, packet, RP_SENT_LOST);
    packet->lost_at = now;
    leave_flight(c, packet);
    if (packet->probe) {
        rp_pmtu_lost(&c->pmtu, packet->size, now);
        return;
    }
    rp_pmtu_packet_lost(&c->pmtu, packet->size, packet->time, c->loss.smoothed);
    c->packets_lost++;
    c->core->counters.lost_packets++;
    result->any = true;
    result->bytes += packet->size;
    if (packet->time > result->newest_sent) result->newest_sent = packet->time;
    if (!result->in_run) result->run_start = packet->time;
    result->in_run = true;
    if (packet->time - result->run_start > result->longest_run)
        result->longest_run = packet->time - result->run_start;
    for (const rp_sent_frame *frame = packet->frames; frame; frame = frame->next) frame_lost(c, frame);
}

/* Nothing got through for as long as three probes would have taken (RFC 9002, 7.6). */
static bool persistent(const rp_conn *c, const rp_loss_result *result) {
    return c->loss.sampled && result->run_start >= c->loss.first_sample &&
           result->longest_run > 3 * rp_loss_pto(&c->loss, RP_MAX_ACK_DELAY);
}

static void respond(rp_conn *c, const rp_loss_result *result, uint64_t packets, uint64_t now) {
    if (c->cc.table->lost(&c->cc, result->bytes, result->newest_sent, now)) {
        c->episode_lost = packets;
        c->episode_at = now;
    } else if (c->episode_lost) {
        c->episode_lost += packets;
    }
    if (persistent(c, result)) {
        c->core->counters.persistent_congestion++;
        c->cc.table->persistent(&c->cc, now);
        c->episode_lost = 0;
    }
}

void rp_conn_detect_lost(rp_conn *c, uint64_t now) {
    rp_loss_result result = {0};
    uint64_t delay = rp_loss_delay(&c->loss), before = c->packets_lost, number = c->loss_scan;
    c->loss_at = 0;
    if (!c->any_acked) return;
    if (number < c->sent.base) number = c->sent.base;
    for (; number < c->sent.next && number <= c->largest_acked; number++) {
        rp_sent_packet *packet = rp_sent_get(&c->sent, number);
        if (packet->state == RP_SENT_ACKED) {
            result.in_run = false;
            rp_pmtu_packet_acked(&c->pmtu, packet->size);
        }
        if (packet->state != RP_SENT_FLYING) continue;
        bool behind = c->largest_acked - number >= c->loss.reorder;
        if (!behind && packet->time + delay > now) {
            c->loss_at = packet->time + delay;
            break;
        }
        packet_lost(c, number, packet, &result, now);
    }
    c->loss_scan = number;
    if (!result.any) return;
    respond(c, &result, c->packets_lost - before, now);
    if (!rp_pmtu_fell(&c->pmtu)) return;
    c->core->counters.black_holes++;
    rp_conn_resize(c, now);
}

/* Silence: repeat the oldest frames still in the air, in two packets that may pass the window. The second is
 * small: when it alone arrives, large ones vanish on the way. */
void rp_conn_probe(rp_conn *c, uint64_t now) {
    enum { PROBES = 2 };
    c->loss.pto_count++;
    rp_trace_add(&c->trace, now, RP_TRACE_PTO, c->loss.pto_count, 0);
    c->ptos++;
    c->core->counters.ptos++;
    c->probes = PROBES;
    c->probed_at = now;
    c->ping_due = true;
    uint32_t repeated = 0;
    for (uint64_t number = c->sent.base; number < c->sent.next && repeated < PROBES; number++) {
        const rp_sent_packet *packet = rp_sent_get(&c->sent, number);
        if (packet->state != RP_SENT_FLYING || !packet->eliciting || packet->probe) continue;
        for (const rp_sent_frame *frame = packet->frames; frame; frame = frame->next) frame_lost(c, frame);
        repeated++;
    }
}
