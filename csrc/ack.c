#include "ack.h"

#include <string.h>

#include "wire.h"

void rp_ack_init(rp_ack *ack) {
    memset(ack, 0, sizeof *ack);
    rp_ranges_init(&ack->received);
    ack->deadline = RP_NEVER;
    ack->every = RP_ACK_EVERY;
}

void rp_ack_clear(rp_ack *ack, rp_arena *arena) {
    rp_ranges_clear(&ack->received, arena);
    rp_ack_init(ack);
}

void rp_ack_rest(rp_ack *ack, rp_arena *arena) {
    uint64_t largest = ack->largest;
    bool any = ack->any;
    rp_ack_clear(ack, arena);
    ack->largest = largest;
    ack->any = any;
}

/* A set that cannot grow loses its oldest range: the peer sends those packets' frames again. */
static void remember(rp_ack *ack, rp_arena *arena, uint64_t number) {
    if (ack->received.count >= RP_ACK_RANGES || !rp_ranges_add(&ack->received, arena, number, number + 1)) {
        rp_ranges_drop_below(&ack->received, arena, rp_ranges_items(&ack->received)[0].high);
        rp_ranges_add(&ack->received, arena, number, number + 1);
    }
}

void rp_ack_pace(rp_ack *ack, size_t size, uint64_t rtt, uint64_t now) {
    if (size >= RP_ACK_LARGE) ack->round_packets++;
    if (now - ack->round_start < rtt) return;
    uint32_t share = ack->round_packets / RP_ACKS_A_ROUND;
    ack->every = share < RP_ACK_EVERY ? RP_ACK_EVERY : share > RP_ACK_EVERY_MOST ? RP_ACK_EVERY_MOST : share;
    ack->round_start = now;
    ack->round_packets = 0;
}

bool rp_ack_received(rp_ack *ack, rp_arena *arena, uint64_t number, bool eliciting, uint64_t now) {
    bool in_order = !ack->any || number == ack->largest + 1;
    bool late = ack->any && number < ack->largest;
    remember(ack, arena, number);
    if (!ack->any || number > ack->largest) {
        ack->largest = number;
        ack->largest_time = now;
    }
    ack->any = true;
    if (!eliciting) return late;
    ack->waiting++;
    if (!in_order || ack->waiting >= ack->every) ack->due = true; /* a gap is news for the sender */
    if (ack->deadline == RP_NEVER) ack->deadline = now + RP_MAX_ACK_DELAY;
    return late;
}

size_t rp_ack_write(rp_ack *ack, uint8_t *out, size_t room, uint64_t now) {
    enum { ECN_MAX = 3 * 8, FIXED = 1 + 8 + 8 + 4 + 8 + ECN_MAX };
    bool ecn = ack->ecn[0] || ack->ecn[1] || ack->ecn[2];
    if (!ack->any || !ack->received.count || room < FIXED) return 0;
    const rp_range *ranges = rp_ranges_items(&ack->received);
    uint32_t top = ack->received.count - 1;
    uint8_t *p = out, *end = out + room;
    *p++ = ecn ? RP_FRAME_ACK_ECN : RP_FRAME_ACK;
    p = rp_varint_write(p, ranges[top].high - 1);
    p = rp_varint_write(p, now - ack->largest_time);
    uint8_t *count_at = p;
    p += 4;
    p = rp_varint_write(p, ranges[top].high - 1 - ranges[top].low);
    uint32_t count = 0;
    for (uint32_t i = top; i-- > 0 && end - p >= 16 + ECN_MAX; count++) {
        p = rp_varint_write(p, ranges[i + 1].low - ranges[i].high - 1);
        p = rp_varint_write(p, ranges[i].high - 1 - ranges[i].low);
    }
    rp_store32(count_at, count | 0x80000000); /* the count as a 4-byte varint, known only now */
    for (int i = 0; ecn && i < 3; i++) p = rp_varint_write(p, ack->ecn[i]);
    ack->waiting = 0;
    ack->due = false;
    ack->deadline = RP_NEVER;
    return (size_t)(p - out);
}

/* The largest itself always stays: an ACK must have something to name. */
void rp_ack_confirmed(rp_ack *ack, rp_arena *arena, uint64_t largest) {
    rp_ranges_drop_below(&ack->received, arena, largest < ack->largest ? largest + 1 : ack->largest);
}
