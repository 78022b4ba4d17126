#include "crc32.h"

#include "chance.h"
#include "check.h"

/* One bit at a time, as the polynomial says. */
static uint32_t by_bits(const uint8_t *data, size_t size) {
    uint32_t crc = ~0u;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

static void known_answers_hold(void) {
    static const struct {
        const char *text;
        uint32_t crc;
    } known[] = {
        {"", 0},
        {"a", 0xe8b7be43},
        {"abc", 0x352441c2},
        {"123456789", 0xcbf43926},
        {"The quick brown fox jumps over the lazy dog", 0x414fa339},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const uint8_t *text = (const uint8_t *)known[i].text;
        CHECK_EQUAL(rp_crc32(text, strlen(known[i].text)), known[i].crc);
        CHECK_EQUAL(rp_crc32_by(RP_CRC_TABLES, text, strlen(known[i].text)), known[i].crc);
    }
}

static void all_implementations_agree_with_the_polynomial_at_every_length(void) {
    static uint8_t data[4096 + 16];
    chance c = {1};
    chance_fill(&c, data, sizeof data);
    for (size_t size = 0; size <= 4096; size++) {
        const uint8_t *from = data + chance_below(&c, 16); /* at any alignment */
        uint32_t portable = rp_crc32_by(RP_CRC_TABLES, from, size);
        CHECK_EQUAL(rp_crc32_by(RP_CRC_FOLDING, from, size), portable);
        CHECK_EQUAL(rp_crc32_by(RP_CRC_FOLDING_TWO, from, size), portable);
        CHECK_EQUAL(rp_crc32_by(RP_CRC_FOLDING_FOUR, from, size), portable);
        if (size < 300 || size % 61 == 0) CHECK_EQUAL(by_bits(from, size), portable);
    }
}

static void a_full_sized_datagram_agrees(void) {
    static uint8_t data[65507];
    chance c = {2};
    chance_fill(&c, data, sizeof data);
    CHECK_EQUAL(rp_crc32(data, sizeof data), by_bits(data, sizeof data));
}

static void every_flipped_bit_changes_it(void) {
    uint8_t data[200];
    chance c = {3};
    chance_fill(&c, data, sizeof data);
    uint32_t whole = rp_crc32(data, sizeof data);
    for (size_t bit = 0; bit < 8 * sizeof data; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(rp_crc32(data, sizeof data) != whole);
        CHECK_EQUAL(rp_crc32(data, sizeof data), rp_crc32_by(RP_CRC_TABLES, data, sizeof data));
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

int main(void) {
    RUN(known_answers_hold);
    RUN(all_implementations_agree_with_the_polynomial_at_every_length);
    RUN(a_full_sized_datagram_agrees);
    RUN(every_flipped_bit_changes_it);
    return 0;
}
