#include "sent.h"

#include <string.h>

_Static_assert(sizeof(rp_sent_packet) == 64, "a block holds a power of two of them");

enum { PER_BLOCK = RP_SENT_PER_BLOCK, TABLE = RP_BLOCK_SIZE / sizeof(void *) };

void rp_sent_init(rp_sent *sent, uint64_t first) {
    memset(sent, 0, sizeof *sent);
    sent->base = sent->next = first;
}

static rp_sent_packet *block_of(const rp_sent *sent, uint64_t number) {
    return sent->wide ? sent->table[number / PER_BLOCK % TABLE] : sent->block;
}

static rp_sent_packet *borrow_block(rp_arena *arena) {
    rp_sent_packet *block = rp_pool_take(&arena->blocks);
    if (block) memset(block, 0, RP_BLOCK_SIZE);
    return block;
}

/* The one block is a ring, so its records belong to at most two aligned blocks: the old one is kept
 * for the lower and a new one takes the upper. */
static bool widen(rp_sent *sent, rp_arena *arena) {
    rp_sent_packet **table = rp_pool_take(&arena->blocks);
    rp_sent_packet *upper = borrow_block(arena), *lower = sent->block;
    if (!table || !upper) {
        rp_pool_give(&arena->blocks, table);
        rp_pool_give(&arena->blocks, upper);
        return false;
    }
    memset(table, 0, RP_BLOCK_SIZE);
    uint64_t boundary = (sent->base / PER_BLOCK + 1) * PER_BLOCK;
    lower[0].unresolved = 0;
    for (uint64_t n = sent->base; n < sent->next; n++) {
        rp_sent_packet *from = &lower[n % PER_BLOCK], *first = n < boundary ? lower : upper;
        bool open = from->state == RP_SENT_FLYING || from->state == RP_SENT_LOST;
        if (n >= boundary) {
            uint8_t count = upper[0].unresolved;
            upper[n % PER_BLOCK] = *from;
            upper[0].unresolved = count;
            uint8_t keep = lower[0].unresolved;
            memset(from, 0, sizeof *from);
            lower[0].unresolved = keep;
        }
        first[0].unresolved = (uint8_t)(first[0].unresolved + open);
    }
    table[sent->base / PER_BLOCK % TABLE] = lower;
    table[boundary / PER_BLOCK % TABLE] = upper;
    sent->table = table;
    sent->wide = true;
    return true;
}

static bool make_room(rp_sent *sent, rp_arena *arena) {
    if (sent->next - sent->base >= RP_SENT_SPAN) return false;
    if (!sent->wide && !sent->block) return (sent->block = borrow_block(arena)) != NULL;
    if (!sent->wide && sent->next - sent->base < PER_BLOCK) return true;
    if (!sent->wide && !widen(sent, arena)) return false;
    rp_sent_packet **slot = &sent->table[sent->next / PER_BLOCK % TABLE];
    if (!*slot) *slot = borrow_block(arena);
    return *slot != NULL;
}

rp_sent_packet *rp_sent_push(rp_sent *sent, rp_arena *arena) {
    if (!make_room(sent, arena)) return NULL;
    rp_sent_packet *first = block_of(sent, sent->next), *packet = first + sent->next % PER_BLOCK;
    uint8_t unresolved = first->unresolved;
    memset(packet, 0, sizeof *packet);
    first->unresolved = unresolved;
    sent->next++;
    return packet;
}

void rp_sent_pop(rp_sent *sent) { sent->next--; }

rp_sent_packet *rp_sent_get(const rp_sent *sent, uint64_t number) {
    if (number < sent->base || number >= sent->next) return NULL;
    return block_of(sent, number) + number % PER_BLOCK;
}

static bool unresolved(uint8_t state) { return state == RP_SENT_FLYING || state == RP_SENT_LOST; }

void rp_sent_set_state(rp_sent *sent, uint64_t number, rp_sent_packet *packet, rp_sent_state state) {
    rp_sent_packet *first = block_of(sent, number);
    first->unresolved = (uint8_t)(first->unresolved - unresolved(packet->state) + unresolved((uint8_t)state));
    packet->state = (uint8_t)state;
}

uint64_t rp_sent_skip_down(const rp_sent *sent, uint64_t number) {
    if (!sent->wide || block_of(sent, number)->unresolved) return number;
    uint64_t start = number - number % PER_BLOCK;
    return start > sent->base ? start : sent->base;
}

static void drop_block(rp_sent *sent, rp_arena *arena, uint64_t number) {
    rp_sent_packet **slot = &sent->table[number / PER_BLOCK % TABLE];
    rp_pool_give(&arena->blocks, *slot);
    *slot = NULL;
}

void rp_sent_forget(rp_sent *sent, rp_arena *arena, uint64_t lost_before) {
    while (sent->base < sent->next) {
        rp_sent_packet *packet = rp_sent_get(sent, sent->base);
        if (packet->state == RP_SENT_FLYING) return;
        if (packet->state == RP_SENT_LOST && packet->time >= lost_before) return;
        rp_sent_set_state(sent, sent->base, packet, RP_SENT_GONE);
        rp_sent_free_frames(packet, arena);
        sent->base++;
        if (sent->wide && sent->base % PER_BLOCK == 0) drop_block(sent, arena, sent->base - 1);
    }
    rp_sent_clear(sent, arena);
}

void rp_sent_clear(rp_sent *sent, rp_arena *arena) {
    for (uint64_t n = sent->base; n < sent->next; n++) rp_sent_free_frames(rp_sent_get(sent, n), arena);
    if (sent->wide) {
        for (int i = 0; i < TABLE; i++) rp_pool_give(&arena->blocks, sent->table[i]);
        rp_pool_give(&arena->blocks, sent->table);
    } else {
        rp_pool_give(&arena->blocks, sent->block);
    }
    rp_sent_init(sent, sent->next);
}

bool rp_sent_add_frame(rp_sent_packet *packet, rp_arena *arena, const rp_sent_frame *frame) {
    rp_sent_frame *record = rp_pool_take(&arena->frames);
    if (!record) return false;
    *record = *frame;
    record->next = packet->frames;
    packet->frames = record;
    return true;
}

void rp_sent_free_frames(rp_sent_packet *packet, rp_arena *arena) {
    while (packet->frames) {
        rp_sent_frame *frame = packet->frames;
        packet->frames = frame->next;
        rp_pool_give(&arena->frames, frame);
    }
}
