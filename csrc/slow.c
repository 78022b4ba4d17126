#include "slow.h"

void rp_slow_rest(rp_slow *slow, const rp_standing *standing, uint64_t now) {
    *slow = (rp_slow){.checked = now, .moved = standing->moved};
}

bool rp_slow_check(rp_slow *slow, const rp_standing *standing, uint64_t patience, uint64_t now) {
    enum { SECOND = 1000000 };
    uint64_t owed = patience * RP_SLOWEST / SECOND;
    if (owed > slow->held) owed = slow->held;
    bool heard = standing->heard_at + patience / 2 > now; /* of silence the idle limit takes care */
    bool stuck = standing->moved - slow->moved < owed;
    bool mute = slow->flying && standing->acked_at <= slow->checked;
    *slow = (rp_slow){
        .checked = now, .held = standing->held, .moved = standing->moved, .flying = standing->flying};
    return heard && (stuck || mute);
}
