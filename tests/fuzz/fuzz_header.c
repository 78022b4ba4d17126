/* Headers, packet numbers and integers out of any bytes. */
#include <stdlib.h>

#include "check.h"
#include "crc32.h"
#include "input.h"
#include "wire.h"

static rp_drop expected(const uint8_t *bytes, size_t size) {
    if (size < RP_HEADER_SIZE) return RP_DROP_SHORT;
    if (rp_load16(bytes + 2) != size - RP_HEADER_SIZE) return RP_DROP_LENGTH;
    if (bytes[0] < RP_TYPE_INIT || bytes[0] > RP_TYPE_REFUSED) return RP_DROP_TYPE;
    if (bytes[1] & ~(bytes[0] == RP_TYPE_DATA ? RP_FLAG_PHASE : 0)) return RP_DROP_FLAGS;
    return RP_DROP_NOTHING;
}

static void read_as_it_is(uint8_t *bytes, size_t size) {
    rp_header header;
    rp_drop drop = rp_header_read(bytes, size, &header);
    CHECK(size >= RP_HEADER_SIZE || drop == RP_DROP_SHORT);
}

static void read_with_the_crc_put_right(uint8_t *bytes, size_t size, const uint8_t *original) {
    rp_header header;
    memcpy(bytes, original, size);
    if (size >= RP_HEADER_SIZE) {
        rp_store32(bytes + 16, 0);
        rp_header_finish(bytes, size);
    }
    rp_drop drop = rp_header_read(bytes, size, &header);
    CHECK_EQUAL(drop, expected(original, size));
    if (drop != RP_DROP_NOTHING) return;
    CHECK_EQUAL(header.session, rp_load32(original + 4));
    CHECK_EQUAL(header.seq, rp_load32(original + 8));
    rp_header_write(bytes, size, &header); /* what was read writes back the same */
    CHECK_BYTES(bytes, original, 16);
    for (int method = 0; method < rp_crc32_method(); method++)
        CHECK_EQUAL(rp_crc32(bytes, size), rp_crc32_by(method, bytes, size));
}

/* The nearest of all numbers that end in `seq`, as A.3 of RFC 9000 means it. */
static void rebuild_a_number(uint32_t seq, uint64_t near) {
    uint64_t number = rp_packet_number(seq, near), half = (uint64_t)1 << 31;
    CHECK_EQUAL((uint32_t)number, seq);
    if (number > near) CHECK(number - near <= half || number < 2 * half);
    if (number < near) CHECK(near - number < half);
}

static void read_an_integer(const uint8_t *bytes, size_t size) {
    uint8_t again[8];
    uint64_t value;
    const uint8_t *end = rp_varint_read(bytes, bytes + size, &value);
    if (!end) return;
    CHECK(value <= RP_VARINT_MAX && end <= bytes + size);
    size_t least = (size_t)(rp_varint_write(again, value) - again);
    CHECK(least == rp_varint_size(value) && least <= (size_t)(end - bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    uint8_t *bytes = malloc(size + !size); /* exactly so large, so that reading past it is noticed */
    memcpy(bytes, data, size);
    read_an_integer(bytes, size);
    read_as_it_is(bytes, size);
    read_with_the_crc_put_right(bytes, size, data);
    free(bytes);
    uint32_t seq = (uint32_t)input_number(&in, 4);
    rebuild_a_number(seq, input_number(&in, 8) >> 2);
    return 0;
}
