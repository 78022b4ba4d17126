/* One session. conn.c holds its life and its deadlines, conn_receive.c what comes in, conn_send.c
 * what goes out; each only sequences the modules named below. */
#ifndef RP_CONN_H
#define RP_CONN_H

#include "ack.h"
#include "cc.h"
#include "fifo.h"
#include "handshake.h"
#include "keys.h"
#include "loss.h"
#include "pacer.h"
#include "path.h"
#include "pmtu.h"
#include "replay.h"
#include "sent.h"
#include "slow.h"
#include "stream.h"
#include "timer.h"
#include "trace.h"

typedef enum {
    RP_CALLING,    /* INIT sent, ACCEPT awaited */
    RP_CONFIRMING, /* XX: the third message sent, the first DATA awaited */
    RP_ANSWERED,   /* ACCEPT sent, the first DATA (XX: the third message) awaited */
    RP_ESTABLISHED,
    RP_CLOSING,  /* we said CLOSE and repeat it when spoken to */
    RP_DRAINING, /* the peer said CLOSE: silence until nothing of it can still arrive */
    RP_DEAD,     /* to be freed once its last event has been polled */
} rp_state;

typedef struct {
    rp_stream *first, *last;
} rp_stream_list;

typedef struct rp_conn {
    rp_core *core;
    int64_t handle;
    struct rp_conn *session_next, *init_next, *remote_next; /* hash chains of the core */
    struct rp_conn *ready_next, *event_next;
    bool in_ready, in_events;
    uint8_t state;
    bool initiator, half_open, ping_due, close_due, handshake_due, retried, observed_due;
    uint8_t closed_cause;
    uint32_t local_session, remote_session;
    rp_address peer;
    uint8_t peer_identity[32];
    bool has_peer_identity, has_secret, has_observed;
    uint8_t secret_id[RP_SECRET_ID_SIZE];
    uint8_t reset_token[RP_RESET_TOKEN_SIZE]; /* the peer's: it may say that it forgot us */
    rp_address observed;                      /* ourselves, as the peer sees us */
    uint8_t init_mac[RP_MAC_SIZE];            /* names the INIT that made this session */
    uint8_t handshake_hash[RP_HASH_SIZE];
    rp_handshake *handshake; /* a borrowed block, until established */
    uint64_t handshake_started, handshake_wait;
    bool several_sources, unproven;           /* more than one address got our ACCEPT: which is the peer's? */
    uint64_t unvalidated_in, unvalidated_out; /* bytes, until the peer's address is proved */
    int64_t clock_offset;

    uint8_t suite; /* offered in our ACCEPT, until keys has it */
    rp_keys keys;
    bool ratchet_due, ratchet_asked;
    uint8_t ratchet_private[32], ratchet_public[32];
    uint32_t ratchet_count; /* asked (initiator) or answered (responder) so far */
    uint64_t ratcheted_at;
    rp_path paths[RP_PATHS]; /* new addresses of the peer, not proved yet: none unless `asking` */
    bool asking;
    struct { /* to a question, and to a second one that came with a copy */
        rp_address to;
        uint8_t data[RP_PATH_DATA_SIZE];
        bool due;
    } responses[2];
    uint32_t responses_sent;                 /* since anything was acknowledged last */
    uint64_t given_up_until, ratchets_until; /* at the most that is borne, they last until then */
    uint64_t migrations;
    rp_fifo datagrams_out, datagrams_in;
    rp_trace trace;
    bool ecn;                        /* our packets are marked ECT(0) */
    uint64_t ecn_seen[3], ecn_marks; /* what the peer has counted */
    rp_replay replay;
    rp_ack ack;
    rp_sent sent;
    rp_loss loss;
    rp_cc cc;
    rp_pacer pacer;
    rp_timers timers;
    rp_limits theirs;
    uint16_t mtu; /* of our packets: pmtu says it */
    rp_pmtu pmtu;
    uint64_t in_flight, in_flight_packets;
    uint64_t largest_acked, loss_scan, loss_at; /* below loss_scan every packet is settled */
    uint64_t episode_lost, episode_at; /* losses of the last reduction not proved spurious; its time */
    uint64_t last_eliciting, last_received, last_range_ping, pace_at;
    uint64_t probed_at;              /* a probe that could not leave counts too: the next one waits */
    uint32_t probes;                 /* packets that may pass the window after a PTO */
    uint32_t until_skip, skip_range; /* packets before the next number that is left out */
    bool any_acked, app_limited;
    uint64_t delivered, delivered_time, first_sent_time;

    rp_stream_list all, to_send[RP_PRIORITIES], awaiting_credit, event_streams;
    uint32_t stream_count;
    uint64_t streams_opened, peer_streams_opened;
    uint64_t out_total, out_limit; /* session credit: new bytes sent, and the peer's limit */
    uint64_t in_total, in_consumed, in_limit, in_window, in_most, granted_at;
    uint64_t streams_granted, streams_allowed; /* counts: the peer may open, we may open */
    uint64_t peer_streams_closed;
    rp_slow slow;
    uint64_t moved, acked_at;
    bool max_data_due, max_streams_due;
    uint16_t events; /* bits 1 << RP_EVENT_* of the session itself */

    uint64_t close_code;
    uint32_t close_replies;
    uint16_t reason_size;
    uint8_t reason[RP_MAX_REASON];

    uint64_t packets_sent, packets_received, bytes_sent, bytes_received;
    uint64_t packets_lost, retransmitted_bytes, ptos, spurious;
} rp_conn;

_Static_assert(sizeof(rp_conn) <= RP_BLOCK_SIZE, "an idle session costs one block");

/* ---- conn.c ---- */
void rp_conn_init(rp_conn *conn, rp_core *core, int64_t handle, const rp_address *peer, bool initiator,
                  uint64_t now);
void rp_conn_establish(rp_conn *conn, uint64_t now);
/* The handshake is over for us: keys and the peer's limits are known. */
void rp_conn_use_keys(rp_conn *conn, uint8_t suite, const rp_limits *theirs, const uint8_t *reset_token,
                      uint64_t now);
/* The responder's: the initiator has proved its keys, in a packet from this address. */
void rp_conn_take_address(rp_conn *conn, const rp_address *from, size_t size, uint64_t now);
void rp_conn_prove(rp_conn *conn, const rp_address *address, size_t size, uint64_t now); /* challenges it */
void rp_conn_stop_asking(rp_conn *conn);
void rp_conn_migrate(rp_conn *conn, const rp_path *path, uint64_t now); /* it has proved itself */
void rp_conn_close(rp_conn *conn, uint8_t cause, uint64_t code, const uint8_t *reason, size_t size,
                   uint64_t now);
void rp_conn_end(rp_conn *conn, uint8_t cause, uint64_t code, uint64_t now); /* at once, saying nothing */
void rp_conn_abort(rp_conn *conn, uint64_t code, const char *reason, uint64_t now);
void rp_conn_free(rp_conn *conn);
void rp_conn_timeout(rp_conn *conn, uint64_t now);
void rp_conn_arm(rp_conn *conn, uint64_t now);
bool rp_conn_may_send(const rp_conn *conn, size_t size); /* to an address that has proved nothing: 3 times */
bool rp_conn_open(const rp_conn *conn);
uint64_t rp_conn_send_room(const rp_conn *conn); /* bytes that may wait in a stream */

rp_stream *rp_conn_add_stream(rp_conn *conn, uint64_t id, uint8_t priority);
void rp_conn_drop_stream(rp_conn *conn, rp_stream *stream); /* if done */
void rp_conn_queue_stream(rp_conn *conn, rp_stream *stream);
void rp_conn_unqueue_stream(rp_conn *conn, rp_stream *stream);
void rp_conn_abandon_stream(rp_conn *conn, rp_stream *stream, uint64_t code);
/* The last of what was lent to the stream may have gone back: then whoever lent it learns so. */
void rp_conn_tell_returned(rp_conn *conn, rp_stream *stream);
void rp_conn_stream_event(rp_conn *conn, rp_stream *stream, uint8_t kind);
void rp_conn_event(rp_conn *conn, uint8_t kind);
void rp_conn_consumed(rp_conn *conn, rp_stream *stream, uint64_t bytes, uint64_t now);
void rp_conn_resize(rp_conn *conn, uint64_t now); /* packets from now on: as the search has it */
size_t rp_conn_datagram_room(const rp_conn *conn);

/* ---- conn_receive.c ---- */
void rp_conn_receive(rp_conn *conn, const rp_header *header, const rp_address *from, uint8_t *datagram,
                     size_t size, uint8_t ecn, uint64_t now);

/* ---- conn_recovery.c ---- */
int rp_conn_acked(rp_conn *conn, const rp_frame *ack, uint64_t now); /* 0 or a RP_CODE_* */
void rp_conn_detect_lost(rp_conn *conn, uint64_t now);
void rp_conn_probe(rp_conn *conn, uint64_t now);

/* ---- conn_send.c ---- */
/* Fills `out` with datagrams of equal size, but for the last; returns bytes, 0 when none is due. */
size_t rp_conn_send(rp_conn *conn, uint8_t *out, size_t room, uint64_t now, uint16_t *segment,
                    rp_address *to);

#endif
