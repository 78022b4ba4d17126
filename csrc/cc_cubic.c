/* CUBIC (RFC 9438) with HyStart++ (RFC 9406). */
#include <math.h>
#include <string.h>

#include "cc.h"

#define CUBIC_C 0.4 /* segments a second cubed */
#define CUBIC_BETA 0.7
#define SECOND 1000000.0

enum { INITIAL_SEGMENTS = 10, MIN_SEGMENTS = 2 };

/* HyStart++: RTT thresholds in microseconds, and how slow the conservative phase is. */
enum {
    RTT_SAMPLES = 8,
    MIN_THRESHOLD = 4000,
    MAX_THRESHOLD = 16000,
    THRESHOLD_DIVISOR = 8,
    CSS_GROWTH = 4,
    CSS_ROUNDS = 5
};

static void init(rp_cc *cc, uint64_t now) {
    (void)now;
    cc->cubic = (rp_cubic){.window = INITIAL_SEGMENTS * cc->mtu, .threshold = UINT64_MAX};
}

static bool slow_start(const rp_cubic *c) { return c->window < c->threshold; }

/* ---- HyStart++: leave slow start when a round's RTT has risen, before packets are lost ---- */

static void new_round(rp_cubic *c, const rp_cc_ack *ack) {
    c->last_round_rtt = c->has_round ? c->round_rtt : 0;
    c->round_rtt = UINT64_MAX;
    c->round_samples = 0;
    c->round_end = ack->next_number;
    c->has_round = true;
    if (c->in_css && ++c->css_rounds >= CSS_ROUNDS) c->threshold = c->window;
}

static void hystart(rp_cubic *c, const rp_cc_ack *ack) {
    if (!c->has_round || ack->largest_acked >= c->round_end) new_round(c, ack);
    if (ack->rtt < c->round_rtt) c->round_rtt = ack->rtt;
    c->round_samples++;
    if (c->round_samples < RTT_SAMPLES) return;
    if (c->in_css) {
        if (c->round_rtt < c->css_baseline) c->in_css = false; /* it was jitter: go on as before */
        return;
    }
    if (!c->last_round_rtt || c->last_round_rtt == UINT64_MAX) return;
    uint64_t threshold = c->last_round_rtt / THRESHOLD_DIVISOR;
    if (threshold < MIN_THRESHOLD) threshold = MIN_THRESHOLD;
    if (threshold > MAX_THRESHOLD) threshold = MAX_THRESHOLD;
    if (c->round_rtt < c->last_round_rtt + threshold) return;
    c->css_baseline = c->round_rtt;
    c->in_css = true;
    c->css_rounds = 0;
}

/* ---- congestion avoidance ---- */

static void start_epoch(rp_cc *cc, uint64_t now) {
    rp_cubic *c = &cc->cubic;
    double segments = ((double)c->window_max - (double)c->window) / (double)cc->mtu;
    c->epoch_start = now;
    c->window_est = (double)c->window;
    c->k = segments > 0 ? cbrt(segments / CUBIC_C) : 0;
    if (c->window_max < (double)c->window) c->window_max = (double)c->window;
}

static void avoid_congestion(rp_cc *cc, const rp_cc_ack *ack) {
    rp_cubic *c = &cc->cubic;
    if (!c->epoch_start) start_epoch(cc, ack->now);
    double mtu = (double)cc->mtu, window = (double)c->window, acked = (double)ack->acked;
    double t = (double)(ack->now - c->epoch_start + ack->rtt_smoothed) / SECOND - c->k;
    double target = c->window_max + CUBIC_C * t * t * t * mtu;
    if (target < window) target = window;
    if (target > 1.5 * window) target = 1.5 * window;
    double alpha = c->window_est < c->window_max ? 3 * (1 - CUBIC_BETA) / (1 + CUBIC_BETA) : 1;
    c->window_est += alpha * mtu * acked / window;
    double next = window + (target - window) * acked / window;
    if (next < c->window_est) next = c->window_est; /* never slower than Reno would be */
    c->window = (uint64_t)next;
}

static void acked(rp_cc *cc, const rp_cc_ack *ack) {
    rp_cubic *c = &cc->cubic;
    if (ack->sent_time <= c->recovery_start && c->recovery_start) return;
    if (ack->app_limited) { /* a sender with nothing to send earns no growth, nor time on the curve */
        c->epoch_start = 0;
        return;
    }
    if (!slow_start(c)) {
        avoid_congestion(cc, ack);
        return;
    }
    c->window += c->in_css ? ack->acked / CSS_GROWTH : ack->acked;
    hystart(c, ack);
}

static bool lost(rp_cc *cc, uint64_t bytes, uint64_t sent_time, uint64_t now) {
    rp_cubic *c = &cc->cubic;
    (void)bytes;
    if (c->recovery_start && sent_time <= c->recovery_start) return false; /* the same event */
    c->undo_window = c->window;
    c->undo_threshold = c->threshold;
    c->undo_recovery = c->recovery_start;
    c->undo_window_max = c->window_max;
    double window = (double)c->window;
    c->window_max = window < c->window_max ? window * (1 + CUBIC_BETA) / 2 : window; /* fast convergence */
    c->window = (uint64_t)(window * CUBIC_BETA);
    if (c->window < MIN_SEGMENTS * cc->mtu) c->window = MIN_SEGMENTS * cc->mtu;
    c->threshold = c->window;
    c->recovery_start = now;
    c->epoch_start = 0;
    return true;
}

static void persistent(rp_cc *cc, uint64_t now) {
    rp_cubic *c = &cc->cubic;
    (void)now;
    c->window = MIN_SEGMENTS * cc->mtu;
    c->recovery_start = 0;
    c->epoch_start = 0;
    c->undo_window = 0;
}

static void undo(rp_cc *cc) {
    rp_cubic *c = &cc->cubic;
    if (!c->undo_window || c->undo_window < c->window) return;
    c->window = c->undo_window;
    c->threshold = c->undo_threshold;
    c->recovery_start = c->undo_recovery;
    c->window_max = c->undo_window_max;
    c->epoch_start = 0;
    c->undo_window = 0;
}

static uint64_t window(const rp_cc *cc) {
    uint64_t least = MIN_SEGMENTS * cc->mtu; /* packets may have become larger meanwhile */
    return cc->cubic.window > least ? cc->cubic.window : least;
}

/* A little above the window a round trip, so that pacing itself never is the limit. */
static uint64_t rate(const rp_cc *cc, uint64_t rtt_smoothed) {
    double gain = slow_start(&cc->cubic) ? 2.0 : 1.25;
    return (uint64_t)(gain * (double)cc->cubic.window * SECOND / (double)(rtt_smoothed ? rtt_smoothed : 1));
}

const rp_cc_table rp_cc_cubic = {"cubic", init, acked, lost, persistent, undo, window, rate};
