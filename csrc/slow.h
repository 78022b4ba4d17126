/* A peer that keeps what is ours and moves next to nothing of it. It is looked at now and then, not at each
 * packet, and never while a session holds nothing. */
#ifndef RP_SLOW_H
#define RP_SLOW_H

#include <stdbool.h>

#include "rp_api.h"

typedef struct {
    uint64_t held;     /* bytes that only the peer can free: it has not acknowledged, or not sent, them */
    uint64_t moved;    /* bytes of streams that were acknowledged or came in order, ever */
    bool flying;       /* packets await an acknowledgement */
    uint64_t acked_at; /* when one was acknowledged last */
    uint64_t heard_at; /* when anything came last */
} rp_standing;

typedef struct {
    uint64_t checked, held, moved; /* as it stood then */
    bool flying;
} rp_slow;

/* Nothing is held now: what was before is forgotten. */
void rp_slow_rest(rp_slow *slow, const rp_standing *standing, uint64_t now);
/* To be asked `patience` after `checked`. True: the peer was heard, yet since then it moved neither all that
 * it held nor RP_SLOWEST bytes a second, or acknowledged none of what was on its way to it. */
bool rp_slow_check(rp_slow *slow, const rp_standing *standing, uint64_t patience, uint64_t now);

#endif
