#include "stream.h"

#include <string.h>

#include "wire.h"

void rp_stream_init(rp_stream *s, struct rp_conn *conn, uint64_t id, uint8_t priority) {
    memset(s, 0, sizeof *s);
    s->id = id;
    s->conn = conn;
    s->priority = priority;
    rp_pages_init(&s->out);
    rp_pages_init(&s->in);
    rp_ranges_init(&s->acked);
    rp_ranges_init(&s->lost);
    rp_ranges_init(&s->received);
}

static void clear_sending(rp_stream *s, rp_arena *arena) {
    rp_pages_clear(&s->out, arena);
    rp_ranges_clear(&s->acked, arena);
    rp_ranges_clear(&s->lost, arena);
}

static void clear_receiving(rp_stream *s, rp_arena *arena) {
    rp_pages_clear(&s->in, arena);
    rp_ranges_clear(&s->received, arena);
}

void rp_stream_clear(rp_stream *s, rp_arena *arena) {
    clear_sending(s, arena);
    clear_receiving(s, arena);
}

bool rp_stream_sending_over(const rp_stream *s) {
    return s->reset_acked || (s->fin_acked && s->out_acked == s->out_end);
}

static bool receiving_over(const rp_stream *s) {
    if (s->in_reset) return s->reset_seen || s->stopped;
    return s->final_known && s->in_read == s->in_final && (s->end_seen || s->stopped);
}

bool rp_stream_done(const rp_stream *s) {
    return rp_stream_sending_over(s) && receiving_over(s) && !s->has_event;
}

/* ---- sending ---- */

static size_t smaller(uint64_t a, uint64_t b) { return (size_t)(a < b ? a : b); }

uint64_t rp_stream_unsent(const rp_stream *s) { return s->out_end - s->out_next; }

static uint64_t free_of(const rp_stream *s, uint64_t room) {
    uint64_t unsent = rp_stream_unsent(s), most = RP_MAX_STREAM_WINDOW - (s->out_end - s->out_acked);
    uint64_t free = room > unsent ? room - unsent : 0;
    return free < most ? free : most;
}

size_t rp_stream_put(rp_stream *s, rp_arena *arena, const uint8_t *data, size_t size, uint64_t room) {
    size_t taken = smaller(size, free_of(s, room)), done = 0;
    while (done < taken) { /* page by page: another one only while there are enough */
        size_t left = RP_PAGE_SIZE - (size_t)(s->out_end % RP_PAGE_SIZE);
        if (!rp_pages_holds(&s->out, s->out_end) && !rp_arena_may_write(arena)) break;
        size_t put = rp_pages_write(&s->out, arena, s->out_end, data + done,
                                    taken - done < left ? taken - done : left);
        if (!put) break;
        done += put;
        s->out_end += put;
    }
    return done;
}

size_t rp_stream_put_lent(rp_stream *s, rp_arena *arena, const uint8_t *data, size_t size, uint64_t room) {
    size_t before = (size_t)(-s->out_end % RP_PAGE_SIZE); /* up to the next page's beginning */
    size_t done = rp_stream_put(s, arena, data, smaller(size, before), room);
    if (done < before) return done;
    size_t lent =
        rp_pages_lend(&s->out, arena, s->out_end, data + done, smaller(size - done, free_of(s, room)));
    s->lending |= lent > 0;
    s->out_end += lent;
    done += lent;
    if (size - done < RP_PAGE_SIZE) done += rp_stream_put(s, arena, data + done, size - done, room);
    return done;
}

bool rp_stream_has_repeat(const rp_stream *s) {
    return !s->reset_due && !s->reset_sent && (s->lost.count || s->fin_lost);
}

bool rp_stream_has_new(const rp_stream *s) {
    if (s->reset_due || s->reset_sent) return false;
    return (s->out_next < s->out_end && s->out_next < s->out_limit) ||
           (s->fin_written && !s->fin_sent && s->out_next == s->out_end);
}

uint64_t rp_stream_next_offset(const rp_stream *s) {
    rp_range lost;
    if (rp_ranges_next(&s->lost, 0, &lost)) return lost.low;
    return s->fin_lost ? s->out_end : s->out_next;
}

/* What was lost goes first: the reader waits for it. */
static bool choose_lost(rp_stream *s, rp_arena *arena, size_t room, rp_sent_frame *out) {
    rp_range range;
    bool found = rp_ranges_next(&s->lost, 0, &range);
    if (!found && !s->fin_lost) return false;
    if (!found) range.low = range.high = s->out_end;
    out->offset = range.low;
    out->size = (uint32_t)smaller(range.high - range.low, room);
    uint64_t end = out->offset + out->size;
    if (found && !rp_ranges_remove(&s->lost, arena, range.low, end)) return false;
    out->fin = s->fin_lost && end == s->out_end;
    if (out->fin) s->fin_lost = false;
    return true;
}

bool rp_stream_choose(rp_stream *s, rp_arena *arena, size_t room, uint64_t credit, rp_sent_frame *out) {
    *out = (rp_sent_frame){.type = RP_FRAME_STREAM, .stream = s->id};
    if (s->reset_due || s->reset_sent) return false;
    if (choose_lost(s, arena, room, out)) return true;
    if (!rp_stream_has_new(s)) return false;
    uint64_t end = s->out_end < s->out_limit ? s->out_end : s->out_limit;
    if (end > s->out_next + credit) end = s->out_next + credit;
    out->offset = s->out_next;
    out->size = (uint32_t)smaller(end - s->out_next, room);
    s->out_next += out->size;
    out->fin = s->fin_written && s->out_next == s->out_end;
    if (out->fin) s->fin_sent = true;
    return out->size || out->fin;
}

void rp_stream_frame_acked(rp_stream *s, rp_arena *arena, const rp_sent_frame *frame) {
    uint64_t low = frame->offset, high = low + frame->size;
    if (s->reset_due || s->reset_sent) return;
    if (frame->fin) {
        s->fin_lost = false;
        s->fin_acked = true;
    }
    rp_ranges_remove(&s->lost, arena, low, high);
    if (low < s->out_acked) low = s->out_acked;
    if (low == s->out_acked && high > low) {
        s->out_acked = rp_ranges_end(&s->acked, high);
        if (s->out_acked < high) s->out_acked = high;
        rp_ranges_drop_below(&s->acked, arena, s->out_acked);
        rp_ranges_drop_below(&s->lost, arena, s->out_acked); /* what could not be cut out for want of room */
        rp_pages_release_below(&s->out, arena, s->out_acked);
        if (s->out_acked == s->out_end) rp_pages_rest(&s->out, arena, s->out_acked);
    } else if (high > low && !rp_ranges_add(&s->acked, arena, low, high)) {
        rp_stream_frame_lost(s, arena, frame); /* no room to remember it: it is sent again */
    }
}

static void subtract_acked(rp_stream *s, rp_arena *arena, uint64_t low, uint64_t high) {
    rp_range range;
    while (low < high && rp_ranges_next(&s->acked, low, &range) && range.low < high) {
        rp_ranges_remove(&s->lost, arena, range.low, range.high);
        low = range.high;
    }
}

void rp_stream_frame_lost(rp_stream *s, rp_arena *arena, const rp_sent_frame *frame) {
    uint64_t low = frame->offset, high = low + frame->size;
    if (s->reset_due || s->reset_sent) return;
    if (frame->fin && !s->fin_acked) s->fin_lost = true;
    if (low < s->out_acked) low = s->out_acked;
    if (low >= high) return;
    if (!rp_ranges_add(&s->lost, arena, low, high)) {
        rp_ranges_merge_nearest(&s->lost); /* sends a little too much rather than too little */
        rp_ranges_add(&s->lost, arena, low, high);
    }
    subtract_acked(s, arena, low, high);
}

void rp_stream_abandon(rp_stream *s, rp_arena *arena, uint64_t code) {
    if (s->reset_due || s->reset_sent || rp_stream_sending_over(s)) return;
    clear_sending(s, arena);
    s->write_blocked = s->fin_lost = false;
    s->reset_code = code;
    s->reset_due = true;
}

/* ---- receiving ---- */

static int check_final(rp_stream *s, uint64_t end, bool fin) {
    if (s->final_known && (end > s->in_final || (fin && end != s->in_final))) return RP_CODE_FINAL_SIZE;
    if (fin && end < s->in_highest) return RP_CODE_FINAL_SIZE;
    return 0;
}

static int keep(rp_stream *s, rp_arena *arena, uint64_t offset, const uint8_t *data, size_t size) {
    uint64_t end = offset + size;
    if (end <= s->in_whole) return 0;
    if (offset < s->in_whole) {
        data += s->in_whole - offset;
        size -= (size_t)(s->in_whole - offset);
        offset = s->in_whole;
    }
    if (offset > s->in_whole && !rp_pages_holds(&s->in, offset + size - 1) && !rp_arena_may_hold_early(arena))
        return RP_E_MEMORY;
    if (rp_pages_write(&s->in, arena, offset, data, size) < size) return RP_E_MEMORY;
    if (offset > s->in_whole) return rp_ranges_add(&s->received, arena, offset, end) ? 0 : RP_E_MEMORY;
    s->in_whole = rp_ranges_end(&s->received, end);
    rp_ranges_drop_below(&s->received, arena, s->in_whole);
    return 0;
}

int rp_stream_receive(rp_stream *s, rp_arena *arena, uint64_t offset, const uint8_t *data, size_t size,
                      bool fin) {
    uint64_t end = offset + size;
    int error = check_final(s, end, fin);
    if (error) return error;
    if (s->in_reset || receiving_over(s)) return 0;
    error = s->stopped ? 0 : keep(s, arena, offset, data, size);
    if (error) return error;
    if (end > s->in_highest) s->in_highest = end;
    if (fin) {
        s->final_known = true;
        s->in_final = end;
    }
    return 0;
}

int rp_stream_receive_reset(rp_stream *s, rp_arena *arena, uint64_t final, uint64_t code) {
    int error = check_final(s, final, true);
    if (error) return error;
    if (s->in_reset || receiving_over(s)) return 0;
    clear_receiving(s, arena);
    s->in_reset = s->final_known = true;
    s->in_final = s->in_highest = final;
    s->in_code = code;
    return 0;
}

uint64_t rp_stream_discard(rp_stream *s, rp_arena *arena) {
    uint64_t unread = s->in_highest - s->in_read;
    clear_receiving(s, arena);
    s->in_read = s->in_highest;
    return unread;
}

size_t rp_stream_take(rp_stream *s, rp_arena *arena, uint8_t *data, size_t size) {
    size_t taken = rp_pages_read(&s->in, s->in_read, data, smaller(s->in_whole - s->in_read, size));
    s->in_read += taken;
    rp_pages_release_below(&s->in, arena, s->in_read);
    if (s->in_read == s->in_whole && !s->received.count) rp_pages_rest(&s->in, arena, s->in_read);
    return taken;
}

bool rp_stream_at_end(const rp_stream *s) {
    return s->final_known && !s->in_reset && s->in_read == s->in_final;
}

bool rp_stream_readable(const rp_stream *s) {
    return !s->stopped && !s->in_reset && (s->in_whole > s->in_read || rp_stream_at_end(s));
}
