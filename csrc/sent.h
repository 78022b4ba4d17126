/* What was sent and is not yet forgotten, by packet number. */
#ifndef RP_SENT_H
#define RP_SENT_H

#include "arena.h"

/* SKIPPED: a number that no packet got. Whoever acknowledges it acknowledges what it has not seen. */
typedef enum { RP_SENT_GONE, RP_SENT_FLYING, RP_SENT_ACKED, RP_SENT_LOST, RP_SENT_SKIPPED } rp_sent_state;

/* One frame of a packet that must be repeated when the packet is lost. */
typedef struct rp_sent_frame {
    struct rp_sent_frame *next;
    uint64_t stream, offset;
    uint32_t size;
    uint8_t type;
    bool fin;
} rp_sent_frame;

typedef struct {
    _Alignas(64) uint64_t time;                          /* a cache line each */
    uint64_t delivered, delivered_time, first_sent_time; /* for the delivery rate at its ACK */
    uint64_t lost_at;                                    /* when it was given up */
    rp_sent_frame *frames;
    uint16_t size;
    uint8_t state;
    bool eliciting, app_limited, ecn;
    bool probe;         /* of the path's MTU: nothing in it is missed, nor its loss heeded */
    uint8_t unresolved; /* of the first slot of a block: how many in it are flying or lost */
} rp_sent_packet;

/* What a packet takes of the window. A probe takes nothing: it may be larger than the window, and while it
 * filled that nothing would leave behind which its loss could show. */
static inline uint64_t rp_sent_weight(const rp_sent_packet *packet) {
    return packet->probe ? 0 : packet->size;
}

enum { RP_SENT_PER_BLOCK = RP_BLOCK_SIZE / sizeof(rp_sent_packet) };
#define RP_SENT_SPAN ((RP_BLOCK_SIZE / sizeof(void *) - 1) * (uint64_t)RP_SENT_PER_BLOCK)

typedef struct {
    uint64_t base, next; /* numbers in [base, next) are remembered */
    bool wide;
    union {
        rp_sent_packet *block;  /* one block as a ring, while few are remembered */
        rp_sent_packet **table; /* a ring of blocks */
    };
} rp_sent;

void rp_sent_init(rp_sent *sent, uint64_t first);
/* The record of packet `next`, or null when there is no room. */
rp_sent_packet *rp_sent_push(rp_sent *sent, rp_arena *arena);
void rp_sent_pop(rp_sent *sent); /* takes back a push: that number was not used */
rp_sent_packet *rp_sent_get(const rp_sent *sent, uint64_t number);
void rp_sent_set_state(rp_sent *sent, uint64_t number, rp_sent_packet *packet, rp_sent_state state);
/* When every packet of the block that holds `number` is resolved: the first number of the block
 * (or base); otherwise `number` itself. Lets a walk downwards skip what is settled. */
uint64_t rp_sent_skip_down(const rp_sent *sent, uint64_t number);
/* Forgets from the oldest on while they are acknowledged, gone, or lost before `lost_before`. */
void rp_sent_forget(rp_sent *sent, rp_arena *arena, uint64_t lost_before);
void rp_sent_clear(rp_sent *sent, rp_arena *arena);

bool rp_sent_add_frame(rp_sent_packet *packet, rp_arena *arena, const rp_sent_frame *frame);
void rp_sent_free_frames(rp_sent_packet *packet, rp_arena *arena);

#endif
