#include "wire.h"

#include <string.h>

#include "crc32.h"

void rp_header_begin(uint8_t *datagram, size_t size, const rp_header *header) {
    datagram[0] = header->type;
    datagram[1] = header->flags;
    rp_store16(datagram + 2, (uint16_t)(size - RP_HEADER_SIZE));
    rp_store32(datagram + 4, header->session);
    rp_store32(datagram + 8, header->seq);
    rp_store32(datagram + 12, header->ack);
    rp_store32(datagram + 16, 0);
}

void rp_header_finish(uint8_t *datagram, size_t size) { rp_store32(datagram + 16, rp_crc32(datagram, size)); }

void rp_header_write(uint8_t *datagram, size_t size, const rp_header *header) {
    rp_header_begin(datagram, size, header);
    rp_header_finish(datagram, size);
}

/* Line damage is told from everything else first, so that the other counters mean what they say. */
rp_drop rp_header_read(uint8_t *datagram, size_t size, rp_header *out) {
    if (size < RP_HEADER_SIZE) return RP_DROP_SHORT;
    uint32_t crc = rp_load32(datagram + 16);
    rp_store32(datagram + 16, 0);
    if (rp_crc32(datagram, size) != crc) return RP_DROP_CRC;
    *out = (rp_header){
        .type = datagram[0],
        .flags = datagram[1],
        .len = rp_load16(datagram + 2),
        .session = rp_load32(datagram + 4),
        .seq = rp_load32(datagram + 8),
        .ack = rp_load32(datagram + 12),
        .crc = crc,
    };
    if (out->len != size - RP_HEADER_SIZE) return RP_DROP_LENGTH;
    if (out->type < RP_TYPE_INIT || out->type > RP_TYPE_REFUSED) return RP_DROP_TYPE;
    uint8_t known = out->type == RP_TYPE_DATA ? RP_FLAG_PHASE : 0;
    if (out->flags & ~known) return RP_DROP_FLAGS;
    return RP_DROP_NOTHING;
}

uint64_t rp_packet_number(uint32_t seq, uint64_t expected) {
    const uint64_t window = (uint64_t)1 << 32, half = window / 2;
    uint64_t candidate = (expected & ~(window - 1)) | seq;
    if (candidate + half <= expected && candidate <= UINT64_MAX - window) return candidate + window;
    if (candidate > expected + half && candidate >= window) return candidate - window;
    return candidate;
}

size_t rp_varint_size(uint64_t value) {
    if (value < 0x40) return 1;
    if (value < 0x4000) return 2;
    if (value < 0x40000000) return 4;
    return 8;
}

uint8_t *rp_varint_write(uint8_t *p, uint64_t value) {
    switch (rp_varint_size(value)) {
    case 1:
        *p = (uint8_t)value;
        return p + 1;
    case 2:
        rp_store16(p, (uint16_t)(value | 0x4000));
        return p + 2;
    case 4:
        rp_store32(p, (uint32_t)(value | 0x80000000));
        return p + 4;
    default:
        rp_store64(p, value | 0xc000000000000000);
        return p + 8;
    }
}

const uint8_t *rp_varint_read(const uint8_t *p, const uint8_t *end, uint64_t *value) {
    if (!p || p >= end) return NULL;
    size_t size = (size_t)1 << (*p >> 6);
    if ((size_t)(end - p) < size) return NULL;
    uint64_t v = *p & 0x3f;
    for (size_t i = 1; i < size; i++) v = v << 8 | p[i];
    *value = v;
    return p + size;
}

/* Walks the ranges once so that whoever uses them later needs no check. */
static const uint8_t *read_ack(const uint8_t *p, const uint8_t *end, rp_frame *out) {
    p = rp_varint_read(p, end, &out->ack_largest);
    p = rp_varint_read(p, end, &out->ack_delay);
    p = rp_varint_read(p, end, &out->ack_count);
    if (!p || out->ack_count > 1024) return NULL;
    out->data = p;
    uint64_t low = 0, gap, length;
    for (uint64_t i = 0; i <= out->ack_count; i++) {
        uint64_t high = out->ack_largest;
        if (i) {
            p = rp_varint_read(p, end, &gap);
            if (!p || gap + 2 > low) return NULL;
            high = low - gap - 2;
        }
        p = rp_varint_read(p, end, &length);
        if (!p || length > high) return NULL;
        low = high - length;
    }
    out->size = (size_t)(p - out->data);
    return p;
}

static const uint8_t *read_stream(const uint8_t *p, const uint8_t *end, rp_frame *out) {
    p = rp_varint_read(p, end, &out->stream);
    p = rp_varint_read(p, end, &out->offset);
    if (!p || end - p < 2) return NULL;
    out->size = rp_load16(p);
    p += 2;
    if ((size_t)(end - p) < out->size || out->offset + out->size > RP_VARINT_MAX) return NULL;
    out->data = p;
    return p + out->size;
}

static const uint8_t *read_ecn(const uint8_t *p, const uint8_t *end, rp_frame *out) {
    for (int i = 0; i < 3; i++) p = rp_varint_read(p, end, &out->ecn[i]);
    return p;
}

static const uint8_t *read_fixed(const uint8_t *p, const uint8_t *end, size_t size, rp_frame *out) {
    if ((size_t)(end - p) < size) return NULL;
    out->data = p;
    out->size = size;
    return p + size;
}

static const uint8_t *read_sized(const uint8_t *p, const uint8_t *end, rp_frame *out) {
    return end - p < 2 ? NULL : read_fixed(p + 2, end, rp_load16(p), out);
}

static const uint8_t *read_close(const uint8_t *p, const uint8_t *end, rp_frame *out) {
    uint64_t size;
    p = rp_varint_read(p, end, &out->value);
    p = rp_varint_read(p, end, &size);
    if (!p || size > RP_MAX_REASON || (uint64_t)(end - p) < size) return NULL;
    out->data = p;
    out->size = (size_t)size;
    return p + size;
}

static const uint8_t *read_padding(const uint8_t *p, const uint8_t *end) {
    while (p < end && *p == RP_FRAME_PADDING) p++;
    return p;
}

int64_t rp_frame_read(const uint8_t *start, size_t size, rp_frame *out) {
    const uint8_t *p = start, *end = start + size;
    if (!size) return RP_E_MALFORMED;
    memset(out, 0, sizeof *out);
    out->type = *p++;
    switch (out->type) {
    case RP_FRAME_PADDING:
        p = read_padding(p, end);
        break;
    case RP_FRAME_PING:
        break;
    case RP_FRAME_ACK:
        p = read_ack(p, end, out);
        break;
    case RP_FRAME_ACK_ECN:
        p = read_ack(p, end, out);
        p = read_ecn(p, end, out);
        break;
    case RP_FRAME_PATH_CHALLENGE:
    case RP_FRAME_PATH_RESPONSE:
        p = read_fixed(p, end, RP_PATH_DATA_SIZE, out);
        break;
    case RP_FRAME_OBSERVED_ADDRESS:
        p = read_fixed(p, end, RP_OBSERVED_SIZE, out);
        break;
    case RP_FRAME_DATAGRAM:
        p = read_sized(p, end, out);
        break;
    case RP_FRAME_RATCHET:
        p = read_fixed(p, end, RP_RATCHET_SIZE, out);
        break;
    case RP_FRAME_RESET_STREAM:
        p = rp_varint_read(p, end, &out->stream);
        p = rp_varint_read(p, end, &out->value);
        p = rp_varint_read(p, end, &out->offset);
        break;
    case RP_FRAME_STOP:
    case RP_FRAME_MAX_STREAM_DATA:
        p = rp_varint_read(p, end, &out->stream);
        p = rp_varint_read(p, end, &out->value);
        break;
    case RP_FRAME_MAX_DATA:
    case RP_FRAME_MAX_STREAMS:
        p = rp_varint_read(p, end, &out->value);
        break;
    case RP_FRAME_CLOSE:
        p = read_close(p, end, out);
        break;
    case RP_FRAME_STREAM:
    case RP_FRAME_STREAM_FIN:
        p = read_stream(p, end, out);
        break;
    default:
        p = NULL;
    }
    return p ? p - start : RP_E_MALFORMED;
}

void rp_ack_cursor_start(rp_ack_cursor *cursor, const rp_frame *ack) {
    *cursor = (rp_ack_cursor){
        .p = ack->data,
        .end = ack->data + ack->size,
        .left = ack->ack_count + 1,
        .low = ack->ack_largest,
        .first = true,
    };
}

bool rp_ack_cursor_next(rp_ack_cursor *cursor, uint64_t *low, uint64_t *high) {
    uint64_t gap = 0, length = 0;
    if (!cursor->left) return false;
    cursor->left--;
    *high = cursor->low;
    if (!cursor->first) {
        cursor->p = rp_varint_read(cursor->p, cursor->end, &gap);
        *high = cursor->low - gap - 2;
    }
    cursor->first = false;
    cursor->p = rp_varint_read(cursor->p, cursor->end, &length);
    *low = cursor->low = *high - length;
    return true;
}

size_t rp_stream_frame_size(uint64_t stream, uint64_t offset) {
    return 1 + rp_varint_size(stream) + rp_varint_size(offset) + 2;
}

uint8_t *rp_stream_frame_write(uint8_t *p, uint64_t stream, uint64_t offset, size_t size, bool fin) {
    *p++ = fin ? RP_FRAME_STREAM_FIN : RP_FRAME_STREAM;
    p = rp_varint_write(p, stream);
    p = rp_varint_write(p, offset);
    rp_store16(p, (uint16_t)size);
    return p + 2;
}
