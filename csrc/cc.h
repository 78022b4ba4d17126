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

typedef struct rp_cc_table rp_cc_table;

typedef struct {
    const rp_cc_table *table;
    uint64_t mtu;
    union {
        rp_cubic cubic;
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

extern const rp_cc_table rp_cc_cubic;

void rp_cc_init(rp_cc *cc, uint8_t controller, uint64_t mtu, uint64_t now);

#endif
