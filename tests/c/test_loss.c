#include "loss.h"

#include "check.h"

enum { MS = 1000, ACK_DELAY = 5 * MS };

static rp_loss loss;

static void sample(uint64_t rtt_ms, uint64_t delay_ms) {
    rp_loss_sample(&loss, rtt_ms * MS, delay_ms * MS, ACK_DELAY, 77);
}

static void before_any_sample_the_rtt_is_a_cautious_guess(void) {
    rp_loss_init(&loss);
    CHECK_EQUAL(loss.smoothed, RP_INITIAL_RTT);
    CHECK_EQUAL(rp_loss_pto(&loss, 0), RP_INITIAL_RTT + 4 * (RP_INITIAL_RTT / 2));
    CHECK(!loss.sampled);
}

static void the_first_sample_replaces_the_guess(void) {
    rp_loss_init(&loss);
    sample(100, 3);
    CHECK(loss.sampled);
    CHECK_EQUAL(loss.first_sample, 77);
    CHECK_EQUAL(loss.latest, 100 * MS);
    CHECK_EQUAL(loss.minimum, 100 * MS); /* without the delay taken off */
    CHECK_EQUAL(loss.smoothed, 100 * MS);
    CHECK_EQUAL(loss.variance, 50 * MS);
}

static void later_samples_move_it_as_in_the_rfc(void) { /* RFC 9002, 5.3 */
    rp_loss_init(&loss);
    sample(100, 0);
    sample(140, 4);
    CHECK_EQUAL(loss.latest, 140 * MS);
    CHECK_EQUAL(loss.variance, (3 * 50 * MS + 36 * MS) / 4);
    CHECK_EQUAL(loss.smoothed, (7 * 100 * MS + 136 * MS) / 8);
    CHECK_EQUAL(loss.minimum, 100 * MS);
}

static void the_peers_delay_counts_up_to_its_limit(void) {
    rp_loss_init(&loss);
    sample(100, 0);
    sample(140, 4000);
    CHECK_EQUAL(loss.smoothed, (7 * 100 * MS + 135 * MS) / 8);
}

static void the_delay_is_not_believed_below_the_minimum(void) {
    rp_loss_init(&loss);
    sample(100, 0);
    sample(103, 5);
    CHECK_EQUAL(loss.smoothed, (7 * 100 * MS + 103 * MS) / 8);
    sample(90, 5);
    CHECK_EQUAL(loss.minimum, 90 * MS);
}

static void the_time_threshold_is_nine_eighths_of_the_slower_rtt(void) {
    rp_loss_init(&loss);
    sample(80, 0);
    CHECK_EQUAL(rp_loss_delay(&loss), 90 * MS);
    sample(160, 0);
    CHECK_EQUAL(rp_loss_delay(&loss), 180 * MS);
    rp_loss_init(&loss);
    rp_loss_sample(&loss, 10, 0, 0, 1);
    CHECK_EQUAL(rp_loss_delay(&loss), RP_GRANULARITY);
}

static void a_probe_waits_for_rtt_variance_and_the_peers_delay(void) {
    rp_loss_init(&loss);
    sample(100, 0);
    CHECK_EQUAL(rp_loss_pto(&loss, 0), 300 * MS);
    CHECK_EQUAL(rp_loss_pto(&loss, ACK_DELAY), 305 * MS);
    loss.variance = 0;
    CHECK_EQUAL(rp_loss_pto(&loss, ACK_DELAY), 106 * MS); /* variance counts as a timer's granularity */
}

static void each_probe_doubles_the_wait_up_to_a_limit(void) {
    rp_loss_init(&loss);
    sample(100, 0);
    uint64_t once = rp_loss_pto(&loss, 0);
    for (uint32_t count = 0; count < 40; count++) {
        uint64_t doubled = count < 10 ? once << count : UINT64_MAX, longest = 1500 * (uint64_t)MS;
        loss.pto_count = count;
        CHECK_EQUAL(rp_loss_backed_off(&loss, 0), doubled < longest ? doubled : longest);
    }
}

static void a_wait_that_is_long_at_first_is_not_cut(void) {
    rp_loss_init(&loss);
    sample(3000, 0);
    loss.pto_count = 5;
    CHECK_EQUAL(rp_loss_backed_off(&loss, 0), rp_loss_pto(&loss, 0));
}

static void a_spurious_loss_widens_the_threshold_that_was_wrong(void) {
    rp_loss_init(&loss);
    CHECK_EQUAL(loss.reorder, 3);
    rp_loss_spurious(&loss, 2, false); /* would not have been lost by counting */
    CHECK_EQUAL(loss.reorder, 3);
    rp_loss_spurious(&loss, 3, false);
    CHECK_EQUAL(loss.reorder, 4);
    rp_loss_spurious(&loss, 20, false);
    CHECK_EQUAL(loss.reorder, 21);
    rp_loss_spurious(&loss, 1000000, false);
    CHECK_EQUAL(loss.reorder, RP_MAX_REORDER);
    CHECK_EQUAL(loss.time_eighths, 9);
}

static void the_time_threshold_widens_to_two_rtts_at_most(void) {
    rp_loss_init(&loss);
    sample(80, 0);
    for (int i = 0; i < 50; i++) rp_loss_spurious(&loss, 0, true);
    CHECK_EQUAL(rp_loss_delay(&loss), 160 * MS);
    CHECK_EQUAL(loss.reorder, RP_MIN_REORDER);
}

int main(void) {
    RUN(before_any_sample_the_rtt_is_a_cautious_guess);
    RUN(the_first_sample_replaces_the_guess);
    RUN(later_samples_move_it_as_in_the_rfc);
    RUN(the_peers_delay_counts_up_to_its_limit);
    RUN(the_delay_is_not_believed_below_the_minimum);
    RUN(the_time_threshold_is_nine_eighths_of_the_slower_rtt);
    RUN(a_probe_waits_for_rtt_variance_and_the_peers_delay);
    RUN(each_probe_doubles_the_wait_up_to_a_limit);
    RUN(a_wait_that_is_long_at_first_is_not_cut);
    RUN(a_spurious_loss_widens_the_threshold_that_was_wrong);
    RUN(the_time_threshold_widens_to_two_rtts_at_most);
    return 0;
}
