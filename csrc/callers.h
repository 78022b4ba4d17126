/* INITs that wait until the sessions have been served: whoever has a session comes before who has none. */
#ifndef RP_CALLERS_H
#define RP_CALLERS_H

#include "rp_api.h"

#include <stdbool.h>

enum {
    RP_CALLERS = 128, /* of each kind; when more call meanwhile, the last are heard */
    RP_CALLER_MOST = 1472,
};

typedef struct {
    rp_address peer;
    uint16_t size;
    uint8_t init[RP_CALLER_MOST];
} rp_caller;

typedef struct {
    uint32_t first, count;
    rp_caller all[RP_CALLERS];
} rp_caller_ring;

typedef struct {
    rp_caller_ring proved, others; /* who brings a cookie is not held up by who does not */
} rp_callers;

/* When there is no room the one that has waited longest goes; false then. */
bool rp_callers_put(rp_callers *callers, const rp_address *peer, const uint8_t *init, size_t size,
                    bool proved);
/* The next to be answered, until something is put or taken; NULL when nobody waits. */
const rp_caller *rp_callers_take(rp_callers *callers);
bool rp_callers_wait(const rp_callers *callers);

#endif
