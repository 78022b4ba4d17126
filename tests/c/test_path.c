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

int main(void) {
    RUN(an_address_is_its_ip_port_and_scope);
    RUN(a_new_address_needs_a_fresh_challenge_once);
    RUN(no_more_than_thrice_what_came_is_sent);
    RUN(only_the_challenge_that_was_sent_is_answered);
    RUN(it_asks_ever_more_rarely_and_then_gives_up);
    return 0;
}
