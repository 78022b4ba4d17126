#include "sources.h"

#include <string.h>

void rp_source_name(const rp_address *address, bool proved, uint8_t *out) {
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    memcpy(out, address->ip, 16);
    if (memcmp(out, mapped, sizeof mapped) != 0) memset(out + 8, 0, 8);
    out[16] = proved;
}

/* A bucket holds four seconds' worth. One moment says all of it: taking moves it on by what one costs. */
bool rp_sources_take(rp_sources *sources, uint32_t hash, uint64_t now) {
    enum { SECOND = 1000000, BURST = 4 * SECOND };
    if (!sources->rate) return true;
    uint64_t *filled_at = &sources->filled_at[hash % RP_SOURCES], cost = SECOND / sources->rate;
    if (*filled_at < now) *filled_at = now;
    if (*filled_at + cost > now + BURST) return false;
    *filled_at += cost;
    return true;
}
