/* The plaintext of a packet as frames, and the ranges of each ACK in it. */
#include <stdlib.h>

#include "check.h"
#include "input.h"
#include "wire.h"

static void walk_ranges(const rp_frame *ack) {
    rp_ack_cursor cursor;
    uint64_t low, high, before = 0, count = 0;
    rp_ack_cursor_start(&cursor, ack);
    for (; rp_ack_cursor_next(&cursor, &low, &high); count++) {
        CHECK(low <= high && high <= ack->ack_largest);
        CHECK(count ? high + 1 < before : high == ack->ack_largest);
        before = low;
    }
    CHECK_EQUAL(count, ack->ack_count + 1);
}

static void is_within(const rp_frame *frame, const uint8_t *start, const uint8_t *end) {
    if (!frame->data) return;
    CHECK(frame->data >= start && frame->data <= end);
    CHECK(frame->size <= (size_t)(end - frame->data));
}

static void write_again(const rp_frame *frame) {
    uint8_t head[RP_STREAM_FRAME_MAX];
    rp_frame again;
    bool fin = frame->type == RP_FRAME_STREAM_FIN;
    uint8_t *end = rp_stream_frame_write(head, frame->stream, frame->offset, 0, fin);
    CHECK_EQUAL(rp_frame_read(head, (size_t)(end - head), &again), end - head);
    CHECK(again.type == frame->type && again.stream == frame->stream && again.offset == frame->offset);
    CHECK(frame->offset + frame->size <= RP_VARINT_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *text = malloc(size + !size);
    memcpy(text, data, size);
    for (size_t at = 0; at < size;) {
        rp_frame frame;
        int64_t used = rp_frame_read(text + at, size - at, &frame);
        if (used < 0) break;
        CHECK(used > 0 && (size_t)used <= size - at);
        is_within(&frame, text + at, text + at + used);
        if (frame.type == RP_FRAME_ACK || frame.type == RP_FRAME_ACK_ECN) walk_ranges(&frame);
        if (frame.type == RP_FRAME_STREAM || frame.type == RP_FRAME_STREAM_FIN) write_again(&frame);
        at += (size_t)used;
    }
    free(text);
    return 0;
}
