/* BBR: paces at the bandwidth that was measured, keeps two round trips of it in flight, and takes a loss
 * for congestion only when the queue has grown too (after Cardwell et al., draft-cardwell-iccrg-bbr). What
 * overflows together shares: from a loss on, a bound on what may fly shrinks and grows as a window does. */
#include <math.h>

#include "cc.h"

#define SECOND 1000000

enum {
    BANDWIDTH_ROUNDS = 10,  /* how long a bandwidth is believed */
    RTT_LIFE = 10 * SECOND, /* how long a minimum RTT is */
    PROBE_RTT_TIME = 200000,
    FULL_ROUNDS = 3, /* without a quarter more bandwidth: the pipe is full */
    MIN_SEGMENTS = 4,
    INITIAL_SEGMENTS = 32, /* paced over a round trip, never at once */
    SPARE_SEGMENTS = 32,
    FEW_SEGMENTS = 16,
    FIRST_SEGMENTS = 5,    /* lost in a round by who starts beside others: they made the queue */
    ENOUGH_SEGMENTS = 128, /* to tell from them what is lost by chance */
    LATE_WAKING = 250,     /* microseconds that a host may add to an RTT without a queue */
    RTT_NOISE = 64,        /* a minimum is confirmed by what comes this near to it */
    CRUISE_ROUNDS = 100,
    CRUISE_TIME = 3 * SECOND,
    CRUISE_LEAST = SECOND / 5,
    FIRST_CRUISE = 8,
    UP_ROUNDS = 2,
    MOST_UP_ROUNDS = 8,
    MOST_DOWN_ROUNDS = 4, /* a queue that is still there then is somebody else's */
};

static const double STARTUP_GAIN = 2.77, WINDOW_GAIN = 2.0, UP_WINDOW_GAIN = 3.0, HEAVY_LOSS = 0.02,
                    STARTUP_LOSS = 0.25;
static const double GAINS[] = {[RP_BBR_DOWN] = 0.75, [RP_BBR_CRUISE] = 1, [RP_BBR_UP] = 1.25};

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

/* What has to leave so that `bandwidth` arrives in spite of losses by chance. */
static double to_send(const rp_bbr *b) { return (double)bandwidth(b) / (1 - b->chance_loss); }

static uint64_t to_send_in_one_rtt(const rp_bbr *b, double gain) {
    return (uint64_t)(gain * to_send(b) * (double)b->rtt / SECOND);
}

static void learn_bandwidth(rp_bbr *b, const rp_cc_ack *ack) {
    b->round_acked += ack->acked;
    b->new_round = ack->prior_delivered >= b->round_delivered;
    if (b->new_round) {
        b->round_delivered = ack->delivered;
        b->rounds++;
        b->round_lost = b->round_acked = 0;
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
    if (!b->rtt || ack->rtt <= b->rtt || b->rtt_expired) b->rtt = ack->rtt ? ack->rtt : 1;
    if (ack->rtt <= b->rtt + b->rtt / RTT_NOISE) b->rtt_at = ack->now;
    b->rtt_recent = ack->rtt;
}

static bool queue_has_grown(const rp_bbr *b) {
    return b->rtt && b->rtt_recent > b->rtt + b->rtt / 4 + LATE_WAKING;
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

/* ---- loss by chance: what is lost while less is sent than arrived before, and no queue stands ---- */

static bool calm(const rp_bbr *b, uint64_t sent_time) {
    return b->pacing_gain <= 1 && sent_time >= b->calm_from && !queue_has_grown(b);
}

static void learn_chance(rp_cc *cc) {
    static const double MOST = 0.25, LEARN = 0.25;
    rp_bbr *b = &cc->bbr;
    uint64_t sent = b->calm_acked + b->calm_lost;
    if (sent < ENOUGH_SEGMENTS * cc->mtu) return;
    double part = (double)b->calm_lost / (double)sent;
    b->chance_loss = b->chance_known ? b->chance_loss + LEARN * (part - b->chance_loss) : part;
    if (b->chance_loss > MOST) b->chance_loss = MOST;
    b->chance_known = true;
    b->calm_acked = b->calm_lost = 0;
}

/* ---- sharing: a bound on what may fly, once a queue has overflowed ---- */

/* The part of the bound that it gains in a round trip: so many segments at least as hold their own beside a
 * CUBIC in its slow region, and in long pipes what that gains between two losses, 0.3 of a window w in the
 * cube root of 0.3 w / 0.4 seconds. */
static double growth(const rp_cc *cc) {
    static const double LEAST = 1.5, GAINED = 0.33;
    double window = (double)cc->bbr.high / (double)cc->mtu;
    double gained = GAINED * cbrt(window * window) * (double)cc->bbr.rtt_recent / SECOND;
    return (gained > LEAST ? gained : LEAST) / window;
}

static void grow(rp_cc *cc, const rp_cc_ack *ack) {
    rp_bbr *b = &cc->bbr;
    b->flown = ack->delivered - ack->prior_delivered;
    b->bound = b->high != UINT64_MAX && ack->in_flight + 2 * cc->mtu >= b->high;
    if (!b->bound) return;
    b->grown += growth(cc) * (double)ack->acked;
    uint64_t whole = (uint64_t)b->grown;
    b->high += whole;
    b->grown -= (double)whole;
}

/* What was carried in a round trip, less what makes room for others; but never less than the path holds. */
static void shrink(rp_cc *cc) {
    static const double KEEP = 0.7, LATE_KNOWN = 4; /* what is lost takes its room until that is known */
    rp_bbr *b = &cc->bbr;
    uint64_t least = lump(b) + to_send_in_one_rtt(b, 1 + LATE_KNOWN * b->chance_loss);
    uint64_t kept = (uint64_t)(KEEP * (double)b->flown);
    if (least < MIN_SEGMENTS * cc->mtu) least = MIN_SEGMENTS * cc->mtu;
    b->high_before = b->high;
    b->high = kept > least ? kept : least;
}

/* ---- the states ---- */

static void enter_phase(rp_bbr *b, rp_bbr_phase phase, uint64_t now) {
    if (phase == RP_BBR_DOWN) b->calm_from = now;
    if (phase == RP_BBR_UP) {
        b->step = 1;
        b->probed = true;
        b->full_bandwidth = bandwidth(b);
        b->full_rounds = 0;
    }
    b->phase = phase;
    b->phase_at = now;
    b->phase_rounds = 0;
    b->pacing_gain = GAINS[phase];
    b->window_gain =
        phase == RP_BBR_UP ? UP_WINDOW_GAIN : WINDOW_GAIN; /* a full queue makes round trips longer */
}

static void enter_probe_bandwidth(rp_bbr *b, uint64_t now) {
    b->state = RP_BBR_PROBE_BANDWIDTH;
    enter_phase(b, RP_BBR_CRUISE, now); /* whoever drains has just made room */
}

/* Whether more was sent for some rounds, and no more arrived for it. */
static bool no_more_arrives(rp_bbr *b, double more, uint32_t rounds) {
    if ((double)bandwidth(b) >= more * (double)b->full_bandwidth) {
        b->full_bandwidth = bandwidth(b);
        b->full_rounds = 0;
        return false;
    }
    return ++b->full_rounds >= rounds;
}

static void startup_and_drain(rp_bbr *b, const rp_cc_ack *ack) {
    if (!b->full && b->new_round && !ack->app_limited) b->full = no_more_arrives(b, 1.25, FULL_ROUNDS);
    if (b->state == RP_BBR_STARTUP && b->full) {
        b->state = RP_BBR_DRAIN;
        b->pacing_gain = 1 / STARTUP_GAIN;
        b->window_gain = WINDOW_GAIN;
        b->calm_from = ack->now;
    }
    if (b->state == RP_BBR_DRAIN && ack->in_flight - ack->acked <= in_one_rtt(b, 1.0))
        enter_probe_bandwidth(b, ack->now);
}

/* As long as a loss-based neighbour needs to recover from one loss, so that both get their turn. */
static bool cruised_enough(const rp_bbr *b, uint64_t now) {
    uint64_t time = now - b->phase_at;
    if (!b->probed && b->phase_rounds >= FIRST_CRUISE) return true; /* was the start broken off too early? */
    return time >= CRUISE_TIME || (b->phase_rounds >= CRUISE_ROUNDS && time >= CRUISE_LEAST);
}

static void probe_bandwidth(rp_cc *cc, const rp_cc_ack *ack) {
    rp_bbr *b = &cc->bbr;
    uint64_t in_flight = ack->in_flight - ack->acked;
    b->phase_rounds += b->new_round;
    switch (b->phase) {
    case RP_BBR_DOWN:
        if (b->phase_rounds >= MOST_DOWN_ROUNDS || in_flight <= in_one_rtt(b, 1.0))
            enter_phase(b, RP_BBR_CRUISE, ack->now);
        return;
    case RP_BBR_CRUISE:
        if (cruised_enough(b, ack->now)) enter_phase(b, RP_BBR_UP, ack->now);
        return;
    case RP_BBR_UP:
        if (b->high != UINT64_MAX && b->new_round) {
            b->high += b->step * cc->mtu;
            b->step *= 2;
        }
        if (b->high > in_one_rtt(b, 2 * WINDOW_GAIN)) b->high = UINT64_MAX;
        if (!b->new_round || !no_more_arrives(b, 1.125, UP_ROUNDS)) return;
        if (in_flight >= in_one_rtt(b, GAINS[RP_BBR_UP]) || b->full_rounds > MOST_UP_ROUNDS)
            enter_phase(b, RP_BBR_DOWN, ack->now);
        return;
    }
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
    if (calm(b, ack->sent_time)) b->calm_acked += ack->acked;
    learn_bandwidth(b, ack);
    learn_lumps(b, ack);
    if (b->new_round) learn_chance(cc);
    grow(cc, ack);
    startup_and_drain(b, ack);
    if (b->state == RP_BBR_PROBE_BANDWIDTH) probe_bandwidth(cc, ack);
    probe_rtt(b, ack);
    b->collapsed = false;
}

/* ---- loss ---- */

/* More is lost than any path loses by chance. */
static bool flooding(const rp_cc *cc) {
    const rp_bbr *b = &cc->bbr;
    uint64_t sent = b->round_lost + b->round_acked;
    return b->round_lost > FEW_SEGMENTS * cc->mtu && (double)b->round_lost > STARTUP_LOSS * (double)sent;
}

/* More is lost than by chance, and where there is none, anything at all. */
static bool congested(const rp_cc *cc) {
    static const double ALLOW = 2, DOUBT = 8;
    const rp_bbr *b = &cc->bbr;
    double doubt = DOUBT * b->chance_loss;
    if (!b->chance_known || doubt > HEAVY_LOSS) doubt = HEAVY_LOSS;
    if (b->state == RP_BBR_STARTUP && b->round_lost <= FIRST_SEGMENTS * cc->mtu) return false;
    return b->round_lost > in_one_rtt(b, doubt + ALLOW * b->chance_loss);
}

static bool lost(rp_cc *cc, uint64_t bytes, uint64_t sent_time, uint64_t now) {
    rp_bbr *b = &cc->bbr;
    b->round_lost += bytes ? bytes : cc->mtu; /* no bytes: a congestion mark */
    if (calm(b, sent_time)) b->calm_lost += bytes;
    if (b->state == RP_BBR_STARTUP && flooding(cc)) b->full = true;
    if (b->reduced_at && sent_time <= b->reduced_at) return false; /* the same event */
    if (!queue_has_grown(b) || (bytes && !congested(cc))) return false;
    shrink(cc);
    b->reduced_at = now;
    if (b->state == RP_BBR_STARTUP) b->full = true;
    if (b->state == RP_BBR_PROBE_BANDWIDTH && b->phase == RP_BBR_UP) enter_phase(b, RP_BBR_DOWN, now);
    return true;
}

static void persistent(rp_cc *cc, uint64_t now) {
    (void)now;
    cc->bbr.collapsed = true; /* until the next ACK shows that the path is alive */
}

static void undo(rp_cc *cc) {
    if (cc->bbr.high < cc->bbr.high_before) cc->bbr.high = cc->bbr.high_before;
}

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
    uint64_t most = to_send_in_one_rtt(b, b->window_gain) + lump(b) + SPARE_SEGMENTS * cc->mtu;
    if (most > b->high) most = b->high;
    return most > least ? most : least;
}

/* At least the smallest window a round trip: what little came through an outage is no measure of the path. */
static uint64_t rate(const rp_cc *cc, uint64_t rtt_smoothed) {
    const rp_bbr *b = &cc->bbr;
    double segments_a_second = (double)cc->mtu * SECOND / (double)(rtt_smoothed ? rtt_smoothed : 1);
    if (!bandwidth(b)) return (uint64_t)(STARTUP_GAIN * INITIAL_SEGMENTS * segments_a_second);
    double paced = b->pacing_gain * to_send(b), least = MIN_SEGMENTS * segments_a_second;
    if (b->bound) paced *= 1 + 2 * growth(cc); /* lest the pace bounds */
    return (uint64_t)(paced > least ? paced : least);
}

const rp_cc_table rp_cc_bbr = {"bbr", init, acked, lost, persistent, undo, window, rate};
