/* BBR: paces at the bandwidth that was measured, keeps two round trips of it in flight, and takes a loss
 * for congestion only when the queue has grown too (after Cardwell et al., draft-cardwell-iccrg-bbr). */
#include "cc.h"

#define SECOND 1000000

enum {
    BANDWIDTH_ROUNDS = 10,  /* how long a bandwidth is believed */
    RTT_LIFE = 10 * SECOND, /* how long a minimum RTT is */
    PROBE_RTT_TIME = 200000,
    FULL_ROUNDS = 3, /* without a quarter more bandwidth: the pipe is full */
    MIN_SEGMENTS = 4,
    INITIAL_SEGMENTS = 10,
    SPARE_SEGMENTS = 32,
    CYCLE = 8,
};

static const double STARTUP_GAIN = 2.77, WINDOW_GAIN = 2.0;
static const double CYCLE_GAINS[CYCLE] = {1.25, 0.75, 1, 1, 1, 1, 1, 1};

static void init(rp_cc *cc, uint64_t now) {
    cc->bbr = (rp_bbr){.state = RP_BBR_STARTUP,
                       .pacing_gain = STARTUP_GAIN,
                       .window_gain = STARTUP_GAIN,
                       .rtt_at = now,
                       .high = UINT64_MAX};
}

/* ---- the model: bandwidth is a maximum over rounds, RTT a minimum over seconds ---- */

static uint64_t bandwidth(const rp_bbr *b) { return b->best[0] > b->best[1] ? b->best[0] : b->best[1]; }

static uint64_t in_one_rtt(const rp_bbr *b, double gain) {
    return (uint64_t)(gain * (double)bandwidth(b) * (double)b->rtt / SECOND);
}

static void learn_bandwidth(rp_bbr *b, const rp_cc_ack *ack) {
    b->new_round = ack->prior_delivered >= b->round_delivered;
    if (b->new_round) {
        b->round_delivered = ack->delivered;
        b->rounds++;
        b->round_lost = 0;
        if (b->rounds % (BANDWIDTH_ROUNDS / 2) == 0) { /* two halves: the older is forgotten whole */
            b->best[1] = b->best[0];
            b->best[0] = 0;
        }
    }
    if (ack->rate && (!ack->app_limited || ack->rate > bandwidth(b)) && ack->rate > b->best[0])
        b->best[0] = ack->rate;
}

static void learn_rtt(rp_bbr *b, const rp_cc_ack *ack) {
    b->rtt_expired = ack->now - b->rtt_at > RTT_LIFE;
    if (!b->rtt || ack->rtt <= b->rtt || b->rtt_expired) {
        b->rtt = ack->rtt ? ack->rtt : 1;
        b->rtt_at = ack->now;
    }
    b->rtt_recent = ack->rtt;
}

/* ACKs that come in lumps let more be in flight than the path holds. */
static void learn_lumps(rp_bbr *b, const rp_cc_ack *ack) {
    uint64_t expected = bandwidth(b) * (ack->now - b->lump_start) / SECOND;
    if (b->lump_acked <= expected) {
        b->lump_start = ack->now;
        b->lump_acked = expected = 0;
    }
    b->lump_acked += ack->acked;
    uint64_t extra = b->lump_acked - expected;
    if (b->new_round && b->rounds % BANDWIDTH_ROUNDS == 0) {
        b->lump[1] = b->lump[0];
        b->lump[0] = 0;
    }
    if (extra > b->lump[0]) b->lump[0] = extra;
}

static uint64_t lump(const rp_bbr *b) { return b->lump[0] > b->lump[1] ? b->lump[0] : b->lump[1]; }

/* ---- the states ---- */

static void enter_probe_bandwidth(rp_bbr *b, uint64_t now) {
    b->state = RP_BBR_PROBE_BANDWIDTH;
    b->window_gain = WINDOW_GAIN;
    b->cycle = 2; /* cruise first: whoever drains has just made room */
    b->cycle_at = now;
    b->pacing_gain = CYCLE_GAINS[b->cycle];
}

static void check_full(rp_bbr *b, const rp_cc_ack *ack) {
    if (b->full || !b->new_round || ack->app_limited) return;
    if (bandwidth(b) >= b->full_bandwidth * 5 / 4) {
        b->full_bandwidth = bandwidth(b);
        b->full_rounds = 0;
        return;
    }
    if (++b->full_rounds >= FULL_ROUNDS) b->full = true;
}

static void startup_and_drain(rp_bbr *b, const rp_cc_ack *ack) {
    check_full(b, ack);
    if (b->state == RP_BBR_STARTUP && b->full) {
        b->state = RP_BBR_DRAIN;
        b->pacing_gain = 1 / STARTUP_GAIN;
        b->window_gain = WINDOW_GAIN;
    }
    if (b->state == RP_BBR_DRAIN && ack->in_flight - ack->acked <= in_one_rtt(b, 1.0))
        enter_probe_bandwidth(b, ack->now);
}

static bool phase_over(const rp_bbr *b, const rp_cc_ack *ack) {
    uint64_t in_flight = ack->in_flight - ack->acked;
    bool long_enough = ack->now - b->cycle_at > b->rtt;
    if (b->pacing_gain > 1)
        return long_enough && (b->round_lost || in_flight >= in_one_rtt(b, b->pacing_gain));
    if (b->pacing_gain < 1) return long_enough || in_flight <= in_one_rtt(b, 1.0);
    return long_enough;
}

static void cycle(rp_bbr *b, const rp_cc_ack *ack) {
    if (b->state != RP_BBR_PROBE_BANDWIDTH || !phase_over(b, ack)) return;
    b->cycle = (b->cycle + 1) % CYCLE;
    b->cycle_at = ack->now;
    b->pacing_gain = CYCLE_GAINS[b->cycle];
    if (b->high != UINT64_MAX && b->pacing_gain > 1) b->high += b->high / 8; /* is there room again? */
    if (b->high > in_one_rtt(b, 2 * WINDOW_GAIN)) b->high = UINT64_MAX;
}

/* Now and then half a pipe for a moment, so that the true RTT shows. */
static void probe_rtt(rp_bbr *b, const rp_cc_ack *ack) {
    if (b->state != RP_BBR_PROBE_RTT && b->rtt_expired && b->full) {
        b->state = RP_BBR_PROBE_RTT;
        b->pacing_gain = 1;
        b->probe_until = ack->now + PROBE_RTT_TIME;
        b->rtt_at = ack->now;
    }
    if (b->state == RP_BBR_PROBE_RTT && ack->now >= b->probe_until) {
        b->rtt_at = ack->now;
        enter_probe_bandwidth(b, ack->now);
    }
}

static void acked(rp_cc *cc, const rp_cc_ack *ack) {
    rp_bbr *b = &cc->bbr;
    learn_rtt(b, ack);
    learn_bandwidth(b, ack);
    learn_lumps(b, ack);
    startup_and_drain(b, ack);
    cycle(b, ack);
    probe_rtt(b, ack);
    b->collapsed = false;
}

/* ---- loss ---- */

static bool queue_has_grown(const rp_bbr *b) { return b->rtt && b->rtt_recent > b->rtt + b->rtt / 4 + 1000; }

static bool lost(rp_cc *cc, uint64_t bytes, uint64_t sent_time, uint64_t now) {
    rp_bbr *b = &cc->bbr;
    b->round_lost += bytes ? bytes : cc->mtu; /* no bytes: a congestion mark */
    bool heavy = !bytes || b->round_lost > in_one_rtt(b, 1.0) / 16;
    if (!queue_has_grown(b) || !heavy || (b->reduced_at && sent_time <= b->reduced_at)) return false;
    if (b->state == RP_BBR_STARTUP) b->full = true;
    uint64_t pipe = in_one_rtt(b, 1.0), now_allowed = cc->table->window(cc);
    b->high = now_allowed * 17 / 20 > pipe ? now_allowed * 17 / 20 : pipe;
    b->reduced_at = now;
    return true;
}

static void persistent(rp_cc *cc, uint64_t now) {
    (void)now;
    cc->bbr.collapsed = true; /* until the next ACK shows that the path is alive */
}

static void undo(rp_cc *cc) { cc->bbr.high = UINT64_MAX; }

/* ---- what may fly ---- */

static uint64_t window(const rp_cc *cc) {
    const rp_bbr *b = &cc->bbr;
    uint64_t least = MIN_SEGMENTS * cc->mtu;
    if (b->collapsed) return least;
    if (!bandwidth(b) || !b->rtt) return INITIAL_SEGMENTS * cc->mtu;
    if (b->state == RP_BBR_PROBE_RTT) {
        uint64_t half = in_one_rtt(b, 0.5);
        return half > least ? half : least;
    }
    uint64_t most = in_one_rtt(b, b->window_gain) + lump(b) + SPARE_SEGMENTS * cc->mtu;
    if (most > b->high) most = b->high;
    return most > least ? most : least;
}

/* At least the smallest window a round trip: what little came through an outage is no measure of the path. */
static uint64_t rate(const rp_cc *cc, uint64_t rtt_smoothed) {
    const rp_bbr *b = &cc->bbr;
    double segments_a_second = (double)cc->mtu * SECOND / (double)(rtt_smoothed ? rtt_smoothed : 1);
    if (!bandwidth(b)) return (uint64_t)(STARTUP_GAIN * INITIAL_SEGMENTS * segments_a_second);
    double paced = b->pacing_gain * (double)bandwidth(b), least = MIN_SEGMENTS * segments_a_second;
    return (uint64_t)(paced > least ? paced : least);
}

const rp_cc_table rp_cc_bbr = {"bbr", init, acked, lost, persistent, undo, window, rate};
