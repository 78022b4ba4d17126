/* One bidirectional stream: what was written and is not acknowledged, what came and is not read. */
#ifndef RP_STREAM_H
#define RP_STREAM_H

#include "pages.h"
#include "ranges.h"
#include "rp_api.h"
#include "sent.h"

#define RP_FIRST_WINDOW (4 * 1024 * 1024) /* credit granted before anything is known of the reader */
#define RP_SEND_BUFFER (256 * 1024)       /* what may wait in a stream to be sent, at least */

struct rp_conn;

typedef enum { RP_NOT_QUEUED, RP_TO_SEND, RP_AWAITING_CREDIT } rp_queue;

typedef struct rp_stream {
    uint64_t id;
    struct rp_conn *conn;
    struct rp_stream *hash_next;
    struct rp_stream *sibling_next, *sibling_previous; /* all streams of the session */
    struct rp_stream *queue_next, *queue_previous;
    struct rp_stream *event_next;
    uint64_t turn;                   /* bytes sent since it came first in its queue */
    uint8_t queue, priority, events; /* events: bits 1 << RP_EVENT_*, waiting to be polled */
    bool has_event;

    rp_pages out;
    rp_ranges acked, lost;
    uint64_t out_acked, out_next, out_end; /* all below is acknowledged · sent once · written */
    uint64_t out_limit;                    /* the peer's credit */
    bool fin_written, fin_sent, fin_lost, fin_acked, write_blocked, lending;
    bool reset_due, reset_sent, reset_acked;
    uint64_t reset_code;

    rp_pages in;
    rp_ranges received;                     /* beyond in_whole only */
    uint64_t in_read, in_whole, in_highest; /* read by the caller · received without a gap · seen at all */
    uint64_t in_limit, in_window;           /* credit we granted, and how far ahead we grant */
    uint64_t in_final, granted_at, in_code;
    bool final_known, end_seen, in_reset, reset_seen, stopped, stop_due, credit_due;
    uint64_t stop_code;
} rp_stream;

void rp_stream_init(rp_stream *stream, struct rp_conn *conn, uint64_t id, uint8_t priority);
void rp_stream_clear(rp_stream *stream, rp_arena *arena);
bool rp_stream_done(const rp_stream *stream); /* nothing more can happen in either direction */

/* ---- sending: `room` is how much may wait to be sent for the first time ---- */
uint64_t rp_stream_unsent(const rp_stream *stream);
bool rp_stream_sending_over(const rp_stream *stream);
size_t rp_stream_put(rp_stream *stream, rp_arena *arena, const uint8_t *data, size_t size, uint64_t room);
/* The same, but whole pages stay with the caller until they are acknowledged. */
size_t rp_stream_put_lent(rp_stream *stream, rp_arena *arena, const uint8_t *data, size_t size,
                          uint64_t room);
bool rp_stream_has_repeat(const rp_stream *stream);
bool rp_stream_has_new(const rp_stream *stream); /* within the peer's credit for the stream */
/* Where the frame begins that is chosen next. */
uint64_t rp_stream_next_offset(const rp_stream *stream);
/* Chooses what the next STREAM frame carries, at most `room` bytes of data and `credit` new ones. */
bool rp_stream_choose(rp_stream *stream, rp_arena *arena, size_t room, uint64_t credit, rp_sent_frame *out);
void rp_stream_frame_acked(rp_stream *stream, rp_arena *arena, const rp_sent_frame *frame);
void rp_stream_frame_lost(rp_stream *stream, rp_arena *arena, const rp_sent_frame *frame);
void rp_stream_abandon(rp_stream *stream, rp_arena *arena, uint64_t code); /* RESET_STREAM is due */

/* ---- receiving: 0, or RP_E_MEMORY when it must be refused for now, or a positive RP_CODE_* ---- */
int rp_stream_receive(rp_stream *stream, rp_arena *arena, uint64_t offset, const uint8_t *data, size_t size,
                      bool fin);
int rp_stream_receive_reset(rp_stream *stream, rp_arena *arena, uint64_t final, uint64_t code);
/* Nobody will read what came or still comes; returns how many bytes that settles. */
uint64_t rp_stream_discard(rp_stream *stream, rp_arena *arena);
size_t rp_stream_take(rp_stream *stream, rp_arena *arena, uint8_t *data, size_t size);
bool rp_stream_at_end(const rp_stream *stream);
bool rp_stream_readable(const rp_stream *stream);

#endif
