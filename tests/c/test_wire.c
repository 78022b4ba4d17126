#include "wire.h"

#include "chance.h"
#include "check.h"
#include "crc32.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- the header ---- */

static const rp_header DATA_HEADER = {.type = RP_TYPE_DATA,
                                      .flags = RP_FLAG_PHASE,
                                      .session = 0x01020304,
                                      .seq = 0x05060708,
                                      .ack = 0x090a0b0c};

static void numbers_are_big_endian(void) {
    uint8_t p[8];
    rp_store16(p, 0x0102);
    CHECK_BYTES(p, "\x01\x02", 2);
    rp_store32(p, 0xfffefdfc);
    CHECK_BYTES(p, "\xff\xfe\xfd\xfc", 4);
    rp_store64(p, 0x0102030405060708);
    CHECK_BYTES(p, "\1\2\3\4\5\6\7\10", 8);
    CHECK_EQUAL(rp_load16(p), 0x0102);
    CHECK_EQUAL(rp_load32(p), 0x01020304);
    CHECK_EQUAL(rp_load64(p), 0x0102030405060708);
}

static void the_header_stands_as_the_protocol_lays_it_out(void) {
    uint8_t datagram[23] = {[20] = 'x', 'y', 'z'}, expected[23];
    rp_header_write(datagram, sizeof datagram, &DATA_HEADER);
    check_from_hex("040100030102030405060708090a0b0c0000000078797a", expected, sizeof expected);
    rp_store32(expected + 16, rp_crc32(expected, sizeof expected));
    CHECK_BYTES(datagram, expected, sizeof expected);
}

static void a_header_reads_back_as_written(void) {
    uint8_t datagram[100] = {0};
    rp_header got;
    rp_header_write(datagram, sizeof datagram, &DATA_HEADER);
    uint32_t crc = rp_load32(datagram + 16);
    CHECK_EQUAL(rp_header_read(datagram, sizeof datagram, &got), RP_DROP_NOTHING);
    CHECK_EQUAL(got.type, RP_TYPE_DATA);
    CHECK_EQUAL(got.flags, RP_FLAG_PHASE);
    CHECK_EQUAL(got.len, 80);
    CHECK_EQUAL(got.session, 0x01020304);
    CHECK_EQUAL(got.seq, 0x05060708);
    CHECK_EQUAL(got.ack, 0x090a0b0c);
    CHECK_EQUAL(got.crc, crc);
    CHECK_EQUAL(rp_load32(datagram + 16), 0);
}

static rp_drop read_patched(size_t size, size_t at, uint8_t value) {
    uint8_t datagram[64] = {0};
    rp_header header = DATA_HEADER, got;
    header.flags = 0;
    rp_header_begin(datagram, 48, &header);
    datagram[at] = value;
    rp_header_finish(datagram, size);
    return rp_header_read(datagram, size, &got);
}

static void what_is_wrong_with_a_header_has_its_name(void) {
    static const struct {
        size_t size, at;
        uint8_t value;
        rp_drop drop;
    } table[] = {
        {48, 0, RP_TYPE_DATA, RP_DROP_NOTHING},
        {48, 0, RP_TYPE_INIT, RP_DROP_NOTHING},
        {48, 0, RP_TYPE_REFUSED, RP_DROP_NOTHING},
        {48, 0, 0, RP_DROP_TYPE},
        {48, 0, RP_TYPE_REFUSED + 1, RP_DROP_TYPE},
        {48, 0, 255, RP_DROP_TYPE},
        {48, 1, RP_FLAG_PHASE, RP_DROP_NOTHING},
        {48, 1, 0x02, RP_DROP_FLAGS},
        {48, 1, 0x80, RP_DROP_FLAGS},
        {48, 3, 27, RP_DROP_LENGTH},
        {48, 3, 29, RP_DROP_LENGTH},
        {48, 2, 1, RP_DROP_LENGTH},
        {47, 3, 28, RP_DROP_LENGTH},
        {49, 3, 28, RP_DROP_LENGTH},
        {20, 3, 0, RP_DROP_NOTHING},
    };
    for (size_t i = 0; i < COUNT(table); i++)
        CHECK_EQUAL(read_patched(table[i].size, table[i].at, table[i].value), table[i].drop);
}

static void only_data_knows_the_phase_bit(void) {
    for (uint8_t type = RP_TYPE_INIT; type <= RP_TYPE_REFUSED; type++) {
        uint8_t datagram[30] = {0};
        rp_header got;
        rp_header_write(datagram, sizeof datagram, &(rp_header){.type = type, .flags = RP_FLAG_PHASE});
        rp_drop expected = type == RP_TYPE_DATA ? RP_DROP_NOTHING : RP_DROP_FLAGS;
        CHECK_EQUAL(rp_header_read(datagram, sizeof datagram, &got), expected);
    }
}

static void less_than_a_header_is_short(void) {
    uint8_t datagram[RP_HEADER_SIZE] = {0};
    rp_header got;
    for (size_t size = 0; size < sizeof datagram; size++)
        CHECK_EQUAL(rp_header_read(datagram, size, &got), RP_DROP_SHORT);
}

static void damage_is_told_before_anything_else(void) {
    uint8_t written[40] = {0}, damaged[40];
    rp_header got;
    rp_header_write(written, sizeof written, &DATA_HEADER);
    for (size_t bit = 0; bit < 8 * sizeof written; bit++) {
        memcpy(damaged, written, sizeof written);
        damaged[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK_EQUAL(rp_header_read(damaged, sizeof damaged, &got), RP_DROP_CRC);
    }
}

/* ---- packet numbers ---- */

/* RFC 9000, A.3, word for word. */
static uint64_t decode_as_the_rfc_does(uint64_t largest, uint64_t truncated, unsigned bits) {
    uint64_t expected = largest + 1, win = (uint64_t)1 << bits, hwin = win / 2, mask = win - 1;
    uint64_t candidate = (expected & ~mask) | truncated;
    if (expected >= hwin && candidate <= expected - hwin && candidate < ((uint64_t)1 << 62) - win)
        return candidate + win;
    if (candidate > expected + hwin && candidate >= win) return candidate - win;
    return candidate;
}

static void the_model_of_packet_numbers_gives_the_rfcs_example(void) {
    CHECK_EQUAL(decode_as_the_rfc_does(0xa82f30ea, 0x9b32, 16), 0xa82f9b32);
}

static void packet_numbers_are_rebuilt_as_in_the_rfc(void) {
    static const uint64_t around[] = {0,
                                      1,
                                      0x7fffffff,
                                      0x80000000,
                                      0xffffffff,
                                      0x100000000,
                                      0x17fffffff,
                                      0x180000000,
                                      0x1ffffffff,
                                      0x200000000,
                                      0xa82f30ea,
                                      0x123456789abcdef0,
                                      ((uint64_t)1 << 61)};
    for (size_t i = 0; i < COUNT(around); i++)
        for (size_t j = 0; j < COUNT(around); j++)
            for (uint64_t step = 0; step < 9; step++) {
                uint64_t expected = around[i] + step;
                uint32_t seq = (uint32_t)(around[j] + step - 4);
                CHECK_EQUAL(rp_packet_number(seq, expected), decode_as_the_rfc_does(expected - 1, seq, 32));
            }
}

static void a_packet_number_is_the_candidate_nearest_to_the_expected(void) {
    chance c = {4};
    for (int i = 0; i < 100000; i++) {
        uint64_t expected = chance_next(&c) >> (2 + chance_below(&c, 60));
        uint64_t distance = chance_next(&c) >> (33 + chance_below(&c, 30)); /* below 2^31 */
        uint64_t ahead = expected + distance, behind = expected - distance;
        CHECK_EQUAL(rp_packet_number((uint32_t)ahead, expected), ahead);
        if (distance <= expected) CHECK_EQUAL(rp_packet_number((uint32_t)behind, expected), behind);
    }
}

/* ---- variable-length integers ---- */

static const uint8_t *read_hex_varint(const char *digits, uint64_t *value) {
    static uint8_t bytes[8];
    size_t size = strlen(digits) / 2;
    check_from_hex(digits, bytes, size);
    return rp_varint_read(bytes, bytes + size, value) ? bytes + size : NULL;
}

static void integers_of_the_rfc_read_as_it_says(void) { /* RFC 9000, A.1 */
    static const struct {
        const char *bytes;
        uint64_t value;
    } known[] = {{"c2197c5eff14e88c", 151288809941952652},
                 {"9d7f3e7d", 494878333},
                 {"7bbd", 15293},
                 {"25", 37},
                 {"4025", 37}};
    for (size_t i = 0; i < COUNT(known); i++) {
        uint64_t value;
        CHECK(read_hex_varint(known[i].bytes, &value));
        CHECK_EQUAL(value, known[i].value);
    }
}

static void integers_take_the_least_bytes_that_hold_them(void) {
    static const struct {
        uint64_t value;
        size_t size;
    } table[] = {{0, 1},        {63, 1},           {64, 2}, {16383, 2}, {16384, 4}, {(1u << 30) - 1, 4},
                 {1u << 30, 8}, {RP_VARINT_MAX, 8}};
    for (size_t i = 0; i < COUNT(table); i++) {
        uint8_t p[8];
        uint64_t value;
        CHECK_EQUAL(rp_varint_size(table[i].value), table[i].size);
        CHECK_EQUAL(rp_varint_write(p, table[i].value) - p, table[i].size);
        CHECK(rp_varint_read(p, p + table[i].size, &value) == p + table[i].size);
        CHECK_EQUAL(value, table[i].value);
        for (size_t cut = 0; cut < table[i].size; cut++) CHECK(!rp_varint_read(p, p + cut, &value));
    }
}

static void a_chain_of_reads_stays_ended(void) {
    uint64_t value;
    const uint8_t end[1] = {0};
    CHECK(!rp_varint_read(NULL, end, &value));
}

/* ---- frames ---- */

static int64_t read_hex(const char *digits, rp_frame *frame) {
    static uint8_t bytes[64];
    size_t size = strlen(digits) / 2;
    check_from_hex(digits, bytes, size);
    return rp_frame_read(bytes, size, frame);
}

static void every_frame_reads_as_the_protocol_lays_it_out(void) {
    static const struct {
        const char *bytes;
        uint64_t stream, offset, value;
        size_t size;
    } table[] = {
        {"01", 0, 0, 0, 0},                                      /* PING */
        {"04050641ff", 5, 0x1ff, 6, 0},                          /* RESET_STREAM: stream, code, final size */
        {"05054123", 5, 0, 0x123, 0},                            /* STOP */
        {"0680100000", 0, 0, 0x100000, 0},                       /* MAX_DATA */
        {"07054123", 5, 0, 0x123, 0},                            /* MAX_STREAM_DATA */
        {"084123", 0, 0, 0x123, 0},                              /* MAX_STREAMS */
        {"0e500003627965", 0, 0, 0x1000, 3},                     /* CLOSE: code, reason */
        {"2005410000026869", 5, 0x100, 0, 2},                    /* STREAM */
        {"210541000000", 5, 0x100, 0, 0},                        /* STREAM that ends here */
        {"0a0102030405060708", 0, 0, 0, 8},                      /* PATH_CHALLENGE */
        {"0b0102030405060708", 0, 0, 0, 8},                      /* PATH_RESPONSE */
        {"0c00000000000000000000ffff7f0000011d09", 0, 0, 0, 18}, /* OBSERVED_ADDRESS */
        {"0d00026869", 0, 0, 0, 2},                              /* DATAGRAM */
        {"0d0000", 0, 0, 0, 0},
        {"0f00000000010102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20", 0, 0, 0,
         37}, /* RATCHET */
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        rp_frame f;
        CHECK_EQUAL(read_hex(table[i].bytes, &f), strlen(table[i].bytes) / 2);
        CHECK_EQUAL(f.stream, table[i].stream);
        CHECK_EQUAL(f.offset, table[i].offset);
        CHECK_EQUAL(f.value, table[i].value);
        CHECK_EQUAL(f.size, table[i].size);
    }
}

static void a_frame_that_is_cut_anywhere_does_not_parse(void) {
    static const char *const frames[] = {
        "04050641ff",
        "05054123",
        "0680100000",
        "07054123",
        "0e500003627965",
        "084123",
        "2005410000026869",
        "0245010001020304",
        "0a0102030405060708",
        "0c00000000000000000000ffff7f0000011d09",
        "0d00026869",
        "03054100010001020304",
        "0f00000000010102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"};
    for (size_t i = 0; i < COUNT(frames); i++) {
        rp_frame f;
        uint8_t bytes[64];
        size_t size = strlen(frames[i]) / 2;
        check_from_hex(frames[i], bytes, size);
        for (size_t cut = 0; cut < size; cut++) {
            uint8_t exact[64]; /* so that reading past it is noticed */
            memcpy(exact + sizeof exact - cut, bytes, cut);
            CHECK_EQUAL(rp_frame_read(exact + sizeof exact - cut, cut, &f), RP_E_MALFORMED);
        }
    }
}

static void a_run_of_padding_is_one_frame(void) {
    rp_frame f;
    CHECK_EQUAL(read_hex("000000000001", &f), 5);
    CHECK_EQUAL(f.type, RP_FRAME_PADDING);
}

static void types_that_the_protocol_does_not_have_do_not_parse(void) {
    uint8_t bytes[40] = {0};
    rp_frame f;
    for (int type = 0x10; type < 0x100; type++) {
        bytes[0] = (uint8_t)type;
        if (type == RP_FRAME_STREAM || type == RP_FRAME_STREAM_FIN) continue;
        CHECK_EQUAL(rp_frame_read(bytes, sizeof bytes, &f), RP_E_MALFORMED);
    }
}

static void a_reason_has_its_limit(void) {
    static uint8_t bytes[4 + RP_MAX_REASON + 1];
    rp_frame f;
    bytes[0] = RP_FRAME_CLOSE;
    rp_varint_write(bytes + 2, RP_MAX_REASON);
    CHECK_EQUAL(rp_frame_read(bytes, sizeof bytes, &f), 4 + RP_MAX_REASON);
    rp_varint_write(bytes + 2, RP_MAX_REASON + 1);
    CHECK_EQUAL(rp_frame_read(bytes, sizeof bytes, &f), RP_E_MALFORMED);
}

static void a_stream_ends_below_the_largest_integer(void) {
    uint8_t bytes[RP_STREAM_FRAME_MAX + 1];
    rp_frame f;
    uint8_t *p = rp_stream_frame_write(bytes, 0, RP_VARINT_MAX - 1, 1, false);
    CHECK(rp_frame_read(bytes, (size_t)(p - bytes) + 1, &f) > 0);
    p = rp_stream_frame_write(bytes, 0, RP_VARINT_MAX, 1, false);
    CHECK_EQUAL(rp_frame_read(bytes, (size_t)(p - bytes) + 1, &f), RP_E_MALFORMED);
}

static void the_head_of_a_stream_frame_is_as_long_as_foretold(void) {
    chance c = {5};
    for (int i = 0; i < 10000; i++) {
        uint8_t bytes[RP_STREAM_FRAME_MAX];
        rp_frame f;
        uint64_t stream = chance_next(&c) >> (2 + chance_below(&c, 62));
        uint64_t offset = chance_next(&c) >> (2 + chance_below(&c, 62));
        bool fin = chance_below(&c, 2);
        uint8_t *p = rp_stream_frame_write(bytes, stream, offset, 0, fin);
        CHECK_EQUAL(p - bytes, rp_stream_frame_size(stream, offset));
        CHECK_EQUAL(rp_frame_read(bytes, (size_t)(p - bytes), &f), p - bytes);
        CHECK_EQUAL(f.type, fin ? RP_FRAME_STREAM_FIN : RP_FRAME_STREAM);
        CHECK(f.stream == stream && f.offset == offset && !f.size);
    }
}

/* ---- acknowledgements ---- */

typedef struct {
    uint64_t low, high;
} range;

static size_t write_ack(uint8_t *out, const range *ranges, uint64_t count) { /* newest first */
    uint8_t *p = out;
    *p++ = RP_FRAME_ACK;
    p = rp_varint_write(p, ranges[0].high);
    p = rp_varint_write(p, 77);
    p = rp_varint_write(p, count - 1);
    for (uint64_t i = 0; i < count; i++) {
        if (i) p = rp_varint_write(p, ranges[i - 1].low - ranges[i].high - 2);
        p = rp_varint_write(p, ranges[i].high - ranges[i].low);
    }
    return (size_t)(p - out);
}

/* Ranges downwards from somewhere, with gaps between them, to 0 at the lowest. */
static uint64_t random_ranges(chance *c, range *out, uint64_t most) {
    uint64_t top = chance_next(c) >> (2 + chance_below(c, 60)), count = 0;
    while (count < most) {
        uint64_t length = chance_below(c, 9) < 6 ? 0 : chance_next(c) >> (20 + chance_below(c, 44));
        if (length > top) length = top;
        out[count++] = (range){top - length, top};
        uint64_t gap = 2 + chance_below(c, 70);
        if (gap > top - length) break;
        top = top - length - gap;
    }
    return count;
}

static void the_cursor_gives_the_ranges_as_written(void) {
    static range ranges[1025];
    static uint8_t bytes[32 + 16 * 1025];
    chance c = {6};
    for (int i = 0; i < 500; i++) {
        uint64_t count = random_ranges(&c, ranges, i % 20 ? 1 + chance_below(&c, 20) : 1025), low, high;
        size_t size = write_ack(bytes, ranges, count);
        rp_frame f;
        CHECK_EQUAL(rp_frame_read(bytes, size, &f), size);
        CHECK_EQUAL(f.ack_largest, ranges[0].high);
        CHECK_EQUAL(f.ack_delay, 77);
        rp_ack_cursor cursor;
        rp_ack_cursor_start(&cursor, &f);
        for (uint64_t n = 0; n < count; n++) {
            CHECK(rp_ack_cursor_next(&cursor, &low, &high));
            CHECK(low == ranges[n].low && high == ranges[n].high);
        }
        CHECK(!rp_ack_cursor_next(&cursor, &low, &high));
    }
}

static void ranges_that_pass_below_zero_do_not_parse(void) {
    rp_frame f;
    CHECK_EQUAL(read_hex("0205000005", &f), 5);              /* 0 to 5 */
    CHECK_EQUAL(read_hex("0205000006", &f), RP_E_MALFORMED); /* -1 to 5 */
    CHECK_EQUAL(read_hex("02050001020100", &f), 7);          /* 3 to 5, 0 */
    CHECK_EQUAL(read_hex("02050001020101", &f), RP_E_MALFORMED);
    CHECK_EQUAL(read_hex("02050001020200", &f), RP_E_MALFORMED);
    CHECK_EQUAL(read_hex("020500010400", &f), RP_E_MALFORMED); /* 1 to 5, then nothing is left */
    CHECK_EQUAL(read_hex("0205000105ffffffffffffffff00", &f), RP_E_MALFORMED);
}

static void an_ack_of_too_many_ranges_does_not_parse(void) {
    static uint8_t bytes[4096];
    rp_frame f;
    bytes[0] = RP_FRAME_ACK;
    uint8_t *p = rp_varint_write(bytes + 1, 1 << 20);
    p = rp_varint_write(p, 0);
    rp_varint_write(p, 1024);
    CHECK(rp_frame_read(bytes, sizeof bytes, &f) > 0);
    rp_varint_write(p, 1025);
    CHECK_EQUAL(rp_frame_read(bytes, sizeof bytes, &f), RP_E_MALFORMED);
}

static void marks_stand_behind_the_ranges(void) {
    rp_frame f;
    CHECK_EQUAL(read_hex("0305000005074100410a", &f), 10);
    CHECK(f.ecn[0] == 7 && f.ecn[1] == 0x100 && f.ecn[2] == 0x10a);
    CHECK_EQUAL(f.size, 1);
}

static void noise_never_reads_past_its_end(void) { /* ASan and valgrind watch */
    chance c = {7};
    for (int i = 0; i < 20000; i++) {
        size_t size = chance_below(&c, 40);
        uint8_t *bytes = malloc(size + !size);
        chance_fill(&c, bytes, size);
        if (size) bytes[0] = (uint8_t)chance_below(&c, 0x24);
        rp_frame f;
        int64_t used = rp_frame_read(bytes, size, &f);
        CHECK(used == RP_E_MALFORMED || (used > 0 && (size_t)used <= size));
        free(bytes);
    }
}

int main(void) {
    RUN(numbers_are_big_endian);
    RUN(the_header_stands_as_the_protocol_lays_it_out);
    RUN(a_header_reads_back_as_written);
    RUN(what_is_wrong_with_a_header_has_its_name);
    RUN(only_data_knows_the_phase_bit);
    RUN(less_than_a_header_is_short);
    RUN(damage_is_told_before_anything_else);
    RUN(the_model_of_packet_numbers_gives_the_rfcs_example);
    RUN(packet_numbers_are_rebuilt_as_in_the_rfc);
    RUN(a_packet_number_is_the_candidate_nearest_to_the_expected);
    RUN(integers_of_the_rfc_read_as_it_says);
    RUN(integers_take_the_least_bytes_that_hold_them);
    RUN(a_chain_of_reads_stays_ended);
    RUN(every_frame_reads_as_the_protocol_lays_it_out);
    RUN(a_frame_that_is_cut_anywhere_does_not_parse);
    RUN(a_run_of_padding_is_one_frame);
    RUN(types_that_the_protocol_does_not_have_do_not_parse);
    RUN(a_reason_has_its_limit);
    RUN(a_stream_ends_below_the_largest_integer);
    RUN(the_head_of_a_stream_frame_is_as_long_as_foretold);
    RUN(the_cursor_gives_the_ranges_as_written);
    RUN(ranges_that_pass_below_zero_do_not_parse);
    RUN(an_ack_of_too_many_ranges_does_not_parse);
    RUN(marks_stand_behind_the_ranges);
    RUN(noise_never_reads_past_its_end);
    return 0;
}
