/* The seam between a session and its congestion controller: one table of functions each. */
#ifndef RP_CC_H
#define RP_CC_H

#include <stdbool.h>
#include <stdint.h>

/* What one ACK taught. */
typedef struct {
    uint64_t now;
    uint64_t acked;     /* bytes newly acknowledged */
    uint64_t in_flight; /* before this ACK */
    uint64_t sent_time; /* of the newest packet newly acknowledged */
    uint64_t rtt, rtt_min, rtt_smoothed;
    uint64_t largest_acked, next_number; /* packet numbers: rounds are counted by them */
    uint64_t delivered, prior_delivered; /* bytes in all: now, and when that newest packet left */
    uint64_t rate;                       /* bytes a second between the two; 0 = no sample */
    bool app_limited;                    /* the window was not what held the sender back */
} rp_cc_ack;

typedef struct {
    uint64_t window, threshold;                    /* bytes; slow start below the threshold */
    uint64_t recovery_start;                       /* losses of packets sent before it are one event */
    uint64_t epoch_start;                          /* cubic: when the current curve began; 0 = none */
    double window_max, k, window_est;              /* cubic, in bytes and seconds */
    uint64_t round_end, round_rtt, last_round_rtt; /* hystart++ */
    uint32_t round_samples, css_rounds;
    uint64_t css_baseline;
    bool in_css, has_round;
    uint64_t undo_window, undo_threshold, undo_recovery; /* as before the last reduction */
    double undo_window_max;
} rp_cubic;

typedef enum { RP_BBR_STARTUP, RP_BBR_DRAIN, RP_BBR_PROBE_BANDWIDTH, RP_BBR_PROBE_RTT } rp_bbr_state;

typedef enum { RP_BBR_DOWN, RP_BBR_CRUISE, RP_BBR_UP } rp_bbr_phase; /* of PROBE_BANDWIDTH */

typedef struct {
    rp_bbr_state state;
    rp_bbr_phase phase;
    double pacing_gain, window_gain;
    uint64_t best[2];                 /* bandwidth, bytes a second: the last rounds, and those before */
    uint64_t rtt, rtt_at, rtt_recent; /* the least, when it was seen, the newest */
    uint64_t round_delivered, rounds, round_acked, round_lost;
    uint64_t full_bandwidth;
    uint32_t full_rounds, phase_rounds;
    uint64_t phase_at, probe_until, step;
    uint64_t lump_start, lump_acked, lump[2];
    uint64_t high, high_before, reduced_at;    /* most bytes in flight since the queue overflowed */
    uint64_t flown;                            /* bytes that were carried in the newest round trip */
    double grown;                              /* of a byte of `high` */
    uint64_t calm_from, calm_acked, calm_lost; /* what was sent since no queue is made, and its fate */
    double chance_loss;                        /* the part that is lost though there is no queue */
    bool full, new_round, rtt_expired, collapsed, chance_known, probed, bound;
} rp_bbr;

typedef struct rp_cc_table rp_cc_table;

typedef struct {
    const rp_cc_table *table;
    uint64_t mtu;
    union {
        rp_cubic cubic;
        rp_bbr bbr;
    };
} rp_cc;

struct rp_cc_table {
    const char *name;
    void (*init)(rp_cc *cc, uint64_t now);
    void (*acked)(rp_cc *cc, const rp_cc_ack *ack);
    /* Packets were lost, the newest of them sent at `sent_time`. Returns true on a reduction. */
    bool (*lost)(rp_cc *cc, uint64_t bytes, uint64_t sent_time, uint64_t now);
    void (*persistent)(rp_cc *cc, uint64_t now);
    /* Every loss of the last reduction proved spurious. */
    void (*undo)(rp_cc *cc);
    uint64_t (*window)(const rp_cc *cc);
    uint64_t (*rate)(const rp_cc *cc, uint64_t rtt_smoothed); /* bytes a second, to pace at */
};

extern const rp_cc_table rp_cc_cubic, rp_cc_bbr;

/* Windows are counted in segments, but not in giant ones. */
void rp_cc_resize(rp_cc *cc, uint64_t mtu);
void rp_cc_init(rp_cc *cc, uint8_t controller, uint64_t mtu, uint64_t now);

#endif
