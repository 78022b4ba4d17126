/* A bounded queue of short messages in one borrowed page: datagrams on their way in or out. */
#ifndef RP_FIFO_H
#define RP_FIFO_H

#include "arena.h"

typedef struct {
    uint8_t *page; /* borrowed while anything waits */
    uint32_t head, used;
} rp_fifo;

bool rp_fifo_put(rp_fifo *fifo, rp_arena *arena, const uint8_t *data, size_t size); /* false: no room */
size_t rp_fifo_next_size(const rp_fifo *fifo);                                      /* of the first message */
bool rp_fifo_empty(const rp_fifo *fifo);
size_t rp_fifo_take(rp_fifo *fifo, rp_arena *arena, uint8_t *data, size_t size); /* cuts what is too long */
void rp_fifo_clear(rp_fifo *fifo, rp_arena *arena);

#endif
