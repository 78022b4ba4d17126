#include "path.h"

#include "check.h"

static rp_path path;

static rp_address at(uint8_t last, uint16_t port) {
    return (rp_address){.ip = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = last}, .port = port};
}

static bool seen(uint8_t last, size_t size) {
    rp_address from = at(last, 7433);
    return rp_path_seen(&path, &from, size);
}

static void start(void) { path = (rp_path){0}; }

static void an_address_is_its_ip_port_and_scope(void) {
    rp_address a = at(1, 7433), b = at(1, 7433);
    CHECK(rp_address_equal(&a, &b));
    b = at(2, 7433);
    CHECK(!rp_address_equal(&a, &b));
    b = at(1, 7434);
    CHECK(!rp_address_equal(&a, &b));
    b = at(1, 7433);
    b.scope = 3;
    CHECK(!rp_address_equal(&a, &b));
}

static void a_new_address_needs_a_fresh_challenge_once(void) {
    start();
    CHECK(seen(2, 100));
    CHECK(path.active && path.due);
    CHECK(!seen(2, 100));
    CHECK(seen(3, 100));
    CHECK(!seen(3, 100));
}

static void no_more_than_thrice_what_came_is_sent(void) {
    start();
    seen(2, 100);
    CHECK(rp_path_may_send(&path, 300));
    CHECK(!rp_path_may_send(&path, 301));
    rp_path_asked(&path, 200, 1000, 0);
    CHECK(rp_path_may_send(&path, 100));
    CHECK(!rp_path_may_send(&path, 101));
    seen(2, 50);
    CHECK(rp_path_may_send(&path, 250));
    seen(3, 10); /* another address has earned nothing yet */
    CHECK(!rp_path_may_send(&path, 31));
}

static void only_the_challenge_that_was_sent_is_answered(void) {
    uint8_t wrong[RP_PATH_DATA_SIZE] = "12345679";
    start();
    CHECK(!rp_path_answers(&path, path.challenge)); /* nobody asked */
    seen(2, 100);
    memcpy(path.challenge, "12345678", sizeof path.challenge);
    CHECK(!rp_path_answers(&path, path.challenge)); /* chosen, but not sent */
    rp_path_asked(&path, 50, 1000, 77);
    CHECK(!rp_path_answers(&path, wrong));
    CHECK(rp_path_answers(&path, path.challenge));
    CHECK_EQUAL(path.asked_at, 77);
}

static void it_asks_ever_more_rarely_and_then_gives_up(void) {
    uint64_t now = 0, wait = 1000;
    start();
    seen(2, 10000);
    for (int i = 0; i < RP_PATH_TRIES; i++) {
        CHECK(path.active && path.due);
        rp_path_asked(&path, 50, 1000, now);
        CHECK(!path.due);
        CHECK_EQUAL(path.again_at, now + wait);
        now = path.again_at;
        wait *= 2;
        rp_path_timeout(&path);
    }
    CHECK(!path.active);
    CHECK_EQUAL(path.asked_at, 0); /* the round trip counts from the first time */
}

/* ---- several at a time ---- */

static rp_path paths[RP_PATHS];

static rp_path *ask(uint8_t last) {
    rp_address from = at(last, 7433);
    rp_path *place = rp_paths_place(paths, &from);
    if (!place || !rp_path_seen(place, &from, 100)) return place;
    place->challenge[0] = last;
    rp_path_asked(place, 50, 1000, 0);
    return place;
}

static void an_address_keeps_its_place_until_it_had_time_to_answer(void) {
    rp_paths_clear(paths);
    for (uint8_t i = 0; i < RP_PATHS; i++) CHECK(ask(i) == &paths[i]);
    CHECK(!ask(RP_PATHS)); /* all the others have only just been asked */
    CHECK(ask(1) == &paths[1]);
    CHECK_EQUAL(paths[1].received, 200);
    CHECK_EQUAL(rp_paths_again_at(paths), 1000);
    rp_paths_timeout(paths, 1000);
    CHECK(paths[1].due);
    rp_path_asked(&paths[1], 50, 1000, 1000);
    CHECK(ask(RP_PATHS) == &paths[1]);
    CHECK_EQUAL(paths[1].received, 100);
}

static void each_is_known_by_its_own_answer(void) {
    uint8_t answer[RP_PATH_DATA_SIZE] = {0};
    rp_paths_clear(paths);
    for (uint8_t i = 1; i <= RP_PATHS; i++) ask(i);
    CHECK(!rp_paths_answered(paths, answer));
    answer[0] = 3;
    CHECK(rp_paths_answered(paths, answer) == &paths[2]);
    rp_paths_clear(paths);
    CHECK(!rp_paths_answered(paths, answer));
    CHECK_EQUAL(rp_paths_again_at(paths), 0);
}

int main(void) {
    RUN(an_address_is_its_ip_port_and_scope);
    RUN(a_new_address_needs_a_fresh_challenge_once);
    RUN(no_more_than_thrice_what_came_is_sent);
    RUN(only_the_challenge_that_was_sent_is_answered);
    RUN(it_asks_ever_more_rarely_and_then_gives_up);
    RUN(an_address_keeps_its_place_until_it_had_time_to_answer);
    RUN(each_is_known_by_its_own_answer);
    return 0;
}
