#include "ranges.h"

#include <string.h>

enum { FEW = 2, BLOCK = RP_BLOCK_SIZE / sizeof(rp_range), PAGE = RP_PAGE_SIZE / sizeof(rp_range) };

static rp_range *items(rp_ranges *set) { return set->capacity > FEW ? set->many : set->few; }

const rp_range *rp_ranges_items(const rp_ranges *set) { return set->capacity > FEW ? set->many : set->few; }

void rp_ranges_init(rp_ranges *set) {
    memset(set, 0, sizeof *set);
    set->capacity = FEW;
}

static void give_back(rp_ranges *set, rp_arena *arena) {
    if (set->capacity == BLOCK) rp_pool_give(&arena->blocks, set->many);
    if (set->capacity == PAGE) rp_pool_give(&arena->pages, set->many);
}

void rp_ranges_clear(rp_ranges *set, rp_arena *arena) {
    give_back(set, arena);
    rp_ranges_init(set);
}

static bool grow(rp_ranges *set, rp_arena *arena) {
    if (set->capacity == PAGE) return false;
    bool block = set->capacity == FEW;
    rp_range *more = rp_pool_take(block ? &arena->blocks : &arena->pages);
    if (!more) return false;
    memcpy(more, items(set), set->count * sizeof(rp_range));
    give_back(set, arena);
    set->many = more;
    set->capacity = block ? BLOCK : PAGE;
    return true;
}

/* What was borrowed goes back as soon as the ranges fit in place again. */
static void settle(rp_ranges *set, rp_arena *arena) {
    if (set->count > FEW || set->capacity == FEW) return;
    rp_range few[FEW];
    memcpy(few, set->many, sizeof few);
    give_back(set, arena);
    memcpy(set->few, few, sizeof few);
    set->capacity = FEW;
}

/* The first index whose range ends at or after `value`. New ranges mostly come last: look there first. */
static uint32_t find(const rp_ranges *set, uint64_t value) {
    const rp_range *all = rp_ranges_items(set);
    uint32_t low = 0, high = set->count;
    if (high && all[high - 1].high < value) return high;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (all[middle].high < value)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void splice(rp_ranges *set, uint32_t at, uint32_t drop, uint32_t insert) {
    rp_range *all = items(set);
    memmove(all + at + insert, all + at + drop, (set->count - at - drop) * sizeof *all);
    set->count = set->count - drop + insert;
}

bool rp_ranges_add(rp_ranges *set, rp_arena *arena, uint64_t low, uint64_t high) {
    if (low >= high) return true;
    uint32_t at = find(set, low), end = at;
    rp_range *all = items(set);
    while (end < set->count && all[end].low <= high) end++; /* touched or overlapped: they become one */
    if (end > at) {
        if (all[at].low < low) low = all[at].low;
        if (all[end - 1].high > high) high = all[end - 1].high;
        splice(set, at, end - at, 1);
    } else {
        if (set->count == set->capacity && !grow(set, arena)) return false;
        splice(set, at, 0, 1);
    }
    items(set)[at] = (rp_range){low, high};
    return true;
}

bool rp_ranges_remove(rp_ranges *set, rp_arena *arena, uint64_t low, uint64_t high) {
    if (low >= high) return true;
    uint32_t at = find(set, low + 1), end = at;
    rp_range *all = items(set);
    while (end < set->count && all[end].low < high) end++;
    if (end == at) return true;
    rp_range left = {all[at].low, low}, right = {high, all[end - 1].high};
    uint32_t keep = (left.low < left.high ? 1u : 0u) + (right.low < right.high ? 1u : 0u);
    if (set->count - (end - at) + keep > set->capacity && !grow(set, arena)) return false;
    splice(set, at, end - at, keep);
    all = items(set);
    if (left.low < left.high) all[at++] = left;
    if (right.low < right.high) all[at] = right;
    settle(set, arena);
    return true;
}

void rp_ranges_drop_below(rp_ranges *set, rp_arena *arena, uint64_t low) {
    rp_range *all = items(set);
    uint32_t gone = 0;
    while (gone < set->count && all[gone].high <= low) gone++;
    if (gone) splice(set, 0, gone, 0);
    if (set->count && all[0].low < low) all[0].low = low;
    settle(set, arena);
}

void rp_ranges_merge_nearest(rp_ranges *set) {
    rp_range *all = items(set);
    uint32_t best = 0;
    if (set->count < 2) return;
    for (uint32_t i = 1; i + 1 < set->count; i++)
        if (all[i + 1].low - all[i].high < all[best + 1].low - all[best].high) best = i;
    all[best].high = all[best + 1].high;
    splice(set, best + 1, 1, 0);
}

bool rp_ranges_contains(const rp_ranges *set, uint64_t value) { return rp_ranges_end(set, value) > value; }

uint64_t rp_ranges_end(const rp_ranges *set, uint64_t from) {
    uint32_t at = find(set, from + 1);
    const rp_range *all = rp_ranges_items(set);
    return at < set->count && all[at].low <= from ? all[at].high : from;
}

bool rp_ranges_next(const rp_ranges *set, uint64_t from, rp_range *out) {
    uint32_t at = find(set, from + 1);
    if (at == set->count) return false;
    *out = rp_ranges_items(set)[at];
    if (out->low < from) out->low = from;
    return true;
}
