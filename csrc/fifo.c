#include "fifo.h"

enum { PREFIX = 2 };

static uint8_t *at(const rp_fifo *fifo, uint32_t offset) {
    return &fifo->page[(fifo->head + offset) % RP_PAGE_SIZE];
}

bool rp_fifo_put(rp_fifo *fifo, rp_arena *arena, const uint8_t *data, size_t size) {
    if (size > UINT16_MAX || fifo->used + PREFIX + size > RP_PAGE_SIZE) return false;
    if (!fifo->page) fifo->page = rp_pool_take(&arena->pages);
    if (!fifo->page) return false;
    *at(fifo, fifo->used) = (uint8_t)(size >> 8);
    *at(fifo, fifo->used + 1) = (uint8_t)size;
    fifo->used += PREFIX;
    for (size_t i = 0; i < size; i++) *at(fifo, fifo->used + (uint32_t)i) = data[i];
    fifo->used += (uint32_t)size;
    return true;
}

bool rp_fifo_empty(const rp_fifo *fifo) { return !fifo->used; }

size_t rp_fifo_next_size(const rp_fifo *fifo) {
    return fifo->used ? (size_t)*at(fifo, 0) << 8 | *at(fifo, 1) : 0;
}

size_t rp_fifo_take(rp_fifo *fifo, rp_arena *arena, uint8_t *data, size_t size) {
    size_t whole = rp_fifo_next_size(fifo);
    if (!fifo->used) return 0;
    for (size_t i = 0; i < whole && i < size; i++) data[i] = *at(fifo, PREFIX + (uint32_t)i);
    fifo->head = (fifo->head + PREFIX + (uint32_t)whole) % RP_PAGE_SIZE;
    fifo->used -= PREFIX + (uint32_t)whole;
    if (!fifo->used) rp_fifo_clear(fifo, arena);
    return whole < size ? whole : size;
}

void rp_fifo_clear(rp_fifo *fifo, rp_arena *arena) {
    rp_pool_give(&arena->pages, fifo->page);
    *fifo = (rp_fifo){0};
}
