/* Bytes on the wire: the 20-byte header, variable-length integers and frames. */
#ifndef RP_WIRE_H
#define RP_WIRE_H

#include <stdbool.h>

#include "rp_api.h"

enum {
    RP_TYPE_INIT = 1,
    RP_TYPE_RETRY = 2,
    RP_TYPE_ACCEPT = 3,
    RP_TYPE_DATA = 4,
    RP_TYPE_RESET = 5,
    RP_TYPE_VERSION = 6,
    RP_TYPE_REFUSED = 7,
};

#define RP_FLAG_PHASE 0x01 /* DATA: low bit of the key epoch */
#define RP_VERSION_1 1
#define RP_AAD_SIZE 21 /* the first 16 header bytes, the version, the epoch as 4 bytes */
#define RP_VARINT_MAX 0x3fffffffffffffff

static inline uint16_t rp_load16(const uint8_t *p) { return (uint16_t)((uint16_t)p[0] << 8 | p[1]); }

static inline uint32_t rp_load32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t rp_load64(const uint8_t *p) { return (uint64_t)rp_load32(p) << 32 | rp_load32(p + 4); }

static inline void rp_store16(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void rp_store32(uint8_t *p, uint32_t v) {
    rp_store16(p, (uint16_t)(v >> 16));
    rp_store16(p + 2, (uint16_t)v);
}

static inline void rp_store64(uint8_t *p, uint64_t v) {
    rp_store32(p, (uint32_t)(v >> 32));
    rp_store32(p + 4, (uint32_t)v);
}

typedef struct {
    uint8_t type, flags;
    uint16_t len;
    uint32_t session, seq, ack, crc;
} rp_header;

typedef enum {
    RP_DROP_NOTHING,
    RP_DROP_SHORT,
    RP_DROP_CRC,
    RP_DROP_LENGTH,
    RP_DROP_TYPE,
    RP_DROP_FLAGS,
} rp_drop;

/* Writes the header of a datagram of `size` bytes whose other bytes already stand, CRC included. */
void rp_header_write(uint8_t *datagram, size_t size, const rp_header *header);
/* The same without the CRC: DATA is sealed between the two. */
void rp_header_begin(uint8_t *datagram, size_t size, const rp_header *header);
void rp_header_finish(uint8_t *datagram, size_t size);
/* The CRC is checked first; its field in the buffer is zero afterwards. */
rp_drop rp_header_read(uint8_t *datagram, size_t size, rp_header *out);

/* The full packet number nearest to what is expected (RFC 9000 A.3, with 32 bits). */
uint64_t rp_packet_number(uint32_t seq, uint64_t expected);

size_t rp_varint_size(uint64_t value);
uint8_t *rp_varint_write(uint8_t *p, uint64_t value);
/* Returns where the next field stands, or null when the bytes end first. */
const uint8_t *rp_varint_read(const uint8_t *p, const uint8_t *end, uint64_t *value);

enum {
    RP_FRAME_PADDING = 0x00,
    RP_FRAME_PING = 0x01,
    RP_FRAME_ACK = 0x02,
    RP_FRAME_ACK_ECN = 0x03,
    RP_FRAME_RESET_STREAM = 0x04,
    RP_FRAME_STOP = 0x05,
    RP_FRAME_MAX_DATA = 0x06,
    RP_FRAME_MAX_STREAM_DATA = 0x07,
    RP_FRAME_MAX_STREAMS = 0x08,
    RP_FRAME_PATH_CHALLENGE = 0x0a,
    RP_FRAME_PATH_RESPONSE = 0x0b,
    RP_FRAME_OBSERVED_ADDRESS = 0x0c,
    RP_FRAME_DATAGRAM = 0x0d,
    RP_FRAME_CLOSE = 0x0e,
    RP_FRAME_RATCHET = 0x0f,
    RP_FRAME_STREAM = 0x20,
    RP_FRAME_STREAM_FIN = 0x21,
};

enum {
    RP_PATH_DATA_SIZE = 8,
    RP_OBSERVED_SIZE = 18,        /* IP address, IPv4 in its mapped form, and port */
    RP_RATCHET_SIZE = 1 + 4 + 32, /* 0 asks, 1 answers; which ratchet of the session; an X25519 key */
};

/* One parsed frame; `data` points into the packet. */
typedef struct {
    uint8_t type;
    uint64_t stream, offset, value;
    const uint8_t *data;
    size_t size;
    uint64_t ack_largest, ack_delay, ack_count; /* of an ACK; `data` then holds its ranges */
    uint64_t ecn[3];                            /* of an ACK_ECN: packets seen as ECT(0), ECT(1), CE */
} rp_frame;

/* Returns the bytes taken, or RP_E_MALFORMED. */
int64_t rp_frame_read(const uint8_t *p, size_t size, rp_frame *out);

/* The ranges of an ACK, newest first; `rp_frame_read` has checked them. */
typedef struct {
    const uint8_t *p, *end;
    uint64_t left, low;
    bool first;
} rp_ack_cursor;

void rp_ack_cursor_start(rp_ack_cursor *cursor, const rp_frame *ack);
bool rp_ack_cursor_next(rp_ack_cursor *cursor, uint64_t *low, uint64_t *high);

#define RP_STREAM_FRAME_MAX (1 + 8 + 8 + 2) /* the most that stands before a STREAM frame's data */
size_t rp_stream_frame_size(uint64_t stream, uint64_t offset);
uint8_t *rp_stream_frame_write(uint8_t *p, uint64_t stream, uint64_t offset, size_t size, bool fin);

#endif
