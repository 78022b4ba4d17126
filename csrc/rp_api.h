/* The whole interface of the transport core: the one header that cffi reads.
 *
 * The core is sans-IO. A `rp_core` holds many sessions that share one socket, but never sees that
 * socket: it takes datagrams and `now`, and gives datagrams, events and the next deadline. Time is
 * monotonic microseconds. Functions return 0 or a count, or a negative RP_E_*. */
#ifndef RP_API_H
#define RP_API_H

#include <stddef.h>
#include <stdint.h>

/* ---- limits and constants ------------------------------------------------------------------ */

#define RP_HEADER_SIZE 20
#define RP_KEY_SIZE 32
#define RP_MIN_DATAGRAM 1200  /* INIT is padded to it; every path must carry it */
#define RP_MAX_DATAGRAM 65507 /* the largest UDP payload over IPv4 */
#define RP_MAX_REASON 256     /* bytes of text in a CLOSE */
#define RP_PRIORITIES 8       /* 0 is the most urgent */
#define RP_NEVER 0xffffffffffffffff
#define RP_SLOWEST 64 /* bytes a second that a peer must move of what it holds up */

/* ---- errors: each maps to one Python exception, in repram/proto/connection.py --------------- */

#define RP_E_MISUSE (-1)    /* an argument that no correct caller passes */
#define RP_E_GONE (-2)      /* that connection or stream no longer exists */
#define RP_E_FULL (-3)      /* no room for another session or stream */
#define RP_E_MEMORY (-4)    /* the arena could not be taken */
#define RP_E_CRYPTO (-5)    /* a primitive is missing or gave a wrong known answer */
#define RP_E_AUTH (-6)      /* a tag, a key or a signature did not verify */
#define RP_E_MALFORMED (-7) /* bytes that do not parse */
#define RP_E_BLOCKED (-8)   /* the peer's stream limit: try again when it grants more */

/* ---- datagrams -------------------------------------------------------------------------------- */

/* An IPv4 address stands in its mapped form, ::ffff:a.b.c.d. */
typedef struct {
    uint8_t ip[16];
    uint32_t scope;
    uint16_t port;
    uint16_t reserved;
} rp_address;

/* One buffer of one or more datagrams to or from one peer: `segment` bytes each, the last may be
 * shorter (UDP_SEGMENT's and UDP_GRO's form). */
typedef struct {
    uint8_t *data;
    uint32_t size;
    uint16_t segment;
    uint8_t ecn; /* the two ECN bits of the IP header */
    uint8_t reserved;
    rp_address peer;
} rp_datagram;

/* ---- cryptography: libsodium's functions, handed in as pointers -------------------------------- */

typedef int (*rp_aead_encrypt_fn)(unsigned char *c, unsigned long long *c_size, const unsigned char *m,
                                  unsigned long long m_size, const unsigned char *ad,
                                  unsigned long long ad_size, const unsigned char *nsec,
                                  const unsigned char *npub, const unsigned char *k);
typedef int (*rp_aead_decrypt_fn)(unsigned char *m, unsigned long long *m_size, unsigned char *nsec,
                                  const unsigned char *c, unsigned long long c_size, const unsigned char *ad,
                                  unsigned long long ad_size, const unsigned char *npub,
                                  const unsigned char *k);

typedef struct {
    int (*hchacha20)(unsigned char *out, const unsigned char *in, const unsigned char *k,
                     const unsigned char *c);
    rp_aead_encrypt_fn chacha20poly1305_ietf_encrypt;
    rp_aead_decrypt_fn chacha20poly1305_ietf_decrypt;
    rp_aead_encrypt_fn aegis256_encrypt; /* may be null: then the suite is not offered */
    rp_aead_decrypt_fn aegis256_decrypt;
    int (*scalarmult)(unsigned char *q, const unsigned char *n, const unsigned char *p);
    int (*scalarmult_base)(unsigned char *q, const unsigned char *n);
    int (*sign_pk_to_curve25519)(unsigned char *x25519, const unsigned char *ed25519);
    int (*blake2b_init)(void *state, const unsigned char *key, size_t key_size, size_t out_size);
    int (*blake2b_update)(void *state, const unsigned char *in, unsigned long long size);
    int (*blake2b_final)(void *state, unsigned char *out, size_t out_size);
    int (*memcmp)(const void *a, const void *b, size_t size);
    void (*memzero)(void *p, size_t size);
} rp_sodium;

#define RP_SUITE_XCHACHA20 1
#define RP_SUITE_AEGIS256 2

#define RP_PATTERN_IK 0
#define RP_PATTERN_IKPSK2 1
#define RP_PATTERN_XX 2
#define RP_PATTERN_XXPSK3 3

/* ---- a core ------------------------------------------------------------------------------------- */

typedef struct {
    uint8_t seed[32];           /* every random byte of this core derives from it */
    uint8_t static_private[32]; /* X25519 */
    uint8_t static_public[32];
    uint8_t identity[32]; /* our Ed25519 public key; sent only when has_identity */
    uint8_t has_identity;
    uint8_t listen;     /* answer INIT */
    uint8_t suites;     /* bits of RP_SUITE_*, those that this core may use */
    uint8_t controller; /* RP_CC_* */
    uint16_t mtu;       /* the largest datagram to try, >= RP_MIN_DATAGRAM */
    uint32_t max_sessions;
    uint32_t max_streams;   /* open at once that a peer may have opened, a session */
    uint32_t first_session; /* counter behind the session ids: never goes back under one reset key */
    uint64_t arena_bytes;   /* for data in flight: send and receive buffers */
    uint64_t first_packet;  /* number of the first packet (tests start near 2^32) */
    uint64_t stream_window; /* receive window of a stream, at most RP_MAX_STREAM_WINDOW */
    uint64_t session_window;
    uint64_t idle_timeout; /* microseconds; 0 = never */
    uint64_t keep_alive;   /* microseconds; 0 = off */
    uint64_t handshake_timeout;
    uint64_t patience;      /* with a peer that moves nothing of what it holds, microseconds; 0 = for ever */
    uint64_t rekey_time;    /* new keys after this long, microseconds */
    uint64_t rekey_packets; /* or after so many packets */
    uint64_t ratchet_time;  /* a fresh Diffie-Hellman enters the keys this often */
    uint32_t cookie_after;  /* half-open sessions, or INITs a second, from which on one must bring a cookie */
    uint32_t handshake_rate; /* handshakes that one source may begin a second; 0 = any number */
    uint32_t max_secrets;    /* invites and network secrets that rp_core_add_secret can hold */
    uint8_t reset_key[32];   /* behind stateless reset tokens */
    uint8_t patterns;        /* bits 1 << RP_PATTERN_* that a listener answers */
    uint8_t ecn;             /* mark packets ECT(0) and heed congestion marks */
    int64_t wall_offset;     /* wall clock minus `now`, microseconds: ACCEPT carries the time */
} rp_config;

#define RP_CC_CUBIC 0
#define RP_CC_BBR 1

typedef struct rp_core rp_core;

int rp_crypto_check(const rp_sodium *sodium);
int rp_core_new(const rp_config *config, const rp_sodium *sodium, uint64_t now, rp_core **out);
void rp_core_free(rp_core *core);

#define RP_SECRET_ID_SIZE 8

/* Whoever calls with IKpsk2 names one of these; XXpsk3 uses the one whose id is all zero. */
int rp_core_add_secret(rp_core *core, const uint8_t *id, const uint8_t *secret);
int rp_core_remove_secret(rp_core *core, const uint8_t *id);

typedef struct {
    rp_address peer;
    uint8_t pattern; /* RP_PATTERN_* */
    uint8_t key[32]; /* the responder's Ed25519 key (IK, IKpsk2) */
    uint8_t secret_id[RP_SECRET_ID_SIZE];
    uint8_t secret[32]; /* IKpsk2, XXpsk3 */
} rp_target;

/* A connection is named by a handle that is never reused. */
int64_t rp_core_connect(rp_core *core, const rp_target *target, uint64_t now);
void rp_core_receive(rp_core *core, const rp_datagram *batch, int count, uint64_t now);
/* Fills `buffer` and describes what stands there in `batch`; 0 when nothing is to be sent now. */
int rp_core_transmit(rp_core *core, rp_datagram *batch, int max, uint8_t *buffer, size_t size, uint64_t now);
/* INITs wait until this is called, between turns of the sessions; returns how many were answered. */
int rp_core_answer(rp_core *core, int most, uint64_t now);
int rp_core_has_callers(const rp_core *core);
uint64_t rp_core_packets(const rp_core *core); /* of sessions, in and out: nobody else can make them */
uint64_t rp_core_deadline(const rp_core *core);
void rp_core_timeout(rp_core *core, uint64_t now);
/* The interface towards this peer does not take datagrams of this size: what was handed out is lost. */
void rp_core_too_large(rp_core *core, const rp_address *peer, uint16_t size, uint64_t now);

/* ---- events --------------------------------------------------------------------------------------- */

#define RP_EVENT_CONNECTED 1 /* our handshake completed */
#define RP_EVENT_ACCEPTED 2  /* a peer's first packet verified */
#define RP_EVENT_CLOSED 3    /* code, reason; the handle is dead from here on */
#define RP_EVENT_OPENED 4    /* the peer opened this stream */
#define RP_EVENT_READABLE 5
#define RP_EVENT_WRITABLE 6 /* code: how many lent pages have gone back */
#define RP_EVENT_RESET 7    /* the peer abandoned its side of the stream */
#define RP_EVENT_STOPPED 8  /* the peer reads no more of it */
#define RP_EVENT_DATAGRAM 9 /* datagrams wait to be read */
#define RP_EVENT_ADDRESS 10 /* our address as the peer sees it, or the peer's, has changed */

#define RP_CLOSED_BY_US 1
#define RP_CLOSED_BY_PEER 2
#define RP_CLOSED_IDLE 3        /* nothing heard within the idle limit */
#define RP_CLOSED_UNREACHABLE 4 /* the handshake met its deadline unanswered */
#define RP_CLOSED_REFUSED 5     /* it did, and the peer had said why: code is RP_REFUSED_* */
#define RP_CLOSED_VERSION 6     /* it did, and the peer speaks another version */
#define RP_CLOSED_PROTOCOL 7    /* the peer broke the protocol: code is RP_CODE_* */
#define RP_CLOSED_RESET 8       /* the peer no longer knows the session (it restarted) */
#define RP_CLOSED_SLOW 9        /* the peer held what is ours and moved next to nothing of it */

#define RP_REFUSED_WRONG_KEY 1
#define RP_REFUSED_WRONG_SECRET 2
#define RP_REFUSED_BUSY 3
#define RP_REFUSED_RATE 4
#define RP_REFUSED_NOT_ALLOWED 5

typedef struct {
    int64_t connection;
    uint64_t stream;
    uint64_t code;
    uint8_t kind;
    uint8_t cause; /* RP_CLOSED_* */
    uint16_t reason_size;
    uint8_t reason[RP_MAX_REASON];
} rp_event;

int rp_core_poll(rp_core *core, rp_event *events, int max);
int rp_core_has_events(const rp_core *core);

/* A stream of which nothing is to be told but that the last of its bytes are here, and they are few. */
typedef struct {
    int64_t connection;
    uint64_t stream;
    uint32_t offset, size; /* where in the buffer they stand */
    uint8_t opened;        /* the peer has opened it */
    uint8_t reserved[7];
} rp_whole;

/* Reads such streams to their end, at most `limit` bytes each, and takes their events away: to be called
 * before rp_core_poll. What does not fit in `max` or `room` is left for the next call. */
int rp_core_take_whole(rp_core *core, rp_whole *out, int max, uint8_t *buffer, size_t room, size_t limit);

/* Codes from 0x100 down are the transport's; an application's own start at 0x1000. */
#define RP_CODE_NONE 0
#define RP_CODE_FRAME 1        /* a frame that does not parse */
#define RP_CODE_FLOW 2         /* more bytes than were granted */
#define RP_CODE_STREAM_LIMIT 3 /* more streams than were granted */
#define RP_CODE_STREAM_STATE 4 /* a frame for a stream that cannot have it */
#define RP_CODE_FINAL_SIZE 5
#define RP_CODE_ACK 6  /* an acknowledgement of what was never sent */
#define RP_CODE_KEYS 7 /* key update out of turn, or keys worn out */
#define RP_CODE_INTERNAL 8
#define RP_CODE_DRAINED 9 /* the endpoint shuts down */
#define RP_CODE_EXCESS 10 /* streams were given up too often */
#define RP_CODE_SLOW 11   /* the peer moved next to nothing of what it held up */

/* ---- streams ---------------------------------------------------------------------------------------- */

int64_t rp_stream_open(rp_core *core, int64_t connection, int priority);
/* Opens a stream, writes at most RP_SHORT_MAX bytes and ends it; or, with RP_E_BLOCKED, does nothing: when
 * the peer allows no more streams, or there is no room for the bytes. */
#define RP_SHORT_MAX 32768
int64_t rp_stream_send(rp_core *core, int64_t connection, int priority, const uint8_t *data, size_t size);
int64_t rp_stream_write(rp_core *core, int64_t connection, uint64_t stream, const uint8_t *data, size_t size,
                        int fin);
/* The same, but large pieces are not copied: `lent` pages of RP_LENT_PAGE bytes each stay with the caller,
 * who leaves them as they are until `returned`, or the code of a WRITABLE event, counts them (or the session
 * has ended). Whenever nothing is lent, counting begins anew. */
#define RP_LENT_PAGE 32768
typedef struct {
    uint64_t lent, returned; /* by this call · before it */
} rp_loan;
int64_t rp_stream_lend(rp_core *core, int64_t connection, uint64_t stream, const uint8_t *data, size_t size,
                       int fin, rp_loan *loan);
/* Returns bytes read; *fin is set when the end of the stream has been read. */
int64_t rp_stream_read(rp_core *core, int64_t connection, uint64_t stream, uint8_t *data, size_t size,
                       int *fin);
/* Bytes of the stream that have been acknowledged, or have come without a gap. */
int64_t rp_stream_moved(rp_core *core, int64_t connection, uint64_t stream);
int rp_stream_reset(rp_core *core, int64_t connection, uint64_t stream, uint64_t code);
int rp_stream_stop(rp_core *core, int64_t connection, uint64_t stream, uint64_t code);
/* From now on at most so many bytes of all streams are granted ahead, or what was configured when that is
 * less; what was granted before stays granted. */
int rp_connection_grant(rp_core *core, int64_t connection, uint64_t ahead);
int rp_connection_close(rp_core *core, int64_t connection, uint64_t code, const uint8_t *reason, size_t size,
                        uint64_t now);

/* ---- datagrams inside a session: unreliable, at most one packet long ------------------------------------
 */

#define RP_DATAGRAM_QUEUE 32768 /* bytes that may wait in either direction; what does not fit is dropped */
int rp_datagram_send(rp_core *core, int64_t connection, const uint8_t *data, size_t size);
int64_t rp_datagram_read(rp_core *core, int64_t connection, uint8_t *data,
                         size_t size); /* RP_E_BLOCKED: none */

/* ---- what can be seen -----------------------------------------------------------------------------------
 */

typedef struct {
    uint64_t rtt, rtt_min, rtt_var;
    uint64_t window, in_flight, rate;
    uint64_t packets_sent, packets_received, bytes_sent, bytes_received;
    uint64_t packets_lost, retransmitted_bytes, ptos, spurious;
    uint64_t streams;
    int64_t clock_offset; /* the peer's wall clock minus our `now`, from ACCEPT */
    uint32_t mtu;
    uint32_t epoch;
    uint64_t ecn_marks; /* of our packets, counted by the peer */
    uint64_t migrations;
    uint8_t suite;
    uint8_t controller; /* RP_CC_* */
    uint8_t established;
    uint8_t has_peer_identity;
    uint8_t has_secret; /* the peer proved the secret that secret_id names */
    uint8_t has_observed;
    uint8_t secret_id[RP_SECRET_ID_SIZE];
    uint8_t peer_identity[32];
    uint8_t handshake_hash[64];
    rp_address peer, observed; /* observed: ourselves, as the peer sees us */
} rp_stats;

int rp_connection_stats(rp_core *core, int64_t connection, rp_stats *out);

/* What happened, by cause, over the life of the core. */
typedef struct {
    uint64_t datagrams_in, bytes_in, datagrams_out, bytes_out;
    uint64_t dropped_short, dropped_crc, dropped_length, dropped_type, dropped_flags;
    uint64_t dropped_session, dropped_auth, dropped_replay, dropped_mac, dropped_handshake;
    uint64_t dropped_memory, dropped_state;
    uint64_t inits_in, inits_repeated, accepts_in, refused_out, refused_in, versions_out, versions_in;
    uint64_t handshakes_completed, handshakes_failed;
    uint64_t acks_in, acks_out, reordered, lost_packets, retransmitted_frames, ptos, spurious;
    uint64_t persistent_congestion, protocol_errors, idle_closes, undone_reductions;
    uint64_t key_updates, ratchets, resets_out, resets_in, retries_out, retries_in;
    uint64_t path_challenges, migrations, datagram_frames_dropped, wraps, ecn_marks;
    uint64_t mtu_probes, mtu_found, black_holes;
    uint64_t handshakes_limited, slow_closes, dropped_callers;
    uint64_t packets;
    uint64_t sessions, streams, arena_used, arena_peak;
} rp_counters;

void rp_core_counters(const rp_core *core, rp_counters *out);

/* A session can keep a record of what it does, for a qlog-style trace. */
#define RP_TRACE_SENT 1     /* a: packet number, b: bytes */
#define RP_TRACE_RECEIVED 2 /* a: packet number, b: bytes */
#define RP_TRACE_ACKED 3    /* a: largest, b: RTT */
#define RP_TRACE_LOST 4     /* a: packet number, b: bytes */
#define RP_TRACE_PTO 5      /* a: count in a row */
#define RP_TRACE_WINDOW 6   /* a: congestion window, b: in flight */
#define RP_TRACE_KEYS 7     /* a: send epoch, b: receive epoch */
#define RP_TRACE_PATH 8     /* a: 1 challenge sent, 2 validated */
#define RP_TRACE_STATE 9    /* a: state, b: code */
#define RP_TRACE_MTU 10     /* a: the largest packet from now on, b: until now */

typedef struct {
    uint64_t time, a, b;
    uint32_t kind, missed; /* missed: records lost before this one */
} rp_trace_record;

int rp_connection_trace(rp_core *core, int64_t connection, int on);
int rp_connection_trace_read(rp_core *core, int64_t connection, rp_trace_record *out, int max);

/* ---- entry points for the published vectors, and for tests of single modules ------------------------------
 */

uint32_t rp_crc32(const uint8_t *data, size_t size);
#define RP_CRC_TABLES 0
#define RP_CRC_FOLDING 1      /* carry-less multiplication */
#define RP_CRC_FOLDING_TWO 2  /* two at a time */
#define RP_CRC_FOLDING_FOUR 3 /* four at a time */
int rp_crc32_method(void);    /* the best that this CPU has, and rp_crc32 uses */
uint32_t rp_crc32_by(int method, const uint8_t *data, size_t size); /* that method, or the best below it */

int rp_suite_seal(const rp_sodium *sodium, int suite, const uint8_t *key, const uint8_t *nonce,
                  const uint8_t *ad, size_t ad_size, const uint8_t *plain, size_t size, uint8_t *out);
int rp_suite_open(const rp_sodium *sodium, int suite, const uint8_t *key, const uint8_t *nonce,
                  const uint8_t *ad, size_t ad_size, const uint8_t *sealed, size_t size, uint8_t *out);
int rp_dh(const rp_sodium *sodium, const uint8_t *private_key, const uint8_t *public_key, uint8_t *out);
int rp_identity_to_dh(const rp_sodium *sodium, const uint8_t *ed25519, uint8_t *x25519);
int rp_hash(const rp_sodium *sodium, const uint8_t *data, size_t size, uint8_t *out64);

/* One side of a Noise handshake as the published vectors drive it. */
typedef struct rp_noise rp_noise;
typedef struct {
    uint8_t pattern, initiator;
    uint8_t has_remote_static, has_psk;
    uint8_t static_private[32], ephemeral_private[32], remote_static[32], psk[32];
} rp_noise_setup;
size_t rp_noise_size(void);
int rp_noise_start(rp_noise *noise, const rp_sodium *sodium, const rp_noise_setup *setup,
                   const uint8_t *prologue, size_t size);
int64_t rp_noise_write(rp_noise *noise, const uint8_t *payload, size_t size, uint8_t *out, size_t max);
int64_t rp_noise_read(rp_noise *noise, const uint8_t *message, size_t size, uint8_t *out, size_t max);
int rp_noise_finish(rp_noise *noise, uint8_t *send_key, uint8_t *receive_key, uint8_t *hash64);

/* ---- the socket side: udp.c alone makes system calls
 * --------------------------------------------------------- */

typedef struct rp_udp rp_udp;
int rp_udp_open(const rp_address *local, rp_udp **out, rp_address *bound);
int rp_udp_part_callers(rp_udp *udp);            /* for who listens */
size_t rp_udp_receive_buffer(const rp_udp *udp); /* bytes that the kernel keeps for it */
/* Datagrams that the kernel dropped for want of room, as it last said: it does so with the next that it
 * keeps. */
uint32_t rp_udp_drops(const rp_udp *udp);
int rp_udp_descriptor(const rp_udp *udp);
int rp_udp_callers_descriptor(
    const rp_udp *udp); /* readable when callers wait; -1: they come with all else */
int rp_udp_watch_descriptor(
    const rp_udp *udp); /* to be watched instead of it: readable when it is worth a turn */
int rp_udp_timer_descriptor(const rp_udp *udp);
uint64_t rp_udp_now(void);
#define RP_TURN_READABLE 1 /* in: the socket has datagrams */
#define RP_TURN_TIMER 2    /* in: the timer has fired */
#define RP_TURN_CALLERS 32 /* in: so has the one for callers */
#define RP_TURN_EVENTS 4   /* out: events wait */
#define RP_TURN_HOLD 16    /* in: when events wait, send nothing yet: another turn follows */
#define RP_TURN_WRITABLE 8 /* out: the kernel's buffer is full, come again when the socket is writable */
/* One wake-up: reads what has come, lets the core work, sends what it gives, sets the timer. */
int rp_udp_turn(rp_udp *udp, rp_core *core, int why);
void rp_udp_close(rp_udp *udp);

#endif
