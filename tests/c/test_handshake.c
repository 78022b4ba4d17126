#include "handshake.h"

#include "check.h"
#include "sodium_table.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { SESSION = 0x11223344, CLIENT = 1, SERVER = 2 };

static const rp_sodium *sodium;
static rp_config client, server;
static rp_handshake ours, theirs;
static uint8_t mac1_key[32];
static rp_hello hello, heard;

#define LIMIT_VALUES {30000000, 1 << 20, 1 << 18, 100, RP_MAX_DATAGRAM}
static const rp_limits LIMITS = LIMIT_VALUES;

static rp_noise_setup setup_of(uint8_t pattern, bool starts) {
    const rp_config *config = starts ? &client : &server;
    rp_noise_setup setup = {.pattern = pattern, .initiator = starts, .has_remote_static = starts};
    memcpy(setup.static_private, config->static_private, 32);
    memset(setup.ephemeral_private, starts ? 0x51 : 0x52, 32);
    memcpy(setup.remote_static, server.static_public, 32);
    setup.has_psk = rp_pattern_has_psk(pattern);
    memset(setup.psk, 0x42, 32);
    return setup;
}

static rp_hello hello_of(bool has_identity) {
    rp_hello said = {.has_identity = has_identity, .limits = LIMITS};
    memcpy(said.identity, client.identity, 32);
    memset(said.reset_token, 0x77, RP_RESET_TOKEN_SIZE);
    return said;
}

static void create_init(uint8_t pattern) {
    rp_noise_setup setup = setup_of(pattern, true);
    memset(&ours, 0, sizeof ours);
    memset(ours.nonce, 0xab, sizeof ours.nonce);
    CHECK_EQUAL(
        rp_handshake_create_init(&ours, sodium, &setup, SESSION, RP_SUITE_XCHACHA20, server.identity, &hello),
        0);
}

static int consume(const uint8_t *init, size_t size, uint8_t pattern) {
    rp_noise_setup setup = setup_of(pattern, false);
    memset(&theirs, 0, sizeof theirs);
    return rp_handshake_consume_init(&theirs, sodium, &setup, init, size, &heard);
}

static const rp_welcome WELCOME = {
    .session = 0x55667788, .suite = RP_SUITE_XCHACHA20, .clock = 1234567890, .limits = LIMIT_VALUES};

static void create_accept(void) {
    create_init(RP_PATTERN_IK);
    CHECK_EQUAL(consume(ours.message, ours.size, RP_PATTERN_IK), 0);
    CHECK_EQUAL(rp_handshake_create_accept(&theirs, SESSION, &WELCOME), 0);
}

/* ---- INIT ---- */

static void an_init_stands_as_the_protocol_lays_it_out(void) {
    rp_header header;
    uint8_t init[RP_INIT_SIZE];
    create_init(RP_PATTERN_IK);
    CHECK_EQUAL(ours.size, 1200);
    memcpy(init, ours.message, sizeof init);
    CHECK_EQUAL(rp_header_read(init, sizeof init, &header), RP_DROP_NOTHING);
    CHECK_EQUAL(header.type, RP_TYPE_INIT);
    CHECK(!header.session && !header.seq && !header.ack);
    CHECK_EQUAL(rp_load32(init + 20), SESSION);
    CHECK_EQUAL(init[24], 1);
    CHECK_EQUAL(init[25], RP_SUITE_XCHACHA20);
    CHECK_EQUAL(init[26], RP_PATTERN_IK);
    CHECK_EQUAL(init[27], 0);
    CHECK_BYTES(init + 28, ours.nonce, 8);
    size_t noise = rp_load16(init + 36);
    CHECK_EQUAL(init[38 + noise], 0); /* padding */
    CHECK_EQUAL(init[1200 - 1], 0);   /* mac2 is empty without a cookie */
}

/* Computed here once more, from the words of the protocol. */
static void mac1_is_a_keyed_hash_over_what_stands_before_it(void) {
    rp_hash_state state;
    uint8_t key[32], mac[16];
    create_init(RP_PATTERN_IK);
    sodium->blake2b_init(&state, NULL, 0, 32);
    sodium->blake2b_update(&state, (const uint8_t *)"repram v1 mac1", 14);
    sodium->blake2b_update(&state, server.identity, 32);
    sodium->blake2b_final(&state, key, 32);
    sodium->blake2b_init(&state, key, 32, 16);
    sodium->blake2b_update(&state, ours.message, 16);
    sodium->blake2b_update(&state, ours.message + 20, 1200 - 32 - 20);
    sodium->blake2b_final(&state, mac, 16);
    CHECK_BYTES(ours.message + 1200 - 32, mac, 16);
}

static void a_hello_arrives_as_it_was_said(void) {
    for (int identity = 0; identity < 2; identity++) {
        hello = hello_of(identity);
        create_init(RP_PATTERN_IK);
        CHECK(rp_handshake_check_mac1(sodium, mac1_key, ours.message, ours.size));
        CHECK_EQUAL(consume(ours.message, ours.size, RP_PATTERN_IK), 0);
        CHECK_EQUAL(heard.has_identity, identity);
        if (identity) CHECK_BYTES(heard.identity, client.identity, 32);
        CHECK_BYTES(&heard.limits, &LIMITS, sizeof LIMITS);
        CHECK_BYTES(heard.reset_token, hello.reset_token, RP_RESET_TOKEN_SIZE);
        CHECK_BYTES(theirs.nonce, ours.nonce, RP_NONCE_SIZE);
    }
}

static void the_secret_is_named_in_the_sealed_part(void) {
    hello = hello_of(true);
    hello.has_secret = true;
    memcpy(hello.secret_id, "whichone", RP_SECRET_ID_SIZE);
    create_init(RP_PATTERN_IKPSK2);
    CHECK_EQUAL(consume(ours.message, ours.size, RP_PATTERN_IKPSK2), 0);
    CHECK(heard.has_secret);
    CHECK_BYTES(heard.secret_id, "whichone", 8);
    for (size_t at = RP_INIT_NOISE; at + 8 < ours.size; at++)
        CHECK(memcmp(ours.message + at, "whichone", 8) != 0);
    hello = hello_of(true);
}

static void an_identity_that_is_not_the_static_key_is_not_believed(void) {
    hello = hello_of(true);
    memcpy(hello.identity, server.identity, 32);
    create_init(RP_PATTERN_IK);
    CHECK_EQUAL(consume(ours.message, ours.size, RP_PATTERN_IK), RP_E_AUTH);
    memset(hello.identity, 0, 32); /* no point on the curve */
    create_init(RP_PATTERN_IK);
    CHECK_EQUAL(consume(ours.message, ours.size, RP_PATTERN_IK), RP_E_AUTH);
    hello = hello_of(true);
}

static void every_flipped_bit_of_an_init_fails_mac1(void) {
    uint8_t bent[RP_INIT_SIZE];
    create_init(RP_PATTERN_IK);
    for (size_t bit = 0; bit < 8 * (RP_INIT_SIZE - RP_MAC_SIZE); bit += bit < 1000 || bit > 9200 ? 1 : 37) {
        if (bit / 8 >= 16 && bit / 8 < RP_HEADER_SIZE) continue; /* the CRC is computed last */
        memcpy(bent, ours.message, sizeof bent);
        bent[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(!rp_handshake_check_mac1(sodium, mac1_key, bent, sizeof bent));
    }
}

static void mac1_needs_the_responders_key(void) {
    uint8_t other[32];
    create_init(RP_PATTERN_IK);
    rp_mac1_key(sodium, client.identity, other);
    CHECK(!rp_handshake_check_mac1(sodium, other, ours.message, ours.size));
}

static void what_stands_in_clear_is_authenticated_too(void) {
    create_init(RP_PATTERN_IK);
    for (size_t at = RP_INIT_SESSION; at < RP_INIT_NOISE_SIZE; at++) {
        uint8_t bent[RP_INIT_SIZE];
        memcpy(bent, ours.message, sizeof bent);
        bent[at] ^= 0x10;
        CHECK_EQUAL(consume(bent, sizeof bent, RP_PATTERN_IK), RP_E_AUTH);
    }
}

static void a_noise_size_beyond_the_init_is_refused(void) {
    create_init(RP_PATTERN_IK);
    rp_store16(ours.message + RP_INIT_NOISE_SIZE, RP_INIT_SIZE - RP_INIT_NOISE - 2 * RP_MAC_SIZE + 1);
    CHECK_EQUAL(consume(ours.message, ours.size, RP_PATTERN_IK), RP_E_MALFORMED);
    rp_store16(ours.message + RP_INIT_NOISE_SIZE, 0xffff);
    CHECK_EQUAL(consume(ours.message, ours.size, RP_PATTERN_IK), RP_E_MALFORMED);
    rp_store16(ours.message + RP_INIT_NOISE_SIZE, 0);
    CHECK_EQUAL(consume(ours.message, ours.size, RP_PATTERN_IK), RP_E_MALFORMED);
}

/* A hello that Noise has sealed well, but that says nonsense. */
static int consume_hello_of(const uint8_t *payload, size_t size) {
    create_init(RP_PATTERN_IK);
    rp_noise_setup setup = setup_of(RP_PATTERN_IK, true);
    uint8_t prologue[9 + 16], *init = ours.message;
    memcpy(prologue, "repram v1", 9);
    memcpy(prologue + 9, init + RP_INIT_SESSION, 16);
    CHECK_EQUAL(rp_noise_start(&ours.noise, sodium, &setup, prologue, sizeof prologue), 0);
    int64_t noise = rp_noise_write(&ours.noise, payload, size, init + RP_INIT_NOISE, 1000);
    CHECK(noise > 0);
    rp_store16(init + RP_INIT_NOISE_SIZE, (uint16_t)noise);
    return consume(init, RP_INIT_SIZE, RP_PATTERN_IK);
}

static void a_hello_that_says_nonsense_is_refused(void) {
    uint8_t payload[200] = {0};
    CHECK_EQUAL(consume_hello_of(payload, 0), RP_E_MALFORMED);
    CHECK_EQUAL(consume_hello_of(payload, 1), RP_E_MALFORMED);
    uint8_t *end = payload + 1 + RP_RESET_TOKEN_SIZE;
    for (int i = 0; i < 4; i++) end = rp_varint_write(end, 5);
    end = rp_varint_write(end, RP_MIN_DATAGRAM);
    CHECK_EQUAL(consume_hello_of(payload, (size_t)(end - payload)), 0);
    CHECK_EQUAL(consume_hello_of(payload, (size_t)(end - payload) - 1), RP_E_MALFORMED);
    CHECK_EQUAL(consume_hello_of(payload, (size_t)(end - payload) + 9), 0); /* a later version says more */
    end[-1]--; /* a datagram size that no path may have */
    CHECK_EQUAL(consume_hello_of(payload, (size_t)(end - payload)), RP_E_MALFORMED);
    payload[0] = 0x80;
    CHECK_EQUAL(consume_hello_of(payload, sizeof payload), RP_E_MALFORMED);
}

/* ---- ACCEPT ---- */

static void a_welcome_arrives_as_it_was_said(void) {
    rp_welcome got;
    create_accept();
    CHECK_EQUAL(rp_handshake_consume_accept(&ours, theirs.message, theirs.size, &got), 0);
    CHECK_EQUAL(got.session, WELCOME.session);
    CHECK_EQUAL(got.suite, WELCOME.suite);
    CHECK_EQUAL(got.clock, WELCOME.clock);
    CHECK_BYTES(&got.limits, &LIMITS, sizeof LIMITS);
    CHECK(rp_noise_done(&ours.noise) && rp_noise_done(&theirs.noise));
}

static void an_accept_is_far_smaller_than_three_inits(void) {
    create_accept();
    CHECK(theirs.size < 3 * RP_INIT_SIZE);
    CHECK(theirs.size < 250);
}

static void a_forged_accept_does_not_spoil_the_handshake(void) {
    rp_welcome got;
    uint8_t bent[RP_INIT_SIZE];
    create_accept();
    for (size_t at = RP_HEADER_SIZE; at < theirs.size; at++) {
        memcpy(bent, theirs.message, theirs.size);
        bent[at] ^= 0x04;
        CHECK(rp_handshake_consume_accept(&ours, bent, theirs.size, &got) < 0);
    }
    for (size_t size = RP_HEADER_SIZE; size < theirs.size; size++)
        CHECK(rp_handshake_consume_accept(&ours, theirs.message, size, &got) < 0);
    CHECK_EQUAL(rp_handshake_consume_accept(&ours, theirs.message, theirs.size, &got), 0);
}

static void an_accept_longer_than_any_is_refused(void) {
    static uint8_t flood[5000];
    rp_welcome got;
    create_accept();
    CHECK_EQUAL(rp_handshake_consume_accept(&ours, flood, sizeof flood, &got), RP_E_MALFORMED);
}

static void an_accept_for_another_init_is_refused(void) {
    rp_welcome got;
    rp_noise_setup setup = setup_of(RP_PATTERN_IK, true);
    create_accept();
    memset(setup.ephemeral_private, 0x99, 32);
    CHECK_EQUAL(
        rp_handshake_create_init(&ours, sodium, &setup, SESSION, RP_SUITE_XCHACHA20, server.identity, &hello),
        0);
    CHECK_EQUAL(rp_handshake_consume_accept(&ours, theirs.message, theirs.size, &got), RP_E_AUTH);
}

/* ---- XX: three messages, the third brings the hello ---- */

static void in_xx_identities_come_sealed_with_the_second_and_third(void) {
    rp_welcome welcome = WELCOME, got;
    hello = hello_of(true);
    for (uint8_t pattern = RP_PATTERN_XX; pattern <= RP_PATTERN_XXPSK3; pattern++) {
        create_init(pattern);
        CHECK_EQUAL(consume(ours.message, ours.size, pattern), 0);
        CHECK(!heard.has_identity);
        welcome.has_identity = true;
        memcpy(welcome.identity, server.identity, 32);
        CHECK_EQUAL(rp_handshake_create_accept(&theirs, SESSION, &welcome), 0);
        CHECK_EQUAL(rp_handshake_consume_accept(&ours, theirs.message, theirs.size, &got), 0);
        CHECK_BYTES(got.identity, server.identity, 32);
        CHECK_EQUAL(rp_handshake_create_confirm(&ours, got.session, &hello), 0);
        CHECK_EQUAL(rp_handshake_consume_confirm(&theirs, ours.message, ours.size, &heard), 0);
        CHECK(heard.has_identity);
        CHECK_BYTES(heard.identity, client.identity, 32);
        CHECK(rp_noise_done(&ours.noise) && rp_noise_done(&theirs.noise));
    }
}

static void in_xx_a_false_identity_is_not_believed(void) {
    rp_welcome welcome = WELCOME, got;
    create_init(RP_PATTERN_XX);
    CHECK_EQUAL(consume(ours.message, ours.size, RP_PATTERN_XX), 0);
    welcome.has_identity = true;
    memcpy(welcome.identity, client.identity, 32);
    CHECK_EQUAL(rp_handshake_create_accept(&theirs, SESSION, &welcome), 0);
    CHECK_EQUAL(rp_handshake_consume_accept(&ours, theirs.message, theirs.size, &got), RP_E_AUTH);
}

/* ---- RETRY ---- */

static size_t write_retry(uint8_t *out, const uint8_t *cookie) {
    uint8_t key[32], nonce[RP_RETRY_NONCE_SIZE] = {3};
    rp_cookie_key(sodium, server.identity, key);
    return rp_retry_write(sodium, out, key, nonce, cookie, ours.message, ours.size);
}

static void a_cookie_goes_into_mac2_of_the_same_init(void) {
    uint8_t cookie[RP_COOKIE_SIZE] = "sixteen bytes...", retry[RP_RETRY_SIZE], before[RP_INIT_SIZE];
    rp_header header;
    create_init(RP_PATTERN_IK);
    memcpy(before, ours.message, sizeof before);
    CHECK(!rp_handshake_check_mac2(sodium, cookie, ours.message, ours.size));
    CHECK_EQUAL(write_retry(retry, cookie), RP_RETRY_SIZE);
    CHECK_EQUAL(rp_handshake_consume_retry(&ours, sodium, retry, sizeof retry), 0);
    CHECK(rp_handshake_check_mac2(sodium, cookie, ours.message, ours.size));
    CHECK(rp_handshake_check_mac1(sodium, mac1_key, ours.message, ours.size));
    CHECK_BYTES(ours.message + RP_HEADER_SIZE, before + RP_HEADER_SIZE,
                RP_INIT_SIZE - RP_HEADER_SIZE - RP_MAC_SIZE);
    cookie[0] ^= 1;
    CHECK(!rp_handshake_check_mac2(sodium, cookie, ours.message, ours.size));
    CHECK_EQUAL(rp_header_read(ours.message, ours.size, &header), RP_DROP_NOTHING);
}

static void a_retry_that_was_not_meant_for_this_init_changes_nothing(void) {
    uint8_t cookie[RP_COOKIE_SIZE] = "sixteen bytes...", retry[RP_RETRY_SIZE], before[RP_INIT_SIZE];
    create_init(RP_PATTERN_IK);
    write_retry(retry, cookie);
    memcpy(before, ours.message, sizeof before);
    for (size_t at = RP_HEADER_SIZE; at < sizeof retry; at++) {
        retry[at] ^= 1;
        CHECK_EQUAL(rp_handshake_consume_retry(&ours, sodium, retry, sizeof retry), RP_E_AUTH);
        retry[at] ^= 1;
    }
    CHECK_EQUAL(rp_handshake_consume_retry(&ours, sodium, retry, sizeof retry - 1), RP_E_MALFORMED);
    CHECK_BYTES(ours.message, before, sizeof before);
}

/* ---- answers without a session ---- */

static void notices_echo_the_nonce(void) {
    uint8_t out[RP_REFUSED_SIZE], nonce[RP_NONCE_SIZE] = "12345678";
    rp_header header;
    CHECK_EQUAL(rp_refused_write(out, SESSION, nonce, RP_REFUSED_BUSY), RP_REFUSED_SIZE);
    CHECK_EQUAL(rp_header_read(out, sizeof out, &header), RP_DROP_NOTHING);
    CHECK_EQUAL(header.type, RP_TYPE_REFUSED);
    CHECK_EQUAL(header.session, SESSION);
    CHECK_BYTES(out + RP_HEADER_SIZE, nonce, sizeof nonce);
    CHECK_EQUAL(out[RP_REFUSED_SIZE - 1], RP_REFUSED_BUSY);
    CHECK_EQUAL(rp_version_write(out, SESSION, nonce), RP_REFUSED_SIZE);
    CHECK_EQUAL(rp_header_read(out, sizeof out, &header), RP_DROP_NOTHING);
    CHECK_EQUAL(header.type, RP_TYPE_VERSION);
    CHECK_EQUAL(out[RP_REFUSED_SIZE - 1], RP_VERSION_1);
}

static void a_reset_carries_its_token(void) {
    uint8_t out[RP_RESET_SIZE], token[RP_RESET_TOKEN_SIZE] = "token of 16 byte";
    rp_header header;
    CHECK_EQUAL(rp_reset_write(out, SESSION, token), RP_RESET_SIZE);
    CHECK_EQUAL(rp_header_read(out, sizeof out, &header), RP_DROP_NOTHING);
    CHECK_EQUAL(header.type, RP_TYPE_RESET);
    CHECK_EQUAL(header.session, SESSION);
    CHECK_BYTES(out + RP_HEADER_SIZE, token, sizeof token);
}

int main(void) {
    sodium = sodium_table();
    sodium_table_identity(sodium, CLIENT, &client);
    sodium_table_identity(sodium, SERVER, &server);
    rp_mac1_key(sodium, server.identity, mac1_key);
    hello = hello_of(true);
    RUN(an_init_stands_as_the_protocol_lays_it_out);
    RUN(mac1_is_a_keyed_hash_over_what_stands_before_it);
    RUN(a_hello_arrives_as_it_was_said);
    RUN(the_secret_is_named_in_the_sealed_part);
    RUN(an_identity_that_is_not_the_static_key_is_not_believed);
    RUN(every_flipped_bit_of_an_init_fails_mac1);
    RUN(mac1_needs_the_responders_key);
    RUN(what_stands_in_clear_is_authenticated_too);
    RUN(a_noise_size_beyond_the_init_is_refused);
    RUN(a_hello_that_says_nonsense_is_refused);
    RUN(a_welcome_arrives_as_it_was_said);
    RUN(an_accept_is_far_smaller_than_three_inits);
    RUN(a_forged_accept_does_not_spoil_the_handshake);
    RUN(an_accept_longer_than_any_is_refused);
    RUN(an_accept_for_another_init_is_refused);
    RUN(in_xx_identities_come_sealed_with_the_second_and_third);
    RUN(in_xx_a_false_identity_is_not_believed);
    RUN(a_cookie_goes_into_mac2_of_the_same_init);
    RUN(a_retry_that_was_not_meant_for_this_init_changes_nothing);
    RUN(notices_echo_the_nonce);
    RUN(a_reset_carries_its_token);
    return 0;
}
