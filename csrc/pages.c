#include "pages.h"

#include <string.h>

enum { TABLE = RP_BLOCK_SIZE / sizeof(uint8_t *) };

void rp_pages_init(rp_pages *pages) { memset(pages, 0, sizeof *pages); }

static uint8_t *held(const rp_pages *pages, uint64_t number) {
    if (!pages->held) return NULL;
    if (pages->wide) return pages->table[number % TABLE];
    return pages->number == number ? pages->page : NULL;
}

bool rp_pages_holds(const rp_pages *pages, uint64_t offset) {
    return held(pages, offset / RP_PAGE_SIZE) != NULL;
}

static bool widen(rp_pages *pages, rp_arena *arena) {
    uint8_t **table = rp_pool_take(&arena->blocks);
    if (!table) return false;
    memset(table, 0, RP_BLOCK_SIZE);
    table[pages->number % TABLE] = pages->page;
    pages->table = table;
    pages->wide = true;
    return true;
}

static bool room_for_one(rp_pages *pages, rp_arena *arena) {
    return !pages->held || pages->wide || widen(pages, arena);
}

static void place(rp_pages *pages, uint64_t number, uint8_t *page) {
    pages->held++;
    if (pages->wide) {
        pages->table[number % TABLE] = page;
    } else {
        pages->page = page;
        pages->number = number;
    }
}

static uint8_t *hold(rp_pages *pages, rp_arena *arena, uint64_t number) {
    uint8_t *page = held(pages, number);
    if (page) return page;
    if (!room_for_one(pages, arena)) return NULL;
    page = rp_pool_take(&arena->pages);
    if (page) place(pages, number, page);
    return page;
}

static size_t at_most(size_t size, size_t limit) { return size < limit ? size : limit; }

size_t rp_pages_write(rp_pages *pages, rp_arena *arena, uint64_t offset, const uint8_t *data, size_t size) {
    size_t done = 0;
    while (done < size) {
        size_t within = (size_t)((offset + done) % RP_PAGE_SIZE);
        size_t run = at_most(size - done, RP_PAGE_SIZE - within);
        uint8_t *page = hold(pages, arena, (offset + done) / RP_PAGE_SIZE);
        if (!page) break;
        memcpy(page + within, data + done, run);
        done += run;
    }
    return done;
}

size_t rp_pages_lend(rp_pages *pages, rp_arena *arena, uint64_t offset, const uint8_t *data, size_t size) {
    size_t done = 0;
    while (size - done >= RP_PAGE_SIZE && room_for_one(pages, arena)) {
        place(pages, (offset + done) / RP_PAGE_SIZE, (uint8_t *)(uintptr_t)(data + done)); /* only read */
        pages->lent++;
        done += RP_PAGE_SIZE;
    }
    return done;
}

size_t rp_pages_read(const rp_pages *pages, uint64_t offset, uint8_t *data, size_t size) {
    size_t done = 0;
    while (done < size) {
        size_t within = (size_t)((offset + done) % RP_PAGE_SIZE);
        size_t run = at_most(size - done, RP_PAGE_SIZE - within);
        const uint8_t *page = held(pages, (offset + done) / RP_PAGE_SIZE);
        if (!page) break;
        memcpy(data + done, page + within, run);
        done += run;
    }
    return done;
}

static void drop(rp_pages *pages, rp_arena *arena, uint64_t number) {
    uint8_t *page = held(pages, number);
    if (!page) return;
    if (rp_pool_owns(&arena->pages, page)) {
        rp_pool_give(&arena->pages, page);
    } else {
        pages->lent--;
        pages->returned++;
    }
    pages->held--;
    if (pages->wide) pages->table[number % TABLE] = NULL;
}

void rp_pages_release_below(rp_pages *pages, rp_arena *arena, uint64_t offset) {
    uint64_t number = offset / RP_PAGE_SIZE;
    for (uint64_t n = pages->low; n < number && pages->held; n++) drop(pages, arena, n);
    if (pages->low < number) pages->low = number;
    if (!pages->held && pages->wide) {
        rp_pool_give(&arena->blocks, pages->table);
        pages->wide = false;
    }
}

uint64_t rp_pages_count_returned(rp_pages *pages) {
    uint64_t count = pages->returned;
    if (!pages->lent) pages->returned = 0;
    return count;
}

void rp_pages_clear(rp_pages *pages, rp_arena *arena) {
    for (uint64_t n = pages->low; pages->held; n++) drop(pages, arena, n);
    if (pages->wide) rp_pool_give(&arena->blocks, pages->table);
    *pages = (rp_pages){.returned = pages->returned};
}

void rp_pages_rest(rp_pages *pages, rp_arena *arena, uint64_t offset) {
    rp_pages_clear(pages, arena);
    pages->low = offset / RP_PAGE_SIZE;
}
