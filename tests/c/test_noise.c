#include "noise.h"

#include "check.h"
#include "sodium_table.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const rp_sodium *sodium;
static rp_noise initiator, responder;

/* The keys of noise-c's published vectors (noise-c-basic.txt). */
static const char *const INITIATOR_STATIC =
    "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1";
static const char *const INITIATOR_EPHEMERAL =
    "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a";
static const char *const RESPONDER_STATIC =
    "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893";
static const char *const RESPONDER_EPHEMERAL =
    "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b";
static const char *const RESPONDER_PUBLIC =
    "31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62";

static rp_noise_setup setup_of(uint8_t pattern, bool starts) {
    rp_noise_setup setup = {.pattern = pattern, .initiator = starts};
    bool ik = pattern == RP_PATTERN_IK || pattern == RP_PATTERN_IKPSK2;
    check_from_hex(starts ? INITIATOR_STATIC : RESPONDER_STATIC, setup.static_private, 32);
    check_from_hex(starts ? INITIATOR_EPHEMERAL : RESPONDER_EPHEMERAL, setup.ephemeral_private, 32);
    if (starts && ik) {
        check_from_hex(RESPONDER_PUBLIC, setup.remote_static, 32);
        setup.has_remote_static = 1;
    }
    if (pattern == RP_PATTERN_IKPSK2 || pattern == RP_PATTERN_XXPSK3) {
        memset(setup.psk, 0x42, 32);
        setup.has_psk = 1;
    }
    return setup;
}

static void start(rp_noise *noise, const rp_noise_setup *setup, const char *prologue) {
    CHECK_EQUAL(rp_noise_start(noise, sodium, setup, (const uint8_t *)prologue, strlen(prologue)), 0);
}

static void start_both(uint8_t pattern) {
    rp_noise_setup ours = setup_of(pattern, true), theirs = setup_of(pattern, false);
    start(&initiator, &ours, "prologue");
    start(&responder, &theirs, "prologue");
}

static int64_t write_text(rp_noise *noise, const char *text, uint8_t *out) {
    return rp_noise_write(noise, (const uint8_t *)text, strlen(text), out, 256);
}

/* One message from one to the other; returns its size. */
static size_t pass(rp_noise *from, rp_noise *to, const char *text) {
    uint8_t message[256], got[256];
    int64_t size = write_text(from, text, message);
    CHECK(size > 0);
    CHECK_EQUAL(rp_noise_read(to, message, (size_t)size, got, sizeof got), strlen(text));
    CHECK_BYTES(got, text, strlen(text));
    return (size_t)size;
}

static void pass_all(void) {
    for (int step = 0; !rp_noise_done(&initiator); step++)
        if (step % 2)
            pass(&responder, &initiator, "from the responder");
        else
            pass(&initiator, &responder, "from the initiator");
    CHECK(rp_noise_done(&responder));
}

typedef struct {
    uint8_t send[32], receive[32], hash[64];
} ending;

static ending finish(rp_noise *noise) {
    ending end = {0};
    CHECK_EQUAL(rp_noise_finish(noise, end.send, end.receive, end.hash), 0);
    return end;
}

static void published_messages_come_out_byte_by_byte(void) {
    uint8_t message[256], expected[96], got[256];
    rp_noise_setup ours = setup_of(RP_PATTERN_IK, true), theirs = setup_of(RP_PATTERN_IK, false);
    start(&initiator, &ours, "Prologue123");
    start(&responder, &theirs, "Prologue123");

    CHECK_EQUAL(write_text(&initiator, "Ludwig von Mises", message), 112);
    check_from_hex("ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
                   "ba83a447b38c83e327ad936929812f624884847b7831e95e197b2f797088efdd"
                   "232fe541af156ec6d0657602902a8c3e",
                   expected, 80);
    CHECK_BYTES(message, expected, 80);
    check_from_hex("e64e470f4b6fcd9298ce0b56fe20f86e60d9d933ec6e103ffb09e6001d6abb64", expected, 32);
    CHECK_BYTES(message + 80, expected, 32);
    CHECK_EQUAL(rp_noise_read(&responder, message, 112, got, sizeof got), 16);
    CHECK_BYTES(got, "Ludwig von Mises", 16);

    CHECK_EQUAL(write_text(&responder, "Murray Rothbard", message), 63);
    check_from_hex("95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
                   "9f069b267a06b3de3ecb1043bcb09807c6cd101f3826192a65f11ef3fe4317",
                   expected, 63);
    CHECK_BYTES(message, expected, 63);
    CHECK_EQUAL(rp_noise_read(&initiator, message, 63, got, sizeof got), 15);
}

static void the_published_hash_and_keys_come_out(void) {
    uint8_t expected[64], nonce[12] = {0}, sealed[27];
    ending ours = finish(&initiator), theirs = finish(&responder);
    check_from_hex("00e51d2aac81a9b8ebe441d6af3e1c8efc0f030cc608332edcb42588ff6a0ce2"
                   "6415ddc106e95277a5e6d54132f1e5245976b89caf96d262f1fe5a7f0c55c078",
                   expected, 64);
    CHECK_BYTES(ours.hash, expected, 64);
    CHECK_BYTES(theirs.hash, expected, 64);
    sodium->chacha20poly1305_ietf_encrypt(sealed, NULL, (const uint8_t *)"F. A. Hayek", 11, NULL, 0, NULL,
                                          nonce, ours.send);
    check_from_hex("cd54383060e7a28434cca27fb1cc524cfbabeb18181589df219d07", expected, 27);
    CHECK_BYTES(sealed, expected, 27);
    sodium->chacha20poly1305_ietf_encrypt(sealed, NULL, (const uint8_t *)"Carl Menger", 11, NULL, 0, NULL,
                                          nonce, theirs.send);
    check_from_hex("a856d3bf0246bfc476c655009cd1ed677b8dcc5b349ae8ef2a05f2", expected, 27);
    CHECK_BYTES(sealed, expected, 27);
}

static void the_public_vector_holds(void) {
    published_messages_come_out_byte_by_byte();
    the_published_hash_and_keys_come_out();
}

static void every_pattern_ends_with_both_sides_agreed(void) {
    for (uint8_t pattern = RP_PATTERN_IK; pattern <= RP_PATTERN_XXPSK3; pattern++) {
        start_both(pattern);
        pass_all();
        CHECK_BYTES(initiator.remote_static, responder.static_public, 32);
        CHECK_BYTES(responder.remote_static, initiator.static_public, 32);
        ending ours = finish(&initiator), theirs = finish(&responder);
        CHECK_BYTES(ours.send, theirs.receive, 32);
        CHECK_BYTES(ours.receive, theirs.send, 32);
        CHECK_BYTES(ours.hash, theirs.hash, 64);
        CHECK(memcmp(ours.send, ours.receive, 32) != 0);
    }
}

static void messages_have_the_sizes_of_their_tokens(void) {
    static const size_t sizes[][3] = {
        [RP_PATTERN_IK] = {32 + 48 + 16, 32 + 16},
        [RP_PATTERN_IKPSK2] = {32 + 48 + 16, 32 + 16},
        [RP_PATTERN_XX] = {32, 32 + 48 + 16, 48 + 16},
        [RP_PATTERN_XXPSK3] = {32 + 16, 32 + 48 + 16, 48 + 16},
    };
    for (uint8_t pattern = 0; pattern < COUNT(sizes); pattern++) {
        start_both(pattern);
        CHECK_EQUAL(pass(&initiator, &responder, ""), sizes[pattern][0]);
        CHECK_EQUAL(pass(&responder, &initiator, ""), sizes[pattern][1]);
        CHECK_EQUAL(rp_noise_done(&initiator), !sizes[pattern][2]);
        if (sizes[pattern][2]) CHECK_EQUAL(pass(&initiator, &responder, ""), sizes[pattern][2]);
        CHECK(rp_noise_done(&initiator) && rp_noise_done(&responder));
    }
}

static void every_flipped_bit_of_a_message_is_noticed(void) {
    uint8_t message[256], bent[256], got[256];
    start_both(RP_PATTERN_IK);
    const rp_noise fresh = responder;
    size_t size = (size_t)write_text(&initiator, "hello", message);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        memcpy(bent, message, size);
        bent[bit / 8] ^= (uint8_t)(1 << bit % 8);
        responder = fresh;
        CHECK_EQUAL(rp_noise_read(&responder, bent, size, got, sizeof got), RP_E_AUTH);
        if (bit > 8 * 40) bit += 6; /* the rest is sealed alike: a sample will do */
    }
}

static void a_message_that_is_cut_is_refused(void) {
    uint8_t message[256], got[256];
    start_both(RP_PATTERN_IK);
    const rp_noise fresh = responder;
    size_t size = (size_t)write_text(&initiator, "hello", message);
    for (size_t cut = 0; cut < size; cut += cut % 16 == 15 || cut + 3 > size ? 1 : 5) {
        responder = fresh;
        CHECK(rp_noise_read(&responder, message, cut, got, sizeof got) < 0);
    }
}

static void a_different_prologue_is_noticed(void) {
    rp_noise_setup ours = setup_of(RP_PATTERN_IK, true), theirs = setup_of(RP_PATTERN_IK, false);
    uint8_t message[256], got[256];
    start(&initiator, &ours, "version 1");
    start(&responder, &theirs, "version 2");
    int64_t size = write_text(&initiator, "", message);
    CHECK_EQUAL(rp_noise_read(&responder, message, (size_t)size, got, sizeof got), RP_E_AUTH);
}

static void a_different_responder_cannot_read(void) {
    rp_noise_setup ours = setup_of(RP_PATTERN_IK, true), theirs = setup_of(RP_PATTERN_IK, false);
    uint8_t message[256], got[256];
    theirs.static_private[5] ^= 1;
    start(&initiator, &ours, "");
    start(&responder, &theirs, "");
    int64_t size = write_text(&initiator, "", message);
    CHECK_EQUAL(rp_noise_read(&responder, message, (size_t)size, got, sizeof got), RP_E_AUTH);
}

static void the_secret_of_ikpsk2_enters_with_the_second_message(void) {
    rp_noise_setup ours = setup_of(RP_PATTERN_IKPSK2, true), theirs = setup_of(RP_PATTERN_IKPSK2, false);
    uint8_t message[256], got[256], other[32] = {9};
    theirs.has_psk = 0; /* which one is meant is known only from the first message */
    start(&initiator, &ours, "");
    start(&responder, &theirs, "");
    pass(&initiator, &responder, "secret number 7");
    rp_noise_set_psk(&responder, other);
    int64_t size = write_text(&responder, "", message);
    CHECK_EQUAL(rp_noise_read(&initiator, message, (size_t)size, got, sizeof got), RP_E_AUTH);
}

static void without_its_secret_a_pattern_goes_no_further(void) {
    rp_noise_setup theirs = setup_of(RP_PATTERN_IKPSK2, false);
    uint8_t message[256];
    start_both(RP_PATTERN_IKPSK2);
    theirs.has_psk = 0;
    start(&responder, &theirs, "prologue");
    pass(&initiator, &responder, "");
    CHECK_EQUAL(write_text(&responder, "", message), RP_E_MISUSE);
}

static void a_shared_secret_of_zeros_is_refused(void) {
    uint8_t message[256] = {0}, got[256]; /* an ephemeral key of small order */
    start_both(RP_PATTERN_IK);
    CHECK_EQUAL(rp_noise_read(&responder, message, 96, got, sizeof got), RP_E_AUTH);
    message[0] = 1;
    start_both(RP_PATTERN_IK);
    CHECK_EQUAL(rp_noise_read(&responder, message, 96, got, sizeof got), RP_E_AUTH);
}

static void nobody_speaks_out_of_turn(void) {
    uint8_t message[256] = {0}, got[256], key[64];
    start_both(RP_PATTERN_XX);
    CHECK_EQUAL(write_text(&responder, "", message), RP_E_MISUSE);
    CHECK_EQUAL(rp_noise_read(&initiator, message, 100, got, sizeof got), RP_E_MISUSE);
    CHECK_EQUAL(rp_noise_finish(&initiator, key, key, key), RP_E_MISUSE);
    pass_all();
    CHECK_EQUAL(write_text(&initiator, "", message), RP_E_MISUSE);
    CHECK_EQUAL(rp_noise_read(&responder, message, 100, got, sizeof got), RP_E_MISUSE);
}

static void buffers_that_are_too_small_are_refused(void) {
    uint8_t message[256], got[256];
    start_both(RP_PATTERN_IK);
    CHECK_EQUAL(rp_noise_write(&initiator, (const uint8_t *)"x", 1, message, 96), RP_E_MISUSE);
    int64_t size = write_text(&initiator, "x", message);
    CHECK_EQUAL(rp_noise_read(&responder, message, (size_t)size, got, (size_t)size - 1), RP_E_MISUSE);
}

static void setups_that_make_no_sense_are_refused(void) {
    rp_noise_setup setup = setup_of(RP_PATTERN_IK, true);
    setup.has_remote_static = 0;
    CHECK_EQUAL(rp_noise_start(&initiator, sodium, &setup, NULL, 0), RP_E_MISUSE);
    setup.pattern = RP_PATTERN_XXPSK3 + 1;
    CHECK_EQUAL(rp_noise_start(&initiator, sodium, &setup, NULL, 0), RP_E_MISUSE);
}

static void nothing_is_left_of_a_finished_handshake(void) {
    static const rp_noise nothing;
    start_both(RP_PATTERN_IK);
    pass_all();
    finish(&initiator);
    CHECK_BYTES(&initiator, &nothing, sizeof nothing);
}

int main(void) {
    sodium = sodium_table();
    CHECK_EQUAL(rp_crypto_check(sodium), 0);
    RUN(the_public_vector_holds);
    RUN(every_pattern_ends_with_both_sides_agreed);
    RUN(messages_have_the_sizes_of_their_tokens);
    RUN(every_flipped_bit_of_a_message_is_noticed);
    RUN(a_message_that_is_cut_is_refused);
    RUN(a_different_prologue_is_noticed);
    RUN(a_different_responder_cannot_read);
    RUN(the_secret_of_ikpsk2_enters_with_the_second_message);
    RUN(without_its_secret_a_pattern_goes_no_further);
    RUN(a_shared_secret_of_zeros_is_refused);
    RUN(nobody_speaks_out_of_turn);
    RUN(buffers_that_are_too_small_are_refused);
    RUN(setups_that_make_no_sense_are_refused);
    RUN(nothing_is_left_of_a_finished_handshake);
    return 0;
}
