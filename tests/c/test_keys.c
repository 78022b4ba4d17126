#include "keys.h"

#include "check.h"
#include "sodium_table.h"

static const rp_sodium *sodium;
static rp_keys ours, theirs;

static void start(void) {
    uint8_t a[32], b[32];
    memset(a, 0xa1, sizeof a);
    memset(b, 0xb2, sizeof b);
    rp_keys_start(&ours, sodium, RP_SUITE_XCHACHA20, a, b, 0, 1000);
    rp_keys_start(&theirs, sodium, RP_SUITE_XCHACHA20, b, a, 0, 1000);
}

static bool same(const rp_packet_key *a, const rp_packet_key *b) { return memcmp(a, b, sizeof *a) == 0; }

/* The one who hears the first packet of a new epoch follows. */
static void follow(rp_keys *who, uint64_t number) { rp_keys_follow(who, sodium, number, 500, 2000, 1500); }

static void agreed(void) {
    CHECK(same(&ours.send, &theirs.receive));
    CHECK(same(&ours.receive, &theirs.send));
    CHECK_EQUAL(ours.send_epoch, theirs.receive_epoch);
}

static void each_direction_has_its_own_key(void) {
    start();
    agreed();
    CHECK(!same(&ours.send, &ours.receive));
}

static void the_next_key_stands_ready_before_it_is_needed(void) {
    start();
    rp_packet_key ready = theirs.next_receive;
    rp_keys_update(&ours, sodium, 100, 1200);
    CHECK(same(&ours.send, &ready));
    CHECK_EQUAL(ours.send_epoch, 1);
    CHECK_EQUAL(ours.first_sent, 100);
    CHECK(!ours.acknowledged);
}

static void who_hears_a_new_epoch_answers_in_it(void) {
    start();
    rp_keys_update(&ours, sodium, 100, 1200);
    follow(&theirs, 100);
    CHECK_EQUAL(theirs.receive_epoch, 1);
    CHECK_EQUAL(theirs.send_epoch, 1);
    CHECK(same(&ours.send, &theirs.receive));
    CHECK(same(&theirs.send, &ours.next_receive));
    follow(&ours, 500);
    agreed();
    CHECK_EQUAL(ours.send_epoch, 1); /* it had changed already */
}

static void a_hundred_epochs_later_they_still_agree(void) {
    start();
    rp_packet_key first = ours.send;
    for (uint64_t i = 1; i <= 100; i++) {
        rp_packet_key before = ours.send;
        rp_keys_update(&ours, sodium, 100 * i, i);
        follow(&theirs, 100 * i);
        follow(&ours, 500);
        agreed();
        CHECK(!same(&ours.send, &before) && !same(&ours.send, &first));
    }
    CHECK_EQUAL(ours.send_epoch, 100);
}

static void the_phase_and_the_number_choose_the_key(void) {
    start();
    CHECK_EQUAL(rp_keys_choose(&theirs, false, 7, 0), RP_KEY_CURRENT);
    CHECK_EQUAL(rp_keys_choose(&theirs, true, 7, 0), RP_KEY_NEXT);
    rp_keys_update(&ours, sodium, 100, 1200);
    follow(&theirs, 100); /* the old key is kept until 2000 */
    CHECK_EQUAL(rp_keys_choose(&theirs, true, 200, 1500), RP_KEY_CURRENT);
    CHECK_EQUAL(rp_keys_choose(&theirs, true, 90, 1500), RP_KEY_CURRENT);
    CHECK_EQUAL(rp_keys_choose(&theirs, false, 99, 1500), RP_KEY_PREVIOUS);
    CHECK_EQUAL(rp_keys_choose(&theirs, false, 99, 2000), RP_KEY_NONE);
    CHECK_EQUAL(rp_keys_choose(&theirs, false, 101, 1500), RP_KEY_NEXT);
}

static void each_choice_names_its_epoch(void) {
    uint32_t epoch;
    start();
    rp_packet_key old = theirs.receive;
    rp_keys_update(&ours, sodium, 100, 1200);
    follow(&theirs, 100);
    CHECK(same(rp_keys_chosen(&theirs, RP_KEY_PREVIOUS, &epoch), &old));
    CHECK_EQUAL(epoch, 0);
    CHECK(same(rp_keys_chosen(&theirs, RP_KEY_CURRENT, &epoch), &ours.send));
    CHECK_EQUAL(epoch, 1);
    CHECK(rp_keys_chosen(&theirs, RP_KEY_NEXT, &epoch) == &theirs.next_receive);
    CHECK_EQUAL(epoch, 2);
}

static void choosing_changes_nothing(void) {
    start();
    const rp_keys before = theirs;
    for (uint64_t number = 0; number < 50; number++) rp_keys_choose(&theirs, number & 1, number, number);
    CHECK_BYTES(&theirs, &before, sizeof before);
}

static void a_shared_secret_enters_the_next_epoch_and_not_this_one(void) {
    uint8_t shared[32] = {5};
    start();
    rp_packet_key now = ours.send, unmixed = theirs.next_receive;
    rp_keys_mix(&ours, sodium, shared);
    rp_keys_mix(&theirs, sodium, shared);
    CHECK(same(&ours.send, &now));
    rp_keys_update(&ours, sodium, 100, 1200);
    CHECK(!same(&ours.send, &unmixed));
    follow(&theirs, 100);
    follow(&ours, 500);
    agreed();
}

static void an_epoch_follows_only_in_its_turn(void) {
    start();
    CHECK(!rp_keys_may_follow(&theirs, false)); /* the initiator has not been told of anything yet */
    theirs.told = true;
    CHECK(rp_keys_may_follow(&theirs, false));
    CHECK(!rp_keys_may_follow(&ours, true)); /* the responder begins none */
    rp_keys_update(&ours, sodium, 100, 1200);
    CHECK(rp_keys_may_follow(&ours, true));
    follow(&theirs, 100);
    CHECK(!rp_keys_may_follow(&theirs, false)); /* and of nothing in the new one */
    follow(&ours, 500);
    CHECK(!rp_keys_may_follow(&ours, true));
    rp_keys_mix(&theirs, sodium, (const uint8_t[32]){1}); /* the answer to a ratchet tells it as well */
    CHECK(rp_keys_may_follow(&theirs, false));
}

static void the_lowest_number_of_an_epoch_is_its_first(void) {
    start();
    rp_keys_update(&ours, sodium, 100, 1200);
    follow(&theirs, 105);
    rp_keys_received(&theirs, 103); /* overtaken by the one that the epoch was noticed by */
    rp_keys_received(&theirs, 104);
    CHECK_EQUAL(theirs.first_received, 103);
    CHECK_EQUAL(rp_keys_choose(&theirs, false, 104, 0), RP_KEY_NEXT);
}

int main(void) {
    sodium = sodium_table();
    RUN(each_direction_has_its_own_key);
    RUN(the_next_key_stands_ready_before_it_is_needed);
    RUN(who_hears_a_new_epoch_answers_in_it);
    RUN(a_hundred_epochs_later_they_still_agree);
    RUN(the_phase_and_the_number_choose_the_key);
    RUN(each_choice_names_its_epoch);
    RUN(choosing_changes_nothing);
    RUN(an_epoch_follows_only_in_its_turn);
    RUN(the_lowest_number_of_an_epoch_is_its_first);
    RUN(a_shared_secret_enters_the_next_epoch_and_not_this_one);
    return 0;
}
