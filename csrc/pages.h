/* A window of bytes that slides along a stream: pages are borrowed where bytes stand and returned
 * as soon as the window has passed them. */
#ifndef RP_PAGES_H
#define RP_PAGES_H

#include "arena.h"

#define RP_MAX_STREAM_WINDOW ((RP_BLOCK_SIZE / sizeof(void *) - 1) * (uint64_t)RP_PAGE_SIZE)

typedef struct {
    uint64_t low;      /* page number of the first page that may be held */
    uint32_t held;     /* pages that stand here */
    uint32_t lent;     /* of those: the caller's own bytes, rather than pages of the arena */
    uint64_t returned; /* pages that were the caller's and are needed no more */
    bool wide;         /* `table` is a ring of page pointers; otherwise `page` is all there is */
    uint64_t number;   /* of `page`, while not wide */
    union {
        uint8_t *page;
        uint8_t **table;
    };
} rp_pages;

void rp_pages_init(rp_pages *pages);
/* Both return how many bytes were moved: fewer than `size` only when the arena is exhausted. The
 * caller keeps offset + size within RP_MAX_STREAM_WINDOW of what was released last. */
size_t rp_pages_write(rp_pages *pages, rp_arena *arena, uint64_t offset, const uint8_t *data, size_t size);
/* Keeps whole pages of the caller's bytes, at a page's beginning, where they are: they are to stay as they
 * are until `returned` has counted them. */
size_t rp_pages_lend(rp_pages *pages, rp_arena *arena, uint64_t offset, const uint8_t *data, size_t size);
size_t rp_pages_read(const rp_pages *pages, uint64_t offset, uint8_t *data, size_t size);
/* Whether a page holds this byte already. */
bool rp_pages_holds(const rp_pages *pages, uint64_t offset);
/* How many lent pages have gone back; once all have, and that was told, counting begins anew. */
uint64_t rp_pages_count_returned(rp_pages *pages);
void rp_pages_release_below(rp_pages *pages, rp_arena *arena, uint64_t offset);
/* Nothing is held any more, not even the page that `offset` lies in: an idle stream costs none. */
void rp_pages_rest(rp_pages *pages, rp_arena *arena, uint64_t offset);
void rp_pages_clear(rp_pages *pages, rp_arena *arena);

#endif
