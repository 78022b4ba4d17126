/* Calls that are not answered with a session: each failure has its name, none costs much. */
#include "check.h"
#include "handshake.h"
#include "pair.h"
#include "sodium_table.h"

enum { SECOND = PAIR_SECOND };

static const rp_sodium *sodium;
static pair p;

/* The call ends at its deadline and not before; returns what the caller is told. */
static rp_event outcome(void) {
    rp_event event;
    pair_run(&p, 9 * SECOND);
    CHECK(!pair_event(&p, CLIENT, RP_EVENT_CLOSED, &event));
    pair_run(&p, 2 * SECOND);
    CHECK(pair_event(&p, CLIENT, RP_EVENT_CLOSED, &event));
    CHECK_EQUAL(event.connection, p.handle[CLIENT]);
    CHECK(!pair_event(&p, SERVER, RP_EVENT_ACCEPTED, &event));
    CHECK_EQUAL(pair_counters(&p, CLIENT).arena_used, 0);
    CHECK_EQUAL(pair_counters(&p, SERVER).arena_used, 0);
    CHECK_EQUAL(pair_counters(&p, CLIENT).handshakes_failed, 1);
    return event;
}

static void ends_refused(uint64_t reason) {
    rp_event event = outcome();
    CHECK_EQUAL(event.cause, RP_CLOSED_REFUSED);
    CHECK_EQUAL(event.code, reason);
    CHECK(pair_counters(&p, CLIENT).refused_in);
    pair_free(&p);
}

static void call(const rp_target *target) {
    p.handle[CLIENT] = rp_core_connect(p.core[CLIENT], target, p.now);
    CHECK(p.handle[CLIENT] > 0);
}

static bool nothing_passes(pair *pair, int to, pair_datagram *d) {
    (void)pair;
    (void)to;
    (void)d;
    return false;
}

static void a_dead_address_is_unreachable(void) {
    pair_start(&p, sodium, NULL);
    p.passes = nothing_passes;
    pair_call(&p);
    CHECK_EQUAL(outcome().cause, RP_CLOSED_UNREACHABLE);
    CHECK(p.sent[CLIENT] >= 8 && p.sent[CLIENT] < 40); /* it tried, with patience */
    pair_free(&p);
}

static void a_wrong_key_is_refused(void) {
    pair_start(&p, sodium, NULL);
    rp_target target = pair_target(&p);
    memcpy(target.key, p.config[CLIENT].identity, 32);
    call(&target);
    ends_refused(RP_REFUSED_WRONG_KEY);
}

static void a_key_that_is_no_key_is_our_own_mistake(void) {
    pair_start(&p, sodium, NULL);
    rp_target target = pair_target(&p);
    memset(target.key, 0, 32);
    CHECK_EQUAL(rp_core_connect(p.core[CLIENT], &target, p.now), RP_E_AUTH);
    target.pattern = RP_PATTERN_XXPSK3 + 1;
    CHECK_EQUAL(rp_core_connect(p.core[CLIENT], &target, p.now), RP_E_MISUSE);
    CHECK_EQUAL(pair_counters(&p, CLIENT).arena_used, 0);
    pair_free(&p);
}

static bool from_a_later_version(pair *pair, int to, pair_datagram *d) {
    (void)pair;
    if (to == SERVER && d->data[0] == RP_TYPE_INIT) {
        d->data[RP_INIT_VERSION] = 2;
        rp_store32(d->data + 16, 0);
        rp_header_finish(d->data, d->size);
    }
    return true;
}

static void another_version_is_named(void) {
    pair_start(&p, sodium, NULL);
    p.passes = from_a_later_version;
    pair_call(&p);
    rp_event event = outcome();
    CHECK_EQUAL(event.cause, RP_CLOSED_VERSION);
    CHECK(pair_counters(&p, SERVER).versions_out && pair_counters(&p, CLIENT).versions_in);
    pair_free(&p);
}

static void one_session_only(rp_config *client, rp_config *server) {
    server->max_sessions = 1;
    (void)client;
}

static void a_full_node_is_busy(void) {
    rp_event event;
    pair_start(&p, sodium, one_session_only);
    pair_open(&p);
    int64_t first = p.handle[CLIENT];
    pair_call(&p);
    pair_run(&p, 11 * SECOND);
    CHECK(pair_event(&p, CLIENT, RP_EVENT_CLOSED, &event));
    CHECK_EQUAL(event.connection, p.handle[CLIENT]);
    CHECK_EQUAL(event.cause, RP_CLOSED_REFUSED);
    CHECK_EQUAL(event.code, RP_REFUSED_BUSY);
    p.handle[CLIENT] = first;
    CHECK(pair_stats(&p, CLIENT).established && pair_stats(&p, SERVER).established);
    pair_free(&p);
}

static rp_target with_secret(const char *id, int byte) {
    rp_target target = pair_target(&p);
    target.pattern = RP_PATTERN_IKPSK2;
    memcpy(target.secret_id, id, RP_SECRET_ID_SIZE);
    memset(target.secret, byte, 32);
    return target;
}

static void an_unknown_secret_is_refused(void) {
    pair_start(&p, sodium, NULL);
    rp_target target = with_secret("invite 7", 7);
    call(&target);
    ends_refused(RP_REFUSED_WRONG_SECRET);
}

static void a_removed_secret_is_unknown(void) {
    pair_start(&p, sodium, NULL);
    rp_target target = with_secret("invite 7", 7);
    CHECK_EQUAL(rp_core_add_secret(p.core[SERVER], target.secret_id, target.secret), 0);
    CHECK_EQUAL(rp_core_add_secret(p.core[SERVER], target.secret_id, target.secret), RP_E_MISUSE);
    CHECK_EQUAL(rp_core_remove_secret(p.core[SERVER], target.secret_id), 0);
    CHECK_EQUAL(rp_core_remove_secret(p.core[SERVER], target.secret_id), RP_E_GONE);
    call(&target);
    ends_refused(RP_REFUSED_WRONG_SECRET);
}

static void a_secret_of_another_value_is_wrong(void) {
    pair_start(&p, sodium, NULL);
    rp_target target = with_secret("invite 7", 7);
    CHECK_EQUAL(rp_core_add_secret(p.core[SERVER], target.secret_id, target.secret), 0);
    target.secret[0] ^= 1;
    call(&target);
    rp_event event = outcome();
    CHECK_EQUAL(event.cause, RP_CLOSED_REFUSED);
    CHECK_EQUAL(event.code, RP_REFUSED_WRONG_SECRET);
    pair_free(&p);
}

static void only_ik(rp_config *client, rp_config *server) {
    server->patterns = 1 << RP_PATTERN_IK;
    (void)client;
}

static void a_pattern_that_is_not_answered_is_not_allowed(void) {
    pair_start(&p, sodium, only_ik);
    rp_target target = with_secret("invite 7", 7);
    call(&target);
    ends_refused(RP_REFUSED_NOT_ALLOWED);
}

static void deaf(rp_config *client, rp_config *server) {
    server->listen = 0;
    (void)client;
}

static void who_does_not_listen_says_nothing(void) {
    pair_start(&p, sodium, deaf);
    pair_call(&p);
    CHECK_EQUAL(outcome().cause, RP_CLOSED_UNREACHABLE);
    CHECK_EQUAL(p.sent[SERVER], 0);
    CHECK(pair_counters(&p, SERVER).dropped_handshake);
    pair_free(&p);
}

/* ---- INITs made by hand ---- */

static uint8_t init[RP_INIT_SIZE + 1];

/* A good INIT of the client, which itself never hears of it. */
static void catch_init(void) {
    pair_start(&p, sodium, NULL);
    pair_call(&p);
    pair_send(&p, CLIENT);
    CHECK_EQUAL(p.waiting[SERVER], 1);
    memcpy(init, p.slots[SERVER][p.line[SERVER][0]].data, RP_INIT_SIZE);
    pair_discard(&p, SERVER, 0);
}

static void inject_init(size_t size) {
    uint8_t copy[sizeof init];
    memcpy(copy, init, size);
    rp_store16(copy + 2, (uint16_t)(size - RP_HEADER_SIZE));
    rp_store32(copy + 16, 0);
    rp_header_finish(copy, size);
    pair_inject(&p, SERVER, &p.address[CLIENT], copy, size);
    pair_send(&p, SERVER);
}

static void an_init_that_is_not_well_formed_is_dropped_in_silence(void) {
    static const struct {
        size_t size, at;
        uint8_t value;
    } table[] = {
        {RP_INIT_SIZE - 1, 0, RP_TYPE_INIT}, /* too short: it would earn us an amplifier's name */
        {RP_HEADER_SIZE, 0, RP_TYPE_INIT},
        {RP_INIT_SIZE, RP_INIT_RESERVED, 1},
        {RP_INIT_SIZE, 7, 1}, /* a session in the header */
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        catch_init();
        init[table[i].at] = table[i].value;
        inject_init(table[i].size);
        CHECK_EQUAL(pair_counters(&p, SERVER).dropped_handshake, 1);
        CHECK_EQUAL(p.sent[SERVER], 0);
        CHECK_EQUAL(pair_counters(&p, SERVER).arena_used, 0);
        pair_free(&p);
    }
    catch_init();
    rp_store32(init + RP_INIT_SESSION, 0);
    inject_init(RP_INIT_SIZE);
    CHECK_EQUAL(pair_counters(&p, SERVER).dropped_handshake, 1);
    pair_free(&p);
}

static void every_flipped_bit_of_an_init_opens_nothing(void) {
    catch_init();
    for (size_t bit = 8 * RP_HEADER_SIZE; bit < 8 * (RP_INIT_SIZE - RP_MAC_SIZE); bit += bit < 400 ? 1 : 41) {
        init[bit / 8] ^= (uint8_t)(1 << bit % 8);
        inject_init(RP_INIT_SIZE);
        init[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK_EQUAL(pair_counters(&p, SERVER).sessions, 0);
        CHECK_EQUAL(pair_counters(&p, SERVER).arena_used, 0);
    }
    inject_init(RP_INIT_SIZE);
    CHECK_EQUAL(pair_counters(&p, SERVER).sessions, 1);
    pair_free(&p);
}

static void a_flood_of_calls_is_answered_sparingly(void) {
    catch_init();
    init[RP_INIT_NONCE] ^= 1; /* mac1 is wrong */
    for (int i = 0; i < 1000; i++) inject_init(RP_INIT_SIZE);
    CHECK_EQUAL(pair_counters(&p, SERVER).dropped_mac, 1000);
    CHECK(p.sent[SERVER] <= 16);
    for (int i = 0; i < 100; i++) {
        p.now += SECOND / 10;
        for (int n = 0; n < 50; n++) inject_init(RP_INIT_SIZE);
    }
    CHECK(p.sent[SERVER] <= 1100); /* a hundred a second */
    pair_free(&p);
}

static void the_same_init_is_answered_with_the_same_accept(void) {
    catch_init();
    pair_datagram first = {0};
    for (int i = 0; i < 5; i++) {
        inject_init(RP_INIT_SIZE);
        CHECK_EQUAL(p.waiting[CLIENT], i + 1);
        pair_datagram *d = &p.slots[CLIENT][p.line[CLIENT][i]];
        if (!i) first = *d;
        CHECK_EQUAL(d->size, first.size);
        CHECK_BYTES(d->data, first.data, first.size);
    }
    CHECK_EQUAL(pair_counters(&p, SERVER).sessions, 1);
    CHECK_EQUAL(pair_counters(&p, SERVER).inits_repeated, 4);
    pair_free(&p);
}

static void a_call_nobody_confirms_is_forgotten_untold(void) {
    rp_event event;
    catch_init();
    inject_init(RP_INIT_SIZE);
    CHECK(pair_counters(&p, SERVER).arena_used);
    p.waiting[CLIENT] = 0;
    while (rp_core_deadline(p.core[SERVER]) != RP_NEVER) {
        p.now = rp_core_deadline(p.core[SERVER]);
        rp_core_timeout(p.core[SERVER], p.now);
        pair_send(&p, SERVER);
    }
    CHECK_EQUAL(pair_counters(&p, SERVER).arena_used, 0);
    CHECK(!pair_event(&p, SERVER, RP_EVENT_CLOSED, &event));
    pair_free(&p);
}

static void a_replayed_init_displaces_no_session(void) {
    rp_event event;
    catch_init();
    pair_run(&p, 2 * SECOND); /* the client calls again, and is answered */
    CHECK(pair_event(&p, SERVER, RP_EVENT_ACCEPTED, &event));
    uint64_t sent = p.sent[SERVER];
    for (int i = 0; i < 10; i++) inject_init(RP_INIT_SIZE);
    CHECK_EQUAL(p.sent[SERVER], sent);
    CHECK_EQUAL(pair_counters(&p, SERVER).sessions, 1);
    CHECK(pair_stats(&p, CLIENT).established && pair_stats(&p, SERVER).established);
    pair_free(&p);
}

static void a_replayed_init_after_the_end_opens_nothing(void) {
    rp_event event;
    catch_init();
    pair_run(&p, 2 * SECOND);
    CHECK(pair_event(&p, SERVER, RP_EVENT_ACCEPTED, &event));
    rp_connection_close(p.core[CLIENT], p.handle[CLIENT], 0, NULL, 0, p.now);
    pair_run(&p, 10 * SECOND);
    inject_init(RP_INIT_SIZE);
    pair_run(&p, 20 * SECOND);
    CHECK(!pair_event(&p, SERVER, RP_EVENT_ACCEPTED, &event));
    CHECK_EQUAL(pair_counters(&p, SERVER).arena_used, 0);
    pair_free(&p);
}

/* ---- cookies ---- */

static void wary(rp_config *client, rp_config *server) {
    server->cookie_after = 0;
    (void)client;
}

static void under_load_a_caller_must_prove_its_address_first(void) {
    rp_event event;
    pair_start(&p, sodium, wary);
    pair_call(&p);
    pair_run(&p, p.delay);
    CHECK_EQUAL(pair_counters(&p, SERVER).retries_out, 1);
    CHECK_EQUAL(pair_counters(&p, SERVER).arena_used, 0);
    pair_run(&p, SECOND);
    CHECK_EQUAL(pair_counters(&p, CLIENT).retries_in, 1);
    CHECK(pair_event(&p, SERVER, RP_EVENT_ACCEPTED, &event));
    pair_free(&p);
}

static void a_cookie_is_good_for_one_address(void) {
    pair_start(&p, sodium, wary);
    pair_call(&p);
    pair_run(&p, 2 * p.delay); /* the INIT with its cookie is under way */
    CHECK_EQUAL(p.waiting[SERVER], 1);
    memcpy(init, p.slots[SERVER][p.line[SERVER][0]].data, RP_INIT_SIZE);
    pair_discard(&p, SERVER, 0);
    p.address[CLIENT].port++;
    inject_init(RP_INIT_SIZE);
    CHECK_EQUAL(pair_counters(&p, SERVER).sessions, 0);
    p.address[CLIENT].port--;
    inject_init(RP_INIT_SIZE);
    CHECK_EQUAL(pair_counters(&p, SERVER).sessions, 1);
    pair_free(&p);
}

/* ---- what comes back and was not asked for ---- */

static void a_notice_with_the_wrong_nonce_is_ignored(void) {
    uint8_t notice[RP_REFUSED_SIZE], nonce[RP_NONCE_SIZE];
    catch_init();
    memcpy(nonce, init + RP_INIT_NONCE, sizeof nonce);
    nonce[0] ^= 1;
    rp_refused_write(notice, rp_load32(init + RP_INIT_SESSION), nonce, RP_REFUSED_BUSY);
    pair_inject(&p, CLIENT, &p.address[SERVER], notice, sizeof notice);
    CHECK_EQUAL(pair_counters(&p, CLIENT).refused_in, 0);
    CHECK_EQUAL(pair_counters(&p, CLIENT).dropped_state, 1);
    pair_free(&p);
}

static void a_forged_refusal_does_not_end_the_call(void) {
    uint8_t notice[RP_REFUSED_SIZE];
    catch_init();
    rp_refused_write(notice, rp_load32(init + RP_INIT_SESSION), init + RP_INIT_NONCE, RP_REFUSED_BUSY);
    pair_inject(&p, CLIENT, &p.address[SERVER], notice, sizeof notice);
    CHECK_EQUAL(pair_counters(&p, CLIENT).refused_in, 1);
    pair_run(&p, 2 * SECOND);
    CHECK(pair_stats(&p, CLIENT).established);
    pair_free(&p);
}

static void a_forged_accept_does_not_end_the_call(void) {
    uint8_t accept[200] = {0};
    catch_init();
    rp_header_write(accept, sizeof accept,
                    &(rp_header){.type = RP_TYPE_ACCEPT, .session = rp_load32(init + RP_INIT_SESSION)});
    pair_inject(&p, CLIENT, &p.address[SERVER], accept, sizeof accept);
    CHECK_EQUAL(pair_counters(&p, CLIENT).dropped_handshake, 1);
    pair_run(&p, 2 * SECOND);
    CHECK(pair_stats(&p, CLIENT).established);
    pair_free(&p);
}

static void an_answer_for_nobody_is_counted(void) {
    pair_start(&p, sodium, NULL);
    for (uint8_t type = RP_TYPE_RETRY; type <= RP_TYPE_REFUSED; type++) {
        uint8_t bytes[60] = {0};
        rp_header_write(bytes, sizeof bytes, &(rp_header){.type = type, .session = 99});
        for (int side = 0; side < 2; side++) {
            uint64_t before = pair_refused(&p, side);
            pair_inject(&p, side, &p.address[!side], bytes, sizeof bytes);
            CHECK_EQUAL(pair_refused(&p, side), before + 1);
        }
    }
    pair_free(&p);
}

/* ---- making a core ---- */

static void settings_that_make_no_sense_are_refused(void) {
    rp_config good, bad;
    rp_core *core;
    pair_settings(sodium, SERVER, &good);
#define REFUSED_WITH(field, value)                                                                           \
    bad = good;                                                                                              \
    bad.field = (value);                                                                                     \
    CHECK_EQUAL(rp_core_new(&bad, sodium, 0, &core), RP_E_MISUSE)
    REFUSED_WITH(mtu, RP_MIN_DATAGRAM - 1);
    REFUSED_WITH(mtu, RP_MAX_DATAGRAM + 1);
    REFUSED_WITH(max_sessions, 0);
    REFUSED_WITH(max_sessions, (1 << 20) + 1);
    REFUSED_WITH(max_streams, 0);
    REFUSED_WITH(arena_bytes, 1000);
    REFUSED_WITH(stream_window, 1000);
    REFUSED_WITH(stream_window, (uint64_t)1 << 40);
    REFUSED_WITH(session_window, good.stream_window - 1);
    REFUSED_WITH(suites, RP_SUITE_AEGIS256); /* XChaCha20 is mandatory */
    REFUSED_WITH(first_packet, UINT64_MAX);
    REFUSED_WITH(rekey_packets, 0);
    REFUSED_WITH(max_secrets, 0);
}

static void primitives_that_are_missing_or_wrong_are_refused(void) {
    rp_sodium table = *sodium;
    CHECK_EQUAL(rp_crypto_check(&table), 0);
    table.hchacha20 = NULL;
    CHECK_EQUAL(rp_crypto_check(&table), RP_E_CRYPTO);
    table = *sodium;
    table.aegis256_encrypt = table.chacha20poly1305_ietf_encrypt; /* not what it says, and one half only */
    CHECK_EQUAL(rp_crypto_check(&table), RP_E_CRYPTO);
    table = *sodium;
    table.scalarmult_base = sodium_table_of_straw()->scalarmult_base;
    CHECK_EQUAL(rp_crypto_check(&table), RP_E_CRYPTO);
}

int main(void) {
    sodium = sodium_table();
    RUN(a_dead_address_is_unreachable);
    RUN(a_wrong_key_is_refused);
    RUN(a_key_that_is_no_key_is_our_own_mistake);
    RUN(another_version_is_named);
    RUN(a_full_node_is_busy);
    RUN(an_unknown_secret_is_refused);
    RUN(a_removed_secret_is_unknown);
    RUN(a_secret_of_another_value_is_wrong);
    RUN(a_pattern_that_is_not_answered_is_not_allowed);
    RUN(who_does_not_listen_says_nothing);
    RUN(an_init_that_is_not_well_formed_is_dropped_in_silence);
    RUN(every_flipped_bit_of_an_init_opens_nothing);
    RUN(a_flood_of_calls_is_answered_sparingly);
    RUN(the_same_init_is_answered_with_the_same_accept);
    RUN(a_call_nobody_confirms_is_forgotten_untold);
    RUN(a_replayed_init_displaces_no_session);
    RUN(a_replayed_init_after_the_end_opens_nothing);
    RUN(under_load_a_caller_must_prove_its_address_first);
    RUN(a_cookie_is_good_for_one_address);
    RUN(a_notice_with_the_wrong_nonce_is_ignored);
    RUN(a_forged_refusal_does_not_end_the_call);
    RUN(a_forged_accept_does_not_end_the_call);
    RUN(an_answer_for_nobody_is_counted);
    RUN(settings_that_make_no_sense_are_refused);
    RUN(primitives_that_are_missing_or_wrong_are_refused);
    return 0;
}
