/* How often each source may begin a handshake: a bucket for each network, many networks to a table. */
#ifndef RP_SOURCES_H
#define RP_SOURCES_H

#include "rp_api.h"

#include <stdbool.h>

enum {
    RP_SOURCES = 2048, /* two that fall together share what is there: none gets more by being many */
    RP_SOURCE_SIZE = 17,
};

typedef struct {
    uint64_t filled_at[RP_SOURCES]; /* when the bucket would be full again */
    uint32_t rate;                  /* a second; 0: as often as they like */
} rp_sources;

/* What counts as one source: an IPv4 address, or the /64 of an IPv6 one; and whether it has proved itself,
 * so that who forges an address uses up nothing of its owner's. */
void rp_source_name(const rp_address *address, bool proved, uint8_t *out);
/* Takes one of what the source with this hash has left; false when there is none. */
bool rp_sources_take(rp_sources *sources, uint32_t hash, uint64_t now);

#endif
